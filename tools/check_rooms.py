"""Checks that the rooms of the house are as docs/architecture.md says and that imports point one way.

- The table of rooms in docs/architecture.md names every Python file below the src/ of each model, and no other. A cell
  holds file names relative to src/; `yes` stands for the file that the first column names.
- A room imports only from its own row and the rows above it; programs stand below all. The same holds for the table of
  model_utils modules, which import nothing else of a model.
- Nothing imports in a circle.
- Networks and losses, and what they are built from, name no rank and no device; they themselves import no runtime.
- No file below src/ is longer than 310 lines, and every train.py has the same headings in the same order.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from readme_page import Table, parse
from sync_common import ORIGINAL, PACKAGE, ROOT, closure, imported_names, model_folders

PAGE = Path("docs/architecture.md")
SOURCE = Path("src")
LONGEST_FILE = 310  # lines
NETWORK_ROOMS = (SOURCE / "network.py", SOURCE / "loss.py")  # with all that they import from their folder
STORY = [  # the headings of train.py
    "Arguments and device",
    "Data, with every check of it",
    "Network and its initial weights",
    "Training step",
    "Measure speed and leave",
    "Claim the output folder and train",
]
DEVICE_WORDS = {"rank", "ranks", "rank_id", "rank_size", "group_size", "device", "device_id", "device_target"}
DEVICE_WORDS |= {"get_rank", "get_group_size", "get_context", "rank_and_size", "init_device", "DEVICE_TARGETS"}
DEVICE_MODULES = {"runtime", "ranks", "launch", "communication"}  # of model_utils and mindspore

# -- the tables of docs/architecture.md


def rooms_of(table: Table, column: str) -> list[tuple[str, int, int]]:
    """The files that a column of a table names in code font, each with its row and its line of the page."""
    place = table.rows[0][1].index(column)
    rooms = []
    for row, (line, cells) in enumerate(table.rows[1:]):
        cell = cells[0] if cells[place] == "yes" else cells[place]
        rooms += [(name, row, line) for span in re.findall(r"`([^`]+)`", cell) for name in span.split()]
    return rooms


def own_files(base: Path) -> list[Path]:
    """The Python files below src/ of a model, or below model_utils/ of common/, without copies and __init__.py."""
    files = sorted(base.rglob("*.py"))
    return [file for file in files if file.name != "__init__.py" and base / PACKAGE.name not in file.parents]


def check_table(root: Path, base: Path, rooms: list[tuple[str, int, int]]) -> Iterator[str]:
    """A column of a table against the Python files below `base`."""
    lines: dict[str, int] = {}
    for file, _, line in rooms:
        path = (base / file).relative_to(root)
        if lines.setdefault(file, line) != line:
            yield f"{PAGE}:{line}: {path} is already in line {lines[file]}"
        if not (root / path).is_file():
            yield f"{PAGE}:{line}: {path}: no such file"
    for file in own_files(base):
        if file.relative_to(base).as_posix() not in lines:
            yield f"{file.relative_to(root)}: its table in {PAGE} leaves it out"


# -- imports


def imports(folder: Path, files: list[Path]) -> dict[Path, set[Path]]:
    """Which files of a folder each of `files` imports; paths relative to the folder."""
    graph = {}
    for file in files:
        targets = graph[file.relative_to(folder)] = set()
        for name in imported_names(file, folder):  # a module, or something in a module
            candidates = (folder.joinpath(*parts).with_suffix(".py") for parts in (name, name[:-1]) if parts)
            targets.update([path.relative_to(folder) for path in candidates if path.is_file()][:1])
    return graph


def check_arrows(here: Path, graph: dict[Path, set[Path]], rows: dict[Path, int]) -> Iterator[str]:
    """Circles, and imports of what stands in a lower row; `here` is the folder of the graph's files."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
        yield f"{here / circle[0]}: import circle: " + " -> ".join(map(str, circle))
    for file, targets in sorted(graph.items()):
        for target in sorted(targets):
            if file in rows and rows.get(target, 0) > rows[file]:
                yield f"{here / file}: imports {target}, which {PAGE} places below it"


