"""What the MindSpore sides share: the start of a process, loading weights, the timed training step, matmul peak.

Runs in a worker whose sys.path begins with a model's folder; what it imports of src is the same in all of them.
"""

from __future__ import annotations

import time

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.model_utils.runtime import init_device


class MindSporeSide:
    """Training by `self.step`, which subclasses make after this constructor, returning the loss first."""

    version = ms.__version__

    def __init__(self, seed: int):
        init_device("CPU")
        ms.set_seed(seed)

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them; not timed."""
        return inputs

    def train(self, batch: tuple) -> float:
        """Do one optimizer step and return its loss."""
        self.step.set_train(True)
        return float(self.step(*[Tensor(array) for array in batch])[0].asnumpy())


def matmul_peak(size: int = 2048) -> float:
    """Return the floating-point operations a second of a product of two large float32 matrices, the best of 20."""
    init_device("CPU")
    matrix, product = Tensor(np.ones((size, size), np.float32)), ops.MatMul()
    best = float("inf")
    for _ in range(20):
        begin = time.perf_counter()
        product(matrix, matrix).asnumpy()
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def load_weights(network: nn.Cell, weights: dict[str, np.ndarray]) -> None:
    """Set all parameters of a network by name."""
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(weights[parameter.name]))
