"""Exact perplexity of both directions on converted text, and the words and sentences that cost most of it."""

from __future__ import annotations

import heapq
import time

import numpy as np
from mindspore import Tensor

from src.data.reader import Corpus, Shard
from src.data.vocabulary import BEGIN, END, Vocabulary
from src.dataset import WordTable, unroll_all
from src.loss import FullLoss
from src.model_options import ModelOptions
from src.model_utils import ranks
from src.model_utils.progress import progress_bar
from src.network import LanguageModel

KEPT_WORDS = 100  # of a sentence
KEPT_SENTENCES = 10


class HardestText:
    """The words and the sentences of a text that the model expected least; memory does not grow with the text.

    `words` sums up the losses of both directions by class. A sentence counts if a row reads it forward from its
    beginning to its end; of what is long the first KEPT_WORDS words are kept.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.sums, self.counts = np.zeros((2, len(vocabulary)))
        self._sentences: list[tuple[float, int, list[tuple[str, float]]]] = []  # a heap, the easiest first
        self._number = 0

    def begin(self, shard: Shard, rows: int) -> None:
        """Take the text of another shard, which its first row reads from the beginning of a sentence."""
        self._unknown = shard.unknown
        self._open: list[list | None] = [[], *[None] * (rows - 1)]  # (id, loss) of a sentence, None before the first

    def add(self, ids: np.ndarray, classes: np.ndarray, losses: np.ndarray, weights: np.ndarray) -> None:
        """Add the losses of the targets `ids`, whose classes are `classes`, where the `weights` are True.

        All are (2, T, B), forward and backward.
        """
        for name, values in (("sums", losses), ("counts", 1.0)):
            np.add.at(getattr(self, name), classes[weights], (values * weights)[weights])
        for row in range(ids.shape[2]):
            for word, loss, counts in zip(ids[0, :, row].tolist(), losses[0, :, row].tolist(), weights[0, :, row]):
                self._read(row, word, loss, bool(counts))

    def _read(self, row: int, word: int, loss: float, counts: bool) -> None:
        if word == BEGIN and not counts:
            self._open[row] = []
        elif counts and self._open[row] is not None:
            self._open[row].append((word, loss))
            if word == END:
                self._close(self._open[row])
                self._open[row] = None

    def _close(self, sentence: list[tuple[int, float]]) -> None:
        mean = sum(loss for _, loss in sentence) / len(sentence)
        self._number += 1  # so that no two compare by their words
        if len(self._sentences) < KEPT_SENTENCES or mean > self._sentences[0][0]:
            words = [(self._word(word), loss) for word, loss in sentence[:KEPT_WORDS]]
            push = heapq.heappush if len(self._sentences) < KEPT_SENTENCES else heapq.heapreplace
            push(self._sentences, (mean, self._number, words))

    def _word(self, number: int) -> str:
        known = len(self.vocabulary)
        return self.vocabulary.words[number] if number < known else self._unknown[number - known]

    def words(self, count: int, least: int) -> list[tuple[str, int, float]]:
        """Return (word, occurrences, mean loss) of the hardest words that occur `least` times, the hardest first."""
        occurrences = self.counts / 2  # each in both directions
        means = np.where(occurrences >= least, self.sums / np.maximum(self.counts, 1), -1.0)
        order = [i for i in np.argsort(-means, kind="stable")[:count].tolist() if means[i] >= 0]
        return [(self.vocabulary.words[i], round(occurrences[i]), float(means[i])) for i in order]

    def sentences(self) -> list[tuple[float, list[tuple[str, float]]]]:
        """Return (mean loss, [(word, loss)]) of the hardest sentences, the hardest first, read forward."""
        return [(mean, words) for mean, _, words in sorted(self._sentences, reverse=True)]


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

    def perplexity(
        self, corpus: Corpus, hardest: HardestText | None = None, progress: str = ""
    ) -> dict[str, float | int | None]:
        """Return the perplexities of both directions, that of their mean log probability, and the tokens per second.

        Words count, and the mark that ends a sentence in the order of reading. The mark that begins the next sentence
        does not: it always follows, so its probability of 1 would flatter the model. Of the rows, each rank of a
        distributed training scores its share. `hardest` is told every loss; `progress` names a bar on a terminal.
        """
        self.loss.set_train(False)
        own = np.array(list(ranks.share(range(self.rows))), int)
        sums, counts, seconds, timed_tokens = np.zeros(2), np.zeros(2), 0.0, 0
        with progress_bar(sum(corpus.shard_tokens) - len(corpus.shard_tokens), progress) as bar:
            for number in range(len(corpus.shard_tokens)):
                shard = corpus.shard(number)
                self.table.use(shard)
                if hardest:
                    hardest.begin(shard, len(own))
                state = [Tensor(np.zeros(shape, np.float32)) for shape in self.options.state_shapes(len(own))]
                for k, parts in enumerate(unroll_all(shard.ids, self.rows, self.options.unroll_steps)):
                    if not len(own):
                        break
                    text, ids, real = (part[..., own] for part in parts)
                    target = self.table.targets(ids).reshape(2, -1)  # (2, T * B)
                    inputs = *self.table.text_inputs(text), *target
                    start = time.perf_counter()
                    losses, *state = self.loss(*map(Tensor, map(np.ascontiguousarray, inputs)), *state)
                    losses = losses.asnumpy().astype(np.float64)
                    if k:  # the first compiles
                        seconds, timed_tokens = seconds + time.perf_counter() - start, timed_tokens + int(real.sum())
                    weights = real.reshape(-1) & (target != [[BEGIN], [END]])  # not what begins the next sentence
                    sums += (losses * weights).sum(1)
                    counts += weights.sum(1)
                    bar.update(int(real.sum()))
                    if hardest:
                        hardest.add(ids, *(values.reshape(ids.shape) for values in (target, losses, weights)))
        sums, counts = np.sum(ranks.gather(sums), 0), np.sum(ranks.gather(counts), 0)
        forward, backward = sums / np.maximum(counts, 1)
        return {
            "perplexity": float(np.exp((forward + backward) / 2)),
            "perplexity_forward": float(np.exp(forward)),
            "perplexity_backward": float(np.exp(backward)),
            "tokens": int(counts[0]),
            "tokens_per_second": round(timed_tokens / seconds) if timed_tokens else None,
        }
