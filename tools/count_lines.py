"""Prints how many lines of Python and shell are kept by hand in each folder, in the index or in a commit.

`python tools/count_lines.py [COMMIT]` reads the .py and .sh files that git tracks. Code is what is neither
blank line nor comment nor docstring. A file that stands byte for byte at the same place in several folders, as the
copies of common/ do, counts once.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tokenize
from pathlib import Path

from sync_common import ORIGINAL, ROOT

COLUMNS = ("code", "all lines", "tests")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def git(root: Path, *arguments: str) -> bytes:
    """What a git command prints."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout


def code_lines(name: str, text: str) -> int:
    """How many lines of a file hold code."""
    if name.endswith(".sh"):
        return sum(not line.lstrip().startswith("#") for line in text.splitlines() if line.strip())
    numbers = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            numbers.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            numbers.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(numbers)


def count_lines(root: Path, commit: str | None = None) -> dict[str, list[int]]:
    """For each folder (`.` is the root) the figures of COLUMNS, the first two without tests."""
    tree = commit or git(root, "write-tree").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(git(root, "archive", tree))) as archive:
        members = [member for member in archive if member.isfile() and member.name.endswith((".py", ".sh"))]
        files = [(member.name, archive.extractfile(member).read().decode()) for member in members]
    counts: dict[str, list[int]] = {}
    seen = set()
    files.sort(key=lambda file: not file[0].startswith(ORIGINAL))  # an original before its copies
    for name, text in files:
        folder, below = name.split("/", 1) if "/" in name else (".", name)
        if (below, text) not in seen:
            seen.add((below, text))
            count = counts.setdefault(folder, [0, 0, 0])
            if "tests" in below.split("/"):
                count[2] += len(text.splitlines())
            else:
                count[0] += code_lines(name, text)
                count[1] += len(text.splitlines())
    return counts


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="default: what git tracks now")
    try:
        counts = count_lines(root, parser.parse_args(argv).commit)
    except subprocess.CalledProcessError as error:
        print(f"error: {error.stderr.decode().strip().splitlines()[0]}", file=sys.stderr)
        return 2
    rows = [*sorted(counts.items()), ("all", [sum(column) for column in zip(*counts.values())])]
    for name, numbers in [("folder", COLUMNS), *rows]:
        print(f"{name:<14}" + "".join(f"{number:>11}" for number in numbers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
