"""Exact perplexity of both directions on converted text."""

from __future__ import annotations

import time

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.data.reader import Corpus
from src.data.vocabulary import BEGIN, END, Vocabulary
from src.dataset import WordTable
from src.loss import FullLoss
from src.model_options import ModelOptions
from src.network import LanguageModel


class Evaluator:
    """Scores text with the softmax over the whole vocabulary, in rows whose state is carried from step to step."""

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary, options: ModelOptions, rows: int, multiples):
        self.options, self.rows = options, rows
        self.loss = FullLoss(model)
        self.table = WordTable(vocabulary, options, multiples)

    def perplexity(self, corpus: Corpus) -> dict:
        """Return the perplexities of both directions, that of their mean log probability, and the tokens per second.

        Counted are the words and the mark that ends a sentence in the order of reading. The mark that begins the next
        one is not: it always follows, so its probability of 1 would flatter.
        """
        self.loss.set_train(False)
        sums, counts, seconds, seen = np.zeros(2), np.zeros(2), 0.0, 0
        for number in range(len(corpus.shard_tokens)):
            shard = corpus.shard(number)
            self.table.use(shard)
            state = self._empty_state()
            for k, (texts, targets, real) in enumerate(stretches(shard.ids, self.rows, self.options.unroll_steps)):
                classes = [self.table.targets(target) for target in targets]
                weights = np.stack([(c != mark) & real for c, mark in zip(classes, (BEGIN, END))]).reshape(2, -1)
                short, long, indices = self.table.index(*texts)
                inputs = [short, long, *indices, *(c.reshape(-1).astype(np.int32) for c in classes)]
                start = time.perf_counter()
                losses, *state = self.loss(*[Tensor(np.ascontiguousarray(array)) for array in inputs], *state)
                losses = losses.asnumpy().astype(np.float64)
                if k:  # the first compiles
                    seconds, seen = seconds + time.perf_counter() - start, seen + int(real.sum())
                sums += (losses * weights).sum(1)
                counts += weights.sum(1)
        forward, backward = sums / np.maximum(counts, 1)
        return {
            "perplexity": float(np.exp((forward + backward) / 2)),
            "perplexity_forward": float(np.exp(forward)),
            "perplexity_backward": float(np.exp(backward)),
            "tokens": int(counts[0]),
            "tokens_per_second": round(seen / seconds) if seen else None,
        }

    def _empty_state(self) -> list[Tensor]:
        shape = 2, self.options.n_layers, self.rows
        sizes = self.options.projection_dim, self.options.lstm_dim
        return [Tensor(np.zeros((*shape, size), np.float32), ms.float32) for size in sizes]


def stretches(ids: np.ndarray, rows: int, steps: int):
    """Divide a text into `rows` stretches and yield (forward and backward text, their targets, real) by `steps` tokens.

    All arrays are (T, B) in reading order. `real` is False behind the end of a stretch. Each pair of neighbours is
    predicted once in each direction.
    """
    pairs = len(ids) - 1
    length = -(-pairs // rows)
    place = np.arange(-(-length // steps) * steps)[:, None]  # (steps of all batches, 1)
    start = np.arange(rows) * length  # (B,)
    end = np.minimum(start + length, pairs)  # (B,), of the pairs that a row predicts
    real = place < end - start
    ahead = np.clip(start + place, 0, pairs - 1)
    back = np.clip(end - 1 - place, 0, pairs - 1)
    for first in range(0, len(place), steps):
        here = slice(first, first + steps)
        texts = ids[ahead[here]], ids[back[here] + 1]
        yield texts, (ids[ahead[here] + 1], ids[back[here]]), real[here]
