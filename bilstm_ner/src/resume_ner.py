"""Tagged corpora as ResumeNER is distributed (Zhang & Yang 2018): `character TAG` lines, a blank line after a sentence.

Any two-column CoNLL file in UTF-8 will do, in any language: the first column is a character, or a word in a corpus of
words.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from src.model_utils.files import PROBLEMS_LOGGED, report_bad
from src.model_utils.processes import map_in_processes
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, log
from src.tagged_lines import Chunk, Sentence, good_sentences, longer, read_chunks, survey_chunk
from src.tagging import OUTSIDE, iob1_to_bio, is_iob1, resolve_scheme

SPLITS = {"train": ("train",), "dev": ("dev", "valid", "val"), "test": ("test",)}  # split -> names of its file
LONG_SENTENCE = 1000  # characters; a longer one is worth a warning
Answer = TypeVar("Answer")


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
    `skipped`. `sentences` is the number of those that can be read, `workers` that of processes for `map_chunks`.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        on_bad_input: str = "error",
        scheme: str | None = None,
        in_memory: bool = False,
        workers: int = 1,
    ):
        self.path, self.on_bad_input, self.workers, self.skipped = Path(path), on_bad_input, workers, 0
        self._kept = list(read_chunks(self.path)) if in_memory else None
        self.scheme, self.is_iob1 = "", False
        self.sentences, problems, joined, steps = 0, [], [], set()
        size = self.path.stat().st_size if self.path.is_file() else None
        with progress_bar(size, f"reading {self.path.name}", "B") as bar:
            for survey in self.map_chunks(survey_chunk):
                self.sentences += survey.sentences
                problems += survey.problems
                joined += survey.joined
                steps |= survey.steps
                bar.update(survey.size)
        for line in joined[:PROBLEMS_LOGGED]:
            log(f"{self.path}:{line}: joined to the sentence before, which ends within an entity")
        if len(joined) > PROBLEMS_LOGGED:
            log(f"{self.path}: {len(joined)} sentences are joined to the one before")
        if not self.sentences and not problems:
            raise UserError(f"{self.path}:1: the file is empty; expected a character and its tag on each line")
        if on_bad_input == "error":
            report_bad(problems, on_bad_input, "sentences")
        self._problems = problems
        self.is_iob1 = is_iob1(steps)
        if self.is_iob1:
            log(f"{self.path}: the tags are IOB1; converted to BIO")
        try:
            tags = iob1_to_bio(steps) if self.is_iob1 else [tag for _, tag in steps]
            self.scheme = resolve_scheme(tags, scheme)
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def __iter__(self) -> Iterator[Sentence]:
        problems, longest = [], (0, 0)
        for chunk in self._chunks():
            for sentence in good_sentences(chunk, problems):
                longest = longer(longest, sentence)
                yield sentence
        self.check(problems, longest)

    def map_chunks(self, function: Callable[[Chunk], Answer]) -> Iterator[Answer]:
        """Yield function(chunk) of every chunk of the file, in order; see `map_in_processes`."""
        items = self._chunks()
        first = list(itertools.islice(items, 2))
        return map_in_processes(function, itertools.chain(first, items), self.workers if len(first) > 1 else 1)

    def _chunks(self) -> Iterator[Chunk]:
        chunks = read_chunks(self.path) if self._kept is None else self._kept
        return (chunk._replace(scheme=self.scheme, is_iob1=self.is_iob1) for chunk in chunks)

    def check(self, problems: list[str], longest: tuple[int, int]) -> None:
        """Report what `good_sentences` has found in all chunks, and the longest one of them: its size and its line."""
        problems, (size, line) = self._problems + problems, longest
        report_bad(problems, self.on_bad_input, "sentences")
        if not size:
            raise UserError(f"{self.path}: no good sentence is left, first problem: {problems[0]}")
        if size > LONG_SENTENCE:
            words = f"{size} lines are one sentence; is the blank line between sentences missing?"
            log(f"warning: {self.path}:{line}: {words}")
        self.skipped = len(problems)
