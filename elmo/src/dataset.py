"""Shards to batches: rows of running text for both directions, and the sampled classes of a step.

All is a pure function of (seed, epoch, step), so that a resumed training continues as the uninterrupted one would have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from src.data.reader import Corpus, Shard
from src.data.token_indexer import encode_words, group_words
from src.data.vocabulary import UNKNOWN, Vocabulary
from src.model_options import ModelOptions
from src.model_utils.batching import Batch
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import UserError
from src.ops.sampled_softmax import LogUniformSampler, sampled_rows
from src.random_streams import ORDER_OF_DOCUMENTS, ORDER_OF_SHARDS, SAMPLED_CLASSES


class TrainingInputs(NamedTuple):
    """The inputs of a training step: the distinct words of a window, and the window as rows of their table."""

    char_ids: np.ndarray  # (N, w) int32, short words
    long_char_ids: np.ndarray  # (M, W) int32
    forward_index: np.ndarray  # (T, B) int32
    backward_index: np.ndarray  # (T, B) int32
    forward_target: np.ndarray  # (T * B,) int32, rows of `classes`
    backward_target: np.ndarray
    classes: np.ndarray  # (R,) int32, classes of the softmax that the step touches
    log_expected: np.ndarray  # (R,) float32, see ops/sampled_softmax.py
    restart: np.ndarray  # (1,) float32, 1 where the text begins and the state is zero
    dropout_keys: np.ndarray  # (2, B) int32


def shuffled(shard: Shard, seed) -> np.ndarray:
    """Return the ids of a shard with its documents in an order that the seed decides."""
    documents = np.split(shard.ids, shard.starts[1:])
    return np.concatenate([documents[k] for k in np.random.default_rng(seed).permutation(len(documents))])


def steps_of(tokens: int, rows: int, steps: int) -> int:
    """Return how many full batches a text gives: every row reads its own stretch, and each token has a next one."""
    return (tokens - 1) // rows // steps


def unroll(ids: np.ndarray, rows: int, steps: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide a text into `rows` stretches and yield (text, target) of `steps` tokens each, from window `first` on.

    Both are ids (2, T, B), forward and backward, each in its order of reading; a target is the next token. The backward
    direction reads the same stretches from their ends, so both directions share the rarer words.
    """
    count = steps_of(len(ids), rows, steps)
    position = np.arange(count * steps + 1)[:, None] + np.arange(rows) * count * steps  # (count * steps + 1, B)
    both = ids[np.stack((position, position[::-1]))]
    for start in range(first * steps, count * steps, steps):
        yield both[:, start : start + steps], both[:, start + 1 : start + steps + 1]


