"""Sentences to embed: the lines of a text file as words."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

from src.data.tokenizer import add_tokenizer_option, split_line
from src.model_utils.configuration import at_least
from src.model_utils.files import read_lines
from src.model_utils.runtime import UserError

CHUNK = 2048  # lines that are held in memory, and whose short and long ones are sorted


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a text and how its lines are divided into words."""
    parser.add_argument("--input_file", metavar="FILE", required=True, help="text in UTF-8, one sentence a line")
    add_tokenizer_option(parser)
    parser.add_argument("--batch_size", type=at_least(1), default=64, help="sentences at once (default: 64)")


def read_sentences(path: str | Path, tokenizer: str, skip_blank: bool = False) -> Iterator[list[tuple[str, list[str]]]]:
    """Yield (line without surrounding space, its words) of a text file or pipe, CHUNK lines at a time.

    Lines without words are left out with `skip_blank`, else refused: then the numbers of lines and sentences agree.
    Raises UserError naming file and line for those, for what is not UTF-8, and for a file without lines.
    """
    lines = read_lines(path)
    is_empty = True
    while chunk := list(itertools.islice(lines, CHUNK)):
        is_empty = False
        sentences = []
        for number, line in chunk:
            words = split_line(line, tokenizer)
            if words:
                sentences.append((line.strip(), words))
            elif not skip_blank:
                raise UserError(f"{path}:{number}: a line without words; remove it")
        yield sentences
    if is_empty:
        raise UserError(f"{path}: empty; expected one sentence a line")


def count_lines(path: str | Path) -> int | None:
    """Return the number of lines of a file; None for a pipe, which can be read only once."""
    if not Path(path).is_file():
        return None
    with open(path, "rb") as file:
        return sum(1 for _ in file)
