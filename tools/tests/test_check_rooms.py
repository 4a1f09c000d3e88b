"""check_rooms.py and count_lines.py, on small trees of files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import check_rooms
import count_lines

PAGE = """# Rooms

| room | what it holds | gru |
|---|---|---|
| `config.py` | hyperparameters | yes |
| the corpus | raw files | `pairs.py` `data/reader.py` |
| `network.py` | cells | yes |
| `loss.py` | the loss | yes |

| module | job |
|---|---|
| `runtime.py` | device |
| `files.py` | reading |
| `layers.py` | cells |
"""
STORY = "".join(f"    # {heading}\n" for heading in check_rooms.STORY)
TREE = {
    "docs/architecture.md": PAGE,
    "common/src/model_utils/__init__.py": "",
    "common/src/model_utils/runtime.py": "class UserError(Exception):\n    pass\n",
    "common/src/model_utils/files.py": "from src.model_utils.runtime import UserError\n",
    "common/src/model_utils/layers.py": "",
    "gru/train.py": "from src.network import GRU\n\n\ndef main(argv=None) -> dict:\n" + STORY + "    return {}\n",
    "gru/src/__init__.py": "",
    "gru/src/model_utils/__init__.py": "",
    "gru/src/model_utils/runtime.py": "class UserError(Exception):\n    pass\n",
    "gru/src/model_utils/layers.py": "",
    "gru/src/config.py": "",
    "gru/src/pairs.py": "from src.data import reader\n",
    "gru/src/data/__init__.py": "",
    "gru/src/data/reader.py": "from src.config import x\n",
    "gru/src/network.py": "from src.model_utils import layers\nfrom .config import x\n",
    "gru/src/loss.py": "from src.network import GRU\n",
    "gru/tests/test_network.py": "def test_shapes():\n    pass\n",
}


@pytest.fixture
def house(tmp_path):
    """A function that writes the tree, with some files changed or (None) left out, and returns its root."""

    def build(changes=None):
        for name, text in {**TREE, **(changes or {})}.items():
            if text is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return build


def problems(root):
    return [str(problem) for problem in check_rooms.find_problems(root)]


def test_a_house_that_is_as_its_page_says_passes(house, capsys):
    root = house()
    assert problems(root) == []
    assert check_rooms.main([], root) == 0
    assert "1 models checked, nothing to mend" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        # the tables
        ({"docs/architecture.md": ""}, "docs/architecture.md: no tables whose first columns are `room` and `module`"),
        (
            {"docs/architecture.md": PAGE.replace("| gru |", "| lstm |")},
            "docs/architecture.md:3: the table has no column gru",
        ),
        (
            {"gru/src/metrics.py": ""},
            "gru/src/metrics.py: its table in docs/architecture.md leaves it out",
        ),
        ({"gru/src/data/reader.py": None}, "docs/architecture.md:6: gru/src/data/reader.py: no such file"),
        ({"gru/src/loss.py": None}, "docs/architecture.md:8: gru/src/loss.py: no such file"),
        (
            {"docs/architecture.md": PAGE.replace("`pairs.py`", "`pairs.py` `config.py`")},
            "docs/architecture.md:6: gru/src/config.py is already in line 5",
        ),
        (
            {"common/src/model_utils/lost.py": ""},
            "common/src/model_utils/lost.py: its table in docs/architecture.md leaves it out",
        ),
        (
            {"common/src/model_utils/files.py": None},
            "docs/architecture.md:13: common/src/model_utils/files.py: no such file",
        ),
        # arrows
        (
            {"gru/src/data/reader.py": "def read() -> None:\n    from ..pairs import x\n"},
            "gru/src/data/reader.py: import circle: src/data/reader.py -> src/pairs.py -> src/data/reader.py",
        ),
        (
            {"gru/src/pairs.py": "import src.network\n"},
            "gru/src/pairs.py: imports src/network.py, which docs/architecture.md places below it",
        ),
        ({"gru/src/loss.py": "import train\n"}, "gru/src/loss.py: imports train.py, which docs/"),
        (
            {"common/src/model_utils/runtime.py": "from src.model_utils import files\n"},
            "common/src/model_utils/files.py: import circle: src/model_utils/files.py -> src/model_utils/runtime.py",
        ),
        (
            {"common/src/model_utils/runtime.py": "from src.model_utils import layers\n"},
            "common/src/model_utils/runtime.py: imports src/model_utils/layers.py, which docs/",
        ),
        (
            {"common/src/model_utils/layers.py": "from src.config import x\n"},
            "common/src/model_utils/layers.py: imports src.config.x, which belongs to a model",
        ),
        # what a network may know
        (
            {"gru/src/loss.py": "from src.model_utils.runtime import UserError\n"},
            "gru/src/loss.py:1: names runtime: a network or loss knows no rank and no device",
        ),
        (
            {"gru/src/config.py": "from src.model_utils.runtime import rank_and_size\n"},
            "gru/src/config.py:1: names rank_and_size: a network or loss knows no rank",
        ),
        (
            {"gru/src/network.py": "from mindspore.communication import get_rank\n"},
            "gru/src/network.py:1: names communication: a network or loss knows no rank",
        ),
        (
            {"gru/src/network.py": "\ndef build(device_target) -> None:\n    pass\n"},
            "gru/src/network.py:2: names device_target: a network or loss knows no rank and no device",
        ),
        ({"gru/src/network.py": "size = x.ranks\n"}, "gru/src/network.py:1: names ranks: a network or loss knows no "),
        # files and functions
        ({"gru/train.py": ""}, "gru/train.py: its headings must be, in this order: Arguments and device; Data, with"),
        ({"gru/train.py": STORY.replace("step", "steps")}, "gru/train.py: its headings must be, in this order: "),
        ({"gru/train.py": STORY + STORY}, "gru/train.py: its headings must be, in this order: "),
        ({"gru/src/config.py": "\n" * 311}, "gru/src/config.py: 311 lines, more than 310: divide it by what it does"),
    ],
)
def test_what_is_wrong_is_named(house, changes, problem):
    lines = problems(house(changes))
    assert [line for line in lines if line.startswith(problem)], lines


@pytest.mark.parametrize(
    "changes",
    [
        {"gru/src/config.py": "from src.model_utils.runtime import UserError\n"},  # a part may refuse its sizes
        {"gru/src/pairs.py": "from src.model_utils.runtime import rank_and_size\n"},  # no part of the network
        {"gru/src/network.py": "sum_over_ranks = None  # handed in by what knows them\n"},
        {"gru/src/config.py": "\n" * 310},
        {"gru/train.py": "import src.pairs\n" + STORY},
    ],
)
def test_what_is_right_is_not_reported(house, changes):
    assert problems(house(changes)) == []


def test_every_problem_is_printed_once_and_ends_with_code_1(house, capsys):
    assert check_rooms.main([], house({"gru/src/network.py": "rank = rank + rank\n"})) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_lines_of_copies_count_once_and_a_commit_can_be_named(house, capsys):
    text = (
        '"""Of a module."""\n\n# why\ndef f():\n    """Of a\n    function."""\n    return """no\n\n    docstring"""\n'
    )
    root = house(
        {
            "run.sh": "# why\n\necho\n",
            "gru/script/run.sh": "echo\n" * 2,
            "gru/script/f.py": text,
            "notes.md": "no code\n",
        }
    )

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], cwd=root, check=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    (root / "run.sh").unlink()
    git("rm", "-q", "run.sh")
    assert count_lines.code_lines("f.py", text) == 4
    assert count_lines.count_lines(root, "HEAD") == {".": [1, 3, 0], "common": [3, 3, 0], "gru": [14, 27, 2]}
    assert count_lines.count_lines(root) == {"common": [3, 3, 0], "gru": [14, 27, 2]}
    capsys.readouterr()
    assert count_lines.main([], root) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["all", "17", "30", "2"]
    assert count_lines.main(["nowhere"], root) == 2
