"""Pretrained vectors of words or characters: GloVe text, word2vec text and word2vec binary by one reader."""

from __future__ import annotations

import codecs
import itertools
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from src.model_utils.files import MARK
from src.model_utils.runtime import UserError

LONGEST_LINE = 2**20  # bytes
LONGEST_TOKEN = 2**12  # bytes, in a binary file
LARGEST_SIZE = 10_000  # numbers in a vector
HEADER = re.compile(rb"\s*([0-9]{1,15})[ \t]+([0-9]{1,15})\s*")  # count and size
OTHER_FORMATS = {  # the bytes that such a file starts with
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"\x1f\x8b": "is packed by gzip; unpack it",
    b"BZh": "is packed by bzip2; unpack it",
    b"\xfd7zXZ": "is packed by xz; unpack it",
    b"\xba\x16\x4f\x2f": "is a binary fastText model; use its .vec file",
    b"\x80": "is a Python pickle, such as gensim's save() writes; write it anew by save_word2vec_format()",
    b"\x93NUMPY": "is a NumPy array without words; use the format of word2vec or GloVe",
    b"\xff\xfe": "is UTF-16 text; convert it to UTF-8",
    b"\xfe\xff": "is UTF-16 text; convert it to UTF-8",
}
Record = tuple[str, bytes, "bytes | list[bytes]"]  # where it stands, the token, its numbers as bytes or as columns


def read_vectors(
    path: str | os.PathLike, size: int | None = None, wanted: Collection[str] | None = None
) -> tuple[dict[str, np.ndarray], int]:
    """Read what `stream_vectors` yields, all at once: token -> (size,) float32, and that size."""
    vectors = dict(stream_vectors(path, size, wanted))
    return vectors, len(next(iter(vectors.values())))


