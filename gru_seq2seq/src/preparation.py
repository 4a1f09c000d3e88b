"""Parallel text to MindRecord: tokenizers are learnt and texts split once; later single pairs are read."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.config import added_later
from src.model_utils import conversion
from src.model_utils.conversion import convert_once, digest_of_files, open_split
from src.model_utils.mindrecord import SMALL_PAGE, Rows, write_mindrecord
from src.model_utils.processes import map_in_processes
from src.model_utils.progress import progress_bar, with_progress
from src.model_utils.runtime import log, resolve_workers
from src.multi30k import ParallelText, find_files, has_split, stream_pairs
from src.tokenization import UNK, Tokenizer, count_words, train_sentencepiece, words_of
from src.tokenizer_files import load_tokenizers, save_tokenizers

VERSION = 2  # of the files below; raise it when their content changes
CHUNK = 2000  # pairs that a process splits into tokens at a time
OPTIONS = ("source", "target", "tokenizer", "lossless", "lowercase", "on_bad_input")  # that the prepared data depend on
SIDES = ("source", "target")
_SCHEMA = {
    **dict.fromkeys((*SIDES, *(f"{side}_ids" for side in SIDES)), {"type": "bytes"}),
    **dict.fromkeys((f"{side}_length" for side in SIDES), {"type": "int32"}),
}


class Pair(NamedTuple):
    """Two texts, and the ids (length,) int32 of their tokens, without beginning and end."""

    source: str
    target: str
    source_ids: np.ndarray
    target_ids: np.ndarray


class Samples:
    """The pairs of a split, each read when it is asked for, and their `lengths` (2, N), ends included."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.lengths = np.stack([rows.column(f"{side}_length") for side in SIDES]).astype(np.int32) + 1

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Pair:
        row = self.rows[index]
        source, target = (bytes(row[side]).decode() for side in SIDES)
        return Pair(source, target, *(np.frombuffer(row[f"{side}_ids"], np.int32) for side in SIDES))


def prepare(data_dir, preprocess_path, config) -> None:
    """Learn the tokenizers and convert train and val to MindRecord in `preprocess_path`, unless that is done."""
    convert_once(preprocess_path, _fingerprint(data_dir, config), lambda folder: _convert(data_dir, folder, config))


def _convert(data_dir, folder: Path, config) -> None:
    start = time.monotonic()

    def pairs(split: str, report: bool = False) -> Iterator[tuple[str, str]]:
        return stream_pairs(data_dir, split, config.source, config.target, config.on_bad_input, report)

    numbers = {split: sum(1 for _ in pairs(split, report=True)) for split in _splits(data_dir, config)}
    tokenizers = _learn_tokenizers(lambda: pairs("train"), numbers["train"], config)
    save_tokenizers(folder, tokenizers)
    sizes = [len(tokenizer) for tokenizer in tokenizers]
    joint = tokenizers[0] is tokenizers[1]
    log(f"vocabulary: {f'{sizes[0]} pieces' if joint else f'{sizes[0]} {config.source}, {sizes[1]} {config.target}'}")
    for split, number in numbers.items():
        counts = np.zeros((2, 4), int)
        with progress_bar(number, f"{split}: tokens") as bar:
            rows = _encoded(pairs(split), folder, _processes(number, config), counts, bar.update)
            path = folder / f"{split}.mindrecord"
            write_mindrecord(path, _SCHEMA, "tokenized sentence pairs", rows, page_size=SMALL_PAGE)
        described = []
        for language, (tokens, longest, unknown, changed) in zip((config.source, config.target), counts.tolist()):
            if changed:
                log(f"warning: {split}: the tokenizer changes {changed} lines {language}; --lossless true keeps them")
            details = f"{tokens / number:.1f} a sentence, {longest} at most{f', {unknown} unknown' if unknown else ''}"
            described.append(f"{tokens} tokens {language} ({details})")
        log(f"{split}: {number} pairs, {', '.join(described)}")
    log(f"preprocessing took {time.monotonic() - start:.0f} s")


