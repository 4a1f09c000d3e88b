"""Parallel text as Multi30k is distributed (Elliott et al. 2016): a sentence a line, `train.de` and `train.en`.

Any two UTF-8 files of one name whose endings are the languages will do, in either direction.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from src.model_utils.files import binary_lines, decode, refuse_utf16, report_bad
from src.model_utils.runtime import UserError, log

SPLITS = {"train": ("train",), "val": ("val", "valid", "dev"), "test": ("test", "test_2016_flickr")}  # names of files


@dataclass
class ParallelText:
    """Sentences and their translations, place by place."""

    sources: list[str]
    targets: list[str]

    def __len__(self) -> int:
        return len(self.sources)


def find_files(data_dir, split: str, source: str, target: str) -> tuple[Path, Path]:
    """Return the two files of a split; UserError where the folder, or one of them, is missing."""
    folder = Path(data_dir)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; check --data_dir or run script/download_dataset.sh")
    if source == target:
        raise UserError(f"--source and --target are both {source}: give two languages")
    for name in SPLITS[split]:
        files = folder / f"{name}.{source}", folder / f"{name}.{target}"
        there = [file.is_file() for file in files]
        if all(there):
            return files
        if any(there):
            raise UserError(f"{files[there.index(False)]}: no such file, only {files[there.index(True)].name} is there")
    name = f"{SPLITS[split][0]}.{source}"
    if (folder / f"{name}.gz").is_file():
        raise UserError(f"{folder / name}: no such file, only its archive; unpack that by gunzip {name}.gz")
    nested = [inner for inner in folder.iterdir() if (inner / name).is_file()]
    hint = f"; did you mean {nested[0]}?" if nested else ""
    raise UserError(f"{folder}: holds no {name} and {SPLITS[split][0]}.{target}{hint}")


def has_split(data_dir, split: str, source: str, target: str) -> bool:
    """Whether a file of the split is there, in either language."""
    return any((Path(data_dir) / f"{name}.{end}").is_file() for name in SPLITS[split] for end in (source, target))


def read_pairs(data_dir, split: str, source: str, target: str, on_bad_input: str = "error") -> ParallelText:
    """Read the pairs of a split as `stream_pairs` yields them, all at once."""
    sources, targets = zip(*stream_pairs(data_dir, split, source, target, on_bad_input))
    return ParallelText(list(sources), list(targets))


def stream_pairs(
    data_dir, split: str, source: str, target: str, on_bad_input: str = "error", report: bool = True
) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a split in their order; blanks at the ends of a line are left out and counted.

    At the end raises UserError with file and line for files of unequally many lines, and for an empty line and what is
    not UTF-8 text, unless `on_bad_input` is "skip": such pairs are left out, counted and shown. Without `report`
    nothing is said of them: the files have been read before.
    """
    files = find_files(data_dir, split, source, target)
    problems, counts, blanks, same, good, number = [], [0, 0], 0, 0, 0, 0
    for number, lines in enumerate(itertools.zip_longest(*map(_lines, files)), 1):
        if None in lines:  # the rest is read for its number of lines
            counts[lines.index(None)] = counts[lines.index(None)] or number - 1
            continue
        try:
            texts = [_decode(line, path, number) for line, path in zip(lines, files)]
        except UserError as error:
            problems.append(str(error))
            continue
        blanks += any(text.encode() != line for text, line in zip(texts, lines))
        same += texts[0] == texts[1]
        good += 1
        yield texts[0], texts[1]
    if any(counts):
        counts = [count or number for count in counts]
        longer = files[0] if counts[0] > counts[1] else files[1]
        raise UserError(
            f"{longer}:{min(counts) + 1}: {files[0].name} has {counts[0]} lines and {files[1].name} {counts[1]}; each"
            " line must be the translation of the same line, so find the one that is missing"
        )
    if not report:
        return
    report_bad(problems, on_bad_input, f"pairs in {split}")
    if not good:
        raise UserError(f"{files[0]}: no good pair is left, first problem: {problems[0]}")
    if blanks:
        log(f"{split}: blanks at the ends of lines are left out in {blanks} pairs")
    if 2 * same > good:
        log(f"warning: {same} of {good} pairs of {split} have the same text in {source} and {target}")


def _lines(path: Path) -> Iterator[bytes]:
    number = 0
    for number, line in binary_lines(path):
        if number == 1:
            refuse_utf16(line, path)  # whose line feeds are not at the ends of lines
        yield line
    if not number:
        raise UserError(f"{path}:1: the file is empty; expected a sentence on each line")


def _decode(line: bytes, path: Path, number: int) -> str:
    """Return the text of a line without blanks, or the mark of an appended file, at its ends."""
    text = decode(line, path, number).strip().lstrip("\ufeff").lstrip()
    if not text:
        raise UserError(f"{path}:{number}: the line is empty")
    return text
