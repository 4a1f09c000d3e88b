"""Text files in chunks of whole lines, which several processes can read, and their sentences as codes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from src.data.tokenizer import Place, bytes_bar, sentences_of
from src.model_utils.files import binary_lines, decode, open_binary
from src.model_utils.processes import map_in_processes
from src.model_utils.runtime import resolve_workers

CHUNK = 2**20  # bytes that a process reads at once
Answer = TypeVar("Answer")


class Part(NamedTuple):
    """Neighbouring lines of a file, the first of which is number `first`; `number` is that of the file."""

    path: Path
    number: int
    first: int
    data: bytes


Chunk = tuple[str, list[Part]]  # the name of the tokenizer, and lines of one or several files


class Encoded(NamedTuple):
    """The sentences of a chunk, one behind the other; a code is a place in `words`, which has each word once."""

    words: list[str]
    codes: np.ndarray  # (sum of lengths,) int32
    lengths: np.ndarray  # (sentences,) int32, words
    runs: list[tuple[Place, int]]  # the places of neighbouring lines, each with the number of their sentences


def map_chunks(
    function: Callable[[Chunk], Answer], files: list[Path], tokenizer: str, progress: str
) -> Iterator[Answer]:
    """Yield function(chunk) of all chunks of files in their order, computed by processes on all cores.

    `progress` names a bar. Raises UserError for a missing or undecodable file, with its line.
    """
    chunks = ((tokenizer, parts) for parts in _chunks(files, progress))
    first = list(itertools.islice(chunks, 2))
    return map_in_processes(function, itertools.chain(first, chunks), resolve_workers(0) if len(first) > 1 else 1)


def _chunks(files: list[Path], progress: str) -> Iterator[list[Part]]:
    parts, room = [], CHUNK
    with bytes_bar(files, progress) as bar:
        for number, path in enumerate(files):
            first = 1
            with open_binary(path) as file:
                while data := file.read(room):
                    data += file.readline()
                    parts.append(Part(path, number, first, data))
                    first += data.count(b"\n")
                    room -= len(data)
                    if room <= 0:
                        yield parts
                        bar.update(sum(len(part.data) for part in parts))
                        parts, room = [], CHUNK
    if parts:
        yield parts


def lines_of(parts: list[Part]) -> Iterator[tuple[Place, str]]:
    """Yield the lines of a chunk with their places; UserError for a line that is no UTF-8."""
    for part in parts:
        for number, data in binary_lines(part.path, io.BytesIO(part.data), part.first):
            line = decode(data, part.path, number)
            yield (part.number, not line.strip()), line


def encode_chunk(chunk: Chunk) -> Encoded:
    """Encode the sentences of a chunk."""
    tokenizer, parts = chunk
    numbers: dict[str, int] = {}
    codes, lengths, runs = [], [], []
    for place, lines in itertools.groupby(lines_of(parts), lambda pair: pair[0]):
        before = len(lengths)
        for _, line in lines:
            for words in sentences_of(line, tokenizer):
                codes += [numbers.setdefault(word, len(numbers)) for word in words]
                lengths.append(len(words))
        runs.append((place, len(lengths) - before))
    return Encoded(list(numbers), np.array(codes, np.int32), np.array(lengths, np.int32), runs)
