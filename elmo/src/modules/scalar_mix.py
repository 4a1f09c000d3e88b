"""The task's own mixture of the layers of a biLM (Peters et al. 2018, equation 1)."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

EPSILON = 1e-12  # of the layer normalisation, as in bilm-tf


class ScalarMix(nn.Cell):
    """gamma * sum_k softmax(w)_k * layer_k with learned weights w (K,) and gamma.

    All weights start at 0, that is a mean, and gamma at 1. `layer_norm` first takes from each layer its mean and
    divides by its standard deviation, both over all vectors of the batch that are not padding.
    """

    def __init__(self, *, n_layers: int, layer_norm: bool = False):
        super().__init__()
        self.weights = Parameter(Tensor(np.zeros(n_layers, np.float32)), name="weights")
        self.gamma = Parameter(Tensor(np.ones(1, np.float32)), name="gamma")
        self.layer_norm = layer_norm

    def construct(self, layers, mask) -> Tensor:
        """Map layers (K, T, B, D) and mask (T, B), 1 for words and 0 for padding, to the mixture (T, B, D)."""
        weights = ops.softmax(self.weights, 0).reshape(-1, 1, 1, 1)
        if self.layer_norm:
            mask = mask.astype(ms.float32).reshape(1, *mask.shape, 1)  # (1, T, B, 1)
            count = mask.sum() * layers.shape[3]
            mean = (layers * mask).sum((1, 2, 3), keepdims=True) / count  # (K, 1, 1, 1)
            centred = layers - mean
            variance = ops.square(centred * mask).sum((1, 2, 3), keepdims=True) / count
            layers = centred * ops.rsqrt(variance + EPSILON)
        return self.gamma * (weights * layers).sum(0)
