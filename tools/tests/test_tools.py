"""The repository's own tools, on small trees of files; every check has an example that it must reject."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOOLS))

import check_readme  # noqa: E402
import sync_common  # noqa: E402


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


# -- sync_common


@pytest.fixture
def models(tmp_path):
    """Originals: three modules, of which training needs runtime, and gru, which imports training alone."""
    write_tree(
        tmp_path,
        {
            "common/script/common.sh": "echo shared\n",
            "common/tests/test_copies.py": "from src.model_utils.runtime import A\n",
            "common/tests/test_runtime.py": "from src.model_utils.runtime import A\n",
            "common/src/model_utils/__init__.py": '"""Shared."""\n',
            "common/src/model_utils/runtime.py": "A = 1\n",
            "common/src/model_utils/training.py": "from .runtime import A\n",
            "common/src/model_utils/reporting.py": "from src.model_utils import runtime\n",
            "gru/train.py": "def main():\n    from src.model_utils.training import A\n",
            "gru/src/model_utils/__init__.py": "",
            "gru/script/run.sh": "",
            "gru/tests/conftest.py": "",
            "notes/train.py": "from src.model_utils import reporting\n",  # no model_utils, so no model
        },
    )
    return tmp_path


def drifts(root):
    return {(drift.kind, drift.path.as_posix()) for drift in sync_common.find_drift(root)}


def test_sync_copies_what_is_used_and_nothing_else(models, capsys):
    assert sync_common.main(["--check"], models) == 1
    assert not (models / "gru/src/model_utils/training.py").exists(), "--check must not write"
    assert sync_common.main([], models) == 0
    here = models / "gru/src/model_utils"
    assert sorted(path.name for path in here.iterdir()) == ["__init__.py", "runtime.py", "training.py"]
    assert (here / "__init__.py").read_bytes() == (models / "common/src/model_utils/__init__.py").read_bytes()
    assert (models / "gru/script/common.sh").read_text() == "echo shared\n"
    assert sorted(path.name for path in (models / "gru/tests").iterdir()) == ["conftest.py", "test_copies.py"]
    assert sync_common.main(["--check"], models) == 0
    assert not (models / "notes/src").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "import src.model_utils.reporting",
        "from src.model_utils import reporting",
        "from src.model_utils.reporting import x",
        "from .model_utils.reporting import x",
        "from .model_utils import reporting as r",
    ],
)
def test_sync_understands_every_form_of_import(models, statement):
    write_tree(models, {"gru/src/dataset.py": statement + "\n"})
    assert ("missing", "gru/src/model_utils/reporting.py") in drifts(models)


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("different", "gru/src/model_utils/runtime.py", "A = 2\n"),
        ("different", "gru/script/common.sh", "echo mine\n"),
        ("unused", "gru/src/model_utils/reporting.py", "from src.model_utils import runtime\n"),
        ("unknown", "gru/src/model_utils/own.py", ""),
        ("unknown", "gru/src/model_utils/notes/data.txt", ""),
        ("missing", "gru/src/model_utils/runtime.py", None),
    ],
)
def test_check_lists_each_kind_of_drift_with_its_remedy(models, capsys, kind, name, text):
    sync_common.main([], models)
    if text is None:
        (models / name).unlink()
    else:
        write_tree(models, {name: text})
    assert drifts(models) == {(kind, name)}
    capsys.readouterr()
    assert sync_common.main(["--check"], models) == 1
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{name}: {kind}; to mend it: ")
    assert ("git mv" if kind == "unknown" else "python tools/sync_common.py") in line
    assert sync_common.main([], models) == (1 if kind == "unknown" else 0)


def test_a_module_that_only_unused_modules_import_is_unused(models):
    write_tree(models, {"gru/train.py": "", "gru/src/model_utils/training.py": "from .runtime import A\n"})
    write_tree(models, {"gru/src/model_utils/runtime.py": "A = 1\n"})
    assert ("unused", "gru/src/model_utils/runtime.py") in drifts(models)


def test_sync_names_an_import_of_a_module_that_the_original_lacks(models, capsys):
    write_tree(models, {"gru/eval.py": "from src.model_utils.lost import x\n"})
    assert sync_common.main([], models) == 1
    assert "gru/src/model_utils/lost.py: absent" in capsys.readouterr().out


# -- check_readme

PROGRAM = """
import argparse
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--{option}")
    parser.parse_args()
