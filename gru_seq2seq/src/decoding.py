"""Beam search on the host around a compiled decoder step, for many sentences side by side.

The decoder sees few shapes: a fixed number of rows, each a hypothesis, and a few source lengths. A sentence has a slot
of as many rows as the beam is wide; when it is finished, the next sentence takes its slot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.model_utils.recurrent import BesideTheCaller
from src.tokenization import BOS, EOS, PAD

ROWS = 320  # hypotheses a step of the decoder
ENCODED = 64  # sentences a step of the encoder
BLOCK = 64  # tokens whose maximum decides whether one of them can be among the best


class Found(NamedTuple):
    """A finished hypothesis: ids without the end token, ln p normalised by the length, ln p.

    `aligned` has for each id the place of the source token that it attended to most, `attention` (T, S), where it was
    asked for, all weights: rows for the ids and the end, where there is one, columns for the source and its end.
    """

    ids: list[int]
    score: float
    log_prob: float
    aligned: list[int]
    attention: np.ndarray | None


def length_penalty(length, alpha: float):
    """Return what divides ln p of a hypothesis of that many tokens, its end included (Wu et al. 2016, eq. 14)."""
    return ((5.0 + length) / 6.0) ** alpha


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
    ) -> list[list[Found]]:
        """Return the `n_best` finished hypotheses of each source (ids without an end token), best first.

        A hypothesis that ends, or reaches the greatest length, leaves the beam, which is narrower by one from then on
        (Bahdanau et al. 2015); the search ends when the beam is empty or when nothing in it can become one of the
        n_best. `attention` asks for all weights; `done` is told how many sentences more are finished.
        """
        results: list[list[Found]] = [[] for _ in sources]
        slots = max(1, self.rows // beam_size)
        for length, order in self._groups(sources, slots):
            search = _Slots(self, sources, length, padded_rows(len(order), slots), beam_size, n_best, attention)
            for i, found in search.run(order):
                results[i] = found
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


class _Slots:
    """The sentences of one padded length that are searched side by side, B slots of K hypotheses."""

    def __init__(self, search: BeamSearch, sources, length: int, slots: int, beam: int, n_best: int, attention: bool):
        self.search, self.sources, self.length, self.n_best, self.attention = search, sources, length, n_best, attention
        self.slot = np.arange(slots)[:, None]
        self.sentence = np.full(slots, -1)  # place in sources; -1 for an empty slot
        self.steps, self.limits = np.zeros(slots, int), np.ones(slots, int)
        self.scores = np.full((slots, beam), -np.inf, np.float32)  # ln p; -inf for no hypothesis
        self.tokens = np.full((slots, beam), BOS, np.int32)
        self.words = np.zeros((slots, 1, length), bool)  # whether a source token is one, not the end or padding
        self.state, self.memory, self.on_device = None, [], []

    def run(self, order: list[int]) -> Iterator[tuple[int, list[Found]]]:
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

    def _result(self, slot: int) -> list[Found]:
        found = []
        width = len(self.sources[self.sentence[slot]]) + 1
        for k in np.argsort(-self.done_scores[slot, : self.counts[slot]], kind="stable")[: self.n_best]:
            length = self.done_lengths[slot, k]
            ids, aligned = self.done_history[slot, k, :length].T.tolist()
            weights = self.done_weights[slot, k, :length, :width].copy() if self.attention else None
            if ids[-1] == EOS:
                ids, aligned = ids[:-1], aligned[:-1]
            score, log_prob = self.done_scores[slot, k], self.done_log_probs[slot, k]
            found.append(Found(ids, float(score), float(log_prob), aligned, weights))
        return found


def _stack(encoded: list[tuple], rows: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Put (state, memory) of some sentences into batches of `rows`; the rows left over repeat the last."""
    encoded = encoded + encoded[-1:] * (rows - len(encoded))
    return np.stack([state for state, _ in encoded]), [np.stack(arrays) for arrays in zip(*(m for _, m in encoded))]


class Encoder(nn.Cell):
    """A network's `encode` with its outputs in one row: state, then the memory."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, source, source_lengths):
        memory, state = self.network.encode(source, source_lengths)
        return (state,) + memory


class Decoder(nn.Cell):
    """A network's `decode_step` with its inputs in one row: tokens, state, then the memory."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, tokens, state, *memory):
        return self.network.decode_step(tokens, state, memory)


class _Beside(nn.Cell):
    """An Encoder or a Decoder that runs in the thread pool; `numbers` is the place of its lengths or tokens."""

    def __init__(self, cell, numbers: int):
        super().__init__(auto_prefix=False)
        self.cell, self.numbers = cell, numbers
        self.beside_the_caller = BesideTheCaller()

    def construct(self, *inputs):
        outputs = self.cell(*inputs)
        return (self.beside_the_caller(outputs[0], inputs[self.numbers]),) + outputs[1:]


def compiled(network) -> tuple[Callable, Callable]:
    """Return `encode` and `step` of a BeamSearch, compiled once for every shape that they are given."""
    return arrays_of(_Beside(Encoder(network), 1)), arrays_of(_Beside(Decoder(network), 0))


def arrays_of(cell) -> Callable:
    """Return a function that gives arrays (or tensors) to a cell and returns its outputs as arrays."""
    if hasattr(cell, "set_train"):
        cell.set_train(False)

    def call(*inputs):
        inputs = [each if isinstance(each, ms.Tensor) else Tensor(each) for each in inputs]
        return [output.asnumpy() for output in cell(*inputs)]

    return call
