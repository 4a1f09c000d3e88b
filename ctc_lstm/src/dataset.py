"""Samples to batches: label vocabulary, what can be trained on, length buckets, frame budget."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src import random_streams
from src.corpus import report_bad
from src.features import spec_augment
from src.model_utils.configuration import parse_json
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError, atomic_write
from src.model_utils.training import Batch
from src.network import output_lengths, subsampling_of
from src.preparation import Sample
from src.timit import fold

BLANK = "<blank>"  # has id 0
ROWS_MULTIPLE = 4  # of the rows of a batch, so that 1, 2 and 4 processes train on the same batches


class EvaluationInputs(NamedTuple):
    """Padded frames (B, T, D) float32, zero behind the ends, and their lengths (B,) int32."""

    frames: np.ndarray
    lengths: np.ndarray


class TrainingInputs(NamedTuple):
    """EvaluationInputs, dropout keys (B,), and padded label ids (B, L) with their lengths (B,); these int32."""

    frames: np.ndarray
    lengths: np.ndarray
    dropout_keys: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray


class Bucket(NamedTuple):
    """Indices of utterances of about equal lengths, the rows of a batch, and the frames and labels that it pads to."""

    members: np.ndarray
    rows: int
    frames: int
    labels: int


class PlannedStep(NamedTuple):
    """Indices of the utterances of a training step, and the frames and labels that it pads to."""

    indices: np.ndarray
    frames: int
    labels: int


def build_vocabulary(label_lists) -> list[str]:
    """Return the labels by id: the blank, then all that occur, in alphabetical order."""
    return [BLANK, *sorted({label for labels in label_lists for label in labels})]


def save_vocabulary(path, vocabulary: list[str]) -> None:
    """Write the labels in the order of their ids as a JSON list."""
    with atomic_write(path) as file:
        json.dump(vocabulary, file, ensure_ascii=False, indent=0)


def load_vocabulary(path) -> list[str]:
    """Read what `save_vocabulary` wrote; UserError where it is missing or no such list."""
    try:
        vocabulary = parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; it lies beside the checkpoint that train.py wrote, keep them together"
        ) from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; restore it from the folder of the training") from None
    if not isinstance(vocabulary, list) or vocabulary[:1] != [BLANK] or not all(isinstance(w, str) for w in vocabulary):
        raise UserError(f"{path}: not a vocabulary, expected a list of labels that starts with {BLANK}")
    return vocabulary


def unseen_labels(label_lists: Iterable[Iterable[str]], known: Iterable[str]) -> list[str]:
    """Return the labels, in alphabetical order, that occur in the lists and are not known."""
    return sorted({label for labels in label_lists for label in labels}.difference(known))


def needed_steps(labels) -> int:
    """Return the fewest output steps that hold the labels in CTC: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:]))


def training_samples(samples: list[Sample], config) -> list[Sample]:
    """Return the samples that can be trained on, their labels folded to `phone_set`.

    One too short for its labels has no CTC path and an infinite loss; one without labels teaches nothing. They are
    named, and are errors or left out as `on_bad_file` says.
    """
    problems, kept = [], []
    for sample in samples:
        try:
            sample = sample._replace(labels=fold(sample.labels, config.phone_set))
        except UserError as error:
            problems.append(f"{sample.name}: {error}")
            continue
        needed, steps = needed_steps(sample.labels), output_lengths(len(sample.frames), config.front_end)
        if not sample.labels:
            problems.append(f"{sample.name}: has no labels")
        elif steps < needed:
            problems.append(
                f"{sample.name}: too short for its labels, which need {needed} output steps where"
                f" {len(sample.frames)} frames with front_end {config.front_end} give {steps}"
            )
        else:
            kept.append(sample)
    report_bad(problems, config.on_bad_file)
    return kept


