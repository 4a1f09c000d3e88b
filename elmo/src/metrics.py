"""Exact perplexity of both directions on converted text."""

from __future__ import annotations

import time

import numpy as np
from mindspore import Tensor

from src.data.reader import Corpus
from src.data.vocabulary import BEGIN, END, Vocabulary
from src.dataset import WordTable, unroll_all
from src.loss import FullLoss
from src.model_options import ModelOptions
from src.model_utils import ranks
from src.network import LanguageModel


class Evaluator:
    """Scores text with the softmax over the whole vocabulary, in rows whose state is carried from step to step."""

    def __init__(
        self,
        *,
        model: LanguageModel,
        vocabulary: Vocabulary,
        options: ModelOptions,
        rows: int,
        multiples: tuple[int, int],
    ):
        self.options, self.rows = options, rows
        self.loss = FullLoss(model)
        self.table = WordTable(vocabulary, options, multiples)

    def perplexity(self, corpus: Corpus) -> dict[str, float | int | None]:
        """Return the perplexities of both directions, that of their mean log probability, and the tokens per second.

        Words count, and the mark that ends a sentence in the order of reading. The mark that begins the next sentence
        does not: it always follows, so its probability of 1 would flatter the model. Of the rows, each rank of a
        distributed training scores its share.
        """
        self.loss.set_train(False)
        own = np.array(list(ranks.share(range(self.rows))), int)
        sums, counts, seconds, timed_tokens = np.zeros(2), np.zeros(2), 0.0, 0
        for number in range(len(corpus.shard_tokens)):
            shard = corpus.shard(number)
            self.table.use(shard)
            state = [Tensor(np.zeros(shape, np.float32)) for shape in self.options.state_shapes(len(own))]
            for k, parts in enumerate(unroll_all(shard.ids, self.rows, self.options.unroll_steps)):
                if not len(own):
                    break
                text, target, real = (part[..., own] for part in parts)
                target = self.table.targets(target).reshape(2, -1)  # (2, T * B)
                inputs = *self.table.text_inputs(text), *target
                start = time.perf_counter()
                losses, *state = self.loss(*map(Tensor, map(np.ascontiguousarray, inputs)), *state)
                losses = losses.asnumpy().astype(np.float64)
                if k:  # the first compiles
                    seconds, timed_tokens = seconds + time.perf_counter() - start, timed_tokens + int(real.sum())
                weights = real.reshape(-1) & (target != [[BEGIN], [END]])  # not the mark that begins the next sentence
                sums += (losses * weights).sum(1)
                counts += weights.sum(1)
        sums, counts = np.sum(ranks.gather(sums), 0), np.sum(ranks.gather(counts), 0)
        forward, backward = sums / np.maximum(counts, 1)
        return {
            "perplexity": float(np.exp((forward + backward) / 2)),
            "perplexity_forward": float(np.exp(forward)),
            "perplexity_backward": float(np.exp(backward)),
            "tokens": int(counts[0]),
            "tokens_per_second": round(timed_tokens / seconds) if timed_tokens else None,
        }
