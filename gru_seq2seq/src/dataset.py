"""Sentence pairs to MindRecord and back to batches: tokenizers, conversion, a few shapes that hold them all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.config import added_later
from src.model_utils import conversion
from src.model_utils.batching import Batch, carry_over_plan, cheapest_buckets, rows_of_process
from src.model_utils.conversion import convert_once, digest_of_files, read_split
from src.model_utils.layers import dropout_keys
from src.model_utils.mindrecord import write_mindrecord
from src.model_utils.runtime import UserError, log, resolve_workers
from src.multi30k import ParallelText, find_files, has_split, read_pairs
from src.tokenization import BOS, EOS, PAD, UNK, train_tokenizers
from src.tokenizer_files import save_tokenizers

VERSION = 1  # of the files below; raise it when their content changes
TARGET_COST = 5  # source tokens that take as long as one of the target, in the default network
MOST_SLACK = 8  # of the sources that `bucket_shapes` tries
OPTIONS = ("source", "target", "tokenizer", "lossless", "lowercase", "on_bad_input")  # that the prepared data depend on
_SCHEMA = {
    "source": {"type": "string"},
    "target": {"type": "string"},
    "source_ids": {"type": "int32", "shape": [-1]},
    "target_ids": {"type": "int32", "shape": [-1]},
}


@dataclass
class Samples(ParallelText):
    """Parallel text with the ids (length,) int32 of its tokens, without beginning and end."""

    source_ids: list[np.ndarray]
    target_ids: list[np.ndarray]


class TranslationInputs(NamedTuple):
    """The inputs of the training network for S source and T target steps of B pairs, int32.

    The source ends with the end token, which its length counts. The decoder reads the beginning token and the target,
    and is to predict the target and the end token.
    """

    source: np.ndarray  # (S, B)
    source_lengths: np.ndarray  # (B,)
    target_input: np.ndarray  # (T, B)
    target_output: np.ndarray  # (T, B)
    dropout_keys: np.ndarray  # (B,)


def prepare(data_dir, preprocess_path, config) -> None:
    """Learn the tokenizers and convert train and val to MindRecord in `preprocess_path`, unless that is done."""
    convert_once(preprocess_path, _fingerprint(data_dir, config), lambda folder: _convert(data_dir, folder, config))


def _convert(data_dir, folder: Path, config) -> None:
    start = time.monotonic()
    texts = {
        split: read_pairs(data_dir, split, config.source, config.target, config.on_bad_input)
        for split in _splits(data_dir, config)
    }
    tokenizers = train_tokenizers(texts["train"].sources, texts["train"].targets, config)
    save_tokenizers(folder, tokenizers)
    sizes = [len(tokenizer) for tokenizer in tokenizers]
    joint = tokenizers[0] is tokenizers[1]
    log(f"vocabulary: {f'{sizes[0]} pieces' if joint else f'{sizes[0]} {config.source}, {sizes[1]} {config.target}'}")
    for split, text in texts.items():
        ids, counts = [], []
        for language, tokenizer, side in zip((config.source, config.target), tokenizers, (text.sources, text.targets)):
            changed = sum(not tokenizer.keeps(sentence) for sentence in side)
            if changed:
                log(f"warning: {split}: the tokenizer changes {changed} lines {language}; --lossless true keeps them")
            encoded = tokenizer.encode_all(side, resolve_workers(config.workers))
            ids.append([np.array(sentence, np.int32) for sentence in encoded])
            counts.append(_token_counts(language, ids[-1]))
        rows = (dict(zip(_SCHEMA, row)) for row in zip(text.sources, text.targets, *ids))
        write_mindrecord(folder / f"{split}.mindrecord", _SCHEMA, "tokenized sentence pairs", rows)
        log(f"{split}: {len(text)} pairs, {', '.join(counts)}")
    log(f"preprocessing took {time.monotonic() - start:.0f} s")


def _token_counts(language: str, ids: list[np.ndarray]) -> str:
    lengths = np.array([len(sentence) for sentence in ids])
    unknown = sum(int((sentence == UNK).sum()) for sentence in ids)
    details = f"{lengths.mean():.1f} a sentence, {lengths.max()} at most{f', {unknown} unknown' if unknown else ''}"
    return f"{lengths.sum()} tokens {language} ({details})"


def _splits(data_dir, config) -> list[str]:
    return ["train", *(["val"] if has_split(data_dir, "val", config.source, config.target) else [])]


def _fingerprint(data_dir, config) -> dict:
    """What the preprocessed files depend on: names and sizes of the sources, options, version of the format."""
    splits = _splits(data_dir, config)
    files = [file for split in splits for file in find_files(data_dir, split, config.source, config.target)]
    return {"version": VERSION, "corpus": digest_of_files((file.name, file) for file in files), **_options(config)}


def _options(config) -> dict:
    size = "vocab_size" if config.tokenizer == "sentencepiece" else "min_count"
    return {key: config[key] for key in (*OPTIONS, size)}


def check_prepared(preprocess_path, config) -> None:
    """Raise UserError where the data in a folder were prepared with other settings than the configuration's."""
    conversion.check_prepared(preprocess_path, _options(config), "data_dir", added_later)


