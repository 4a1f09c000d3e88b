"""The IMDB review corpus (Maas et al. 2011) as it is distributed: files to reviews, film-disjoint split."""

from __future__ import annotations

import os
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from src.model_utils.files import report_bad
from src.model_utils.runtime import UserError, log
from src.tokenizer import tokenize

LABELS = ("neg", "pos")  # a review's label is the index into this tuple
FILE_NAME = re.compile(r"([0-9]+)_([0-9]+)\.txt")
FILM_ID = re.compile(rb"tt[0-9]+")


class ReviewFile(NamedTuple):
    """A file of the corpus."""

    path: str
    label: int | None  # an index into LABELS; None in train/unsup
    film: str | None  # its id, such as tt0453418, where the corpus names it


class Review(NamedTuple):
    """One review as the corpus has it."""

    path: str
    text: str
    label: int | None
    film: str | None


Content = tuple[str, str]  # what is made of a file's text, and the reason why it cannot be used, "" if it can
Reader = Callable[[list[str]], Iterable[Content]]  # of the files at these paths, in their order


def read_reviews(aclimdb_path: str | os.PathLike, split: str, on_bad_input: str = "error") -> list[Review]:
    """Read one split of an aclImdb folder, as `stream_reviews` yields it, all at once."""
    files = stream_reviews(aclimdb_path, split, on_bad_input, lambda paths: map(_read_text, paths))
    return [Review(file.path, text, file.label, file.film) for file, text in files]


def tokenize_file(path: str) -> Content:
    """Return the tokens of a review's file with single blanks between them, which no token has."""
    text, reason = _read_text(path)
    return " ".join(tokenize(text)), reason


def tokenize_files(paths: list[str]) -> list[Content]:
    """Return the tokens of several files."""
    return list(map(tokenize_file, paths))


def stream_reviews(
    aclimdb_path: str | os.PathLike, split: str, on_bad_input: str, read: Reader
) -> Iterator[tuple[ReviewFile, str]]:
    """Yield the files of one split with what `read` makes of them: negative reviews first, by their files' numbers.

    `split` is train, test or unsup (train/unsup, unlabelled; nothing where that folder is absent). Empty, unreadable,
    non-UTF-8 and badly named files are an error at the end, or with `on_bad_input` skip left out and listed.
    Raises UserError for another folder layout, for bad files and for url lists that are too short. Layout: the README
    of the distribution, https://ai.stanford.edu/~amaas/data/sentiment/.
    """
    root = Path(aclimdb_path)
    folders = [root / "train" / "unsup"] if split == "unsup" else [root / split / label for label in LABELS]
    if split == "unsup" and root.is_dir() and not folders[0].is_dir():
        return
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder; expected {root}/train/pos, train/neg, test/pos and test/neg with files such"
                f" as 0_9.txt; {_advice(root)}"
            )
    problems = []
    for folder in folders:
        numbered, bad = _list_folder(folder)
        label = LABELS.index(folder.name) if folder.name in LABELS else None
        urls = folder.with_name(f"urls_{folder.name}.txt")
        lines = urls.read_bytes().removesuffix(b"\n").split(b"\n") if urls.is_file() else None
        good = 0
        for (number, _, path), (content, reason) in zip(numbered, read([path for *_, path in numbered])):
            if reason:
                bad.append(f"{path}: {reason}")
                continue
            good += 1
            yield ReviewFile(path, label, lines and _film_of(number, path, urls, lines)), content
        problems += bad
        if not good and on_bad_input == "skip":
            raise UserError(f"{folder}: all {len(bad)} files are bad, first {bad[0]}")
    report_bad(problems, on_bad_input, f"files in {split}")


def _advice(root: Path) -> str:
    if (root / "aclImdb").is_dir():
        return f"did you mean {root / 'aclImdb'}?"
    if root.is_file():
        return f"{root} is a file: if it is the archive, unpack it and give the folder"
    return "get the corpus by script/download_dataset.sh or check --aclimdb_path"


def _list_folder(folder: Path) -> tuple[list[tuple[int, int, str]], list[str]]:
    """Return (number, rating, path) of the folder's reviews in their order, and what is wrong with other files."""
    numbered, bad = [], []
    for file_name in sorted(os.listdir(folder)):
        path = os.path.join(folder, file_name)
        if name := FILE_NAME.fullmatch(file_name):
            numbered.append((int(name[1]), int(name[2]), path))
        elif not file_name.startswith("."):  # .DS_Store and its like, left by file managers
            bad.append(f"{path}: badly named, expected <number>_<rating>.txt")
    if not numbered and not bad:
        raise UserError(f"{folder}: empty folder, expected reviews such as 0_9.txt; unpack the corpus again")
    return sorted(numbered), bad


def _read_text(path: str) -> Content:
    if not os.path.isfile(path):  # opening a pipe would wait for ever
        return "", "unreadable: no regular file"
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 at byte {error.start}"
    except OSError as error:
        return "", f"unreadable: {error.strerror}"
    return text, "" if text.strip() else "empty"


def _film_of(number: int, review_path: str, urls: Path, lines: list[bytes]) -> str:
    """The id of the film of a review, which line `number` + 1 of the url list names."""
    match = FILM_ID.search(lines[number]) if number < len(lines) else None
    if match:
        return match[0].decode()
    what = "no film id such as tt0453418 on this line" if number < len(lines) else f"the file ends at line {len(lines)}"
    raise UserError(
        f"{urls}:{number + 1}: {what}, but it should name the film of {review_path}; restore the file from the "
        "distribution, or remove it to do without films"
    )


def split_by_film(reviews: Sequence, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Set aside about `fraction` of the reviews for validation, with no film on both sides and the labels balanced.

    Of the reviews, or the samples made from them, path, label and film count. Returns the ascending indices of the
    training and of the validation reviews. A seed chooses the same reviews in
    whatever order they come. Where a film is unknown the split is random, which is logged: reviews of one film share
    names and opinions. Raises UserError where a side would lack one of the labels.
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation fraction {fraction}: choose a number between 0 and 1, such as 0.1")
    # A path's end is the same wherever the corpus lies.
    order = sorted(range(len(reviews)), key=lambda i: (reviews[i].label, os.path.basename(reviews[i].path)))
    by_film = all(review.film is not None for review in reviews)
    groups = defaultdict(list)
    for i in order:
        groups[reviews[i].film if by_film else i].append(i)
    shuffled = [groups[key] for key in (sorted(groups) if by_film else groups)]
    if not by_film:
        log(
            "warning: urls_pos.txt or urls_neg.txt is missing, so the validation split is random, not by film: "
            "validation accuracy will be overstated"
        )

    missing = [0.0] * len(LABELS)  # how many reviews of each label validation still lacks
    for review in reviews:
        missing[review.label] += fraction
    random.Random(seed).shuffle(shuffled)
    validation = []
    for group in shuffled:
        labels = [reviews[i].label for i in group]
        remaining = [count - labels.count(label) for label, count in enumerate(missing)]
        if sum(map(abs, remaining)) < sum(map(abs, missing)):  # this film brings the labels closer to their share
            missing = remaining
            validation += group
    train = set(range(len(reviews))).difference(validation)
    for side in (train, validation):
        if len({reviews[i].label for i in side}) < len(LABELS):
            raise UserError(
                f"{len(reviews)} reviews in {len(groups)} groups cannot be split into training and {fraction:.0%} "
                "validation with both labels on each side; use more reviews or another fraction"
            )
    return sorted(train), sorted(validation)
