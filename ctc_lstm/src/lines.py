"""Lines of text files (a stand-in until model_utils/files.py is there)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from src.model_utils.runtime import UserError


def read_lines(path) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of a UTF-8 file with or without byte order mark; a line ends at a line feed only."""
    data = Path(path).read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: not UTF-8 at byte 0; save it as UTF-8")
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
        try:
            yield number, line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8; save it as UTF-8") from None
