"""The IMDB review corpus (Maas et al. 2011) as it is distributed: files to reviews, film-disjoint split, tokens."""

from __future__ import annotations

import html
import os
import random
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from src.model_utils.runtime import UserError, log

LABELS = ("neg", "pos")  # a review's label is the index into this tuple
SPLITS = ("train", "test", "unsup")
BAD_FILE_POLICIES = ("error", "skip")
BAD_FILES_LOGGED = 10
FILE_NAME = re.compile(r"([0-9]+)_([0-9]+)\.txt")
FILM_ID = re.compile(rb"tt[0-9]+")


@dataclass(frozen=True)
class Review:
    """One review: where it lies, its raw text, 0 negative, 1 positive or None unlabelled, its film's id if known."""

    path: str
    text: str
    label: int | None
    film: str | None


def read_reviews(aclimdb_path, split: str, on_bad_file: str = "error") -> list[Review]:
    """Read one split of an aclImdb folder: negative reviews first, each folder in the order of its files' numbers.

    `split` is train, test or unsup (train/unsup, unlabelled; an empty list where that folder is absent).
    `on_bad_file` says what becomes of empty, unreadable, non-UTF-8 and badly named files: error or skip.
    Raises UserError for another folder layout, for bad files under the policy `error`, and for url lists that are
    too short. Layout: the distribution's own README, https://ai.stanford.edu/~amaas/data/sentiment/.
    """
    if split not in SPLITS:
        raise UserError(f"split {split!r}: choose one of {', '.join(SPLITS)}")
    if on_bad_file not in BAD_FILE_POLICIES:
        raise UserError(f"--on_bad_file {on_bad_file}: choose one of {', '.join(BAD_FILE_POLICIES)}")
    root = Path(aclimdb_path)
    names = ("unsup",) if split == "unsup" else LABELS
    folders = [root / ("train" if split == "unsup" else split) / name for name in names]
    if split == "unsup" and root.is_dir() and not folders[0].is_dir():
        return []
    _check_layout(root, folders)

    reviews, bad_files = [], []
    for folder in folders:
        found, bad = _read_folder(folder)
        reviews += found
        bad_files += bad
        if not found and on_bad_file == "skip":
            raise UserError(f"{folder}: all {len(bad)} files are bad, first {bad[0][0]}: {bad[0][1]}")
    if bad_files and on_bad_file == "error":
        path, reason = bad_files[0]
        raise UserError(
            f"{path}: {reason}; bad files in {split}: {len(bad_files)}; mend them, or leave out by --on_bad_file skip"
        )
    for path, reason in bad_files[:BAD_FILES_LOGGED]:
        log(f"warning: left out {path}: {reason}")
    if bad_files:
        log(f"warning: left out {len(bad_files)} bad files of {split}, kept {len(reviews)} reviews")
    return reviews


def _check_layout(root: Path, folders: list[Path]) -> None:
    for folder in folders:
        if folder.is_dir():
            continue
        nested = root / "aclImdb"
        mend = "get the corpus by script/download_dataset.sh or check --aclimdb_path"
        if nested.is_dir():
            mend = f"did you mean {nested}?"
        raise UserError(
            f"{folder}: no such folder; expected {root}/train/pos, train/neg, test/pos and test/neg, "
            f"each holding files such as 0_9.txt; {mend}"
        )


def _read_folder(folder: Path) -> tuple[list[Review], list[tuple[str, str]]]:
    """The folder's reviews and its bad files with reasons, both in order of number (badly named files first)."""
    numbered, bad = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue  # .DS_Store and its like, left by file managers
            name = FILE_NAME.fullmatch(entry.name)
            if name:
                numbered.append((int(name[1]), int(name[2]), entry.path))
            else:
                bad.append((entry.path, "badly named, expected <number>_<rating>.txt"))
    if not numbered and not bad:
        raise UserError(f"{folder}: empty folder, it should hold reviews such as 0_9.txt; unpack the corpus again")
    bad.sort()

    label = LABELS.index(folder.name) if folder.name in LABELS else None
    films = _read_films(folder.with_name(f"urls_{folder.name}.txt"))
    reviews = []
    for number, _, path in sorted(numbered):
        text, reason = _read_text(path)
        if reason:
            bad.append((path, reason))
        else:
            reviews.append(Review(path, text, label, _film_of(number, path, films)))
    return reviews, bad


