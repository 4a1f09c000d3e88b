"""Checks that the rooms of the house are as docs/architecture.md says and that imports point one way.

- The table of rooms in docs/architecture.md names every Python file below the src/ of each model, and no other. A cell
  holds file names relative to src/; `yes` stands for the file that the first column names.
- A room imports only from its own row and the rows above it. The same holds for the table of model_utils modules,
  which import nothing else of a model.
- Nothing imports in a circle, and nothing in src/ imports a program.
- Networks and losses, and what they are built from, import no runtime module and name no rank and no device.
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
from typing import NamedTuple

from readme_page import Table, parse
from sync_common import ORIGINAL, PACKAGE, ROOT, imported_names, model_folders

PAGE = Path("docs/architecture.md")
SOURCE = Path("src")
LONGEST_FILE = 310  # lines
NETWORK_ROOMS = ("network.py", "loss.py")  # of src/; with all that they import from their folder
STORY = (  # the headings of train.py
    "Arguments and device",
    "Data, with every check of it",
    "Network and its initial weights",
    "Training step",
    "Measure speed and leave",
    "Claim the output folder and train",
)
DEVICE_WORDS = {"rank", "ranks", "rank_id", "rank_size", "group_size", "device", "device_id", "device_target"}
DEVICE_WORDS |= {"get_rank", "get_group_size", "get_context"}
DEVICE_FUNCTIONS = {"rank_and_size", "init_device", "DEVICE_TARGETS"}  # of model_utils/runtime.py


class Problem(NamedTuple):
    """What is wrong, and where: a path relative to the repository, a line (0: the whole file)."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


class Room(NamedTuple):
    """One file in the table of rooms: its path below src/, the row that names it, and the line of that row."""

    file: str
    row: int
    line: int


# -- the tables of docs/architecture.md


def find_table(tables: list[Table], first_cell: str) -> Table | None:
    """The table whose head begins with `first_cell`."""
    return next((table for table in tables if table.rows and table.rows[0][1][0] == first_cell), None)


def files_of(cell: str) -> list[str]:
    """The files that a cell names in code font."""
    return [name for span in re.findall(r"`([^`]+)`", cell) for name in span.split()]


def rooms_of(table: Table, model: str) -> list[Room]:
    """Every file that the column of a model names."""
    column = table.rows[0][1].index(model)
    rooms = []
    for row, (line, cells) in enumerate(table.rows[1:]):
        cell = cells[column] if column < len(cells) else ""
        names = files_of(cells[0]) if cell == "yes" else files_of(cell)
        rooms += [Room(name, row, line) for name in names]
    return rooms


def check_table(root: Path, base: Path, rooms: list[Room], what: str) -> Iterator[Problem]:
    """The table of `what` against the Python files below `base`."""
    lines: dict[str, int] = {}
    for room in rooms:
        if room.file in lines:
            text = f"{base.relative_to(root)}: {room.file} is already in line {lines[room.file]}"
            yield Problem(PAGE, room.line, text)
        lines.setdefault(room.file, room.line)
        if not (base / room.file).is_file():
            yield Problem(PAGE, room.line, f"{(base / room.file).relative_to(root)}: no such file")
    for file in own_files(base):
        if file.relative_to(base).as_posix() not in lines:
            yield Problem(file.relative_to(root), 0, f"the table of {what} in {PAGE} leaves it out")


def own_files(base: Path) -> list[Path]:
    """The Python files below src/ of a model, or below model_utils/ of common/, without copies and __init__.py."""
    files = sorted(base.rglob("*.py"))
    return [file for file in files if file.name != "__init__.py" and base / PACKAGE.name not in file.parents]


# -- imports


def imports(folder: Path, files: list[Path]) -> dict[Path, set[Path]]:
    """Which files of a folder each of `files` imports; paths relative to the folder."""
    graph = {}
    for file in files:
        targets = set()
        for name in imported_names(file, folder):
            candidates = (Path(*name).with_suffix(".py"), Path(*name[:-1]).with_suffix(".py") if name[1:] else Path())
            targets.update([path for path in candidates if path.suffix and (folder / path).is_file()][:1])
        graph[file.relative_to(folder)] = targets
    return graph


def find_circle(graph: dict[Path, set[Path]]) -> list[Path]:
    """A circle of imports with its first file again at the end, or an empty list."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1][::-1]
    return []


def reachable(graph: dict[Path, set[Path]], start: Path) -> set[Path]:
    """A file and all that it imports, directly or through others."""
    found, waiting = set(), {start}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= graph.get(file, set()) - found
    return found


def check_arrows(here: Path, graph: dict[Path, set[Path]], rows: dict[Path, int]) -> Iterator[Problem]:
    """Circles, and imports of what stands in a lower row; `here` is the folder of the graph's files."""
    if circle := find_circle(graph):
        yield Problem(here / circle[0], 0, "import circle: " + " -> ".join(map(str, circle)))
    for file, targets in sorted(graph.items()):
        for target in sorted(targets):
            if file in rows and rows.get(target, 0) > rows[file]:
                yield Problem(here / file, 0, f"imports {target}, whose row in {PAGE} is below its own")


