"""The hypotheses of a beam search: some sentences side by side, extended by a token at a time in NumPy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from src.tokenization import BOS, EOS

BLOCK = 64  # tokens whose maximum decides whether one of them can be among the best


class Hypothesis(NamedTuple):
    """A finished hypothesis: ids without the end token, ln p normalised by the length, ln p, and attention (T, S).

    The attention has rows for the ids and the end, where there is one, columns for the source and its end.
    """

    ids: list[int]
    score: float
    log_prob: float
    attention: np.ndarray


def length_penalty(length: int | np.ndarray, alpha: float) -> float | np.ndarray:
    """Return what divides ln p of a hypothesis of that many tokens, its end included (Wu et al. 2016, eq. 14)."""
    return ((5.0 + length) / 6.0) ** alpha


def best_extensions(log_probs: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return the `count` best sums scores[b, k] + log_probs[b, k, v] of each b: sums, k and v (B, count), best first.

    log_probs (B, K, V), scores (B, K). The best tokens stand in the blocks of the best maxima, so only those blocks are
    looked through.
    """
    slots, _, size = log_probs.shape
    maxima = np.maximum.reduceat(log_probs, np.arange(0, size, BLOCK), 2) + scores[:, :, None]
    chosen = _largest(maxima.reshape(slots, -1), count)
    row, block = np.divmod(chosen[:, :, None], maxima.shape[2])  # (B, count, 1)
    slot, token = np.arange(slots)[:, None, None], block * BLOCK + np.arange(BLOCK)  # token (B, count, BLOCK)
    lacking, token = token >= size, np.minimum(token, size - 1)  # of the last block
    sums = log_probs[slot, row, token] + scores[slot, row]
    sums[lacking] = -np.inf
    columns = [np.broadcast_to(array, token.shape).reshape(slots, -1) for array in (sums, row, token)]
    best = _largest(columns[0], count)
    return tuple(np.take_along_axis(column, best, 1) for column in columns)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` largest values of each row, or of all if there are less, largest first."""
    count = min(count, values.shape[1])
    places = np.argpartition(values, -count, 1)[:, -count:]
    order = np.argsort(-np.take_along_axis(values, places, 1), 1, kind="stable")
    return np.take_along_axis(places, order, 1)


class Slots:
    """The sentences of one padded length that are searched side by side, B slots of K hypotheses."""

    def __init__(self, search, sources, slots: int, beam: int, n_best: int):
        self.search, self.sources, self.n_best = search, sources, n_best
        self.sentence = np.full(slots, -1)  # place in sources; -1 for an empty slot
        self.steps, self.limits = np.zeros(slots, int), np.ones(slots, int)
        self.scores = np.full((slots, beam), -np.inf, np.float32)  # ln p; -inf for no hypothesis
        self.tokens = np.full((slots, beam), BOS, np.int32)
        self.finished: list[list[Hypothesis]] = [[] for _ in range(slots)]  # best first
        self.arrays: list[np.ndarray] = []  # state and memory, (B, K, ...)
        self.memory = []  # where the decoder reads it

    def run(self, order: list[int], length: int) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield (place in sources, its hypotheses) as they are finished; sources are padded to `length`."""
        slots, waiting = len(self.sentence), len(order)
        # of each step the tokens (B, K), the places of the hypotheses that they extend, and the attention of those
        self.trace = deque(maxlen=max((self.search.limit(self.sources[i]) for i in order), default=0))
        queue = self.search.encoded(self.sources, order, length, slots)
        while waiting or (self.sentence >= 0).any():
            empty = np.flatnonzero(self.sentence < 0)
            if waiting and len(empty) >= min(waiting, -(-slots // 8)):  # putting the memory anew has its price, too
                self._fill(empty, queue)
                waiting -= min(waiting, len(empty))
            for place in np.flatnonzero(self._step()):
                yield int(self.sentence[place]), self.finished[place][: self.n_best]
                self.sentence[place] = -1
                self.scores[place] = -np.inf

    def _fill(self, empty: np.ndarray, queue) -> None:
        """Begin the next sentences of the queue in the empty slots."""
        for place, (i, arrays) in zip(empty, queue):
            self.arrays = self.arrays or [np.zeros((*self.scores.shape, *new.shape), new.dtype) for new in arrays]
            for array, new in zip(self.arrays, arrays):
                array[place] = new
            self.sentence[place], self.limits[place] = i, self.search.limit(self.sources[i])
            self.steps[place], self.finished[place] = 0, []
            self.scores[place, 0], self.tokens[place] = 0.0, BOS
        self.memory = [self.search.put(array.reshape(-1, *array.shape[2:])) for array in self.arrays[1:]]

    def _step(self) -> np.ndarray:
        """Extend every hypothesis by a token; returns which slots (B,) are finished."""
        slots, beam = self.scores.shape
        state = self.arrays[0]
        log_probs, after, weights = self.search.step(
            self.tokens.reshape(-1), state.reshape(-1, *state.shape[2:]), *self.memory
        )
        log_probs[:, list(self.search.forbidden)] = -np.inf
        values, rows, ids = best_extensions(log_probs.reshape(slots, beam, -1), self.scores, beam)
        counts = np.array([len(hypotheses) for hypotheses in self.finished])
        values[np.arange(beam) >= (beam - counts)[:, None]] = -np.inf  # the finished ones keep their places
        self.arrays[0] = after.reshape(state.shape)[np.arange(slots)[:, None], rows]
        self.tokens = ids.astype(np.int32)
        self.trace.append((ids, rows, weights.reshape(slots, beam, -1)))
        self.steps += 1
        ended = ((ids == EOS) | (self.steps >= self.limits)[:, None]) & (values > -np.inf)
        for slot, row in np.argwhere(ended):
            self.finished[slot].append(self._hypothesis(slot, row, float(values[slot, row])))
            self.finished[slot].sort(key=lambda hypothesis: -hypothesis.score)
        values[ended] = -np.inf
        self.scores = values
        # ln p only falls and the divisor only grows, up to that of the greatest length
        bound = values.max(1) / length_penalty(self.limits, self.search.alpha)
        worst = [done[self.n_best - 1].score if len(done) >= self.n_best else -np.inf for done in self.finished]
        return (self.sentence >= 0) & ((bound <= worst) | (self.steps >= self.limits))

    def _hypothesis(self, slot: int, row: int, log_prob: float) -> Hypothesis:
        """Return the hypothesis that has just ended in a row, back through the trace."""
        length = int(self.steps[slot])
        ids, attention = [], []
        for tokens, rows, weights in islice(reversed(self.trace), length):
            ids.append(int(tokens[slot, row]))
            row = rows[slot, row]
            attention.append(weights[slot, row, : len(self.sources[self.sentence[slot]]) + 1])
        ids = [i for i in reversed(ids) if i != EOS]
        score = log_prob / float(length_penalty(length, self.search.alpha))
        return Hypothesis(ids, score, log_prob, np.array(attention[::-1]))
