"""Activations with errors of about 1e-7; the CPU kernels trade precision for speed.

There ops.tanh is a fraction that is wrong by 1e-4 near 5, and ops.sigmoid is wrong by 8e-7. Training can live with it,
embeddings that must equal published ones cannot. At half of its argument the fraction is good, and the double-angle
formula takes away what error is left. A division takes ten times as long as reciprocal and product.
"""

from __future__ import annotations

from mindspore import Tensor, ops


def tanh(x) -> Tensor:
    """The hyperbolic tangent of x, which is 2t / (1 + t^2) with t = tanh(x / 2)."""
    t = ops.tanh(x * 0.5)
    return t * ops.reciprocal(t * t + 1) * 2


def sigmoid(x) -> Tensor:
    """The logistic function of x, which is 1/2 + tanh(x / 2) / 2."""
    return tanh(x * 0.5) * 0.5 + 0.5
