"""Batches of about equally long samples: how an epoch is divided, as pure functions of lengths and a seed."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from src.model_utils.runtime import UserError

Item = TypeVar("Item")
POOL = 50  # batches that are sorted by length together: enough that a batch's samples differ by a few tokens


@dataclass
class Batch:
    """The training step's inputs in their order, such as a NamedTuple, and what they count for in the throughput."""

    inputs: tuple
    samples: int
    tokens: int


def prefetched(items: Iterable[Item], ahead: int = 2) -> Iterator[Item]:
    """Yield the items, of which a thread makes the next `ahead` while one is in use.

    An exception comes out in its item's place. Closing the iterator waits for the item that is being made, and no other
    is begun.
    """
    source, end, pending = iter(items), object(), collections.deque()
    thread = ThreadPoolExecutor(1, "prefetch")
    try:
        for _ in range(ahead):
            pending.append(thread.submit(next, source, end))
        while (item := pending.popleft().result()) is not end:
            pending.append(thread.submit(next, source, end))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)


def rows_of_process(batch_size: int, rank: int, size: int, key: str = "batch_size") -> slice:
    """Return which rows of a global batch a data-parallel process takes: every size-th; UserError unless it divides."""
    if batch_size % size:
        raise UserError(f"{key} {batch_size} does not divide among {size} processes; set --{key}")
    return slice(rank, None, size)


def one_of_each_shape(batches: Iterable[Batch]) -> list[Batch]:
    """Return the first batch of every combination of input shapes."""
    found: dict[tuple, Batch] = {}
    for batch in batches:
        found.setdefault(tuple(array.shape for array in batch.inputs), batch)
    return list(found.values())


def longest_first(lengths: np.ndarray, most_rows: int, most_tokens: int | None = None) -> Iterator[np.ndarray]:
    """Yield the indices of all samples in batches, the longest first, of at most so many rows and padded tokens."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        fitting = max(1, most_tokens // int(lengths[order[start]])) if most_tokens else most_rows
        yield order[start : start + min(most_rows, fitting)]
        start += min(most_rows, fitting)


def pooled_plan(lengths: np.ndarray, batch_size: int, seed) -> np.ndarray:
    """Return (steps, batch_size) indices: a shuffle in which the samples of a batch are about equally long.

    Samples that do not fill a last batch are left out, others for another seed.
    """
    random = np.random.default_rng(seed)
    order = np.arange(len(lengths), dtype=np.int32)
    random.shuffle(order)
    order = order[: len(lengths) // batch_size * batch_size]
    lengths = lengths.astype(np.min_scalar_type(lengths.max(initial=0)))  # NumPy sorts small integers twice as fast
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        order[start : start + len(pool)] = pool[np.argsort(lengths[pool], kind="stable")]
    return random.permutation(order.reshape(-1, batch_size))


def equal_buckets(lengths: np.ndarray, count: int) -> list[np.ndarray]:
    """Divide samples by length into at most `count` buckets of about equally many tokens; returns their indices."""
    order = np.argsort(lengths, kind="stable")
    tokens = np.cumsum(lengths[order])
    buckets = np.split(order, np.searchsorted(tokens, tokens[-1] * np.arange(1, count) / count))
    return [members for members in buckets if len(members)]


def cheapest_buckets(costs: np.ndarray, counts: np.ndarray, most: int) -> tuple[float, list[int]]:
    """Divide N classes of rising length into at most `most` neighbouring buckets of the least total cost.

    A class has `counts` (N,) samples. In a bucket that ends with class j each sample costs `costs[j]`, such as the
    length that it is padded to. Returns the total cost and the last class of each bucket, by dynamic programming.
    """
    size = len(counts)
    below = np.concatenate([[0], np.cumsum(counts)])
    single = (below[None, 1:] - below[:-1, None]) * costs[None, :].astype(float)  # [i, j]: one bucket of i to j
    single[np.tril_indices(size, -1)] = np.inf
    best = np.where(np.arange(size + 1) == 0, 0.0, np.inf)  # least cost of the first so many classes
    starts = []
    for _ in range(min(most, size)):
        through = best[:-1, None] + single
        starts.append(through.argmin(0))
        best = np.concatenate([[np.inf], through.min(0)])
    ends, end = [], size
    for start in reversed(starts):
        ends.append(end - 1)
        end = int(start[end - 1])
    return float(best[-1]), ends[::-1]


def carry_over_plan(
    buckets: Sequence[tuple[np.ndarray, int, Any]], seed, keep_rest: bool = False
) -> list[tuple[np.ndarray, Any]]:
    """Return for each step of an epoch the indices of its samples and the shape to pad to, in a shuffled order.

    A bucket is the indices of its samples, the rows of its batches, and the shape; shapes rise. What does not fill a
    batch moves on to the next longer bucket. Of the last bucket the rest is left out, another one for another seed, or
    makes a smaller batch with `keep_rest`.
    """
    random = np.random.default_rng(seed)
    steps, rest, shape = [], np.zeros(0, int), None
    for members, rows, shape in buckets:
        members = random.permutation(np.concatenate([members, rest]))
        full = len(members) // rows * rows
        steps += [(chosen, shape) for chosen in members[:full].reshape(-1, rows)]
        rest = members[full:]
    if keep_rest and len(rest):
        steps.append((rest, shape))
    return [steps[i] for i in random.permutation(len(steps))]