def check_model(root: Path, folder: Path, table: Table) -> Iterator[Problem]:
    """A model's rooms, its imports, and what its networks and losses know."""
    head_line, head = table.rows[0]
    rooms = rooms_of(table, folder.name) if folder.name in head else []
    if rooms:
        yield from check_table(root, folder / SOURCE, rooms, "rooms")
    else:
        yield Problem(PAGE, head_line, f"the table of rooms has no column {folder.name}")
    here = folder.relative_to(root)
    graph = imports(folder, [*sorted(folder.glob("*.py")), *sorted((folder / SOURCE).rglob("*.py"))])
    yield from check_arrows(here, graph, {SOURCE / room.file: room.row for room in rooms})
    for file, targets in sorted(graph.items()):
        for target in sorted(targets):
            if file.parts[0] == SOURCE.name and target.parts[0] != SOURCE.name:
                yield Problem(here / file, 0, f"imports the program {target}")
    cells = set().union(*(reachable(graph, SOURCE / name) for name in NETWORK_ROOMS if (SOURCE / name) in graph))
    for file in sorted(cells):
        if PACKAGE not in file.parents:
            yield from (Problem(here / file, line, text) for line, text in device_knowledge(folder / file, folder))


def device_knowledge(file: Path, folder: Path) -> Iterator[tuple[int, str]]:
    """Where a file with a network or a loss knows what only runtime may know: line and message."""
    for name in imported_names(file, folder):
        from_runtime = Path(*name[:2]) == PACKAGE and name[2:3] in (["runtime"], ["launch"])
        if from_runtime and (file.name in NETWORK_ROOMS or DEVICE_FUNCTIONS & set(name[3:])):
            yield 0, f"imports {'.'.join(name)}: a network or loss knows no rank and no device"
        if name[:2] == ["mindspore", "communication"]:
            yield 0, "imports mindspore.communication: a network or loss knows no rank"
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        word = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None)
        if word in DEVICE_WORDS:
            line = getattr(node, "lineno", 0)
            yield line, f"names {word}: a network or loss knows no rank and no device"


def check_common(root: Path, table: Table) -> Iterator[Problem]:
    """model_utils: its table, no circle, and no arrow that points up or out of it."""
    folder = root / ORIGINAL
    rooms = rooms_of(table, "module")
    yield from check_table(root, folder / PACKAGE, rooms, "modules")
    files = sorted((folder / PACKAGE).glob("*.py"))
    yield from check_arrows(Path(ORIGINAL), imports(folder, files), {PACKAGE / room.file: room.row for room in rooms})
    for file in files:
        for name in imported_names(file, folder):
            if name[0] == SOURCE.name and Path(*name[:2]) != PACKAGE:
                yield Problem(file.relative_to(root), 0, f"imports {'.'.join(name)}, which belongs to a model")


# -- files and functions


def check_length(root: Path) -> Iterator[Problem]:
    """Files of src/ that are too long."""
    for base in (root / ORIGINAL / PACKAGE, *(folder / SOURCE for folder in model_folders(root))):
        for file in own_files(base):
            lines = len(file.read_bytes().splitlines())
            if lines > LONGEST_FILE:
                text = f"{lines} lines, more than {LONGEST_FILE}: divide it by what it does"
                yield Problem(file.relative_to(root), 0, text)


def check_story(root: Path) -> Iterator[Problem]:
    """The headings of each train.py, comments of a line that say nothing more."""
    for folder in model_folders(root):
        lines = (folder / "train.py").read_text(encoding="utf-8").splitlines()
        headings = [heading for line in lines if (heading := line.strip().removeprefix("# ")) in STORY]
        if headings != list(STORY):
            expected = "; ".join(STORY)
            yield Problem(folder.relative_to(root) / "train.py", 0, f"its headings must be, in this order: {expected}")


# -- the program


def find_problems(root: Path) -> Iterator[Problem]:
    """Everything that is wrong, in the order of the list at the top of this file."""
    tables = parse(root / PAGE, root).tables if (root / PAGE).is_file() else []
    rooms, modules = find_table(tables, "room"), find_table(tables, "module")
    if rooms and modules:
        for folder in model_folders(root):
            yield from check_model(root, folder, rooms)
        yield from check_common(root, modules)
    else:
        yield Problem(PAGE, 0, "no tables whose first columns are `room` and `module`")
    yield from check_length(root)
    yield from check_story(root)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Print one line per problem; returns the exit code, 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    problems = list(dict.fromkeys(find_problems(root)))
    print("\n".join(map(str, problems)) or f"{len(model_folders(root))} models checked, nothing to mend")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