def stream_vectors(
    path: str | os.PathLike, size: int | None = None, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tokens that are `wanted`, or all, with their vectors (size,) float32.

    A line of a text file ends at a line feed and holds a token and its numbers. The last `size` columns are the
    numbers, so that a token may contain blanks, as some of glove.840B do; where `size` is None the file tells it. A
    first line `count size` is optional in text; word2vec's binary format, which is recognised by its bytes, always has
    it. Of a token's several vectors the first counts. With `wanted`, tokens that are not UTF-8 are passed over, because
    word2vec's own tool cuts long ones. The file is read once, so it may be a pipe, and memory holds the tokens alone.

    Raises UserError for another size, a malformed line or number, a count that is wrong, another format, and where the
    file has none of the tokens. Formats: https://nlp.stanford.edu/projects/glove/ and
    https://code.google.com/archive/p/word2vec/.
    """
    path, seen = Path(path), set()
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size or None
        with tqdm(total=total, unit="B", unit_scale=True, desc=path.name, disable=None) as progress:
            size, records = _open_records(file, path, size, progress)
            for place, token, numbers in records:
                word = _decoded(token, place, wanted)
                if word is not None and word not in seen:
                    seen.add(word)
                    yield word, _vector(numbers, place)
    if not seen:
        tokens = "vectors" if wanted is None else f"vector for any of the {len(wanted)} tokens that are looked for"
        raise UserError(f"{path}: holds no {tokens}; use vectors of the same language and spelling as the data")


def _open_records(file: BinaryIO, path: Path, size: int | None, progress: tqdm) -> tuple[int, Iterator[Record]]:
    """The size of the vectors, checked, and an iterator over what the file holds."""
    first = file.readline(LONGEST_LINE)
    for start, what in OTHER_FORMATS.items():
        if first.startswith(start):
            raise UserError(f"{path}: {what}")
    first = first.removeprefix(MARK)
    header = HEADER.fullmatch(first)
    if not header:
        size = _checked_size(_trailing_numbers(first), size, f"{path}:1")
        return size, _text_records(file, path, first, 1, size, None, progress)
    count, size = int(header[1]), _checked_size(int(header[2]), size, f"{path}:1")
    following = file.readline(LONGEST_LINE)
    if following and _trailing_numbers(following) != size:
        following += file.read(LONGEST_TOKEN + 4 * size)  # a byte of a binary number may look like a line feed
        if _is_binary(following):
            return size, _binary_records(file, path, following, size, count, progress)
        _checked_size(_trailing_numbers(following.partition(b"\n")[0]), size, f"{path}:2")
    return size, _text_records(file, path, following, 2, size, count, progress)


def _is_number(column: bytes) -> bool:
    try:
        float(column)
    except ValueError:
        return False
    return True


def _trailing_numbers(line: bytes) -> int:
    """How many columns after the first are numbers up to the end of the line."""
    return sum(1 for _ in itertools.takewhile(_is_number, reversed(line.split()[1:])))


def _checked_size(there: int, expected: int | None, place: str) -> int:
    if not 2 <= there <= LARGEST_SIZE:
        raise UserError(f"{place}: expected a token and its numbers, not {there} numbers; this is no file of vectors")
    if expected is not None and there != expected:
        raise UserError(
            f"{place}: vectors of {there} numbers, but {expected} are expected; set the size of the embedding to"
            f" {there}, or use another file"
        )
    return there


def _is_binary(content: bytes) -> bool:
    """Whether this beginning is no text: float32 numbers have bytes that UTF-8 text has not."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return True
    return any(character < " " and character not in "\t\n\v\f\r" for character in text)


def _text_records(
    file: BinaryIO, path: Path, line: bytes, number: int, size: int, count: int | None, progress: tqdm
) -> Iterator[Record]:
    first = number
    while line:
        place = f"{path}:{number}"
        progress.update(len(line))
        columns = line.rsplit(None, size)
        if len(columns) == size and line[:1].isspace():  # the token is empty, or made of blanks
            columns.insert(0, line[: -len(line.lstrip())][:-1])
        if len(columns) <= size or len(columns[0].split()) > size or not _is_number(columns[1]):
            raise UserError(
                f"{place}: expected a token and {size} numbers; the file is damaged or truncated, unpack or download it"
                " again"
            )
        yield place, columns[0], columns[1:]
        line, number = file.readline(LONGEST_LINE), number + 1
    _check_count(path, number - first, count)


def _binary_records(
    file: BinaryIO, path: Path, content: bytes, size: int, count: int, progress: tqdm
) -> Iterator[Record]:
    """Records of a token, a blank and `size` little-endian float32; some writers end each with a line feed."""
    number, start = 0, 0
    while True:
        blank = content.find(b" ", start, start + LONGEST_TOKEN)
        end = blank + 1 + 4 * size
        if blank >= 0 and end <= len(content):
            number += 1
            yield f"{path}: vector {number}", content[start:blank].lstrip(b"\n"), content[blank + 1 : end]
            start = end
            continue
        piece = file.read(LONGEST_LINE) if blank >= 0 or len(content) - start < LONGEST_TOKEN else b""
        if not piece:
            break
        progress.update(len(piece))
        content, start = content[start:] + piece, 0
    if content[start:].strip(b"\n"):
        raise UserError(
            f"{path}: vector {number + 1} of {count}: cut off or damaged, as word2vec's binary format of {size} numbers"
            " a vector; download it again"
        )
    _check_count(path, number, count)


def _check_count(path: Path, there: int, announced: int | None) -> None:
    if announced is not None and there != announced:
        raise UserError(
            f"{path}:1: announces {announced} vectors, but {there} follow; the file is damaged or truncated, unpack or"
            " download it again; if it is complete, correct this number"
        )


def _decoded(token: bytes, place: str, wanted: Collection[str] | None) -> str | None:
    """The token as text; None if it is not wanted."""
    try:
        word = token.decode("utf-8")
    except UnicodeDecodeError as error:
        if wanted is None:
            raise UserError(f"{place}: the token is not UTF-8 ({error.reason}); convert the file to UTF-8") from None
        return None
    return word if wanted is None or word in wanted else None


def _vector(numbers: bytes | list[bytes], place: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # an infinite number is refused below
            vector = np.frombuffer(numbers, "<f4") if isinstance(numbers, bytes) else np.array(numbers, np.float32)
    except ValueError as error:
        raise UserError(f"{place}: {error}; the file is damaged, unpack or download it again") from None
    if not np.isfinite(vector).all():
        raise UserError(f"{place}: a value is not a finite number; unpack or download the file again")
    return vector
