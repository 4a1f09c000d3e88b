"""A network small enough to be done again in NumPy, its training step and its data, for the tests of training."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn

from src.model_utils.batching import Batch
from src.model_utils.train_step import TrainStep


class Line(nn.Cell):
    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.array([0.5, -1.0, 2.0], np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(1, np.float32)), name="bias")

    def construct(self, x):
        return (x * self.weight).sum(1) + self.bias


class SquaredError(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, y):
        return ((self.network(x) - y) ** 2).mean()


def points(count, seed=0):
    source = np.random.default_rng(seed)
    x = source.normal(0, 1, (count, 3)).astype(np.float32)
    return x, (x @ np.array([1, 2, 3]) - 1).astype(np.float32)


def batches(epoch, first_step=0):
    for step in range(first_step, 4):
        yield Batch(points(8, 10 * epoch + step), 8, 24)


def make_step(rate=0.05, momentum=0.0, **options):
    network = Line()
    optimizer = nn.Momentum(network.trainable_params(), learning_rate=rate, momentum=momentum)
    return TrainStep(SquaredError(network), optimizer, **options)


def values(parameters):
    return {name: parameter.asnumpy() for name, parameter in parameters.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
