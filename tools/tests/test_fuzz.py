"""fuzz.py finds the faults that it is there for, in toy readers, and none in a few files for the project's own."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOOLS))
import fuzz  # noqa: E402

# What reads the file goes wrong as soon as it begins with anything but x
TOY = """
import os, time
from src.model_utils.runtime import UserError
def of(name, wrong):
    def prepare(folder):
        (folder / "x.txt").write_text("xyz" * 20)
        def read():
            content = (folder / "x.txt").read_bytes()
            if not content.startswith(b"x"):
                wrong(content)
        return folder / "x.txt", read
    READERS[name] = prepare
def refuse(content):
    raise UserError("x.txt: no file of this kind")
def long(content):
    while True:
        time.sleep(0.01)
READERS = {}
of("exception", lambda content: 1 / 0)
of("memory", lambda content: bytes(2**31))
of("death", lambda content: os.kill(os.getpid(), 11))
of("hang", long)
of("empty", lambda content: (_ for _ in ()).throw(UserError("")))
of("good", lambda content: refuse(content))
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A repository with one folder of toy readers, and fuzz.py in it."""
    for name, text in {
        "toy/tests/readers.py": TOY,
        "toy/src/__init__.py": "",
        "toy/src/model_utils/__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "toy/src/model_utils/runtime.py").write_text("class UserError(Exception):\n    pass\n")
    program = (TOOLS / "fuzz.py").read_text().replace("SECONDS = 10 ", "SECONDS = 0.2 ")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/fuzz.py").write_text(program.replace("FOLDERS = ", 'FOLDERS = ("toy",) or '))
    return tmp_path


def run(program: Path, *arguments: object) -> tuple[int, str, dict[str, list[int]]]:
    """Return exit code, output and the rows of the table by reader."""
    command = [sys.executable, str(program), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    rows = [line.rsplit(None, 4) for line in ended.stdout.splitlines()[1:]]
    table = {row[0]: list(map(int, row[1:])) for row in rows if len(row) == 5 and all(map(str.isdigit, row[1:]))}
    return ended.returncode, ended.stdout + ended.stderr, table


def test_every_kind_of_fault_is_found_and_its_file_kept(toy):
    code, printed, table = run(toy / "tools/fuzz.py", "--cases", 12, "--output", toy / "kept")
    assert code == 1
    faults = {reader.removeprefix("toy: "): row[3] for reader, row in table.items()}
    assert faults.pop("good") == 0 and table["toy: good"][0] == 12 and table["toy: good"][2] > 0
    assert len(faults) == 5 and all(faults.values()), printed
    kinds = ("ZeroDivisionError", "MemoryError", "killed by signal 11", "TooSlow", "a complaint that is empty")
    assert all(kind in printed for kind in kinds)
    kept = sorted((toy / "kept").glob("*.txt"))
    files = [file for file in kept if not file.name.endswith(".txt.txt")]
    assert len(files) == 5 and not any(file.read_bytes().startswith(b"x") for file in files)
    code, printed, _ = run(toy / "tools/fuzz.py", "--only", "toy: exception", "--replay", files[0])
    assert "ZeroDivisionError" in printed


def test_a_seed_gives_the_same_cases():
    content = json.dumps({"a": [1, 2.5], "b": "text"}).encode() * 50

    def cases(seed):
        draws = (random.Random(f"{seed} reader {number}") for number in range(200))
        return [fuzz.damaged(content, [fuzz.an_edit(draw) for _ in range(3)]) for draw in draws]

    first = cases(1)
    assert first == cases(1) != cases(2)
    assert len(set(first)) > 150 and content not in first


@pytest.mark.parametrize("only", ["corpus", "manifest"])
def test_readers_of_text_answer_or_refuse(only):
    code, printed, table = run(TOOLS / "fuzz.py", "--cases", 60, "--seed", 3, "--only", only)
    assert code == 0 and table, printed
    assert all(
        cases == accepted + refused == 60 and accepted and refused for cases, accepted, refused, _ in table.values()
    )


@pytest.mark.parametrize("folder", fuzz.FOLDERS)
def test_every_folder_has_readers(folder):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fuzz; print(len(fuzz.load_readers(sys.argv[2])))"
    command = [sys.executable, "-c", code, str(TOOLS), folder]
    assert int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) > 8