"""
SCRIPT = """#!/usr/bin/env bash
echo "Usage: bash run.sh DIR [--fast] [-- OPTION...]; options after -- go to train.py"
"""


@pytest.fixture
def repository(tmp_path):
    write_tree(
        tmp_path,
        {
            "quickstart.sh": '#!/usr/bin/env bash\necho "--fresh"\n',
            "lstm/train.py": PROGRAM.format(option="epochs"),
            "lstm/eval.py": PROGRAM.format(option="json"),
            "lstm/broken.py": "raise SystemExit(1)  # __main__\n",
            "lstm/script/run.sh": SCRIPT,
            "lstm/src/__init__.py": "",
            "lstm/src/sample_data.py": PROGRAM.format(option="reviews"),
            "lstm/src/config.py": "",
            "lstm/results/default.json": '{"accuracy": {"mean": 0.90512, "std": 0.00149}, "steps": 41873.4,'
            ' "loss": -0.25, "seeds": [11, 22, 33], "date": "2026-05-17", "ok": true}',
        },
    )
    return tmp_path


PYTHON = "```python\nfrom src import config  # lost.py\n```\n"


def problems(root: Path, capsys, text: str, name: str = "lstm/README.md") -> list[str]:
    """The lines that check_readme prints about a README with this text, and Python behind it."""
    write_tree(root, {name: text + PYTHON})
    code = check_readme.main([], root)
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"\S+:\d+: ", line)]
    assert code == (1 if lines else 0)
    return lines


def messages(root, capsys, text):
    return [line.split(": ", 1)[1] for line in problems(root, capsys, text)]


GOOD = """# Model

