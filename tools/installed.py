"""Prints size and licence of every package that this Python's environment has, as a table of Markdown.

.venv/bin/python tools/installed.py; sizes are those on the disk, licences what the packages say of themselves.
"""

from __future__ import annotations

import importlib.metadata
import os


def licence(metadata) -> str:
    """Return the licence that the metadata of a package names, in its shortest form."""
    classifiers = [
        line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith("License ::")
    ]
    names = [name for name in classifiers if name not in ("OSI Approved", "Other/Proprietary License")]
    text = metadata.get("License", "").strip()
    lines = text if text and "\n" not in text and len(text) < 80 and text != "UNKNOWN" else ""
    found = metadata.get("License-Expression") or lines or ", ".join(names)
    return found or (text.splitlines()[0].strip() if text else "not stated")


def size(distribution) -> int:
    """Return the bytes that the files of a package take, without what Python compiles when it runs."""
    places = {os.path.realpath(distribution.locate_file(file)) for file in distribution.files or ()}
    return sum(os.path.getsize(place) for place in places if os.path.isfile(place) and not place.endswith(".pyc"))


def main() -> None:
    """Print the table, the largest package first."""
    rows = []
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name not in ("pip", "setuptools", "wheel"):
            rows.append((size(distribution), name, distribution.version, licence(distribution.metadata)))
    print("| package | version | MiB | licence |\n|---|---|---|---|")
    for bytes_, name, version, text in sorted(rows, reverse=True):
        print(f"| {name} | {version} | {bytes_ / 2**20:.1f} | {text} |")
    print(f"| {len(rows)} packages | | {sum(row[0] for row in rows) / 2**20:.0f} | |")


if __name__ == "__main__":
    main()