def _read_text(path: str) -> tuple[str, str]:
    """A file's text and, if it is of no use, why."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"not UTF-8 at byte {error.start}"
    except OSError as error:
        return "", f"unreadable: {error.strerror}"
    return text, "" if text.strip() else "empty"


def _read_films(path: Path) -> tuple[Path, list[str | None]] | None:
    """The url list and the film id on each of its lines, None for a line without one; None where there is no list."""
    if not path.is_file():
        return None
    ids = (FILM_ID.search(line) for line in path.read_bytes().splitlines())
    return path, [found[0].decode() if found else None for found in ids]


def _film_of(number: int, review_path: str, films: tuple[Path, list[str | None]] | None) -> str | None:
    if films is None:
        return None
    path, ids = films
    if number < len(ids) and ids[number]:
        return ids[number]
    what = "no film id such as tt0453418 on this line" if number < len(ids) else f"the file ends at line {len(ids)}"
    raise UserError(
        f"{path}:{number + 1}: {what}, but it should name the film of {review_path}; restore the file from the "
        "distribution, or remove it to do without films"
    )


def split_by_film(reviews: list[Review], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Set aside about `fraction` of the reviews for validation, with no film on both sides and the labels balanced.

    Returns the ascending indices of the training and of the validation reviews. The same reviews are chosen for a seed
    in whatever order they come. Where a film is unknown the split is random, which is logged: reviews of one film
    share names and opinions. Raises UserError where a side would lack one of the labels.
    """
    if not 0 < fraction < 1:
        raise UserError(f"validation fraction {fraction}: choose a number between 0 and 1, such as 0.1")
    # A path's end is the same wherever the corpus lies.
    order = sorted(range(len(reviews)), key=lambda i: (reviews[i].label, os.path.basename(reviews[i].path)))
    groups = defaultdict(list)
    if any(review.film is None for review in reviews):
        log(
            "warning: urls_pos.txt or urls_neg.txt is missing, so the validation split is random, not by film: "
            "validation accuracy will be overstated"
        )
        groups.update({i: [i] for i in order})
    else:
        for i in order:
            groups[reviews[i].film].append(i)
        groups = {film: groups[film] for film in sorted(groups)}

    missing = [0] * len(LABELS)  # reviews of each label that validation still lacks
    for review in reviews:
        missing[review.label] += fraction
    shuffled = list(groups.values())
    random.Random(seed).shuffle(shuffled)
    validation = []
    for group in shuffled:
        labels = [reviews[i].label for i in group]
        left = [lacking - labels.count(label) for label, lacking in enumerate(missing)]
        if sum(map(abs, left)) < sum(map(abs, missing)):  # taking this film brings both labels closer to their share
            missing = left
            validation += group
    train = set(range(len(reviews))).difference(validation)
    for side in (train, validation):
        if len({reviews[i].label for i in side}) < len(LABELS):
            raise UserError(
                f"{len(reviews)} reviews in {len(groups)} groups cannot be split into training and {fraction:.0%} "
                "validation with both labels on each side; use more reviews or another fraction"
            )
    return sorted(train), sorted(validation)


LINE_BREAK_TAG = "<br />"  # as the corpus spells it nearly always; replaced as plain text because that is fast
OTHER_TAG = re.compile(r"</?(?:br|p|hr|i|b|u|em|strong)\s*/?>", re.IGNORECASE)
# One spelling for what keyboards and old encodings spell differently; U+0085 to U+0097 are Windows-1252 bytes that
# were decoded as Latin-1, which the corpus has hundreds of.
PLAIN_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("\x91\x92‘’´", "'"),
        **dict.fromkeys("\x84\x93\x94“”„", '"'),
        **dict.fromkeys("\x96\x97–—", "--"),
        **dict.fromkeys("\x85…", "..."),
        **dict.fromkeys("\xad\u200b\ufeff", None),  # invisible
    }
)
LONG_RUNS = (("....", "..."), ("---", "--"), ("!!!!", "!!!"), ("????", "???"))
TOKEN = re.compile(
    r"""
    [a-z]+(?![\w'.])                                                # most words, without trying what follows
  | [a-z]\.(?:[a-z]\.)+                                             # u.s. a.k.a.
  | (?:mrs?|ms|dr|jr|sr|st|vs)\.
  | n't\b
  | \d+(?:[.,]\d+)*(?:/\d+(?:\.\d+)?)?(?![^\W_])                    # 10 7.5 1,000 8/10 7.5/10
  | [^\W_]+(?:'(?!(?:s|re|ve|d|ll|m)\b)[^\W_]+)*                    # café 1980s o'brien
  | '(?:s|re|ve|d|ll|m|em)\b
  | [:;=]['o^-]?[()\[\]dp/\\|]+(?![\w/])                            # :) ;-) :d but not the start of ://
  | [!?]+ | \.+ | -+ | \*+
  | [^\w\s]
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """Lower-case tokens of a review, spelt as in glove.6B, which the Stanford Penn Treebank tokenizer prepared.

    Line breaks in HTML become white space, entities characters, accents composed (NFC). Contractions are split
    (do n't, it 's, can not), hyphenated words too; a rating (8/10), an emoticon, an abbreviation (u.s.) and a run of
    ! ? . - or * is one token. Long runs are shortened.
    """
    text = text.replace(LINE_BREAK_TAG, " ")
    if "<" in text:
        text = OTHER_TAG.sub(" ", text)
    text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(PLAIN_PUNCTUATION)
    text = text.lower().replace("`", "'").replace("''", '"').replace("n't", " n't").replace("cannot", "can not")
    for long, short in LONG_RUNS:
        while long in text:
            text = text.replace(long, short)
    return TOKEN.findall(text)