def unroll_all(ids: np.ndarray, rows: int, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Divide a text into `rows` stretches, leaving out none of it, and yield (text, target, real) by `steps` tokens.

    Text and target as those of `unroll`; `real` (T, B) is False behind the end of a stretch. Each pair of neighbours is
    predicted once in each direction.
    """
    pairs = len(ids) - 1
    length = -(-pairs // rows)
    position = np.arange(-(-length // steps) * steps)[:, None]  # (steps of all windows, 1)
    start = np.arange(rows) * length  # (B,)
    end = np.minimum(start + length, pairs)  # (B,), of the pairs that a row predicts
    real = position < end - start
    ahead = np.clip(start + position, 0, pairs - 1)
    back = np.clip(end - 1 - position, 0, pairs - 1)
    text, target = ids[np.stack((ahead, back + 1))], ids[np.stack((ahead + 1, back))]
    for first in range(0, len(position), steps):
        here = slice(first, first + steps)
        yield text[:, here], target[:, here], real[here]


class WordTable:
    """Character ids of the vocabulary and of the unknown words of the current shard."""

    def __init__(self, vocabulary: Vocabulary, options: ModelOptions, multiples: tuple[int, int]):
        self.options, self.multiples, self.size = options, multiples, len(vocabulary)
        self.known = encode_words(vocabulary.words, options.max_characters_per_token)
        self.rows = self.known

    def use(self, shard: Shard) -> None:
        """Take the unknown words of another shard."""
        unknown = encode_words(shard.unknown, self.options.max_characters_per_token)
        self.rows = np.concatenate([self.known, unknown])

    def text_inputs(self, text: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the first four of TrainingInputs for the two directions of a text (2, T, B)."""
        distinct, inverse = np.unique(text, return_inverse=True)
        char_ids, long_char_ids, rows = group_words(self.rows[distinct], self.options.widest_filter, self.multiples)
        return char_ids, long_char_ids, *rows[inverse.reshape(text.shape)]

    def targets(self, text: np.ndarray) -> np.ndarray:
        """Return the classes of the softmax of a text: unknown words are one class."""
        return np.where(text < self.size, text, np.int32(UNKNOWN))


class TrainingBatches:
    """Batches of an epoch for this process, which owns `batch_size / size` neighbouring rows of the global batch."""

    def __init__(
        self,
        *,
        corpus: Corpus,
        vocabulary: Vocabulary,
        options: ModelOptions,
        seed: int,
        multiples: tuple[int, int],
        rank: int = 0,
        size: int = 1,
    ):
        self.corpus, self.seed = corpus, seed
        self.rows, self.unroll_steps = options.batch_size, options.unroll_steps
        if self.rows % size:
            raise UserError(f"batch_size {self.rows} does not divide among {size} processes; change it")
        self.mine = slice(rank * self.rows // size, (rank + 1) * self.rows // size)
        self.steps = [steps_of(tokens, self.rows, self.unroll_steps) for tokens in corpus.shard_tokens]
        self.steps_per_epoch = sum(self.steps)
        if not self.steps_per_epoch:
            raise UserError(
                f"{corpus.path}: its shards do not fill a batch of {self.rows} rows of {self.unroll_steps} words; lower"
                " --batch_size or convert into larger shards (convert_dataset.py --shard_tokens)"
            )
        self.table = WordTable(vocabulary, options, multiples)
        self.sampler = LogUniformSampler(len(vocabulary), options.n_negative_samples_batch)
        self.positions = 2 * self.rows * self.unroll_steps

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, counted from 1, after its first `first_step` ones."""
        order = np.random.default_rng([self.seed, ORDER_OF_SHARDS, epoch]).permutation(len(self.steps))
        step = (epoch - 1) * self.steps_per_epoch
        for number in order:
            skipped = min(first_step, self.steps[number])
            first_step -= skipped
            step += skipped
            if skipped == self.steps[number]:
                continue
            shard = self.corpus.shard(number)
            self.table.use(shard)
            ids = shuffled(shard, [self.seed, ORDER_OF_DOCUMENTS, epoch, int(number)])
            for k, (text, target) in enumerate(unroll(ids, self.rows, self.unroll_steps, skipped), skipped):
                yield self._batch(text, target, restart=k == 0, step=step)
                step += 1

    def endless(self, _: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of all epochs, without an end, from the step `first_step` of the training on."""
        epoch, first = divmod(first_step, self.steps_per_epoch)
        for number in itertools.count(epoch + 1):
            yield from self(number, first if number == epoch + 1 else 0)

    def _batch(self, text: np.ndarray, target: np.ndarray, restart: bool, step: int) -> Batch:
        mine = np.s_[:, :, self.mine]
        target = self.table.targets(target)
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, SAMPLED_CLASSES, step]))
        classes, log_expected, row_of = sampled_rows(self.sampler, generator, target, self.positions)
        inputs = TrainingInputs(
            *self.table.text_inputs(text[mine]),
            *row_of[target[mine]].reshape(2, -1),
            classes=classes,
            log_expected=log_expected,
            restart=np.array([restart], np.float32),
            dropout_keys=dropout_keys(self.seed, step, 2 * self.rows).reshape(2, -1)[:, self.mine],
        )
        return Batch(TrainingInputs(*map(np.ascontiguousarray, inputs)), self.rows, self.rows * self.unroll_steps)
