"""Shards to unrolled batches: rows of running text for both directions, and the sampled classes of a step.

All is a pure function of (seed, epoch, step), so that a resumed training goes on as the uninterrupted one would have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.data.reader import Corpus, Shard
from src.data.token_indexer import encode_words, group_words
from src.data.vocabulary import UNKNOWN, Vocabulary
from src.model_options import ModelOptions
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError
from src.model_utils.training import Batch
from src.ops.sampled_softmax import LogUniformSampler, sampled_rows


@dataclass
class Unrolled:
    """One step of text: inputs and targets (T, B) of each direction in reading order; `restart` where a text begins."""

    forward: np.ndarray
    forward_targets: np.ndarray
    backward: np.ndarray
    backward_targets: np.ndarray
    restart: bool


def shuffled(shard: Shard, seed) -> np.ndarray:
    """Return the ids of a shard with its documents in an order that the seed decides."""
    ends = np.append(shard.starts[1:], len(shard.ids))
    order = np.random.default_rng(seed).permutation(len(ends))
    return np.concatenate([shard.ids[shard.starts[k] : ends[k]] for k in order])


def steps_of(tokens: int, rows: int, steps: int) -> int:
    """Return how many full batches a text gives: every row reads its own stretch, and each token has a next one."""
    return (tokens - 1) // rows // steps


def unroll(ids: np.ndarray, rows: int, steps: int, first: int = 0) -> Iterator[Unrolled]:
    """Divide a text into `rows` stretches and yield `steps` tokens of each at a time, from batch `first` on.

    The backward direction reads the same stretches from their ends, so both directions share the rarer words.
    """
    count = steps_of(len(ids), rows, steps)
    length = count * steps
    starts = np.arange(rows) * length
    ahead = ids[starts[:, None] + np.arange(length + 1)].T  # (length + 1, B)
    back = ids[starts[:, None] + np.arange(length, -1, -1)].T  # (length + 1, B)
    for k in range(first, count):
        here, there = slice(k * steps, (k + 1) * steps), slice(k * steps + 1, (k + 1) * steps + 1)
        yield Unrolled(ahead[here], ahead[there], back[here], back[there], k == 0)


class WordTable:
    """Character ids of the vocabulary and of the unknown words of the shard at hand."""

    def __init__(self, vocabulary: Vocabulary, options: ModelOptions, multiples: tuple[int, int]):
        self.options, self.multiples, self.size = options, multiples, len(vocabulary)
        self.known = encode_words(vocabulary.words, options.max_characters_per_token)
        self.rows = self.known

    def use(self, shard: Shard) -> None:
        """Take the unknown words of another shard."""
        unknown = encode_words(shard.unknown, self.options.max_characters_per_token)
        self.rows = np.concatenate([self.known, unknown])

    def index(self, *texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return the distinct words of texts (T, B) as two groups of character ids, and the texts as rows of them."""
        distinct, inverse = np.unique(np.stack(texts), return_inverse=True)
        short, long, place = group_words(self.rows[distinct], self.options.widest_filter, self.multiples)
        return short, long, list(place[inverse.reshape(len(texts), *texts[0].shape)])

    def targets(self, text: np.ndarray) -> np.ndarray:
        """Return the classes of the softmax of a text: unknown words are one class."""
        return np.where(text < self.size, text, UNKNOWN)


class TrainingBatches:
    """Batches of an epoch for this process, which owns `batch_size / size` neighbouring rows of the global batch.

    The inputs of a Batch are short and long character ids, forward and backward index (T, B), forward and backward
    target (T * B,) as rows of `classes`, classes (R,), log_expected (R,), restart (1,) and dropout_keys (2, B).
    """

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, options: ModelOptions, config, rank: int, size: int):
        self.corpus, self.seed = corpus, config.seed
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
        multiples = config.short_words_multiple, config.long_words_multiple
        self.table = WordTable(vocabulary, options, multiples)
        self.sampler = LogUniformSampler(len(vocabulary), options.n_negative_samples_batch)
        self.positions = 2 * self.rows * self.unroll_steps

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, 500, epoch]).permutation(len(self.steps))
        step = (epoch - 1) * self.steps_per_epoch
        for number in order:
            skipped = min(first_step, self.steps[number])
            first_step -= skipped
            step += skipped
            if skipped == self.steps[number]:
                continue
            shard = self.corpus.shard(number)
            self.table.use(shard)
            ids = shuffled(shard, [self.seed, 501, epoch, int(number)])
            for text in unroll(ids, self.rows, self.unroll_steps, skipped):
                yield self._batch(text, step)
                step += 1

    def stretch(self, _: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of all epochs, without an end, from the step `first_step` of the training on."""
        epoch, first = divmod(first_step, self.steps_per_epoch)
        for number in itertools.count(epoch + 1):
            yield from self(number, first if number == epoch + 1 else 0)

    def _batch(self, text: Unrolled, step: int) -> Batch:
        mine = np.s_[:, self.mine]
        short, long, indices = self.table.index(text.forward[mine], text.backward[mine])
        targets = [self.table.targets(text.forward_targets), self.table.targets(text.backward_targets)]
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 1, step]))
        classes, log_expected, place = sampled_rows(self.sampler, generator, np.concatenate(targets), self.positions)
        forward_target, backward_target = (place[target[mine]].reshape(-1) for target in targets)
        keys = dropout_keys(self.seed, step, 2 * self.rows).reshape(2, -1)[:, self.mine]
        restart = np.array([text.restart], np.float32)
        inputs = (short, long, *indices, forward_target, backward_target, classes, log_expected, restart, keys)
        return Batch(tuple(map(np.ascontiguousarray, inputs)), self.rows, self.rows * self.unroll_steps)
