"""Prints how many lines of Python and shell are kept by hand in each folder, in the index or in a commit.

`python tools/count_lines.py [COMMIT]` counts all lines of the .py and .sh files that git tracks. A file that stands
byte for byte at the same place in several folders, as the copies of common/ do, counts once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path, PurePosixPath

from sync_common import ORIGINAL, ROOT

KINDS = ("*.py", "*.sh")


def git(root: Path, *arguments: str) -> list[str]:
    """The lines that a git command prints."""
    printed = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, encoding="utf-8").stdout
    return printed.splitlines()


def read_tree(root: Path, commit: str | None) -> dict[PurePosixPath, tuple[str, int]]:
    """Hash and number of lines of each tracked file that is not empty."""
    tree = commit or git(root, "write-tree")[0]
    listing = (line.split("\t") for line in git(root, "ls-tree", "-r", tree))
    hashes = {name: fields.split()[2] for fields, name in listing}
    files = {}
    for line in git(root, "grep", "--count", "-e", "", tree, "--", *KINDS):
        name, count = line[len(tree) + 1 :].rsplit(":", 1)
        files[PurePosixPath(name)] = (hashes[name], int(count))
    return files


def count_lines(root: Path, commit: str | None = None) -> dict[str, list[int]]:
    """For each folder (`.` is the root): lines of code, lines of tests."""
    counts: dict[str, list[int]] = {}
    seen = set()
    files = read_tree(root, commit)
    for path in sorted(files, key=lambda path: (path.parts[0] != ORIGINAL, path)):  # an original before its copies
        content, lines = files[path]
        folder, below = (path.parts[0], path.parts[1:]) if len(path.parts) > 1 else (".", path.parts)
        if (below, content) not in seen:
            seen.add((below, content))
            counts.setdefault(folder, [0, 0])["tests" in below] += lines
    return counts


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="default: what git tracks now")
    try:
        counts = count_lines(root, parser.parse_args(argv).commit)
    except subprocess.CalledProcessError as error:
        print(f"error: {error.stderr.strip().splitlines()[0]}", file=sys.stderr)
        return 2
    rows = [*sorted(counts.items()), ("all", [sum(column) for column in zip(*counts.values())])]
    print(f"{'folder':<14}{'code':>8}{'tests':>8}{'all':>8}")
    for name, (code, tests) in rows:
        print(f"{name:<14}{code:>8}{tests:>8}{code + tests:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
