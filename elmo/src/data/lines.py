"""Lines of text files; goes when model_utils/files.py is there."""

from __future__ import annotations

from collections.abc import Iterator

from src.model_utils.runtime import UserError


def read_lines(path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of the lines of a file: UTF-8, a line ends at a line feed only."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removesuffix(b"\n").removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
            try:
                yield number, line.decode()
            except UnicodeDecodeError:
                raise UserError(f"{path}:{number}: not UTF-8 text; convert or remove the file") from None
