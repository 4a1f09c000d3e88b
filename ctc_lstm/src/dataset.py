"""Samples to batches: label vocabulary, what can be trained on, length buckets, frame budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from src.features import spec_augment
from src.model_utils.batching import Batch, carry_over_plan, equal_buckets, longest_first
from src.model_utils.files import read_vocabulary, report_bad
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import UserError, log
from src.network import output_lengths, subsampling_of
from src.preparation import Samples
from src.random_streams import DROPOUT_KEYS
from src.timit import fold, scored

BLANK = "<blank>"  # has id 0
ROWS_MULTIPLE = 4  # of the rows of a batch, so that 1, 2 and 4 processes train on the same batches


class EvaluationInputs(NamedTuple):
    """The network's inputs for B utterances."""

    frames: np.ndarray  # (B, T, D) float32, zero behind the ends
    lengths: np.ndarray  # (B,) int32


class TrainingInputs(NamedTuple):
    """The inputs of the loss: those of the network, dropout keys, and the labels."""

    frames: np.ndarray
    lengths: np.ndarray
    dropout_keys: np.ndarray  # (B,) int32
    labels: np.ndarray  # (B, L) int32, padded ids
    label_lengths: np.ndarray  # (B,) int32


def build_vocabulary(label_lists) -> list[str]:
    """Return the labels by id: the blank, then all that occur, in alphabetical order."""
    return [BLANK, *sorted({label for labels in label_lists for label in labels})]


def load_vocabulary(path) -> list[str]:
    """Read the labels in the order of their ids, a JSON list; UserError where it is missing or no such list."""
    return read_vocabulary(path, [BLANK])


def warn_of_unseen_labels(label_lists: Iterable[Iterable[str]], known: Iterable[str], source: str) -> None:
    """Log the labels of a source that are not known, since the model cannot answer them."""
    unseen = sorted({label for labels in label_lists for label in labels}.difference(known))
    if unseen:
        log(f"warning: {source}: {', '.join(unseen)} not seen in training, so these cannot be recognised")


def scored_labels(samples: Samples, phone_set: str) -> list[tuple[str, ...]]:
    """Return the labels of samples as they are scored; UserError naming the sample of one that is no phone of TIMIT."""
    references = []
    for i, labels in enumerate(samples.labels()):
        try:
            references.append(scored(labels, phone_set))
        except UserError as error:
            raise UserError(f"{samples.name(i)}: {error}") from None
    return references


