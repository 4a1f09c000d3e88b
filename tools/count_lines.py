"""Prints how many lines of Python and shell are kept by hand in each folder, in the index or in a commit.

`python tools/count_lines.py [COMMIT]` counts all lines of the .py and .sh files that git tracks. A file that stands
byte for byte at the same place in several folders, as the copies of common/ do, counts once.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from sync_common import ORIGINAL, ROOT

KINDS = ("*.py", "*.sh")


def git(root: Path, *arguments: str) -> list[str]:
    """The lines that a git command prints."""
    printed = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, encoding="utf-8").stdout
    return printed.splitlines()


def count_lines(root: Path, commit: str | None = None) -> dict[str, list[int]]:
    """For each folder (`.` is the root): lines of code, lines of tests."""
    tree = commit or git(root, "write-tree")[0]
    listing = (line.split("\t") for line in git(root, "ls-tree", "-r", tree))
    hashes = {name: fields.split()[2] for fields, name in listing}
    files = [line[len(tree) + 1 :].rsplit(":", 1) for line in git(root, "grep", "-c", "-e", "", tree, "--", *KINDS)]
    counts: dict[str, list[int]] = {}
    seen = set()
    files.sort(key=lambda file: not file[0].startswith(ORIGINAL))  # an original before its copies
    for name, lines in files:
        folder, below = name.split("/", 1) if "/" in name else (".", name)
        if (below, hashes[name]) not in seen:
            seen.add((below, hashes[name]))
            counts.setdefault(folder, [0, 0])["tests" in below.split("/")] += int(lines)
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
