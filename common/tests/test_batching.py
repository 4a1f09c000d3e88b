"""Plans of an epoch: bit for bit those that the five models made before they shared them, and what they promise."""

from __future__ import annotations

import itertools
import math
import queue
import threading

import numpy as np
import pytest

from src.model_utils.batching import (
    Batch,
    carry_over_plan,
    cheapest_buckets,
    equal_buckets,
    longest_first,
    one_of_each_shape,
    pooled_plan,
    prefetched,
    rows_of_process,
)
from src.model_utils.runtime import UserError


def random_lengths(seed, count=500, most=60):
    return np.random.default_rng(seed).integers(1, most, count)


# the plans of release 1.0, as each model wrote them


def lstm_plan(lengths, batch_size, seed):
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))[: len(lengths) // batch_size * batch_size]
    for start in range(0, len(order), 50 * batch_size):
        pool = order[start : start + 50 * batch_size]
        order[start : start + len(pool)] = pool[np.argsort(lengths[pool], kind="stable")]
    return random.permutation(order.reshape(-1, batch_size))


def ctc_buckets(lengths, count, batch_size, batch_frames):
    order = np.argsort(lengths, kind="stable")
    frames = np.cumsum(lengths[order])
    parts = np.searchsorted(frames, frames[-1] * np.arange(1, count) / count)
    buckets = []
    for members in np.split(order, parts):
        if len(members):
            longest = int(lengths[members[-1]])
            buckets.append((members, max(1, min(batch_size, batch_frames // longest)), longest))
    return buckets


def ctc_plan(buckets, seed):
    random = np.random.default_rng(seed)
    steps, rest = [], np.zeros(0, int)
    for members, rows, longest in buckets:
        members = random.permutation(np.concatenate([members, rest]))
        full = len(members) // rows * rows
        steps += [(chosen, longest) for chosen in members[:full].reshape(-1, rows)]
        rest = members[full:]
    return [steps[i] for i in random.permutation(len(steps))]


def ner_bounds(lengths, count):
    values, numbers = np.unique(lengths, return_counts=True)
    before = np.concatenate([[0], np.cumsum(numbers)])
    padded = values * (before[None, 1:] - before[:-1, None]).astype(float)
    padded[np.tril_indices(len(values), -1)] = np.inf
    best, choices = padded[0], []
    for _ in range(min(count, len(values)) - 1):
        through = np.concatenate([[np.inf], best[:-1]])[:, None] + padded
        choices.append(through.argmin(0))
        best = through.min(0)
    bounds, end = [int(values[-1])], len(values) - 1
    for choice in reversed(choices):
        end = choice[end] - 1
        bounds.append(int(values[end]))
    return bounds[::-1]


def ner_plan(lengths, bounds, batch_size, seed):
    random = np.random.default_rng(seed)
    buckets = np.searchsorted(bounds, lengths)
    steps, rest = [], np.zeros(0, int)
    for bucket in range(len(bounds) + 1):
        members = random.permutation(np.concatenate([np.flatnonzero(buckets == bucket), rest]))
        full = len(members) // batch_size * batch_size
        longest = bounds[bucket] if bucket < len(bounds) else int(lengths.max())
        steps += [(chosen, longest) for chosen in members[:full].reshape(-1, batch_size)]
        rest = members[full:]
    return [steps[i] for i in random.permutation(len(steps))]


def gru_shapes(source_lengths, target_lengths, buckets, slack):
    longer = np.maximum(source_lengths - slack, target_lengths)
    ends, counts = np.unique(longer, return_counts=True)
    shapes = [tuple(int(side[longer <= end].max()) for side in (source_lengths, target_lengths)) for end in ends]
    costs = np.array([source + 5 * target for source, target in shapes])
    below = np.concatenate([[0], np.cumsum(counts)])
    best = np.where(np.arange(len(ends) + 1) == 0, 0.0, np.inf)
    starts = []
    for _ in range(min(buckets, len(ends))):
        cost = best[:-1, None] + (below[None, 1:] - below[:-1, None]) * costs[None, :]
        cost[np.arange(len(ends))[:, None] > np.arange(len(ends))[None, :]] = np.inf
        starts.append(cost.argmin(0))
        best = np.concatenate([[np.inf], cost.min(0)])
    chosen, end = [], len(ends)
    for start in reversed(starts):
        chosen.append(shapes[end - 1])
        end = int(start[end - 1])
    return float(best[-1]), chosen[::-1]


def gru_plan(lengths, shapes, rows, seed):
    random = np.random.default_rng(seed)
    bucket_of = np.array([(lengths <= np.array(shape)[:, None]).all(0) for shape in shapes]).argmax(0)
    steps, rest = [], np.zeros(0, int)
    for number, shape in enumerate(shapes):
        members = random.permutation(np.concatenate([np.flatnonzero(bucket_of == number), rest]))
        last = number == len(shapes) - 1
        full = len(members) if last else len(members) // rows * rows
        steps += [(members[start : start + rows], shape) for start in range(0, full, rows)]
        rest = members[full:]
    return [steps[i] for i in random.permutation(len(steps))]


def assert_same_plan(found, expected):
    assert len(found) == len(expected)
    for (indices, shape), (wanted, wanted_shape) in zip(found, expected):
        assert shape == wanted_shape and indices.tolist() == wanted.tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 7, 16, 500, 2000])
def test_pooled_plans_are_those_of_lstm(seed, count):
    lengths = random_lengths(seed, count)
    plan = pooled_plan(lengths, 8, [seed, 3])
    assert plan.shape == (count // 8, 8) and plan.tolist() == lstm_plan(lengths, 8, [seed, 3]).tolist()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 10])
def test_buckets_of_equal_work_and_their_plans_are_those_of_ctc_lstm(seed, count):
    lengths = random_lengths(seed)
    expected = ctc_buckets(lengths, count, 32, 600)
    members = equal_buckets(lengths, count)
    assert [each.tolist() for each in members] == [each.tolist() for each, _, _ in expected]
    buckets = [(each, rows, longest) for each, (_, rows, longest) in zip(members, expected)]
    assert_same_plan(carry_over_plan(buckets, [seed, 2]), ctc_plan(expected, [seed, 2]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_buckets_of_least_padding_and_their_plans_are_those_of_bilstm_ner(seed, count):
    lengths = random_lengths(seed)
    values, numbers = np.unique(lengths, return_counts=True)
    bounds = values[cheapest_buckets(values, numbers, count)[1]].tolist()
    assert bounds == ner_bounds(lengths, count)
    longer = lengths.copy()  # as augmentation makes some
    longer[:5] += 70
    place = np.searchsorted(bounds, longer)
    shapes = [*bounds, int(longer.max())]
    buckets = [(np.flatnonzero(place == number), 8, shape) for number, shape in enumerate(shapes)]
    assert_same_plan(carry_over_plan(buckets, [seed, 2]), ner_plan(longer, bounds, 8, [seed, 2]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("count", "slack"), [(1, 0), (5, 3), (100, 0)])
def test_buckets_of_pairs_and_their_plans_are_those_of_gru_seq2seq(seed, count, slack):
    lengths = np.stack([random_lengths(seed, most=30), random_lengths(seed + 10, most=30)])
    ends, counts = np.unique(np.maximum(lengths[0] - slack, lengths[1]), return_counts=True)
    longer = np.maximum(lengths[0] - slack, lengths[1])
    every = [tuple(int(side[longer <= end].max()) for side in lengths) for end in ends]
    cost, chosen = cheapest_buckets(np.array([source + 5 * target for source, target in every]), counts, count)
    shapes = [every[end] for end in chosen]
    assert (cost, shapes) == gru_shapes(*lengths, count, slack)
    place = np.array([(lengths <= np.array(shape)[:, None]).all(0) for shape in shapes]).argmax(0)
    buckets = [(np.flatnonzero(place == number), 16, shape) for number, shape in enumerate(shapes)]
    plan = carry_over_plan(buckets, [seed, 2], keep_rest=True)
    assert_same_plan(plan, gru_plan(lengths, shapes, 16, [seed, 2]))
    assert sorted(np.concatenate([chosen for chosen, _ in plan])) == list(range(500))


# what they promise


def test_cheapest_buckets_are_the_best_of_all():
    costs, counts = np.array([2, 3, 7, 8, 20]), np.array([4, 1, 3, 9, 2])

    def price(ends):
        starts = [0, *(end + 1 for end in ends[:-1])]
        return sum(counts[start : end + 1].sum() * costs[end] for start, end in zip(starts, ends))

    for most in range(1, 7):
        divisions = [[k for k in range(5) if k == 4 or mask >> k & 1] for mask in range(16)]
        best = min(price(ends) for ends in divisions if len(ends) <= most)
        cost, ends = cheapest_buckets(costs, counts, most)
        assert cost == best == price(ends) and len(ends) <= most


def test_what_does_not_fill_a_batch_moves_on_or_is_left_out():
    buckets = [(np.arange(5), 2, "short"), (np.arange(5, 8), 4, "long")]
    plan = carry_over_plan(buckets, 1)
    assert sorted(shape for _, shape in plan) == ["long", "short", "short"]
    assert all(indices.max() < 5 for indices, shape in plan if shape == "short")
    kept = carry_over_plan([*buckets, (np.arange(8, 11), 2, "longest")], 1, keep_rest=True)
    assert sorted(np.concatenate([indices for indices, _ in kept])) == list(range(11))
    assert carry_over_plan([(np.arange(1), 2, "short")], 1) == []


@pytest.mark.parametrize(("rows", "tokens"), [(4, None), (4, 30), (100, 30), (1, 1)])
def test_longest_first_keeps_to_rows_and_tokens(rows, tokens):
    lengths = random_lengths(5, 50, 20)
    batches = list(longest_first(lengths, rows, tokens))
    assert np.concatenate(batches).tolist() == sorted(range(50), key=lambda i: -lengths[i])
    for batch in batches:
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= (tokens or math.inf)
    assert list(longest_first(np.array([], int), 4)) == []


def test_processes_share_a_batch_that_divides_among_them():
    rows = list(range(6))
    shares = [rows[rows_of_process(6, rank, 3)] for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(UserError, match="pretrain_batch_size 6 does not divide among 4 processes"):
        rows_of_process(6, 0, 4, "pretrain_batch_size")


def test_one_batch_of_each_shape():
    made = [Batch((np.zeros((rows, 2)), np.zeros(rows)), rows, 0) for rows in (3, 1, 3, 2, 1)]
    assert [batch.samples for batch in one_of_each_shape(made)] == [3, 1, 2]


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_prefetching_keeps_the_order_and_stays_a_few_ahead():
    made, latest = queue.SimpleQueue(), -1
    items = prefetched((made.put(number) or number for number in range(20)), ahead=3)
    for number in range(10):
        assert next(items) == number
        while latest < number + 3:  # they are made while this one is in use
            latest = made.get(timeout=10)
        assert made.empty()
    assert list(items) == list(range(10, 20)) and not prefetch_threads()


def test_exceptions_of_prefetched_items_come_in_their_place():
    def items():
        yield from (1, 2)
        raise UserError("damaged")

    found = []
    with pytest.raises(UserError, match="damaged"):
        found.extend(prefetched(items()))
    assert found == [1, 2] and not prefetch_threads()


def test_prefetching_that_is_left_early_ends_its_thread_and_begins_nothing_more():
    made = []
    endless = (made.append(number) or number for number in itertools.count())
    batches = prefetched(endless)
    assert next(batches) == 0
    batches.close()
    assert not prefetch_threads() and len(made) <= 3
