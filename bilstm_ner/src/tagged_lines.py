"""The sentences in the lines of a tagged file, by chunks that several processes can read."""

from __future__ import annotations

import io
import itertools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from src.model_utils.files import binary_lines, decode, open_binary
from src.model_utils.runtime import UserError
from src.tagging import OUTSIDE, Step, illegal_step, iob1_to_bio, split_tag, steps_of
from src.text_units import BLANKS

KNOWN_LINES = 2**16  # that are remembered
DOCUMENT_START = "-DOCSTART-"
SENTENCE = "sentence"  # the kind of its lines
REST = "ME"  # prefixes of tags within an entity
CHUNK = 2**22  # bytes of a file that a process reads at once


@dataclass(frozen=True)
class Sentence:
    """One sentence: its characters (or words), the tag of each, and its line in the file; a raw text has no tags."""

    characters: list[str]
    tags: list[str]
    lines: list[int]


class Chunk(NamedTuple):
    """Whole sentences of a file, the first of which is at line `number`, and what is known of the tags of the file."""

    path: Path
    number: int
    data: bytes
    scheme: str = ""
    is_iob1: bool = False


def longer(longest: tuple[int, int], sentence: Sentence) -> tuple[int, int]:
    """Return size and line of the longest sentence so far."""
    size = len(sentence.tags)
    return (size, sentence.lines[0]) if size > longest[0] else longest


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Cut a file where a sentence begins that cannot be joined to the one before."""
    number, begun = 1, b""
    with open_binary(path) as file:
        while data := begun + file.read(CHUNK):
            lines, after_blank, begun = [data], False, b""
            for line in file if len(data) >= CHUNK else ():  # of which the first is the rest of one
                bare = line.removesuffix(b"\n").removesuffix(b"\r")
                if after_blank and _begins_alone(path, bare):
                    begun = line
                    break
                after_blank = len(lines) > 1 and not _kind(bare)
                lines.append(line)
            yield Chunk(path, number, data := b"".join(lines))
            number += data.count(b"\n")


def _begins_alone(path: Path, line: bytes) -> bool:
    """Whether a line behind a blank one begins a sentence, and one that is not the rest of an entity."""
    try:
        return _kind(line) == SENTENCE and _columns(path, 0, line)[1][0] not in REST
    except UserError:  # which belongs to no sentence that can be read
        return True


class Survey(NamedTuple):
    """What the lines of a chunk tell: bytes, sentences that can be read, steps of their tags, problems, joined ones."""

    size: int
    sentences: int
    steps: set[Step]
    problems: list[str]
    joined: list[int]


def survey_chunk(chunk: Chunk) -> Survey:
    """Read the lines of a chunk whose scheme is not known yet."""
    problems, joined, steps, count = [], [], set(), 0
    for sentence in _well_formed(chunk, problems, joined):
        count += 1
        steps.update(steps_of(sentence.tags))
    return Survey(len(chunk.data), count, steps, problems, joined)


def good_sentences(chunk: Chunk, problems: list[str]) -> Iterator[Sentence]:
    """Yield the sentences of a chunk whose tags are as its scheme demands, and add where others are not to problems."""
    for sentence in _well_formed(chunk, [], []):
        if chunk.is_iob1:
            sentence = replace(sentence, tags=iob1_to_bio(steps_of(sentence.tags)))
        problem = _illegal(chunk.path, sentence, chunk.scheme)
        if problem:
            problems.append(problem)
        else:
            yield sentence


def _well_formed(chunk: Chunk, problems: list[str], joined: list[int]) -> Iterator[Sentence]:
    """Yield the sentences whose lines can be read, and collect the problems of the others.

    What a blank line cuts in the middle of an entity is joined, as ResumeNER's training file needs it twice; the lines
    where that happens are collected too.
    """
    last: Sentence | None = None
    known: dict[bytes, tuple[str, str]] = {}  # columns of lines, which most lines share with others
    for begins_document, block in _blocks(chunk):
        try:
            columns = [known.get(line) or _learn_columns(known, chunk.path, number, line) for number, line in block]
        except UserError as problem:
            problems.append(str(problem))
            if last:
                yield last
            last = None  # nothing is joined over what is left out
            continue
        characters, tags = map(list, zip(*columns))
        lines = [number for number, _ in block]
        before = last.tags[-1] if last and not begins_document else OUTSIDE
        if last and before[0] in "BM" and tags[0][0] in REST and before[1:] == tags[0][1:]:
            joined.append(lines[0])
            last = Sentence(last.characters + characters, last.tags + tags, last.lines + lines)
            continue
        if last:
            yield last
        last = Sentence(characters, tags, lines)
    if last:
        yield last


def _illegal(path: Path, sentence: Sentence, scheme: str) -> str | None:
    """Return where the tags of a sentence break the scheme, None where they do not."""
    step = illegal_step(sentence.tags, scheme)
    if step is None:
        return None
    line = sentence.lines[min(step, len(sentence.tags) - 1)]
    if step == len(sentence.tags):
        return f"{path}:{line}: a sentence cannot end with '{sentence.tags[-1]}' in {scheme}"
    before = f"follow '{sentence.tags[step - 1]}'" if step else "start a sentence"
    return f"{path}:{line}: '{sentence.tags[step]}' cannot {before} in {scheme}"


def _blocks(chunk: Chunk) -> Iterator[tuple[bool, list[tuple[int, bytes]]]]:
    """Yield the numbered lines of each sentence, and whether it is the first one of a document."""
    begins_document = True
    numbered_lines = binary_lines(chunk.path, io.BytesIO(chunk.data), chunk.number)
    for name, lines in itertools.groupby(numbered_lines, lambda numbered: _kind(numbered[1])):
        if name == SENTENCE:
            yield begins_document, list(lines)
        if name:  # blank lines change nothing
            begins_document = name == DOCUMENT_START


@lru_cache(KNOWN_LINES)
def _kind(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip(BLANKS)
    return text and (DOCUMENT_START if text.startswith(DOCUMENT_START) else SENTENCE)


def _learn_columns(known: dict[bytes, tuple[str, str]], path: Path, number: int, line: bytes) -> tuple[str, str]:
    if len(known) == KNOWN_LINES:
        known.clear()
    known[line] = _columns(path, number, line)
    return known[line]


def _columns(path: Path, number: int, line: bytes) -> tuple[str, str]:
    """Split a line into character and tag, blanks around them left out; UserError for any other line."""
    text = decode(line, path, number).removeprefix("\ufeff").rstrip(BLANKS)
    columns = text.split("\t") if "\t" in text else text.split(" ")
    columns = [column.strip(BLANKS) or column for column in columns if column]  # a blank may be the character itself
    if len(columns) != 2:
        wanted = "a character and its tag, separated by one blank or tab"
        raise UserError(f"{path}:{number}: expected {wanted}, not '{text[:40]}'")
    try:
        split_tag(columns[1])
    except ValueError:
        known = "O, or B-, M-, I-, E- or S- with a type, such as B-NAME"
        raise UserError(f"{path}:{number}: unknown tag '{columns[1][:40]}', expected {known}") from None
    return columns[0], unicodedata.normalize("NFC", columns[1])  # one type however its accents are written