def load_samples(preprocess_path, split: str, missing_ok: bool = False) -> Samples:
    """Read a split that `prepare` wrote; UserError where it is missing (no samples if `missing_ok`) or damaged."""
    rows = read_split(preprocess_path, split, "give train.py --data_dir first", missing_ok)
    return Samples(*([row[column] for row in rows] for column in _SCHEMA))


def bucket_shapes(source_lengths: np.ndarray, target_lengths: np.ndarray, buckets: int) -> list[tuple[int, int]]:
    """Return at most `buckets` rising shapes (S, T) that hold all pairs of lengths (N,) with the least padding.

    A bucket takes the pairs whose target, or source less some slack, whichever is longer, has a length of some
    interval. A dynamic programme finds the intervals for each slack. Slack pays because padding of targets, which the
    decoder and the output layer multiply with far more weights, costs more than that of sources.
    """
    tried = (_shapes_with_slack(source_lengths, target_lengths, buckets, slack) for slack in range(MOST_SLACK + 1))
    return min(tried, key=lambda candidate: candidate[0])[1]


def _shapes_with_slack(source_lengths, target_lengths, buckets: int, slack: int) -> tuple[float, list]:
    """Return the cost of all pairs in the best shapes for this slack, and the shapes."""
    longer = np.maximum(source_lengths - slack, target_lengths)
    ends, counts = np.unique(longer, return_counts=True)
    # the shape of a bucket that ends at each of the lengths
    shapes = [tuple(int(side[longer <= end].max()) for side in (source_lengths, target_lengths)) for end in ends]
    costs = np.array([source + TARGET_COST * target for source, target in shapes])
    cost, chosen = cheapest_buckets(costs, counts, buckets)
    return cost, [shapes[end] for end in chosen]


