"""The Python of the README runs on a trained model and prints as many lines as the README shows."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n+(?:\w[^\n]*\n+)?```text\n(.*?)```)?", re.DOTALL)


def test_the_python_of_the_readme_runs(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("outputs").symlink_to(trained.outputs)
    if corpus := getattr(trained, "corpus", None):
        Path("data").mkdir()
        Path("data", corpus.name).symlink_to(corpus)
    blocks, names = BLOCK.findall(README.read_text(encoding="utf-8")), {"__name__": "readme"}
    assert blocks, "no block of Python"
    for code, shown in blocks:
        capsys.readouterr()
        exec(compile(code, str(README), "exec"), names)
        assert len(capsys.readouterr().out.splitlines()) == len(shown.splitlines()), code
