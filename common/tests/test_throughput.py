"""How fast a training is: what counts and what does not."""

from __future__ import annotations

import pytest
from toy_training import batches, make_step, points

from src.model_utils import throughput as throughput_module
from src.model_utils.batching import Batch
from src.model_utils.throughput import Throughput, measure_throughput


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    time = [0.0]
    monkeypatch.setattr(throughput_module.time, "perf_counter", lambda: time[0])
    return time


def test_throughput_counts_after_the_warm_up_and_outside_pauses(clock):
    throughput = Throughput(2)
    batch = Batch((), 8, 24)
    for moment in (50, 100):
        clock[0] = moment
        throughput.add(batch)
    assert throughput.per_second() == {}
    for moment in (102, 104):
        clock[0] = moment
        throughput.add(batch)
    with throughput.paused():
        clock[0] = 1000
    clock[0] = 1004
    throughput.add(batch)
    assert throughput.per_second() == {"samples_per_second": 3.0, "tokens_per_second": 9}  # 3 batches in 8 s


def test_measuring_goes_on_over_the_ends_of_epochs(capsys):
    result = measure_throughput(make_step(), batches, 9, warm_up=3)
    assert result["steps"] == 9 and result["samples_per_second"] > 0
    assert result["tokens_per_second"] == pytest.approx(3 * result["samples_per_second"], rel=0.01)
    assert capsys.readouterr().out.startswith("steps 9, first_step_seconds ")


def test_every_shape_is_compiled_before_the_measuring():
    step, taken = make_step(), []
    shapes = [Batch(points(rows), rows, rows) for rows in (2, 3)]
    original = step.__class__.__call__

    class Recording(step.__class__):
        def __call__(self, *inputs):
            taken.append(len(inputs[0]))
            return original(self, *inputs)

    step.__class__ = Recording
    assert measure_throughput(step, batches, 2, shapes=shapes)["steps"] == 2
    assert taken == [2, 3, 8, 8]