See [the code](src/config.py#L3), [above](../quickstart.sh), [the web](https://example.org/a.py), [here](#model) and
`src/config.py:12`, `config.py`, `script/run.sh`, `outputs/x.json`, `my.yaml`, `tests/{a,b}` or `./aclimdb`.
`python train.py --epochs 3`, `train.py --epochs`, `--json`, `pip install --upgrade pip`, `README.md`, `log.txt`.

```bash
python -m src.sample_data outputs --reviews 5   # writes lost.json
FOREGROUND=1 bash script/run.sh ./aclimdb --fast -- --epochs 3 > lost.json
bash quickstart.sh --fresh
cd script && bash run.sh \\
    ./aclimdb -- --epochs 4
```

```text
lstm
├── train.py
└── src
    └── config.py   # --anything goes in a listing
saved outputs/config.yaml
```

## Options of train.py

| option | meaning |
|---|---|
| `--epochs` | how often; GPT-2 and H100 are no numbers |

## Results

<!-- results: results/default.json -->
| what | accuracy | std, % | steps | loss | seeds | when | command |
|---|---|---|---|---|---|---|---|
| F1 | 90.5 ± 0.1 % | 0.15 | 41,873 | −0.25 | 11, 22, 33 | 2026-05-17 | `python train.py --epochs 9` |
"""


def test_a_true_readme_passes(repository, capsys):
    assert problems(repository, capsys, GOOD) == []
    assert "nothing to mend" in (check_readme.main([], repository), capsys.readouterr().out)[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # links
        ("[x](src/lost.py)", "link to src/lost.py: no such file"),
        ("![x](lost.png)", "link to lost.png: no such file"),
        ('<img src="lost.png" width="4">', "link to lost.png: no such file"),
        # paths
        ("`src/lost.py`", "src/lost.py: no such file"),
        ("`lost.sh`", "lost.sh: no such file"),
        ("`script/run_{a,b}.sh`", "script/run_a.sh: no such file"),
        ("`src/lost`", "src/lost: no such file"),
        ("```bash\npython lost.py\n```", "lost.py: no such file"),
        ("```bash\nbash run.sh\n```", "run.sh: no such file"),  # a command names the whole path
        ("```bash\ncd scripts\n```", "cd scripts: no such folder"),
        ("```bash\npython train.py --config_path=src/lost.yaml\n```", "src/lost.yaml: no such file"),
        ("```bash\npython -m src.lost\n```", "python -m src.lost: no such module"),
        ("```text\n└── lost.py\n```", "lost.py: no such file"),
        # options
        ("```bash\npython train.py --epoch 3\n```", "--epoch is not in the --help of lstm/train.py"),
        (
            "```bash\npython train.py --epochs 3 | cat\npython eval.py --epochs\n```",
            "--epochs is not in the --help of lstm/eval.py",
        ),
        ("```bash\npython train.py \\\n  --json\n```", "--json is not in the --help of lstm/train.py"),
        ("```bash\nbash script/run.sh x --slow\n```", "--slow is not in the --help of lstm/script/run.sh"),
        ("```bash\nbash script/run.sh x -- --json\n```", "--json is not in the --help of lstm/train.py"),
        (
            "```bash\npython -m src.sample_data x --dim 3\n```",
            "--dim is not in the --help of lstm/src/sample_data.py",
        ),
        ("`python train.py --json`", "--json is not in the --help of lstm/train.py"),
        ("`train.py --json`", "--json is not in the --help of lstm/train.py"),
        ("`--lost 3`", "--lost is not in the --help of any program here"),
        ("`--fresh`", "--fresh is not in the --help of any program here"),
        ("`python broken.py --x`", "--x is not in the --help of lstm/broken.py"),
        ("# train.py\n\n| a | b |\n|---|---|\n| --json | x |", "--json is not in the --help of lstm/train.py"),
        ("| option of `train.py` |\n|---|\n| `--json` |", "--json is not in the --help of lstm/train.py"),
        ("# Options\n\n| a |\n|---|\n| --lost |", "--lost is not in the --help of any program here"),
        # form
        ("```bash\nls", "a code block is not closed"),
        ("```\nls\n```", "a code block without a language, such as ```bash or ```text"),
        ("<!-- results: results/default.json -->\n\ntext", "a results comment must stand directly above a table"),
    ],
)
def test_a_false_readme_is_reported(repository, capsys, text, message):
    assert message in messages(repository, capsys, text + "\n")


@pytest.mark.parametrize(
    ("cell", "reported"),
    [
        ("90.51 %", None),
        ("90.52 %", "90.52%"),
        ("90.5 ± 0.2 %", "0.2%"),
        ("0.905", None),
        ("0.906", "0.906"),
        ("90.5", "90.5"),
        ("41,873.4", None),
        ("41,874", "41,874"),
        ("0.25", "0.25"),
        ("2.5e-1", "2.5e-1"),
        ("4.19e4", None),
        ("11x", None),
        ("12x", "12"),
        ("1", "1"),  # `true` is no number, and 0.905 is not 1
        ("`12`", None),
        ("[11](12.html)", None),
        ("约 11 次", None),
        ("约12次", "12"),
    ],
)
def test_numbers_in_results(repository, capsys, cell, reported):
    text = f"<!-- results: results/default.json -->\n| 77 |\n|---|\n| {cell} |\n"
    lines = [line for line in messages(repository, capsys, text) if not line.startswith("link")]
    assert lines == ([f"{reported} is not in results/default.json"] if reported else [])


def test_numbers_elsewhere_are_free_and_a_missing_results_file_is_not(repository, capsys):
    assert problems(repository, capsys, "| a |\n|---|\n| 12345 |\n") == []
    lines = messages(repository, capsys, "<!-- results: results/lost.json -->\n| a |\n|---|\n| 1 |\n")
    assert len(lines) == 1 and lines[0].startswith("results file results/lost.json cannot be read")


def test_problems_carry_file_and_line(repository, capsys):
    assert problems(repository, capsys, "# a\n\n`lost.py`\n") == ["lstm/README.md:3: lost.py: no such file"]


def test_options_alone_in_the_root_may_be_those_of_any_program(repository, capsys):
    text = "`--epochs` `--fresh` and `--lost`\n"
    lines = problems(repository, capsys, text, name="README.md")
    assert [line.split()[1] for line in lines] == ["--lost"]


CHINESE = GOOD.replace("# Model", "# 模型").replace("# writes lost.json", "# 写入").replace("Results", "结果")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", None),
        ("## 结果", "### 结果", "heading level 3 here, 2 in README.md"),
        ("## 结果\n", "", "heading level none here, 2 in README.md"),
        ("90.5 ±", "90.51 ±", "number 90.51% here, 90.5% in README.md"),
        ("| 11, 22, 33 |", "| 11, 22 |", "number 2026 here, 33 in README.md"),
        ("<!-- results: results/default.json -->\n", "", "results file none here, results/default.json in README.md"),
        ("--reviews 5", "--reviews 6", "command python -m src.sample_data outputs --reviews 6 here, "),
        ("bash quickstart.sh --fresh\n", "", "command cd script here, bash quickstart.sh --fresh in"),
        ("# lost.py", "# 注释", None),
        ("import config", "import lost", "Python from src import lost here, from src import config in README.md"),
    ],
)
def test_both_languages_say_the_same(repository, capsys, old, new, message):
    assert not old or old in CHINESE + PYTHON
    text = (CHINESE + PYTHON).replace(old, new) if old else CHINESE + PYTHON
    write_tree(repository, {"lstm/README_CN.md": text})
    lines = messages(repository, capsys, GOOD)
    assert (any(line.startswith(message) for line in lines)) if message else lines == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\n" * 90, None),
        ("x\n" * 120, "157 lines outside of <details>, 130 at most"),
        ("<details><summary>more</summary>\n" + "x\n" * 120 + "</details>\n", None),
        ("Trained at commit `def25f8`.\n", "commit def25f8: belongs in results/*.json"),
        ("defaced, 1234567 and 0.1234567 are none, nor is def25f8.png.\n", None),
    ],
)
def test_the_readme_of_a_model_is_short_and_names_no_commit(repository, capsys, text, message):
    assert messages(repository, capsys, GOOD + text) == ([message] if message else [])


def test_the_readme_of_a_model_shows_python(repository, capsys):
    write_tree(repository, {"lstm/README.md": GOOD})
    assert check_readme.main([], repository) == 1
    assert capsys.readouterr().out == "lstm/README.md:1: no block of Python\n"


def test_docs_and_contributing_are_checked_and_other_pages_are_not(repository, capsys):
    write_tree(
        repository, {"CHANGELOG.md": "`lost.py` went\n", "CONTRIBUTING.md": "`lost.sh`\n", "notes.md": "`lost.sh`\n"}
    )
    text = "`config.py`, `src/config.py`, `--epochs`\n[x](lost.svg)\n"  # of any folder
    assert problems(repository, capsys, text, "docs/architecture.md") == [
        "CONTRIBUTING.md:1: lost.sh: no such file",
        "docs/architecture.md:2: link to lost.svg: no such file",
    ]


def test_one_readme_can_be_named_and_a_missing_one_is_an_error(repository, capsys):
    write_tree(repository, {"README.md": "`lost.py`\n", "lstm/README.md": PYTHON})
    assert check_readme.main([str(repository / "lstm/README.md")], repository) == 0
    assert check_readme.main([str(repository / "lost.md")], repository) == 2


# -- venv.sh


def find_python(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    command = f'. "{TOOLS}/venv.sh" && find_python && echo "$BASE_PYTHON $BASE_VERSION"'
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), **variables}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)


def fake_python(path: Path, version: str, code: int) -> None:
    path.write_text(f"#!/bin/sh\necho {version}\nexit {code}\n", encoding="utf-8")
    os.chmod(path, 0o755)


def test_an_interpreter_that_exists_but_fails_is_passed_over(tmp_path):
    fake_python(tmp_path / "python3.11", "", 127)
    fake_python(tmp_path / "python3.12", "3.12", 0)
    assert find_python(tmp_path).stdout == "python3.12 3.12\n"


def test_python_variable_chooses_and_is_checked(tmp_path):
    fake_python(tmp_path / "old", "3.8", 1)
    fake_python(tmp_path / "good", "3.10", 0)
    assert find_python(tmp_path, PYTHON=str(tmp_path / "good")).stdout == f"{tmp_path}/good 3.10\n"
    for name, words in (("old", "is Python 3.8 and cannot be used"), ("lost", "cannot be used: Python 3.9 to 3.12")):
        done = find_python(tmp_path, PYTHON=str(tmp_path / name))
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("WARNING: Retrying ... NewConnectionError: name resolution\nNo matching distribution found for x", "index"),
        (
            "ERROR: No matching distribution found for mindspore==2.10.*",
            "no package for this Python and machine: mindsp",
        ),
        ("ERROR: OSError: [Errno 28] No space left on device", "the disk is full"),
        ("something else", "its last line: something else"),
    ],
)
def test_failures_of_pip_become_one_sentence(tmp_path, log, words):
    (tmp_path / "pip.log").write_text(log + "\n", encoding="utf-8")
    command = f'. "{TOOLS}/venv.sh" && explain_pip "{tmp_path}/pip.log"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
