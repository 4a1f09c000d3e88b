"""Keeps what all model folders share equal to the originals in common/.

That is src/model_utils/, script/ and, of the tests, SHARED_TESTS: helpers and short tests of the copies and of the
README. A folder that uses model_utils/native.py gets the kernels in src/native/ too.
A folder gets __init__.py and the modules that its own files import, directly or through another module of model_utils.
    python tools/sync_common.py            copies what differs or is missing, removes what is not used
    python tools/sync_common.py --check    changes nothing, lists every difference; exit code 1 if there is one
"""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = "common"
PACKAGE, KERNELS = Path("src/model_utils"), Path("src/native")
SHARED_TESTS = ("damaged_files", "script_contract", "shared_fixtures", "test_copies", "test_readme")
SHARED = (f"{PACKAGE}/*.py", f"{KERNELS}/*.*", "script/*.sh", *(f"tests/{name}.py" for name in SHARED_TESTS))
MEND = "python tools/sync_common.py"


class Drift(NamedTuple):
    kind: str  # different, missing, unused (this tool mends these), unknown, absent
    path: Path  # relative to the repository
    command: str  # what mends it


def model_folders(root: Path) -> list[Path]:
    """The folders that hold a model: those with train.py and src/model_utils/."""
    return sorted(train.parent for train in root.glob("*/train.py") if (train.parent / PACKAGE).is_dir())


def imported_names(file: Path, folder: Path) -> Iterator[list[str]]:
    """The dotted name of everything that a Python file below `folder` imports, relative imports resolved.

    `from src.data import reader` gives src, data, reader: whether the last one is a module only the files can tell.
    """
    package = list(file.relative_to(folder).parent.parts)
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ([*base, alias.name] for alias in node.names)


def imported_modules(file: Path, folder: Path) -> set[Path]:
    """The model_utils modules that a Python file of a model folder imports, relative to it."""
    names = imported_names(file, folder)
    return {PACKAGE / f"{name[2]}.py" for name in names if len(name) > 2 and Path(*name[:2]) == PACKAGE}


def closure(start: Iterable[Path], successors: Callable[[Path], set[Path]]) -> set[Path]:
    """All that can be reached from `start`, itself included."""
    reached, waiting = set(), set(start)
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= successors(path) - reached
    return reached


def used_modules(folder: Path, original: Path) -> set[Path]:
    """The modules that a folder needs, those that modules of `original` need for themselves included."""

    def needed(module: Path) -> set[Path]:
        return imported_modules(original / module, original) if (original / module).exists() else set()

    own: set[Path] = set()
    for file in folder.rglob("*.py"):
        path = file.relative_to(folder)
        if PACKAGE not in path.parents and not any(part.startswith(".") for part in path.parts):
            own |= imported_modules(file, folder)
    return closure(own, needed)


def find_drift(root: Path) -> Iterator[Drift]:
    """Every difference between the model folders and the originals."""
    original = root / ORIGINAL
    originals = {file.relative_to(original) for pattern in SHARED for file in original.glob(pattern)}
    for folder in model_folders(root):
        wanted = used_modules(folder, original) | {PACKAGE / "__init__.py"}
        for path in originals:
            if KERNELS in path.parents:
                wanted |= {path} if PACKAGE / "native.py" in wanted else set()
            elif PACKAGE not in path.parents and (folder / path).parent.is_dir():
                wanted.add(path)
        copies = [*(folder / PACKAGE).rglob("*"), *(folder / KERNELS).rglob("*")]
        present = {file.relative_to(folder) for file in copies if file.is_file() and "__pycache__" not in file.parts}
        for path in sorted(wanted | present):
            here = (folder / path).relative_to(root)
            if path not in wanted and path not in originals:
                command = f"git mv {here} {ORIGINAL}/{PACKAGE}/ if all may use it, else git rm {here}"
                yield Drift("unknown", here, command)
            elif path not in originals:
                yield Drift("absent", here, f"write {ORIGINAL}/{path}, or correct the import in {folder.name}/")
            elif path not in wanted:
                yield Drift("unused", here, MEND)
            elif not (folder / path).exists():
                yield Drift("missing", here, MEND)
            elif (folder / path).read_bytes() != (original / path).read_bytes():
                yield Drift("different", here, MEND)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Check or copy; returns the exit code, 1 if a difference remains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only list the differences")
    check = parser.parse_args(argv).check
    remaining = 0
    for drift in list(find_drift(root)):
        target = root / drift.path
        mended = not check and drift.command == MEND
        if mended and drift.kind == "unused":
            target.unlink()
        elif mended:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(root / ORIGINAL / Path(*drift.path.parts[1:]), target)
        print(f"{drift.path}: {drift.kind}; " + ("mended" if mended else f"to mend it: {drift.command}"))
        remaining += not mended
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
