"""Lists the public functions and methods with incomplete type hints, and the share of complete ones in each folder.

Tests and the copies of common/ are left out. tools/check_rooms.py --hints insists on the hint of the result.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sync_common import ORIGINAL, PACKAGE, ROOT


class Function(NamedTuple):
    """A public function or method: where it stands, and which of its hints are missing ("return" for the result)."""

    path: Path
    line: int
    name: str
    missing: list[str]


def public_functions(root: Path) -> Iterator[Function]:
    """Every public function outside the tests, a copy of common/ counted once."""
    for file in sorted(root.glob("*/**/*.py")):
        path = file.relative_to(root)
        hidden = any(part.startswith((".", "__pycache__")) or part == "tests" for part in path.parts)
        copied = Path(*path.parts[1:3]) == PACKAGE and path.parts[0] != ORIGINAL
        if not hidden and not copied:
            yield from (Function(path, *function) for function in functions_of(ast.parse(file.read_bytes(), str(file))))


def functions_of(node: ast.AST, prefix: str = "") -> Iterator[tuple[int, str, list[str]]]:
    """Line, name and missing hints of the public functions and methods of a module, none inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from functions_of(child, f"{prefix}{child.name}.")
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in child.decorator_list)
            arguments = [*child.args.posonlyargs, *child.args.args][bool(prefix) and not static :]
            arguments += [*child.args.kwonlyargs, child.args.vararg, child.args.kwarg]
            missing = [argument.arg for argument in arguments if argument and argument.annotation is None]
            yield child.lineno, prefix + child.name, missing + ([] if child.returns else ["return"])


def main(root: Path = ROOT) -> int:
    """Print the list and the shares; returns the exit code."""
    counts: dict[str, list[int]] = {}
    for function in public_functions(root):
        count = counts.setdefault(function.path.parts[0], [0, 0])
        count[0] += not function.missing
        count[1] += 1
        if function.missing:
            print(f"{function.path}:{function.line}: {function.name}: {', '.join(function.missing)}")
    counts["all"] = [sum(column) for column in zip(*counts.values())]
    for name, (complete, count) in counts.items():
        print(f"{name}: {complete} of {count} public functions have complete type hints ({complete / count:.0%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
