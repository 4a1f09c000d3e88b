"""The hypotheses of a beam search: some sentences side by side, extended by a token at a time in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from src.tokenization import BOS, EOS

BLOCK = 64  # tokens whose maximum decides whether one of them can be among the best


class Hypothesis(NamedTuple):
    """A finished hypothesis: ids without the end token, ln p normalised by the length, ln p.

    `aligned` has for each id the place of the source token that it attended to most, `attention` (T, S), where it was
    asked for, all weights: rows for the ids and the end, where there is one, columns for the source and its end.
    """

    ids: list[int]
    score: float
    log_prob: float
    aligned: list[int]
    attention: np.ndarray | None


def length_penalty(length: int | np.ndarray, alpha: float) -> float | np.ndarray:
    """Return what divides ln p of a hypothesis of that many tokens, its end included (Wu et al. 2016, eq. 14)."""
    return ((5.0 + length) / 6.0) ** alpha


def best_extensions(log_probs: np.ndarray, scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `count` best sums scores[b, k] + log_probs[b, k, v] of each b: sums, k and v (B, count), best first.

    log_probs (B, K, V), scores (B, K). The best tokens stand in the blocks of the best maxima, so only those blocks are
    looked through.
    """
    slots, beam, size = log_probs.shape
    blocks = size // BLOCK  # token i * blocks + j is in block j; what is left over is looked through in any case
    rest = log_probs[:, :, blocks * BLOCK :]
    sums = [(rest + scores[:, :, None]).reshape(slots, -1)]
    rows = [np.broadcast_to(np.repeat(np.arange(beam), rest.shape[2]), sums[0].shape)]
    ids = [np.broadcast_to(np.tile(np.arange(blocks * BLOCK, size), beam), sums[0].shape)]
    if blocks:
        maxima = log_probs[:, :, : blocks * BLOCK].reshape(slots, beam, BLOCK, blocks).max(2) + scores[:, :, None]
        chosen = _largest(maxima.reshape(slots, -1), min(count, beam * blocks))
        row, block = np.divmod(chosen[:, :, None], blocks)  # (B, count, 1)
        token = block + blocks * np.arange(BLOCK)  # (B, count, BLOCK)
        slot = np.arange(slots)[:, None, None]
        sums.append((log_probs[slot, row, token] + scores[slot, row]).reshape(slots, -1))
        rows.append(np.broadcast_to(row, token.shape).reshape(slots, -1))
        ids.append(token.reshape(slots, -1))
    every = np.concatenate(sums, 1)
    best = _largest(every, count)
    values = np.take_along_axis(every, best, 1)
    order = np.argsort(-values, 1, kind="stable")
    best = np.take_along_axis(best, order, 1)
    return (
        np.take_along_axis(values, order, 1),
        np.take_along_axis(np.concatenate(rows, 1), best, 1),
        np.take_along_axis(np.concatenate(ids, 1), best, 1),
    )


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` largest values of each row, in any order."""
    if count == values.shape[1]:
        return np.broadcast_to(np.arange(count), values.shape)
    return np.argpartition(values, -count, 1)[:, -count:]


class Slots:
    """The sentences of one padded length that are searched side by side, B slots of K hypotheses."""

    def __init__(self, search, sources, length: int, slots: int, beam: int, n_best: int, attention: bool):
        self.search, self.sources, self.length, self.n_best, self.attention = search, sources, length, n_best, attention
        self.slot = np.arange(slots)[:, None]
        self.sentence = np.full(slots, -1)  # place in sources; -1 for an empty slot
        self.steps, self.limits = np.zeros(slots, int), np.ones(slots, int)
        self.scores = np.full((slots, beam), -np.inf, np.float32)  # ln p; -inf for no hypothesis
        self.tokens = np.full((slots, beam), BOS, np.int32)
        self.words = np.zeros((slots, 1, length), bool)  # whether a source token is one, not the end or padding
        self.state, self.memory, self.on_device = None, [], []

    def run(self, order: list[int]) -> Iterator[tuple[int, list[Hypothesis]]]:
        """Yield (place in sources, its hypotheses) as they are finished."""
        slots, beam = self.scores.shape
        longest = max(self.search.limit(self.sources[i]) for i in order)
        self.history = np.zeros((slots, beam, longest, 2), np.int32)  # tokens, and what they attended to most
        self.weights = np.zeros((slots, beam, longest, self.length if self.attention else 0), np.float32)
        self.counts = np.zeros(slots, int)  # of finished hypotheses
        self.done_scores, self.done_log_probs = (np.full((slots, beam), -np.inf) for _ in range(2))
        self.done_lengths = np.zeros((slots, beam), int)
        self.done_history, self.done_weights = np.zeros_like(self.history), np.zeros_like(self.weights)
        queue = self.search.encoded(self.sources, order, self.length, slots)
        waiting = len(order)
        while waiting or (self.sentence >= 0).any():
            empty = np.flatnonzero(self.sentence < 0)
            if waiting and len(empty) >= min(waiting, -(-slots // 8)):  # putting the memory anew has its price, too
                waiting -= self._fill(empty, queue)
            for place in np.flatnonzero(self._step()):
                yield int(self.sentence[place]), self._result(place)
                self.sentence[place] = -1
                self.scores[place] = -np.inf

    def _fill(self, empty: np.ndarray, queue) -> int:
        """Begin the next sentences of the queue in the empty slots; returns their number."""
        slots, beam = self.scores.shape
        taken = 0
        for place, (i, state, memory) in zip(empty, queue):
            if self.state is None:
                self.state = np.zeros((slots, beam, *state.shape), state.dtype)
                self.memory = [np.zeros((slots, beam, *array.shape), array.dtype) for array in memory]
            self.state[place] = state
            for whole, array in zip(self.memory, memory):
                whole[place] = array
            self.sentence[place], self.limits[place] = i, self.search.limit(self.sources[i])
            self.steps[place] = self.counts[place] = 0
            self.scores[place, 0], self.tokens[place] = 0.0, BOS
            self.done_scores[place] = -np.inf
            self.words[place] = np.arange(self.length) < len(self.sources[i])
            taken += 1
        self.on_device = [self.search.put(array.reshape(-1, *array.shape[2:])) for array in self.memory]
        return taken

    def _step(self) -> np.ndarray:
        """Extend every hypothesis by a token; returns which slots (B,) are finished."""
        slots, beam = self.scores.shape
        state = self.state.reshape(-1, *self.state.shape[2:])
        log_probs, state, weights = self.search.step(self.tokens.reshape(-1), state, *self.on_device)
        log_probs[:, self.search.forbidden] = -np.inf
        values, rows, ids = best_extensions(log_probs.reshape(slots, beam, -1), self.scores, beam)
        values[np.arange(beam) >= (beam - self.counts)[:, None]] = -np.inf  # the finished ones keep their places
        self.state = state.reshape(self.state.shape)[self.slot, rows]
        self.tokens = ids.astype(np.int32)
        self.history = self.history[self.slot, rows]
        weights = weights.reshape(slots, beam, -1)[self.slot, rows]
        now = np.minimum(self.steps, self.history.shape[2] - 1)[:, None]
        self.history[self.slot, np.arange(beam), now, 0] = ids
        self.history[self.slot, np.arange(beam), now, 1] = (weights * self.words).argmax(2)
        if self.attention:
            self.weights = self.weights[self.slot, rows]
            self.weights[self.slot, np.arange(beam), now] = weights
        self.steps += 1
        ended = ((ids == EOS) | (self.steps >= self.limits)[:, None]) & (values > -np.inf)
        self._finish(ended, values)
        values[ended] = -np.inf
        self.scores = values
        # ln p only falls and the divisor only grows, up to that of the greatest length
        bound = values.max(1) / length_penalty(self.limits, self.search.alpha)
        worst = np.sort(self.done_scores, 1)[:, -self.n_best]
        over = (self.counts >= beam) | (bound <= worst) | np.isneginf(bound) | (self.steps >= self.limits)
        return (self.sentence >= 0) & over

    def _finish(self, ended: np.ndarray, values: np.ndarray) -> None:
        """Put the hypotheses (B, K) that have ended behind the finished ones of their slots."""
        slot, row = np.nonzero(ended)
        place = self.counts[slot] + (np.cumsum(ended, 1) - 1)[slot, row]
        self.done_log_probs[slot, place] = values[slot, row]
        self.done_scores[slot, place] = values[slot, row] / length_penalty(self.steps[slot], self.search.alpha)
        self.done_lengths[slot, place] = self.steps[slot]
        self.done_history[slot, place] = self.history[slot, row]
        self.done_weights[slot, place] = self.weights[slot, row]
        self.counts += ended.sum(1)

    def _result(self, slot: int) -> list[Hypothesis]:
        hypotheses = []
        width = len(self.sources[self.sentence[slot]]) + 1
        for k in np.argsort(-self.done_scores[slot, : self.counts[slot]], kind="stable")[: self.n_best]:
            length = self.done_lengths[slot, k]
            ids, aligned = self.done_history[slot, k, :length].T.tolist()
            weights = self.done_weights[slot, k, :length, :width].copy() if self.attention else None
            if ids[-1] == EOS:
                ids, aligned = ids[:-1], aligned[:-1]
            score, log_prob = self.done_scores[slot, k], self.done_log_probs[slot, k]
            hypotheses.append(Hypothesis(ids, float(score), float(log_prob), aligned, weights))
        return hypotheses
