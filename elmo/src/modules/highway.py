"""Highway layers (Srivastava et al. 2015)."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils.layers import AddBias


class Highway(nn.Cell):
    """g * relu(x W_transform + b_transform) + (1 - g) * x with g = sigmoid(x W_carry + b_carry).

    The name carry for the gate of the *transformed* value is that of the published weights. It starts at -2, which is
    mostly closed.
    """

    def __init__(self, *, size: int, seed):
        super().__init__()
        random = np.random.default_rng(seed)

        def weight():
            return Tensor(random.normal(0, size**-0.5, (size, size)).astype(np.float32))

        self.w_carry = Parameter(weight(), name="w_carry")
        self.b_carry = Parameter(Tensor(np.full(size, -2, np.float32)), name="b_carry")
        self.w_transform = Parameter(weight(), name="w_transform")
        self.b_transform = Parameter(Tensor(np.zeros(size, np.float32)), name="b_transform")
        self.matmul, self.add_bias = ops.MatMul(), AddBias()

    def construct(self, x) -> Tensor:
        """Map x (N, F) to (N, F)."""
        gate = ops.sigmoid(self.add_bias(self.matmul(x, self.w_carry), self.b_carry))  # (N, F)
        transformed = ops.relu(self.add_bias(self.matmul(x, self.w_transform), self.b_transform))  # (N, F)
        return x + gate * (transformed - x)
