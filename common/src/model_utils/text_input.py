"""Lines of a file, a pipe or a terminal in chunks: large ones from a fast source, prompt ones from a slow source."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator

from src.model_utils.runtime import UserError

LONGEST_LINE = 2**20  # bytes; what is longer is no list of texts, and memory has to stay bounded
PATIENCE = 0.1  # seconds that a line waits for others to share its batch


def text_chunks(source, name: str, most: int = 512) -> Iterator[list[str]]:
    """Yield the lines of an open binary file as text; bytes that are not UTF-8 are replaced and reported at the end."""
    number, bad, first_bad = 0, 0, 0
    try:
        for lines in line_chunks(source, name, most):
            texts = []
            for line in lines:
                number += 1
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    text = line.decode("utf-8", "replace")
                    bad, first_bad = bad + 1, first_bad or number
                texts.append(text)
            yield texts
    finally:
        if bad:
            print(
                f"warning: {name}:{first_bad}: not UTF-8; what could not be read was replaced in {bad} of {number}"
                " lines",
                file=sys.stderr,
            )


def line_chunks(source, name: str, most: int = 512) -> Iterator[list[bytes]]:
    """Yield the lines of an open file, without their line ends, in lists of at most `most`.

    A list ends when it is full, when its first line has waited for PATIENCE seconds, and with the input. A last line
    without a line end counts. Raises UserError, after what came before, for a line longer than LONGEST_LINE.
    """
    descriptor = source.fileno()
    lines, rest, number, deadline = [], b"", 0, 0.0
    data = b"some"
    while data:
        if lines and not _is_ready(descriptor, deadline - time.monotonic()):
            yield lines
            lines = []
        data = os.read(descriptor, 2**16)
        *complete, rest = (rest + data).split(b"\n")
        if rest and not data:
            complete, rest = [rest], b""
        if complete and not lines:
            deadline = time.monotonic() + PATIENCE
        for line in complete:
            lines.append(line.removesuffix(b"\r"))
            if len(lines) == most:
                yield lines
                lines, deadline = [], time.monotonic() + PATIENCE
        number += len(complete)
        if len(rest) > LONGEST_LINE:
            yield lines
            raise UserError(f"{name}:{number + 1}: longer than {LONGEST_LINE} bytes; expected one text a line")
    if lines:
        yield lines


def _is_ready(descriptor: int, seconds: float) -> bool:
    """Whether the descriptor has something to read, or has ended, before `seconds` are over."""
    return seconds > 0 and bool(select.select([descriptor], [], [], seconds)[0])
