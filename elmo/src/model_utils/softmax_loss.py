"""Cross entropy of an output layer with many classes, such as the words of a vocabulary."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.model_utils import native, native_ops


class SoftmaxLoss(nn.Cell):
    """Output layer and cross entropy, a sum over rows that each have a share in it.

    `smoothing` spreads so much of each target evenly over the classes (Szegedy et al. 2016, section 7). With `sampled`
    only the first so many classes are the rivals of a target (Jean et al. 2015, section 3), which may be behind them.

    The logits are by far the largest array of a step. On a CPU the project's own kernel never has those of all rows
    at once, and computes the gradients on the way (src/native/softmax_loss.cc).
    """

    def __init__(self, smoothing: float = 0.0, sampled: int = 0):
        super().__init__()
        self.smoothing, self.sampled = float(smoothing), sampled
        self.native = native.enabled()
        if self.native:
            self.kernel = native_ops.softmax_loss()
            self.settings = Tensor(np.array([smoothing], np.float32)), Tensor(np.array([sampled], np.int32))
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.add_bias = ops.BiasAdd()

    def construct(self, hidden, weight, bias, targets, shares) -> Tensor:
        """Return the scalar loss.

        hidden (..., E) is what the layer with weight (V, E) and bias (V,) reads, N rows in all; targets, N int32, are
        classes; shares, N float32, are those of the rows in the loss, 0 for rows that have no part in it.
        """
        hidden, targets, shares = hidden.reshape(-1, weight.shape[1]), targets.reshape(-1), shares.reshape(-1)
        if self.native:
            return self.kernel(hidden, weight, bias, targets, shares, *self.settings)[0].reshape(())
        own = (hidden.astype(ms.float32) * ops.gather(weight, targets, 0)).sum(1) + ops.gather(bias, targets, 0)  # (N,)
        if self.sampled:
            weight, bias = weight[: self.sampled], bias[: self.sampled]
        logits = self.matmul_nt(hidden, weight.astype(hidden.dtype)).astype(ms.float32)
        logits = self.add_bias(logits, bias)  # (N, V), or (N, sampled)
        highest = ops.stop_gradient(logits.max(1, keepdims=True))  # (N, 1)
        shifted = logits - ops.tile(highest, (1, weight.shape[0]))  # see layers.repeat_over_time
        normalizer = ops.log(ops.exp(shifted).sum(1)) + highest.reshape(-1)  # (N,)
        if self.sampled:
            more = ops.maximum(own - normalizer, 0) + ops.log1p(ops.exp(-ops.abs(own - normalizer)))
            normalizer = normalizer + more * (targets >= self.sampled).astype(ms.float32)
        losses = normalizer - (1 - self.smoothing) * own
        if self.smoothing > 0:
            losses = losses - self.smoothing * logits.mean(1)
        return (losses * shares).sum()
