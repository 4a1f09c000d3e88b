"""Beam search on the host around a compiled decoder step, for many sentences side by side.

The decoder sees few shapes: a fixed number of rows, each a hypothesis, and a few source lengths. A sentence has a slot
of as many rows as the beam is wide; when it is finished, the next sentence takes its slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor

from src.beam import Hypothesis, Slots
from src.dataset import pad, pad_sources
from src.model_utils import ranks
from src.model_utils.evaluation import everyones
from src.model_utils.progress import with_progress
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


@dataclass
class BeamSearch:
    """Finds the best translations that a network gives.

    `encode` maps source (S, B) and lengths (B,) to the decoder's first state (B, L, H) and the tensors of its memory,
    (B, ...) each; `step` maps tokens (N,), state (N, L, H) and memory (N, ...) to log_probs (N, V), state and attention
    (N, S): `compiled` makes both of a network. `put` takes an array to where `step` reads it. A translation has at most
    max_length_ratio * source tokens + max_length_extra tokens, and none of the `forbidden` ids. `padded` chooses the
    lengths that sources are padded to.
    """

    encode: Callable
    step: Callable
    alpha: float
    max_length_ratio: float
    max_length_extra: int
    forbidden: tuple[int, ...] = (PAD, BOS)
    put: Callable = Tensor
    padded: Callable[[int], int] = padded_length
    rows: int = ROWS

    def __call__(
        self,
        sources: list[list[int]],
        beam_size: int,
        n_best: int = 1,
        done: Callable[[int], None] = lambda count: None,
    ) -> list[list[Hypothesis]]:
        """Return the `n_best` finished hypotheses of each source (ids without an end token), best first.

        A hypothesis that ends, or reaches the greatest length, leaves the beam, which is narrower by one from then on
        (Bahdanau et al. 2015); the search ends when the beam is empty or when nothing in it can become one of the
        n_best. `done` is called with the number of newly finished sentences.
        """
        results: dict[int, list[Hypothesis]] = {}
        slots = max(1, self.rows // beam_size)
        for length, order in self._groups(sources, slots):
            search = Slots(self, sources, padded_rows(len(order), slots), beam_size, n_best)
            for i, hypotheses in search.run(list(ranks.share(order)), length):
                results[i] = hypotheses
                done(1)
        return everyones(results)

    def log_probs(
        self, sources: list[list[int]], targets: list[list[int]], done: Callable[[int], object] = lambda _: None
    ) -> np.ndarray:
        """Return ln p of each target, its end token included, given its source: (N,) float64.

        `done` is called with the number of targets that have been scored in the meantime.
        """
        results = np.zeros(len(sources))
        for length, order in self._groups(sources, self.rows):
            order.sort(key=lambda i: -len(targets[i]))
            rows = padded_rows(len(order), self.rows)
            order = list(ranks.share(order))
            queue = self.encoded(sources, order, length, rows)
            for start in range(0, len(order), rows):
                chunk = order[start : start + rows]
                state, *memory = _stack([next(queue)[1] for _ in chunk], rows)
                memory = [self.put(array) for array in memory]
                given = [[BOS, *targets[i], EOS] for i in chunk]
                tokens = pad(given, max(map(len, given)), rows)
                for t in range(len(tokens) - 1):
                    log_probs, state, _ = self.step(tokens[t], state, *memory)
                    chosen = log_probs[np.arange(rows), tokens[t + 1]]
                    results[chunk] += np.where(tokens[t + 1] == PAD, 0.0, chosen)[: len(chunk)]
                done(len(chunk))
        return np.sum(ranks.gather(results), 0)  # each place is zero but on one rank

    def compile_for(self, sources: list[list[int]], beam_size: int) -> None:
        """Run every shape that a search of these sources needs once, so that none is compiled later."""
        slots = max(1, self.rows // beam_size)
        groups = list(self._groups(sources, slots))
        for length, order in with_progress(groups, len(groups), "compiling"):
            rows = padded_rows(len(order), slots)
            _, arrays = next(self.encoded(sources, order[:1], length, rows))
            state, *memory = _stack([arrays], rows * beam_size)
            self.step(np.full(rows * beam_size, BOS, np.int32), state, *map(self.put, memory))

    def limit(self, source: list[int]) -> int:
        """Return the most tokens of a source's translation, its end included."""
        return max(1, int(self.max_length_ratio * len(source) + self.max_length_extra))

    def encoded(self, sources, order: list[int], length: int, rows: int) -> Iterator[tuple]:
        """Yield (i, [state (L, H), *memory]) of each source of `order`, encoding some at a time."""
        rows = min(ENCODED, rows)
        for start in range(0, len(order), rows):
            chunk = order[start : start + rows]
            arrays = self.encode(*pad_sources([sources[i] for i in chunk], length, rows))
            for row, i in enumerate(chunk):
                yield i, [array[row] for array in arrays]

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


def _stack(encoded: list[list[np.ndarray]], rows: int) -> list[np.ndarray]:
    """Put the arrays of some sentences into batches of `rows`; the rows left over repeat the last."""
    return [np.stack(arrays) for arrays in zip(*encoded, *encoded[-1:] * (rows - len(encoded)))]
