"""Parallel text as Multi30k is distributed (Elliott et al. 2016): a sentence a line, `train.de` and `train.en`.

Any two UTF-8 files of one name whose endings are the languages will do, in either direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from src.model_utils.runtime import UserError, log

SPLITS = {"train": ("train",), "val": ("val", "valid", "dev"), "test": ("test", "test_2016_flickr")}  # names of files
PROBLEMS_LOGGED = 5


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


def read_pairs(data_dir, split: str, source: str, target: str, on_bad_pair: str = "error") -> ParallelText:
    """Read the pairs of a split in their order; lines may end in CRLF, a byte order mark is dropped.

    Raises UserError with file and line for files of unequally many lines, and for an empty line and bytes that are not
    UTF-8, unless `on_bad_pair` is "skip": such pairs are then left out, counted and shown.
    """
    files = find_files(data_dir, split, source, target)
    lines = [_lines(path) for path in files]
    counts = [len(side) for side in lines]
    if counts[0] != counts[1]:
        longer = files[0] if counts[0] > counts[1] else files[1]
        raise UserError(
            f"{longer}:{min(counts) + 1}: {files[0].name} has {counts[0]} lines and {files[1].name} {counts[1]}; each"
            " line must be the translation of the same line, so find the one that is missing"
        )
    if not counts[0]:
        raise UserError(f"{files[0]}:1: the file is empty; expected a sentence on each line")
    pairs, problems = ParallelText([], []), []
    for number, (source_line, target_line) in enumerate(zip(*lines), 1):
        try:
            source_text = _decode(source_line, number, files[0])
            target_text = _decode(target_line, number, files[1])
        except UserError as error:
            if on_bad_pair == "error":
                raise UserError(f"{error}; mend it, or leave such pairs out with --on_bad_pair skip") from None
            problems.append(str(error))
        else:
            pairs.sources.append(source_text)
            pairs.targets.append(target_text)
    for problem in problems[:PROBLEMS_LOGGED]:
        log(f"warning: left out a pair: {problem}")
    if problems:
        log(f"warning: left out {len(problems)} of {counts[0]} pairs of {split}")
    if not len(pairs):
        raise UserError(f"{files[0]}: no good pair is left, first problem: {problems[0]}")
    return pairs


def _lines(path: Path) -> list[bytes]:
    """Split at line feeds alone: other characters that Unicode calls line ends stand within sentences."""
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}:1: UTF-16 and not UTF-8; convert the file, by iconv -f UTF-16 -t UTF-8 {path.name}")
    lines = content.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _decode(line: bytes, number: int, path: Path) -> str:
    """Return the text of a line; UserError where it has none."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        mend = f"convert the file, such as by iconv -f ISO-8859-1 -t UTF-8 {path.name}"
        raise UserError(f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8; {mend}") from None
    if not text.strip("\0"):
        raise UserError(f"{path}:{number}: the line is empty")
    return text