def _learn_tokenizers(pairs: Callable[[], Iterator], number: int, config) -> tuple[Tokenizer, Tokenizer]:
    """Return (source tokenizer, target tokenizer) learnt from so many training pairs, as the configuration says."""
    if config.tokenizer == "sentencepiece":
        chosen, learnt_from = np.ones(number, bool), config.tokenizer_pairs
        if 0 < learnt_from < number:
            chosen[np.random.default_rng(0).permutation(number)[learnt_from:]] = False
            log(f"the tokenizer learns from {learnt_from} of the {number} pairs")
        number = int(chosen.sum())
        log(f"learning the pieces of {2 * number} sentences")  # by a library that does not say how far it is
        texts = (pair[side] for side in (0, 1) for pair in itertools.compress(pairs(), chosen))
        both = train_sentencepiece(texts, config.vocab_size, config.lowercase, config.lossless)
        return both, both
    options = config.lowercase, config.lossless
    tokenizers = []
    for side, language in enumerate((config.source, config.target)):
        read = with_progress(pairs(), number, f"words of {language}")
        chunks = (([pair[side] for pair in chunk], language, *options) for chunk in _chunks(read))
        counts = Counter()
        for count in map_in_processes(count_words, chunks, _processes(number, config)):
            counts.update(count)
        tokenizers.append(words_of(counts, language, config.min_count, *options))
    return tuple(tokenizers)


def _chunks(pairs: Iterator) -> Iterator[list]:
    return iter(lambda: list(itertools.islice(pairs, CHUNK)), [])


def _processes(number: int, config) -> int:
    return min(resolve_workers(config.workers), -(-number // CHUNK))


def _encoded(
    pairs: Iterator, folder: Path, workers: int, counts: np.ndarray, progress: Callable[[int], object]
) -> Iterator[dict]:
    """Yield the rows of pairs, and fill counts (2, 4) of source and target as `_encode` has them."""
    conversion_id = time.time_ns()
    for rows, more in map_in_processes(_encode, ((folder, conversion_id, chunk) for chunk in _chunks(pairs)), workers):
        counts[:] = np.where([False, True, False, False], np.maximum(counts, more), counts + more)
        yield from rows
        progress(len(rows))


def _encode(item: tuple[Path, int, list]) -> tuple[list[dict], np.ndarray]:
    """Return the rows of pairs, and of each side: tokens, those of the longest, unknown ones, changed sentences."""
    folder, conversion_id, pairs = item
    rows, counts = [{} for _ in pairs], []
    for side, tokenizer, texts in zip(SIDES, _tokenizers(folder, conversion_id), zip(*pairs)):
        ids = [np.array(tokenizer.encode(text), np.int32) for text in texts]
        for row, text, each in zip(rows, texts, ids):
            row.update({side: text.encode(), f"{side}_ids": each.tobytes(), f"{side}_length": len(each)})
        lengths, unknown = [len(each) for each in ids], sum(int((each == UNK).sum()) for each in ids)
        changed = sum(not tokenizer.keeps(text) for text in texts)
        counts.append((sum(lengths), max(lengths), unknown, changed))
    return rows, np.array(counts)


@functools.lru_cache(1)
def _tokenizers(folder: Path, conversion_id: int) -> tuple[Tokenizer, Tokenizer]:
    return load_tokenizers(folder)  # of this conversion, as the next one may have the folder of the same name


def _splits(data_dir, config) -> list[str]:
    return ["train", *(["val"] if has_split(data_dir, "val", config.source, config.target) else [])]


def _fingerprint(data_dir, config) -> dict:
    """What the preprocessed files depend on: names and sizes of the sources, options, version of the format."""
    splits = _splits(data_dir, config)
    files = [file for split in splits for file in find_files(data_dir, split, config.source, config.target)]
    return {"version": VERSION, "corpus": digest_of_files((file.name, file) for file in files), **_options(config)}


def _options(config) -> dict:
    sizes = ("vocab_size", "tokenizer_pairs") if config.tokenizer == "sentencepiece" else ("min_count",)
    return {key: config[key] for key in (*OPTIONS, *sizes)}


def check_prepared(preprocess_path, config) -> None:
    """Raise UserError where the data in a folder were prepared with other settings than the configuration's."""
    conversion.check_prepared(preprocess_path, _options(config), "data_dir", added_later)


def load_samples(preprocess_path, split: str) -> Samples:
    """Open a split that `prepare` wrote; UserError where it is missing or damaged."""
    return Samples(open_split(preprocess_path, split, "give train.py --data_dir first"))


def load_texts(preprocess_path, split: str) -> ParallelText:
    """Read the texts of a split that `prepare` wrote, all at once; there are none where it is missing."""
    there = (Path(preprocess_path) / f"{split}.mindrecord").is_file()
    samples = load_samples(preprocess_path, split) if there else ()
    return ParallelText([sample.source for sample in samples], [sample.target for sample in samples])
