"""Checks that the rooms of the house are as docs/architecture.md says and that imports point one way.

- The table of rooms in docs/architecture.md names every Python file below the src/ of each model, and no other. A cell
  holds file names relative to src/; `yes` stands for the file that the first column names.
- A room imports only from its own row and the rows above it. The same holds for the table of model_utils modules,
  which import nothing else of a model.
- Nothing imports in a circle, and nothing in src/ imports a program.
- Networks and losses, and what they are built from, import no runtime module and name no rank and no device.
- No file below src/ is longer than 310 lines, and every train.py has the same headings in the same order.
- With --hints also: every public function outside the tests has a type hint on what it returns.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from readme_page import Table, parse
from sync_common import ORIGINAL, PACKAGE, ROOT, imported_names, model_folders
from type_hints import public_functions

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


def check_table(root: Path, table: Table) -> Iterator[Problem]:
    """The table of rooms against the folders."""
    head_line, head = table.rows[0]
    for folder in model_folders(root):
        if folder.name not in head:
            yield Problem(PAGE, head_line, f"the table of rooms has no column {folder.name}")
            continue
        rooms = rooms_of(table, folder.name)
        named: dict[str, Room] = {}
        for room in rooms:
            if room.file in named:
                yield Problem(PAGE, room.line, f"{folder.name}: {room.file} is already in line {named[room.file].line}")
            named.setdefault(room.file, room)
        present = {file.relative_to(folder / SOURCE).as_posix() for file in own_files(folder)}
        for name in sorted(present - set(named)):
            yield Problem((folder / SOURCE / name).relative_to(root), 0, f"the table of rooms in {PAGE} leaves it out")
        for room in rooms:
            if room.file not in present:
                yield Problem(PAGE, room.line, f"{folder.name}/src/{room.file}: no such file")


def own_files(folder: Path) -> Iterator[Path]:
    """The Python files of a model's src/, without the copies of common/ and without packages' __init__.py."""
    for file in sorted((folder / SOURCE).rglob("*.py")):
        if file.name != "__init__.py" and folder / PACKAGE not in file.parents:
            yield file


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


def find_circles(graph: dict[Path, set[Path]]) -> Iterator[list[Path]]:
    """Circles of imports, each with its first file again at the end; every circle shares a file with one of these."""
    done: set[Path] = set()

    def follow(file: Path, way: list[Path]) -> Iterator[list[Path]]:
        if file in way:
            yield [*way[way.index(file) :], file]
        elif file not in done:
            for target in sorted(graph.get(file, ())):
                yield from follow(target, [*way, file])
            done.add(file)

    for file in sorted(graph):
        yield from follow(file, [])


def reachable(graph: dict[Path, set[Path]], start: Path) -> set[Path]:
    """A file and all that it imports, directly or through others."""
    found, waiting = set(), {start}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= graph.get(file, set()) - found
    return found


def check_model_imports(root: Path, folder: Path, table: Table | None) -> Iterator[Problem]:
    """Circles, arrows that point up, programs imported by src/, and what networks and losses know."""
    programs = sorted(folder.glob("*.py"))
    graph = imports(folder, [*programs, *sorted((folder / SOURCE).rglob("*.py"))])
    here = folder.relative_to(root)
    for circle in find_circles(graph):
        yield Problem(here / circle[0], 0, "import circle: " + " -> ".join(map(str, circle)))
    known = table is not None and folder.name in table.rows[0][1]
    rows = {SOURCE / room.file: room.row for room in rooms_of(table, folder.name)} if table and known else {}
    for file, targets in sorted(graph.items()):
        for target in sorted(targets):
            if file.parts[0] == SOURCE.name and target.parts[0] != SOURCE.name:
                yield Problem(here / file, 0, f"imports the program {target}")
            if file in rows and rows.get(target, 0) > rows[file]:
                yield Problem(here / file, 0, f"imports {target}, whose row in {PAGE} is below its own")
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


def check_common(root: Path, table: Table | None) -> Iterator[Problem]:
    """model_utils: its table, no circle, and no arrow that points up or out of it."""
    folder = root / ORIGINAL
    files = sorted((folder / PACKAGE).glob("*.py"))
    graph = imports(folder, files)
    for circle in find_circles(graph):
        yield Problem(Path(ORIGINAL) / circle[0], 0, "import circle: " + " -> ".join(path.stem for path in circle))
    for file in files:
        for name in imported_names(file, folder):
            if name[0] == SOURCE.name and Path(*name[:2]) != PACKAGE:
                yield Problem(file.relative_to(root), 0, f"imports {'.'.join(name)}, which belongs to a model")
    if table is None:
        yield Problem(PAGE, 0, "no table whose first column is `module`")
        return
    order: dict[str, int] = {}
    for line, cells in table.rows[1:]:
        for name in files_of(cells[0]):
            order[name] = len(order)
            if not (folder / PACKAGE / name).is_file():
                yield Problem(PAGE, line, f"{ORIGINAL}/{PACKAGE}/{name}: no such file")
    for file in files:
        here = file.relative_to(root)
        if file.name == "__init__.py":
            continue
        if file.name not in order:
            yield Problem(here, 0, f"the table of modules in {PAGE} leaves it out")
            continue
        for target in sorted(graph[file.relative_to(folder)]):
            if order.get(target.name, -1) > order[file.name]:
                yield Problem(here, 0, f"imports {target.stem}, which stands below it in the table of {PAGE}")


# -- files and functions


def check_length(root: Path) -> Iterator[Problem]:
    """Files of src/ that are too long."""
    for folder in [root / ORIGINAL, *model_folders(root)]:
        for file in sorted((folder / SOURCE).rglob("*.py")):
            if folder.name != ORIGINAL and (folder / PACKAGE) in file.parents:
                continue  # the original is reported
            lines = len(file.read_bytes().splitlines())
            if lines > LONGEST_FILE:
                yield Problem(
                    file.relative_to(root), 0, f"{lines} lines, more than {LONGEST_FILE}: divide it by what it does"
                )


def check_story(root: Path) -> Iterator[Problem]:
    """The headings of each train.py, comments of a line that say nothing more."""
    for folder in model_folders(root):
        lines = (folder / "train.py").read_text(encoding="utf-8").splitlines()
        headings = [heading for line in lines if (heading := line.strip().removeprefix("# ")) in STORY]
        if headings != list(STORY):
            expected = "; ".join(STORY)
            yield Problem(folder.relative_to(root) / "train.py", 0, f"its headings must be, in this order: {expected}")


def check_hints(root: Path) -> Iterator[Problem]:
    """Public functions that do not say what they return."""
    for function in public_functions(root):
        if "return" in function.missing:
            yield Problem(function.path, function.line, f"{function.name} has no type hint on what it returns")


# -- the program


def find_problems(root: Path) -> Iterator[Problem]:
    """Everything that is wrong, in the order of the list at the top of this file."""
    tables = parse(root / PAGE, root).tables if (root / PAGE).is_file() else []
    rooms, modules = find_table(tables, "room"), find_table(tables, "module")
    if rooms is None:
        yield Problem(PAGE, 0, "no table whose first column is `room`")
    else:
        yield from check_table(root, rooms)
    for folder in model_folders(root):
        yield from check_model_imports(root, folder, rooms)
    yield from check_common(root, modules)
    yield from check_length(root)
    yield from check_story(root)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Print one line per problem; returns the exit code, 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--hints", action="store_true", help="also report public functions without a hint of the result"
    )
    hints = parser.parse_args(argv).hints
    problems = list(dict.fromkeys([*find_problems(root), *(check_hints(root) if hints else ())]))
    print("\n".join(map(str, problems)) or f"{len(model_folders(root))} models checked, nothing to mend")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
