"""A moving average of the weights, which is validated and kept in place of the weights themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils.checkpoint import AVERAGE_PREFIX


class WeightAverage(nn.Cell):
    """The exponential moving average of `weights` with a decay in (0, 1), bias-free from the start.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n steps. The average is updated every `every` steps, with
    the decay compounded to match, because on a CPU the update can take longer than the optimizer.
    """

    def __init__(self, weights, decay: float, every: int = 1):
        super().__init__(auto_prefix=False)
        self.weights, self.decay, self.every = weights, decay, every
        copies = [Parameter(w.asnumpy(), name=AVERAGE_PREFIX + w.name, requires_grad=False) for w in weights]
        self.copies = ms.ParameterTuple(copies)
        self.updates = Parameter(Tensor(0.0, ms.float32), name="updates", requires_grad=False)
        self.map = ops.HyperMap()

    def construct(self, updates: Tensor) -> tuple[Tensor, ...]:
        """Update the average after so many steps, a float32 scalar."""
        decay = ops.minimum((1 + updates) / (10 + updates), self.decay) ** self.every
        return self.map(ops.partial(_blend, decay), self.copies, self.weights)

    def count_step(self) -> None:
        """Count a step outside its graph, and update the average when it is time to."""
        updates = self.updates.asnumpy() + np.float32(1)  # another type would be cast by an operator, in 3 ms
        self.updates.set_data(Tensor(updates))
        if updates % self.every == 0:
            self(Tensor(updates))


def _blend(decay, average, weight):
    return ops.assign(average, average * decay + weight * (1 - decay))


@contextlib.contextmanager
def averaged_weights(average: WeightAverage | None) -> Iterator[None]:
    """Put the average, where there is one, into the network, and the weights back afterwards, to the bit."""
    if average is None:
        yield
        return
    values = [weight.asnumpy().copy() for weight in average.weights]
    try:
        for weight, copy in zip(average.weights, average.copies):
            weight.set_data(Tensor(copy.asnumpy()))
        yield
    finally:
        for weight, value in zip(average.weights, values):
            weight.set_data(Tensor(value))
