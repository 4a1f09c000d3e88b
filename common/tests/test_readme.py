"""The Python of the README runs on a trained model and prints as many lines as the README shows."""

from __future__ import annotations

import importlib
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
    monkeypatch.syspath_prepend(tmp_path)
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    assert blocks, "no block of Python"
    for number, (code, shown) in enumerate(blocks):
        capsys.readouterr()
        Path(f"of_the_readme_{number}.py").write_text(code, encoding="utf-8")  # MindSpore compiles from source files
        importlib.import_module(f"of_the_readme_{number}")
        assert len(capsys.readouterr().out.splitlines()) == len(shown.splitlines()), code