class TrainingBatches:
    """Shuffled batches of a few fixed shapes; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. Each batch has `batch_size` rows, of which a
    data-parallel process takes every size-th. What does not fill a batch of a bucket moves on to the bucket of the next
    longer pairs, and the last batch of all is filled up with rows that have no target, so every pair is in every epoch
    once. With `subword_sampling` the segmentations are drawn anew for each epoch (Kudo 2018).
    """

    def __init__(self, samples: Samples, config, rank: int = 0, size: int = 1, tokenizers=None):
        self.rows = rows_of_process(config.batch_size, rank, size)
        self.config, self.tokenizers = config, tokenizers
        kept = np.flatnonzero((_lengths(samples.source_ids, samples.target_ids) <= config.max_length).all(0))
        self.left_out = len(samples) - len(kept)
        if not len(kept):
            raise UserError(f"no training pair is at most {config.max_length} tokens long; raise --max_length")
        self.samples = Samples(*([column[i] for i in kept] for column in vars(samples).values()))
        limits = (config.max_length, config.max_length)
        self.shapes = bucket_shapes(*_lengths(*self.segmented(0, limits)), config.buckets)
        if config.subword_sampling:  # the best segmentation, which takes the place of what is too long, fits always
            longest = _lengths(self.samples.source_ids, self.samples.target_ids).max(1)
            self.shapes[-1] = tuple(max(pair) for pair in zip(self.shapes[-1], longest.tolist()))
        self.steps_per_epoch = -(-len(self.samples) // config.batch_size)

    @property
    def tokens(self) -> int:
        """Source and target tokens of an epoch, the ends included."""
        return int(_lengths(self.samples.source_ids, self.samples.target_ids).sum())

    def segmented(self, epoch: int, limits: tuple[int, int]) -> tuple[list, list]:
        """Return the source ids and the target ids of an epoch.

        A drawn pair that is longer than `limits`, the ends included, has its best segmentation instead.
        """
        best, alpha = (self.samples.source_ids, self.samples.target_ids), self.config.subword_sampling
        if not alpha:
            return best
        seeds = np.random.SeedSequence([self.config.seed, epoch]).generate_state(2)
        texts = self.samples.sources, self.samples.targets
        drawn = [t.sample_all(side, alpha, int(seed)) for t, side, seed in zip(self.tokenizers, texts, seeds)]
        fits = (_lengths(*drawn) <= np.array(limits)[:, None]).all(0)
        return tuple([new if fit else old for new, old, fit in zip(*sides, fits)] for sides in zip(drawn, best))

    def plan(self, lengths: np.ndarray, epoch: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
        """Return for each step the indices of its pairs, and the shape; lengths (2, N) fit into the last bucket."""
        fits = np.array([(lengths <= np.array(shape)[:, None]).all(0) for shape in self.shapes])
        place, rows = fits.argmax(0), self.config.batch_size
        buckets = [(np.flatnonzero(place == number), rows, shape) for number, shape in enumerate(self.shapes)]
        return carry_over_plan(buckets, [self.config.seed, epoch], keep_rest=True)

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        sides = self.segmented(epoch, self.shapes[-1])
        lengths = _lengths(*sides)
        plan = self.plan(lengths, epoch)
        rows = len(range(self.config.batch_size)[self.rows])
        for step in range(first_step, len(plan)):
            chosen, shape = plan[step]
            keys = dropout_keys(self.config.seed, (epoch - 1) * len(plan) + step, self.config.batch_size)
            source_ids, target_ids = ([side[i] for i in chosen[self.rows]] for side in sides)
            inputs = TranslationInputs(*pad_pairs(source_ids, target_ids, *shape, rows), keys[self.rows])
            yield Batch(inputs, len(chosen), int(lengths[:, chosen].sum()))


def _lengths(source_ids, target_ids) -> np.ndarray:
    """Return (2, N): the lengths of sources and targets, their end included."""
    return np.array([[len(ids) + 1 for ids in side] for side in (source_ids, target_ids)])


def pad(sequences, steps: int, rows: int) -> np.ndarray:
    """Collate sequences of ids into (T, B), int32; rows without a sequence are padding."""
    ids = np.full((steps, rows), PAD, np.int32)
    for row, sequence in enumerate(sequences):
        ids[: len(sequence), row] = sequence
    return ids


def pad_sources(source_ids, steps: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sources (S, B) with their end, and lengths (B,), int32; rows that are left over are an end."""
    sources = [[*ids, EOS] for ids in source_ids] + [[EOS]] * (rows - len(source_ids))
    return pad(sources, steps, rows), np.array([len(ids) for ids in sources], np.int32)


def pad_pairs(source_ids, target_ids, source_steps: int, target_steps: int, rows: int) -> tuple[np.ndarray, ...]:
    """Collate ids into source (S, B), source_lengths (B,), target_input (T, B), target_output (T, B), int32.

    Rows without a pair have a source of one token, the end, and no target.
    """
    target_input = pad([[BOS, *ids] for ids in target_ids], target_steps, rows)
    target_output = pad([[*ids, EOS] for ids in target_ids], target_steps, rows)
    return (*pad_sources(source_ids, source_steps, rows), target_input, target_output)
