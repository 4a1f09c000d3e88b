"""Keeps what all model folders share equal to the originals in common/.

That is src/model_utils/, script/ and, of the tests, SHARED_TESTS: helpers and a short test of the copies. A folder that
uses model_utils/native.py gets the kernels in src/native/ too.
A folder gets __init__.py and the modules that its own files import, directly or through another module of model_utils.
    python tools/sync_common.py            copies what differs or is missing, removes what is not used
    python tools/sync_common.py --check    changes nothing, lists every difference; exit code 1 if there is one
"""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = "common"
PACKAGE, KERNELS = Path("src/model_utils"), Path("src/native")
SHARED_TESTS = ("damaged_files", "script_contract", "shared_fixtures", "test_copies")
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


def imported_modules(file: Path, folder: Path) -> set[str]:
    """Names of the model_utils modules that a Python file of a model folder imports."""
    return {name[2] for name in imported_names(file, folder) if len(name) > 2 and Path(*name[:2]) == PACKAGE}


def used_modules(folder: Path, original: Path) -> set[str]:
    """Names of the modules that a folder needs, those that modules of `original` need for themselves included."""
    own = []
    for file in folder.rglob("*.py"):
        path = file.relative_to(folder)
        if PACKAGE not in path.parents and not any(part.startswith(".") for part in path.parts):
            own.append(file)
    waiting = set().union(*(imported_modules(file, folder) for file in own))
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        used.add(name)
        file = original / PACKAGE / f"{name}.py"
        if file.exists():
            waiting |= imported_modules(file, original) - used
    return used


def find_drift(root: Path) -> Iterator[Drift]:
    """Every difference between the model folders and the originals."""
    original = root / ORIGINAL
    kernels = {path.relative_to(original) for path in (original / KERNELS).glob("*.*")}
    originals = {path.relative_to(original) for path in (original / PACKAGE).glob("*.py")} | kernels
    shared = {path.relative_to(original) for path in (original / "script").glob("*.sh")}
    shared |= {path for name in SHARED_TESTS if (original / (path := Path(f"tests/{name}.py"))).exists()}
    for folder in model_folders(root):
        used = used_modules(folder, original)
        wanted = {PACKAGE / f"{name}.py" for name in used | {"__init__"}}
        wanted |= kernels if "native" in used else set()
        wanted |= {path for path in shared if (folder / path).parent.is_dir()}
        for path in sorted(wanted):
            here = (folder / path).relative_to(root)
            if not (original / path).exists():
                yield Drift("absent", here, f"write {ORIGINAL}/{path}, or correct the import in {folder.name}/")
            elif not (folder / path).exists():
                yield Drift("missing", here, MEND)
            elif (folder / path).read_bytes() != (original / path).read_bytes():
                yield Drift("different", here, MEND)
        for file in sorted([*(folder / PACKAGE).rglob("*"), *(folder / KERNELS).rglob("*")]):
            path = file.relative_to(folder)
            if path in wanted or file.is_dir() or "__pycache__" in file.parts:
                continue
            here = file.relative_to(root)
            if path in originals:
                yield Drift("unused", here, MEND)
            else:
                yield Drift(
                    "unknown", here, f"git mv {here} {ORIGINAL}/{PACKAGE}/ if all may use it, else git rm {here}"
                )


def mend(root: Path, drift: Drift) -> bool:
    """Copy or remove one file; False where a person must decide."""
    target = root / drift.path
    if drift.kind == "unused":
        target.unlink()
    elif drift.kind in ("missing", "different"):
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(root / ORIGINAL / Path(*drift.path.parts[1:]), target)
    else:
        return False
    return True


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Check or copy; returns the exit code, 1 if a difference remains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only list the differences")
    check = parser.parse_args(argv).check
    remaining = 0
    for drift in list(find_drift(root)):
        mended = not check and mend(root, drift)
        print(f"{drift.path}: {drift.kind}; " + ("mended" if mended else f"to mend it: {drift.command}"))
        remaining += not mended
    return 1 if remaining else 0


if __name__ == "__main__":
    sys.exit(main())
