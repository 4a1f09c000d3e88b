"""Sentence pairs to batches: a few shapes that hold them all, the plan of an epoch, segmentations drawn by the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from src.model_utils.batching import Batch, carry_over_plan, cheapest_buckets, rows_of_process
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import UserError
from src.preparation import Samples
from src.tokenization import BOS, EOS, PAD

TARGET_COST = 5  # source tokens that take as long as one of the target, in the default network
MOST_SLACK = 8  # of the sources that `bucket_shapes` tries
SEGMENTED = 2048  # pairs whose drawn segmentations show how much longer they are than the best ones
FITTING = 0.98  # share of them, of each language, that the shape of their bucket holds


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


def bucket_shapes(source_lengths: np.ndarray, target_lengths: np.ndarray, buckets: int) -> list[tuple[int, int]]:
    """Return at most `buckets` rising shapes (S, T) that hold all pairs of lengths (N,) with the least padding.

    A bucket takes the pairs whose target, or source less some slack, whichever is longer, has a length of some
    interval. A dynamic programme finds the intervals for each slack. Slack pays because padding of targets, which the
    decoder and the output layer multiply with far more weights, costs more than that of sources.
    """
    base = int(target_lengths.max()) + 1
    pairs, counts = np.unique(source_lengths.astype(int) * base + target_lengths, return_counts=True)
    tried = (_shapes_with_slack(*divmod(pairs, base), counts, buckets, slack) for slack in range(MOST_SLACK + 1))
    return min(tried, key=lambda candidate: candidate[0])[1]


def _shapes_with_slack(source_lengths, target_lengths, counts, buckets: int, slack: int) -> tuple[float, list]:
    """Return the cost of all pairs in the best shapes for this slack, and the shapes; pairs occur `counts` times."""
    longer = np.maximum(source_lengths - slack, target_lengths)
    ends, place = np.unique(longer, return_inverse=True)
    # the shape of a bucket that ends at each of the lengths
    shapes = [tuple(int(side[longer <= end].max()) for side in (source_lengths, target_lengths)) for end in ends]
    costs = np.array([source + TARGET_COST * target for source, target in shapes])
    cost, chosen = cheapest_buckets(costs, np.bincount(place, counts).astype(int), buckets)
    return cost, [shapes[end] for end in chosen]


class TrainingBatches:
    """Shuffled batches of a few fixed shapes; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. Each batch has `batch_size` rows, of which a
    data-parallel process takes every size-th. What does not fill a batch of a bucket moves on to the bucket of the next
    longer pairs, and the last batch of all is filled up with rows that have no target, so every pair is in every epoch
    once. With `subword_sampling` each step draws the segmentations of its pairs anew (Kudo 2018), while buckets and
    tokens are those of the best ones; a drawn pair that does not fit into the shape of its bucket has its best
    segmentation instead.
    """

    def __init__(self, samples: Samples, config, rank: int = 0, size: int = 1, tokenizers=None):
        self.rows = rows_of_process(config.batch_size, rank, size)
        self.samples, self.config, self.tokenizers = samples, config, tokenizers
        self.kept = np.flatnonzero((samples.lengths <= config.max_length).all(0))
        self.left_out = len(samples) - len(self.kept)
        if not len(self.kept):
            raise UserError(f"no training pair is at most {config.max_length} tokens long; raise --max_length")
        self.lengths = samples.lengths[:, self.kept]  # (2, N)
        self.shapes = bucket_shapes(*self.lengths, config.buckets)
        bucket_of = np.array([(self.lengths <= np.array(shape)[:, None]).all(0) for shape in self.shapes]).argmax(0)
        if config.subword_sampling:
            self.shapes = self._shapes_of_drawn(bucket_of)
        members = (np.flatnonzero(bucket_of == number) for number in range(len(self.shapes)))
        self.buckets = [(each, config.batch_size, shape) for each, shape in zip(members, self.shapes)]
        self.steps_per_epoch = -(-len(self.kept) // config.batch_size)

    @property
    def tokens(self) -> int:
        """Source and target tokens of an epoch, the ends included."""
        return int(self.lengths.sum())

    def _shapes_of_drawn(self, bucket_of: np.ndarray) -> list[tuple[int, int]]:
        """Return the shapes, enlarged so that they hold nearly all drawn segmentations of the pairs in each bucket."""
        random, limits = np.random.default_rng([self.config.seed, 0]), (self.config.max_length,) * 2
        chosen = random.permutation(len(self.kept))[:SEGMENTED]
        drawn = [self._ids(i, limits, chances) for i, chances in zip(chosen, random.random((len(chosen), 2)))]
        lengths = np.array([[len(ids) + 1 for ids in pair] for pair in drawn])  # (SEGMENTED, 2)
        shapes = np.array(self.shapes)
        for number in np.unique(bucket_of[chosen]):
            longest = np.quantile(lengths[bucket_of[chosen] == number], FITTING, axis=0)
            shapes[number] = np.maximum(shapes[number], np.ceil(longest))
        return [tuple(shape) for shape in np.maximum.accumulate(shapes).tolist()]

    def _ids(self, pair: int, limits: tuple[int, int], chances: Sequence[float]) -> tuple[Sequence[int], Sequence[int]]:
        """Return the source and target ids of a kept pair, drawn by two numbers in [0, 1) if they are to be.

        A drawn pair that is longer than `limits`, the ends included, has its best segmentation instead.
        """
        sample, alpha = self.samples[self.kept[pair]], self.config.subword_sampling
        if alpha:
            texts = sample.source, sample.target
            drawn = tuple(t.sample(text, alpha, chance) for t, text, chance in zip(self.tokenizers, texts, chances))
            if all(len(ids) < limit for ids, limit in zip(drawn, limits)):
                return drawn
        return sample.source_ids, sample.target_ids

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = carry_over_plan(self.buckets, [self.config.seed, epoch], keep_rest=True)
        rows = len(range(self.config.batch_size)[self.rows])
        for step in range(first_step, len(plan)):
            chosen, shape = plan[step]
            keys = dropout_keys(self.config.seed, (epoch - 1) * len(plan) + step, self.config.batch_size)
            chances = np.random.default_rng([self.config.seed, epoch, step]).random((len(chosen), 2))
            own = zip(chosen[self.rows], chances[self.rows])
            pairs = [self._ids(pair, shape, each) for pair, each in own]
            source_ids, target_ids = ([pair[side] for pair in pairs] for side in (0, 1))
            inputs = TranslationInputs(*pad_pairs(source_ids, target_ids, *shape, rows), keys[self.rows])
            yield Batch(inputs, len(chosen), int(self.lengths[:, chosen].sum()))


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