def check_folder(root: Path, folder: Path, base: Path, table: Table, column: str) -> Iterator[str]:
    """The rooms of a model, or the modules of common/: `column` of a table against what lies in `base` of a folder."""
    line, head = table.rows[0]
    if column not in head:
        yield f"{PAGE}:{line}: the table has no column {column}"
        return
    rooms = rooms_of(table, column)
    yield from check_table(root, folder / base, rooms)
    programs = sorted(folder.glob("*.py"))
    graph = imports(folder, [*programs, *sorted((folder / base).rglob("*.py"))])
    rows = {base / file: row for file, row, _ in rooms}
    rows.update((program.relative_to(folder), len(table.rows)) for program in programs)
    yield from check_arrows(folder.relative_to(root), graph, rows)
    for file in sorted(closure(graph.keys() & NETWORK_ROOMS, lambda file: graph.get(file, set()))):
        if PACKAGE not in file.parents:
            forbidden = DEVICE_WORDS | DEVICE_MODULES if file in NETWORK_ROOMS else DEVICE_WORDS
            for line, word in names_in(folder / file):
                if word in forbidden:
                    where = (folder / file).relative_to(root)
                    yield f"{where}:{line}: names {word}: a network or loss knows no rank and no device"
    for file in sorted((folder / PACKAGE).glob("*.py")):
        for name in imported_names(file, folder):
            if name[0] == SOURCE.name and Path(*name[:2]) != PACKAGE:
                yield f"{file.relative_to(root)}: imports {'.'.join(name)}, which belongs to a model"


def names_in(file: Path) -> Iterator[tuple[int, str]]:
    """Every name in a Python file, those of imported modules divided at their dots, with its line."""
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        for key in ("id", "attr", "arg", "name", "module"):
            for word in (getattr(node, key, None) or "").split("."):
                yield getattr(node, "lineno", 0), word


# -- files


def check_length(root: Path) -> Iterator[str]:
    """Files of src/ that are too long."""
    for base in (root / ORIGINAL / PACKAGE, *(folder / SOURCE for folder in model_folders(root))):
        for file in own_files(base):
            lines = len(file.read_bytes().splitlines())
            if lines > LONGEST_FILE:
                yield f"{file.relative_to(root)}: {lines} lines, more than {LONGEST_FILE}: divide it by what it does"


def check_story(root: Path) -> Iterator[str]:
    """The headings of each train.py, comments of a line that say nothing more."""
    for folder in model_folders(root):
        lines = (folder / "train.py").read_text(encoding="utf-8").splitlines()
        if [heading for line in lines if (heading := line.strip().removeprefix("# ")) in STORY] != STORY:
            yield f"{folder.name}/train.py: its headings must be, in this order: {'; '.join(STORY)}"


# -- the program


def find_problems(root: Path) -> Iterator[str]:
    """Everything that is wrong, in the order of the list at the top of this file: where it is and what."""
    pages = [parse(root / PAGE, root)] if (root / PAGE).is_file() else []
    tables = {table.rows[0][1][0]: table for page in pages for table in page.tables}
    if {"room", "module"} <= tables.keys():
        for folder in model_folders(root):
            yield from check_folder(root, folder, SOURCE, tables["room"], folder.name)
        yield from check_folder(root, root / ORIGINAL, PACKAGE, tables["module"], "module")
    else:
        yield f"{PAGE}: no tables whose first columns are `room` and `module`"
    yield from check_length(root)
    yield from check_story(root)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Print one line per problem; returns the exit code, 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    problems = list(dict.fromkeys(find_problems(root)))
    print("\n".join(problems) or f"{len(model_folders(root))} models checked, nothing to mend")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
