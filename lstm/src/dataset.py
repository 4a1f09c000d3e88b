"""Reviews to batches: samples that are read when they are needed, plans by length, word dropout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from src.imdb import Review, ReviewFile, split_by_film
from src.model_utils.batching import Batch, longest_first, pooled_plan, rows_of_process
from src.model_utils.conversion import open_split
from src.model_utils.layers import dropout_keys
from src.model_utils.mindrecord import Rows
from src.model_utils.runtime import UserError
from src.preparation import NO_LABEL, PADDING_ID, UNKNOWN_ID, encode
from src.tokenizer import tokenize


class Sample(NamedTuple):
    """A review as the network needs it."""

    ids: np.ndarray  # (length,) int32
    label: int = NO_LABEL  # an index into LABELS, or NO_LABEL


class Samples(Sequence[Sample]):
    """Converted reviews, or those `chosen` of them; their ids are read when they are asked for."""

    def __init__(self, rows: Rows, chosen: Sequence[int] | None = None):
        self.rows = rows
        self.chosen = np.arange(len(rows)) if chosen is None else np.asarray(chosen)
        self.lengths, self.labels = (rows.column(name)[self.chosen].astype(np.int32) for name in ("length", "label"))

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        ids = np.frombuffer(self.rows[self.chosen[index]]["ids"], np.int32)
        return Sample(ids, int(self.labels[index]))

    def files(self) -> list[ReviewFile]:
        """Return what is known of the reviews' files; a path is its last parts, such as train/pos/0_9.txt."""
        films, paths = (self.rows.column(name)[self.chosen].tolist() for name in ("film", "path"))
        return [ReviewFile(*file) for file in zip(paths, self.labels.tolist(), (film or None for film in films))]


class Inputs(NamedTuple):
    """The network's inputs for B reviews; int32."""

    words: np.ndarray  # (U,), the distinct ids of the batch
    tokens: np.ndarray  # (T, B), indices into words
    lengths: np.ndarray  # (B,)
    dropout_keys: np.ndarray  # (B,), ignored outside training


class TrainingInputs(NamedTuple):
    """The inputs of the loss: those of the network, and the labels."""

    words: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    dropout_keys: np.ndarray
    labels: np.ndarray  # (B,) int32


def labels_of(samples: Sequence[Sample]) -> np.ndarray:
    """Return the labels (N,) int32 of samples."""
    return samples.labels if isinstance(samples, Samples) else np.array([sample.label for sample in samples], np.int32)


def lengths_of(samples: Sequence[Sample], longest: int) -> np.ndarray:
    """Return the lengths (N,) of samples that are cut to `longest` tokens."""
    lengths = samples.lengths if isinstance(samples, Samples) else [len(sample.ids) for sample in samples]
    return np.minimum(lengths, longest)


def encode_reviews(reviews: Iterable[Review], vocabulary: dict[str, int]) -> list[Sample]:
    """Tokenize and encode reviews."""
    return [
        Sample(encode(tokenize(review.text), vocabulary), NO_LABEL if review.label is None else review.label)
        for review in reviews
    ]


def truncate(ids: np.ndarray, max_length: int, truncation: str) -> np.ndarray:
    """Cut a review to `max_length` tokens: its beginning ("head"), or half from each end ("head_tail").

    A review states its verdict at the beginning and at the end; the plot in between says less.
    """
    if len(ids) <= max_length:
        return ids
    head = max_length if truncation == "head" else max_length // 2
    return np.concatenate([ids[:head], ids[len(ids) - (max_length - head) :]])


def load_samples(preprocess_path: str | os.PathLike, split: str) -> Samples:
    """Open a split that `prepare` wrote; UserError where it is missing or damaged."""
    advice = "run train.py with --preprocess true and --aclimdb_path first"
    return Samples(open_split(preprocess_path, split, advice))


def split_train(files: Sequence[ReviewFile], config) -> tuple[Sequence[int], Sequence[int] | None]:
    """Split train reviews by film into those of training and of validation, None where validation_fraction is 0."""
    if not config.validation_fraction:
        return range(len(files)), None
    return split_by_film(files, config.validation_fraction, config.split_seed)


def load_train(preprocess_path: str | os.PathLike, config) -> tuple[Samples, Samples | None]:
    """Open the samples of training and of validation, as `load_samples` and `split_train` say."""
    samples = load_samples(preprocess_path, "train")
    train, valid = split_train(samples.files(), config)
    return Samples(samples.rows, train), None if valid is None else Samples(samples.rows, valid)


def pad(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collate B sequences into the words, tokens and lengths of `Inputs`.

    Looking up and projecting only distinct words is several times less work than doing so for every token.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    ids = np.full((lengths.max(), len(sequences)), PADDING_ID, np.int32)
    for column, sequence in enumerate(sequences):
        ids[: len(sequence), column] = sequence
    words, tokens = np.unique(ids, return_inverse=True)
    return words.astype(np.int32), tokens.reshape(ids.shape).astype(np.int32), lengths


def evaluation_batches(samples: Sequence[Sample], config) -> Iterator[tuple[np.ndarray, Inputs]]:
    """Yield (indices of the samples, network inputs), all samples once, the longest first."""
    for indices in longest_first(lengths_of(samples, config.max_length), config.eval_batch_size):
        sequences = [truncate(samples[i].ids, config.max_length, config.truncation) for i in indices]
        yield indices, Inputs(*pad(sequences), np.zeros(len(indices), np.int32))


class TrainingBatches:
    """Shuffled batches of similar lengths; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. A step's batch holds `batch_size` reviews, of which
    a data-parallel process takes every size-th. An epoch leaves out the up to batch_size - 1 reviews that do not fill
    a batch, different ones in each epoch.
    """

    def __init__(self, samples: Sequence[Sample], config, rank: int = 0, size: int = 1):
        self.own_rows = rows_of_process(config.batch_size, rank, size)
        if len(samples) < config.batch_size:
            raise UserError(f"{len(samples)} training reviews do not fill one batch of {config.batch_size}")
        self.samples, self.max_length, self.truncation = samples, config.max_length, config.truncation
        self.lengths, self.labels = lengths_of(samples, config.max_length), labels_of(samples)
        self.batch_size, self.word_dropout, self.seed = config.batch_size, config.word_dropout, config.seed
        self.steps_per_epoch = len(samples) // config.batch_size

    def plan(self, epoch: int) -> np.ndarray:
        """Return the sample indices of each step of an epoch, (steps, batch_size)."""
        return pooled_plan(self.lengths, self.batch_size, [self.seed, epoch])

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for step in range(first_step, len(plan)):
            indices = plan[step]
            own, dropped = indices[self.own_rows], self._dropped_words(indices, epoch, step)
            sequences = [truncate(self.samples[i].ids, self.max_length, self.truncation) for i in own]
            sequences = [np.where(each, UNKNOWN_ID, ids) for each, ids in zip(dropped[self.own_rows], sequences)]
            keys = dropout_keys(self.seed, (epoch - 1) * len(plan) + step, len(indices))
            inputs = TrainingInputs(*pad(sequences), keys[self.own_rows], self.labels[own])
            yield Batch(inputs, len(indices), int(self.lengths[indices].sum()))

    def _dropped_words(self, indices: np.ndarray, epoch: int, step: int) -> list[np.ndarray]:
        """Return which tokens of samples become the unknown word (Iyyer et al. 2015, word dropout)."""
        ends = np.cumsum(self.lengths[indices])
        random = np.random.default_rng([self.seed, epoch, step])
        return np.split(random.random(ends[-1], np.float32) < self.word_dropout, ends[:-1])