def pad_frames(frames: list[np.ndarray], multiple: int, length: int = 0) -> EvaluationInputs:
    """Collate frames (T_i, D) into a batch (B, T, D).

    T is `length`, or the longest T_i; rounded up to a multiple of what the front end takes together.
    """
    lengths = np.array([len(each) for each in frames], np.int32)
    steps = -(-max(length, lengths.max()) // multiple) * multiple
    padded = np.zeros((len(frames), steps, frames[0].shape[1]), np.float32)
    for row, each in enumerate(frames):
        padded[row, : len(each)] = each
    return EvaluationInputs(padded, lengths)


def evaluation_batches(frames: list[np.ndarray], config) -> Iterator[tuple[np.ndarray, EvaluationInputs]]:
    """Yield (indices, inputs) of frames (T_i, D): each utterance once, the longest first, by the frame budget."""
    lengths = np.array([len(each) for each in frames])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, config.eval_frames // int(lengths[order[start]]))
        chosen = order[start : start + rows]
        yield chosen, pad_frames([frames[i] for i in chosen], subsampling_of(config.front_end))
        start += rows


class TrainingBatches:
    """Shuffled batches of about equal lengths and about `batch_frames` frames; every epoch is a pure function of it.

    The utterances are divided by length into `num_buckets` buckets of about equally many frames. A bucket's batches all
    have the same number of rows: what fits into the frame budget at its longest utterance, `batch_size` at most. What
    does not fill a batch moves on to the bucket of the next longer ones; of the last one the rest is left out, another
    one in each epoch. Call it with an epoch (from 1) and the number of steps to skip. A data-parallel process takes
    every size-th row of each batch.
    """

    def __init__(self, samples: list[Sample], vocabulary: list[str], config, rank: int = 0, size: int = 1):
        ids = {label: number for number, label in enumerate(vocabulary)}
        self.frames = [sample.frames for sample in samples]
        self.labels = [np.array([ids[label] for label in sample.labels], np.int32) for sample in samples]
        self.lengths = np.array([len(frames) for frames in self.frames])
        self.config, self.rank, self.size = config, rank, size
        self.multiple = subsampling_of(config.front_end)
        self.buckets = self._divide()
        self.steps_per_epoch = len(self.plan(1))
        if not self.steps_per_epoch:
            raise UserError(
                f"{len(samples)} training utterances do not fill one batch; lower --batch_size or --batch_frames"
            )

    def _divide(self) -> list[Bucket]:
        order = np.argsort(self.lengths, kind="stable")
        frames = np.cumsum(self.lengths[order])
        parts = np.searchsorted(frames, frames[-1] * np.arange(1, self.config.num_buckets) / self.config.num_buckets)
        buckets, most_labels = [], 0
        for members in np.split(order, parts):
            if len(members):
                longest = int(self.lengths[members[-1]])
                most_labels = max(most_labels, *(len(self.labels[i]) for i in members))  # shorter ones may move in
                rows = min(self.config.batch_size, self.config.batch_frames // longest)
                multiple = math.lcm(self.size, ROWS_MULTIPLE if rows >= ROWS_MULTIPLE else 1)
                buckets.append(Bucket(members, max(multiple, rows // multiple * multiple), longest, most_labels))
        return buckets

    def plan(self, epoch: int) -> list[PlannedStep]:
        """Return the steps of an epoch in their order."""
        random = np.random.default_rng(random_streams.order(self.config.seed, epoch))
        steps, rest = [], np.zeros(0, int)
        for bucket in self.buckets:
            members = random.permutation(np.concatenate([bucket.members, rest]))
            full = len(members) // bucket.rows * bucket.rows
            batches = members[:full].reshape(-1, bucket.rows)
            steps += [PlannedStep(indices, bucket.frames, bucket.labels) for indices in batches]
            rest = members[full:]
        return [steps[i] for i in random.permutation(len(steps))]

    def one_of_each_shape(self) -> list[Batch]:
        """Return a batch of every bucket."""
        batches = {}
        for batch in self(1):
            batches.setdefault(batch.inputs.frames.shape[:2], batch)
        return list(batches.values())

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for number in range(first_step, len(plan)):
            step = plan[number]
            keys = dropout_keys(self.config.seed, (epoch - 1) * len(plan) + number, len(step.indices))
            inputs = self._inputs(step, epoch, keys)
            yield Batch(inputs, len(step.indices), int(self.lengths[step.indices].sum()))

    def _inputs(self, step: PlannedStep, epoch: int, keys: np.ndarray) -> TrainingInputs:
        """Return this process's rows of a step."""
        indices, keys = step.indices[self.rank :: self.size], keys[self.rank :: self.size]
        frames = [self._augmented(self.frames[i], epoch, key) for i, key in zip(indices, keys)]
        static = self.config.pad_to_bucket
        padded, lengths = pad_frames(frames, self.multiple, step.frames if static else 0)
        label_lengths = np.array([len(self.labels[i]) for i in indices], np.int32)
        labels = np.zeros((len(indices), step.labels if static else label_lengths.max()), np.int32)
        for row, i in enumerate(indices):
            labels[row, : len(self.labels[i])] = self.labels[i]
        return TrainingInputs(padded, lengths, keys, labels, label_lengths)

    def _augmented(self, frames: np.ndarray, epoch: int, key: int) -> np.ndarray:
        random = np.random.default_rng(random_streams.augmentation(self.config.seed, epoch, key))
        frames = spec_augment(frames, self.config, random)
        if self.config.feature_noise:
            frames += self.config.feature_noise * random.standard_normal(frames.shape, np.float32)
        return frames