def needed_steps(labels) -> int:
    """Return the fewest output steps that hold the labels in CTC: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:]))


def training_samples(samples: Samples, config) -> Samples:
    """Return the samples that can be trained on, their labels folded to `phone_set`.

    One too short for its labels has no CTC path and an infinite loss; one without labels teaches nothing. They are
    named, and are errors or left out as `on_bad_input` says.
    """
    problems, kept, folded = [], [], []
    for i, (labels, frames) in enumerate(zip(samples.labels(), samples.lengths.tolist())):
        try:
            labels = fold(labels, config.phone_set)
        except UserError as error:
            problems.append(f"{samples.name(i)}: {error}")
            continue
        needed, steps = needed_steps(labels), output_lengths(frames, config.front_end)
        if not labels:
            problems.append(f"{samples.name(i)}: has no labels")
        elif steps < needed:
            problems.append(
                f"{samples.name(i)}: too short for its labels, which need {needed} output steps where"
                f" {frames} frames with front_end {config.front_end} give {steps}"
            )
        else:
            kept.append(i)
            folded.append(labels)
    report_bad(problems, config.on_bad_input, "utterances")
    return samples.select(kept, folded)


def pad(arrays: list[np.ndarray], multiple: int = 1, length: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Collate arrays (T_i, ...) into one (B, T, ...), zero behind their ends; returns it and the T_i (B,) int32.

    T is `length`, or the longest T_i; rounded up to a multiple of what the front end takes together.
    """
    lengths = np.array([len(each) for each in arrays], np.int32)
    steps = -(-max(length, lengths.max()) // multiple) * multiple
    padded = np.zeros((len(arrays), steps, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, each in enumerate(arrays):
        padded[row, : len(each)] = each
    return padded, lengths


def evaluation_batches(
    lengths: Sequence[int], read: Callable[[int], np.ndarray], config
) -> Iterator[tuple[np.ndarray, EvaluationInputs]]:
    """Yield (indices, inputs) of utterances: each once, the longest first, by the frame budget.

    `read` returns the frames (T_i, D) of an index.
    """
    for indices in longest_first(np.asarray(lengths), len(lengths), config.eval_frames):
        yield indices, EvaluationInputs(*pad([read(i) for i in indices], subsampling_of(config.front_end)))


class TrainingBatches:
    """Shuffled batches of about equal lengths and about `batch_frames` frames; every epoch is a pure function of it.

    The utterances are divided by length into `num_buckets` buckets of about equally many frames. A bucket's batches all
    have the same number of rows: what fits into the frame budget at its longest utterance, `batch_size` at most. What
    does not fill a batch moves on to the bucket of the next longer ones; of the last one the rest is left out, another
    one in each epoch. Call it with an epoch (from 1) and the number of steps to skip. A data-parallel process takes
    every size-th row of each batch.
    """

    def __init__(self, samples: Samples, vocabulary: list[str], config, rank: int = 0, size: int = 1):
        ids = np.array([vocabulary.index(label) for label in samples.label_names], np.int32)
        self.samples, self.lengths = samples, samples.lengths.astype(int)
        self.labels = [ids[places] for places in samples.label_ids]
        self.config, self.rank, self.size = config, rank, size
        self.multiple = subsampling_of(config.front_end)
        self.buckets = self._divide() if len(samples) else []
        self.steps_per_epoch = len(self.plan(1))
        if not self.steps_per_epoch:
            raise UserError(
                f"{len(samples)} training utterances do not fill one batch; lower --batch_size or --batch_frames"
            )

    def _divide(self) -> list[tuple[np.ndarray, int, tuple[int, int]]]:
        """Return the buckets of `carry_over_plan`; a shape is (frames, labels), zeros pad to the longest of a batch."""
        buckets, most_labels = [], 0
        for members in equal_buckets(self.lengths, self.config.num_buckets):
            longest = int(self.lengths[members[-1]])
            most_labels = max(most_labels, *(len(self.labels[i]) for i in members))  # shorter ones may move in
            rows = min(self.config.batch_size, self.config.batch_frames // longest)
            multiple = math.lcm(self.size, ROWS_MULTIPLE if rows >= ROWS_MULTIPLE else 1)
            shape = (longest, most_labels) if self.config.pad_to_bucket else (0, 0)
            buckets.append((members, max(multiple, rows // multiple * multiple), shape))
        return buckets

    def plan(self, epoch: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
        """Return for each step of an epoch the indices of its utterances, and (frames, labels) to pad them to."""
        return carry_over_plan(self.buckets, [self.config.seed, epoch])

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for step in range(first_step, len(plan)):
            indices, (longest, most_labels) = plan[step]
            keys = dropout_keys(self.config.seed, (epoch - 1) * len(plan) + step, len(indices))
            mine = slice(self.rank, None, self.size)
            frames = [self._augmented(self.samples.frames(i), epoch, key) for i, key in zip(indices[mine], keys[mine])]
            labels = [self.labels[i] for i in indices[mine]]
            inputs = TrainingInputs(*pad(frames, self.multiple, longest), keys[mine], *pad(labels, length=most_labels))
            yield Batch(inputs, len(indices), int(self.lengths[indices].sum()))

    def _augmented(self, frames: np.ndarray, epoch: int, key: int) -> np.ndarray:
        random = np.random.default_rng([self.config.seed, epoch, int(key) + DROPOUT_KEYS])
        frames = spec_augment(frames, self.config, random)
        if self.config.feature_noise:
            frames += self.config.feature_noise * random.standard_normal(frames.shape, np.float32)
        return frames
