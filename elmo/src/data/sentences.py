"""Sentences to embed: the lines of a text file as words."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

from src.data.tokenizer import TOKENIZERS, tokenize
from src.model_utils.runtime import UserError

CHUNK = 2048  # lines that are held in memory, and whose short and long ones are sorted


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how lines become words."""
    parser.add_argument("--input_file", metavar="FILE", required=True, help="text in UTF-8, one sentence a line")
    parser.add_argument(
        "--tokenizer",
        choices=TOKENIZERS,
        default="whitespace",
        help="whitespace (default): words stand between spaces; words: raw text",
    )


def split_line(line: str, tokenizer: str) -> list[str]:
    """Return the words of a line; those that mark the ends of a sentence are left out, as every sentence gets them."""
    words = line.split() if tokenizer == "whitespace" else tokenize(line)
    return [word for word in words if word not in ("<S>", "</S>")]


def read_sentences(path, tokenizer: str) -> Iterator[list[tuple[str, list[str]]]]:
    """Yield (line without surrounding space, its words) of a text file, CHUNK lines at a time.

    Raises UserError naming file and line for a line without words and for what is not UTF-8.
    """
    number = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            while lines := list(itertools.islice(file, CHUNK)):
                found = []
                for line in lines:
                    number += 1
                    words = split_line(line, tokenizer)
                    if not words:
                        raise UserError(f"{path}:{number}: a line without words; remove it")
                    found.append((line.strip(), words))
                yield found
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text (after line {number}); convert the file") from None


def count_lines(path) -> int:
    """Return the number of lines of a file; UserError where it has none."""
    with open(path, "rb") as file:
        count, last = 0, b"\n"
        while block := file.read(2**20):
            count, last = count + block.count(b"\n"), block[-1:]
    if not count and last == b"\n":
        raise UserError(f"{path}: empty; expected one sentence a line")
    return count + (last != b"\n")
