"""Beam search on the host around a compiled decoder step, for many sentences side by side.

The decoder sees few shapes: a fixed number of rows, each a hypothesis, and a few source lengths. A sentence has a slot
of as many rows as the beam is wide; when it is finished, the next sentence takes its slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from mindspore import Tensor

from src.beam import Hypothesis, Slots
from src.tokenization import BOS, EOS, PAD

ROWS = 320  # hypotheses a step of the decoder
ENCODED = 64  # sentences a step of the encoder


def padded_length(length: int) -> int:
    """Return the smallest of 16, 24, 32, 48, 64, 96, 128 and so on that holds `length` tokens."""
    power = max(16, 2 ** math.ceil(math.log2(max(1, length))))
    return power * 3 // 4 if power > 16 and length <= power * 3 // 4 else power


def padded_rows(count: int, most: int) -> int:
    """Return the smallest of 1, 4, 16, 64 and so on that is at least `count`; at most `most`."""
    return min(most, 4 ** math.ceil(math.log(max(1, count), 4) - 1e-9))


def pad_sources(sources: list[list[int]], length: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return source ids (S, B) with the end tokens appended, and lengths (B,); rows that are left over are an end."""
    ids, lengths = np.full((length, rows), PAD, np.int32), np.ones(rows, np.int32)
    ids[0] = EOS
    for row, source in enumerate(sources):
        ids[: len(source), row] = source
        ids[len(source), row] = EOS
        lengths[row] = len(source) + 1
    return ids, lengths


class BeamSearch:
    """Finds the best translations that a network gives.

    `encode` maps source (S, B) and lengths (B,) to the decoder's first state (B, L, H) and the tensors of its memory,
    (B, ...) each; `step` maps tokens (N,), state (N, L, H) and memory (N, ...) to log_probs (N, V), state and attention
    (N, S): `compiled` makes both of a network. `put` takes an array to where `step` reads it. A translation has at most
    max_length_ratio * source tokens + max_length_extra tokens, and none of the `forbidden` ids. `padded` chooses the
    lengths that sources are padded to.
    """

    def __init__(
        self,
        encode: Callable,
        step: Callable,
        alpha: float,
        max_length_ratio: float,
        max_length_extra: int,
        forbidden: tuple[int, ...] = (PAD, BOS),
        put: Callable = Tensor,
        padded: Callable[[int], int] = padded_length,
        rows: int = ROWS,
    ):
        self.encode, self.step, self.put, self.padded, self.rows = encode, step, put, padded, rows
        self.alpha, self.ratio, self.extra = alpha, max_length_ratio, max_length_extra
        self.forbidden = list(forbidden)

    def __call__(
        self,
        sources: list[list[int]],
        beam_size: int,
        n_best: int = 1,
        attention: bool = False,
        done: Callable[[int], None] = lambda count: None,
    ) -> list[list[Hypothesis]]:
        """Return the `n_best` finished hypotheses of each source (ids without an end token), best first.

        A hypothesis that ends, or reaches the greatest length, leaves the beam, which is narrower by one from then on
        (Bahdanau et al. 2015); the search ends when the beam is empty or when nothing in it can become one of the
        n_best. `attention` asks for all weights; `done` is called with the number of newly finished sentences.
        """
        results: list[list[Hypothesis]] = [[] for _ in sources]
        slots = max(1, self.rows // beam_size)
        for length, order in self._groups(sources, slots):
            search = Slots(self, sources, length, padded_rows(len(order), slots), beam_size, n_best, attention)
            for i, hypotheses in search.run(order):
                results[i] = hypotheses
                done(1)
        return results

    def log_probs(self, sources: list[list[int]], targets: list[list[int]]) -> np.ndarray:
        """Return ln p of each target, its end token included, given its source: (N,) float64."""
        results = np.zeros(len(sources))
        for length, order in self._groups(sources, self.rows):
            order.sort(key=lambda i: -len(targets[i]))
            rows = padded_rows(len(order), self.rows)
            queue = self.encoded(sources, order, length, rows)
            for start in range(0, len(order), rows):
                chunk = order[start : start + rows]
                state, memory = _stack([next(queue)[1:] for _ in chunk], rows)
                memory = [self.put(array) for array in memory]
                longest = max(len(targets[i]) for i in chunk) + 1
                tokens, real = np.full((longest + 1, rows), EOS, np.int32), np.zeros((longest, rows), bool)
                tokens[0] = BOS
                for row, i in enumerate(chunk):
                    tokens[1 : 1 + len(targets[i]), row] = targets[i]
                    real[: 1 + len(targets[i]), row] = True
                for t in range(longest):
                    log_probs, state, _ = self.step(tokens[t], state, *memory)
                    chosen = log_probs[np.arange(rows), tokens[t + 1]][: len(chunk)]
                    results[chunk] += np.where(real[t, : len(chunk)], chosen, 0.0)
        return results

    def compile_for(self, sources: list[list[int]], beam_size: int) -> None:
        """Run every shape that a search of these sources needs once, so that none is compiled later."""
        slots = max(1, self.rows // beam_size)
        for length, order in self._groups(sources, slots):
            rows = padded_rows(len(order), slots)
            _, state, memory = next(self.encoded(sources, order[:1], length, rows))
            state, memory = _stack([(state, memory)], rows * beam_size)
            self.step(np.full(rows * beam_size, BOS, np.int32), state, *map(self.put, memory))

    def limit(self, source: list[int]) -> int:
        """Return the most tokens of a source's translation, its end included."""
        return max(1, int(self.ratio * len(source) + self.extra))

    def encoded(self, sources, order: list[int], length: int, rows: int) -> Iterator[tuple]:
        """Yield (i, state (L, H), memory) of each source of `order`, encoding some at a time."""
        rows = min(ENCODED, rows)
        for start in range(0, len(order), rows):
            chunk = order[start : start + rows]
            state, *memory = self.encode(*pad_sources([sources[i] for i in chunk], length, rows))
            for row, i in enumerate(chunk):
                yield i, state[row], [array[row] for array in memory]

    def _groups(self, sources, fewest: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (padded length, places of its sources, longest first); a group of less than `fewest` joins the next."""
        group: list[int] = []
        lengths = [self.padded(len(source) + 1) for source in sources]
        order = sorted(range(len(sources)), key=lambda i: (len(sources[i]), i))
        for place, i in enumerate(order):
            group.append(i)
            last = place + 1 == len(order)
            if last or (lengths[order[place + 1]] > lengths[i] and len(group) >= fewest):
                yield lengths[i], group[::-1]
                group = []


def _stack(encoded: list[tuple], rows: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Put (state, memory) of some sentences into batches of `rows`; the rows left over repeat the last."""
    encoded = encoded + encoded[-1:] * (rows - len(encoded))
    return np.stack([state for state, _ in encoded]), [np.stack(arrays) for arrays in zip(*(m for _, m in encoded))]
