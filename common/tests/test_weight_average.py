"""The moving average of the weights against NumPy, and how it takes the place of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor, ops
from toy_training import make_step, points

from src.model_utils.weight_average import averaged_weights


def test_weight_average_of_every_few_steps():
    step = make_step(0.05, weight_average=0.8, average_every=3)
    average = np.concatenate([weight.asnumpy() for weight in step.weights])
    for n in range(1, 26):
        step(*[Tensor(array) for array in points(6, n)])
        if n % 3 == 0:
            decay = min(0.8, (1 + n) / (10 + n)) ** 3
            average = decay * average + (1 - decay) * np.concatenate([weight.asnumpy() for weight in step.weights])
        np.testing.assert_allclose(np.concatenate([a.asnumpy() for a in step.average.copies]), average, atol=1e-5)
    assert float(step.average.updates.asnumpy()) == 25


def test_counting_the_steps_of_such_an_average_runs_no_operator(monkeypatch):
    step = make_step(0.05, weight_average=0.8, average_every=3)
    step(*[Tensor(array) for array in points(6, 1)])
    monkeypatch.setattr(ops.Cast, "__call__", lambda *_: pytest.fail("a cast outside the graph takes milliseconds"))
    step(*[Tensor(array) for array in points(6, 2)])
    assert float(step.average.updates.asnumpy()) == 2


def test_averaged_weights_are_put_in_and_taken_out():
    step = make_step(weight_average=0.8)
    for n in range(3):
        step(*[Tensor(array) for array in points(6, n)])
    before = [weight.asnumpy().copy() for weight in step.weights]
    with pytest.raises(ZeroDivisionError), averaged_weights(step.average):
        for weight, average in zip(step.weights, step.average.copies):
            np.testing.assert_array_equal(weight.asnumpy(), average.asnumpy())
        raise ZeroDivisionError
    for weight, kept in zip(step.weights, before):
        np.testing.assert_array_equal(weight.asnumpy(), kept)


def test_a_step_without_an_average_keeps_its_weights():
    step = make_step()
    before = [weight.asnumpy().copy() for weight in step.weights]
    with averaged_weights(step.average):
        for weight, kept in zip(step.weights, before):
            np.testing.assert_array_equal(weight.asnumpy(), kept)
