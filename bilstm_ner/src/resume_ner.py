"""Tagged corpora as ResumeNER is distributed (Zhang & Yang 2018): `character TAG` lines, a blank line after a sentence.

Any two-column CoNLL file in UTF-8 will do, in any language: the first column is a character, or a word in a corpus of
words.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from src.model_utils.files import binary_lines, decode, report_bad
from src.model_utils.runtime import UserError, log
from src.tagging import OUTSIDE, illegal_step, iob1_to_bio, is_iob1, resolve_scheme, split_tag, steps_of
from src.text_units import BLANKS

SPLITS = {"train": ("train",), "dev": ("dev", "valid", "val"), "test": ("test",)}  # split -> names of its file
KNOWN_LINES = 2**16  # that are remembered
LONG_SENTENCE = 1000  # characters; a longer one is worth a warning
DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """One sentence: its characters (or words), the tag of each, and its line in the file; a raw text has no tags."""

    characters: list[str]
    tags: list[str]
    lines: list[int]


@dataclass(frozen=True)
class Corpus:
    """The sentences of a file, the scheme of their tags, and how many bad sentences were left out."""

    sentences: list[Sentence]
    scheme: str
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def tags(self) -> set[str]:
        """The different tags of all sentences."""
        return {tag for sentence in self.sentences for tag in sentence.tags}

    @property
    def has_entities(self) -> bool:
        """Whether any tag is not O."""
        return bool(self.tags - {OUTSIDE})


def find_file(data_path: str | os.PathLike, split: str) -> Path:
    """Return the file of a split: `data_path` itself, or `<split>.char.bmes` or the only `<split>.*` in that folder."""
    path = Path(data_path)
    if path.exists() and not path.is_dir():  # a file, or a pipe
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; check --data_path or run script/download_dataset.sh")
    for name in SPLITS[split]:
        if (path / f"{name}.char.bmes").is_file():
            return path / f"{name}.char.bmes"
        candidates = sorted(file for file in path.glob(f"{name}.*") if file.is_file())
        if len(candidates) > 1:
            names = ", ".join(file.name for file in candidates)
            raise UserError(f"{path}: which one is the {split} file: {names}? Leave one, or name it {name}.char.bmes")
        if candidates:
            return candidates[0]
    nested = [inner for inner in path.iterdir() if (inner / "train.char.bmes").is_file()]
    hint = f"; did you mean {nested[0]}?" if nested else ""
    raise UserError(f"{path}: holds no {split}.char.bmes, nor another {split}.* file{hint}")


def warn_of_unseen_tags(path: Path, tags: Collection[str], known: Collection[str]) -> None:
    """Log which tags of a file are not among those of the training file."""
    unseen = sorted(set(tags) - set(known))
    if unseen:
        log(f"warning: {path}: {', '.join(unseen)} not seen in training, so these cannot be predicted")


def read_corpus(path: str | os.PathLike, on_bad_input: str = "error", scheme: str | None = None) -> Corpus:
    """Read all of a tagged file, or pipe, into memory; raises what `TaggedFile` raises."""
    file = TaggedFile(path, on_bad_input, scheme, in_memory=True)
    sentences = list(file)
    return Corpus(sentences, file.scheme, file.skipped)


class TaggedFile:
    """The good sentences of a tagged file; each iteration reads it again, unless it is `in_memory`, as a pipe must be.

    Blanks or tabs separate columns, blank lines sentences, `-DOCSTART-` lines documents. `scheme` is the one that the
    tags must be of; by default it is detected. IOB1 is converted to BIO. Raises UserError, at once or at the end of an
    iteration, with file and line for a line without a tag, an unknown tag, a tag that its predecessor does not allow,
    bytes that are not UTF-8 and an empty file; with `on_bad_input` "skip" such sentences are left out and counted in
    `skipped`. `sentences` is the number of those that can be read.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        on_bad_input: str = "error",
        scheme: str | None = None,
        in_memory: bool = False,
    ):
        self.path, self.on_bad_input, self.skipped = Path(path), on_bad_input, 0
        self._problems: list[str] = []
        readable = _well_formed(self.path, self._problems)
        self._kept = list(readable) if in_memory else None
        self.sentences, steps = 0, set()
        for sentence in self._kept or readable:
            self.sentences += 1
            steps.update(steps_of(sentence.tags))
        if not self.sentences and not self._problems:
            raise UserError(f"{self.path}:1: the file is empty; expected a character and its tag on each line")
        if on_bad_input == "error":
            report_bad(self._problems, on_bad_input, "sentences")
        self._is_iob1 = is_iob1(steps)
        if self._is_iob1:
            log(f"{self.path}: the tags are IOB1; converted to BIO")
        try:
            tags = iob1_to_bio(steps) if self._is_iob1 else [tag for _, tag in steps]
            self.scheme = resolve_scheme(tags, scheme)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def __iter__(self) -> Iterator[Sentence]:
        problems, longest, line = list(self._problems), 0, 0
        for sentence in _well_formed(self.path) if self._kept is None else self._kept:
            if self._is_iob1:
                sentence = replace(sentence, tags=iob1_to_bio(steps_of(sentence.tags)))
            problem = _illegal(self.path, sentence, self.scheme)
            if problem:
                problems.append(problem)
                continue
            if len(sentence.tags) > longest:
                longest, line = len(sentence.tags), sentence.lines[0]
            yield sentence
        report_bad(problems, self.on_bad_input, "sentences")
        if not longest:
            raise UserError(f"{self.path}: no good sentence is left, first problem: {problems[0]}")
        if longest > LONG_SENTENCE:
            words = f"{longest} lines are one sentence; is the blank line between sentences missing?"
            log(f"warning: {self.path}:{line}: {words}")
        self.skipped = len(problems)


def _well_formed(path: Path, problems: list[str] | None = None) -> Iterator[Sentence]:
    """Yield the sentences whose lines can be read, and collect the problems of the others.

    What a blank line cuts in the middle of an entity is joined, as ResumeNER's training file needs it twice; that is
    logged where `problems` are asked for.
    """
    last: Sentence | None = None
    known: dict[bytes, tuple[str, str]] = {}  # columns of lines, which most lines share with others
    for begins_document, block in _blocks(path):
        try:
            columns = [known.get(line) or _learn_columns(known, path, number, line) for number, line in block]
        except UserError as problem:
            if problems is not None:
                problems.append(str(problem))
            continue
        characters, tags = map(list, zip(*columns))
        lines = [number for number, _ in block]
        before = last.tags[-1] if last and not begins_document else OUTSIDE
        if last and before[0] in "BM" and tags[0][0] in "ME" and before[1:] == tags[0][1:]:
            if problems is not None:
                log(f"{path}:{lines[0]}: joined to the sentence before, which ends within an entity")
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


def _blocks(path: Path) -> Iterator[tuple[bool, list[tuple[int, bytes]]]]:
    """Yield the numbered lines of each sentence, and whether it is the first one of a document."""
    begins_document = True
    for name, lines in groupby(binary_lines(path), lambda numbered: _kind(numbered[1])):
        if name == "sentence":
            yield begins_document, list(lines)
        if name:  # blank lines change nothing
            begins_document = name == DOCUMENT_START


@lru_cache(KNOWN_LINES)
def _kind(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip(BLANKS)
    return text and (DOCUMENT_START if text.startswith(DOCUMENT_START) else "sentence")


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
