"""Cells without parameters that several models share: dropout that can be repeated, sums without broadcasting."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.model_utils import native, native_ops


def padding_mask(lengths: Tensor, max_length: int) -> Tensor:
    """Return (T, B, 1) float32: 1 at the padded steps of each sequence, 0 at the real ones. `lengths` is (B,) int32."""
    steps = ops.arange(max_length).reshape(-1, 1)  # (T, 1)
    return (steps >= lengths.reshape(1, -1)).astype(ms.float32).expand_dims(2)  # (T, B, 1)


def repeat_over_time(x, steps) -> Tensor:
    """Repeat x (B, E) over T steps: (T, B, E).

    The CPU's kernels broadcast three times slower than they copy and then compute, eight times where only the running
    program knows the shapes, and keep a table of 16 bytes for each value of the result.
    """
    return ops.tile(x.expand_dims(0), (steps, 1, 1))


class AddBias(nn.Cell):
    """x + b without broadcasting (see `repeat_over_time`); the CPU's own gradient of BiasAdd is four times slower."""

    def __init__(self):
        super().__init__()
        self.add, self.sum = ops.BiasAdd(), ops.ReduceSum()

    def construct(self, x, bias) -> Tensor:
        """Add bias (E,) to x (N, E)."""
        return self.add(x, bias)

    def bprop(self, x, bias, out, dout) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs."""
        return dout, self.sum(dout, (0,))


class RunInThreadPool(nn.Cell):
    """Returns its input, and makes the graph that it is in run in MindSpore's thread pool on a CPU.

    MindSpore 2.10 runs a graph of at most 100 operators and no branch in the thread that calls it. The kernels still
    share their work among a pool of as many threads as there are processors, while the caller spins: a thread too many,
    which on two processors cost a quarter of the time. Longer graphs, and those with a branch, run in the pool.
    """

    def __init__(self):
        super().__init__()
        self.on_cpu = ms.get_context("device_target") == "CPU"

    def construct(self, x, numbers) -> Tensor:
        """Return x; `numbers` are an input of the graph with no negative ones, such as lengths."""
        if self.on_cpu and numbers.max() < 0:  # never, but the compiler cannot know
            x = -x
        return x


class KeyedDropout(nn.Cell):
    """Inverted dropout whose mask is a pure function of (key of the row, layer, column).

    MindSpore's own dropout draws from a generator whose state is not saved, so a resumed run goes another way. Here
    the host gives one random 32-bit key per row, drawn from a counter-based generator at (seed, step) (`dropout_keys`),
    and bit (row, column) is the multiply-shift hash `key * odd constant of (layer, column)` (Dietzfelbinger et al.
    1997): one multiplication and one comparison a value, on every device the same. As the key belongs to the row and
    not to its place in the batch, data-parallel processes draw the masks that one process would.

    On a (T, B, E) input the mask of a row is the same at every step (Gal & Ghahramani 2016).
    """

    def __init__(self, p: float, size: int, seed):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {p}")
        self.p = p
        odd = np.random.default_rng([size] + list(seed)).integers(2**31, size=size, dtype=np.int64) * 2 + 1
        self.multipliers = Tensor(odd.astype(np.uint32).view(np.int32))  # (E,)
        self.threshold = Tensor([int(p * 2**32) - 2**31], ms.int32)  # a signed hash below it drops the value
        self.scale = Tensor([1 / (1 - p)], ms.float32)
        self.kernel = native_ops.keyed_dropout() if p > 0 and native.enabled() else None

    def construct(self, x, keys) -> Tensor:
        """Drop values of x (T, B, E) or (B, E) with the keys (B,) int32; the identity outside training."""
        if self.training and self.p > 0:
            if self.kernel is not None and x.dtype == ms.float32:
                return self.kernel(x, keys, self.multipliers, self.threshold, self.scale)
            kept = keys.reshape(-1, 1) * self.multipliers.reshape(1, -1) >= self.threshold  # (B, E)
            mask = kept.astype(x.dtype) * self.scale.astype(x.dtype)
            x = x * (mask if x.ndim == 2 else repeat_over_time(mask, x.shape[0]))
        return x


def dropout_keys(seed: int, step: int, rows: int) -> np.ndarray:
    """Return (rows,) int32 keys for KeyedDropout, one a sequence of the global batch of a step.

    Philox (Salmon et al. 2011) is counter-based: any step's keys can be had without those of the steps before.
    """
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    return generator.integers(-(2**31), 2**31, size=rows, dtype=np.int32)
