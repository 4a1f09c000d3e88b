"""Texts from arguments, a file, a pipe or a terminal in chunks: large from a fast source, prompt from a slow one."""

from __future__ import annotations

import argparse
import os
import select
import sys
import time
from collections.abc import Iterator

from src.model_utils.configuration import Parser
from src.model_utils.files import MARK, decode, open_binary, refuse_utf16
from src.model_utils.runtime import UserError

LONGEST_LINE = 2**20  # bytes; what is longer is no list of texts, and memory has to stay bounded
PATIENCE = 0.1  # seconds that a line waits for others to share its batch


def add_input_options(parser: Parser, noun: str, metavar: str = "TEXT") -> None:
    """Add the positional texts, as `args.texts`, and --input_file; `noun` says what a text is, such as `review`."""
    text = f"one {noun} each; without any, standard input is read"
    parser.add_argument("texts", nargs="*", metavar=metavar, help=text)
    parser.add_argument("--input_file", metavar="FILE", help=f"file with one {noun} a line, in UTF-8")


class TextInput:
    """The texts that the options of `add_input_options` name.

    With `file_names` they are names of files, which may hold bytes that are not UTF-8; in other texts such bytes are
    replaced, and reported at the end. Raises UserError, before anything is read, for both kinds of input at once, for a
    file that is not there, and for a closed standard input.
    """

    def __init__(self, args: argparse.Namespace, noun: str, file_names: bool = False):
        if args.texts and args.input_file:
            raise UserError("give either arguments or --input_file, not both")
        self.noun, self.file_names, self.name, self.source = noun, file_names, "the command line", None
        self.texts = [os.fsencode(text).removeprefix(MARK) for text in args.texts]
        if args.input_file:
            self.name, self.source = args.input_file, open_binary(args.input_file)
        elif not args.texts:
            self.name, self.source = "standard input", sys.stdin
            if self.source is None:
                raise UserError(f"standard input is closed; give a {noun} as an argument, or a file by --input_file")

    def chunks(self, most: int = 512) -> Iterator[list[str]]:
        """Yield the texts in lists of at most `most`, those of a slow source as they come."""
        if self.source is None:
            chunks = (self.texts[start : start + most] for start in range(0, len(self.texts), most))
        else:
            chunks = line_chunks(self.source, self.name, most)
            if self.source.isatty():
                print(f"type one {self.noun} a line; Ctrl-D ends", file=sys.stderr)
        number, replaced = 0, []
        try:
            for lines in chunks:
                texts = [self._text(line, number + i, replaced) for i, line in enumerate(lines, 1)]
                number += len(lines)
                yield texts
        finally:
            if self.source not in (None, sys.stdin):
                self.source.close()
            if replaced:
                print(
                    f"warning: {self.name}:{replaced[0]}: not UTF-8; what could not be read was replaced in"
                    f" {len(replaced)} of {number} {'lines' if self.source else 'arguments'}",
                    file=sys.stderr,
                )

    def _text(self, line: bytes, number: int, replaced: list[int]) -> str:
        if number <= 2 and self.source:  # in UTF-16 the second line begins within the end of the first
            refuse_utf16(line, self.name, number)
        if self.file_names:
            return line.decode("utf-8", "surrogateescape")
        try:
            return decode(line, self.name, number)
        except UserError:  # one bad byte must not end a job of thousands of lines, nor pass unseen
            replaced.append(number)
            return line.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def line_chunks(source, name: str, most: int = 512) -> Iterator[list[bytes]]:
    """Yield the lines of an open file, without line ends and byte order mark, in lists of at most `most`.

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
            number += 1
            lines.append(line.removesuffix(b"\r").removeprefix(MARK if number == 1 else b""))
            if len(lines) == most:
                yield lines
                lines, deadline = [], time.monotonic() + PATIENCE
        if len(rest) > LONGEST_LINE:
            if lines:
                yield lines
            raise UserError(f"{name}:{number + 1}: longer than {LONGEST_LINE} bytes; expected one text a line")
    if lines:
        yield lines


def _is_ready(descriptor: int, seconds: float) -> bool:
    """Whether the descriptor has something to read, or has ended, before `seconds` are over."""
    return seconds > 0 and bool(select.select([descriptor], [], [], seconds)[0])
