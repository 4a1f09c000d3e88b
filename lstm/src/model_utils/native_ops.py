"""Operators of the project's own kernels with their gradients, for graph mode: see src/native/."""

from __future__ import annotations

from mindspore import ops

from src.model_utils.native import operator


def lstm(directions: int, input_gradient: bool = True) -> tuple[ops.Custom, ops.Custom]:
    """Return the operators of an LSTM layer for training and for inference.

    Inputs: x (T, B, I), lengths (B,) int32, then weight_ih (4H, I), weight_hh (4H, H) and bias (4H,) of each direction.
    Outputs: y (T, B, D * H), and in training what the backward pass needs. Without `input_gradient` that of x is zero:
    inputs without weights before them have no use for it, and it is a quarter of the work.
    """
    count = 2 + 3 * directions
    forward, backward = ("LSTM", "LSTMGradient") if input_gradient else ("LSTMOfData", "LSTMWeightGradient")
    gradient = operator(f"{backward}{directions}", 5 + 2 * directions, input_gradient + 3 * directions, integers=(1,))

    def combine(x, lengths, results):
        if input_gradient:
            return (results[0], ops.zeros_like(lengths)) + results[1:]
        return (ops.zeros_like(x), ops.zeros_like(lengths)) + results

    def gradients_of_one(x, lengths, weight_ih, weight_hh, bias, out, dout):
        return combine(x, lengths, gradient(x, lengths, weight_ih, weight_hh, out[0], out[1], dout[0]))

    def gradients_of_two(x, lengths, weight_ih, weight_hh, bias, weight_ih_2, weight_hh_2, bias_2, out, dout):
        weights = (weight_ih, weight_hh, weight_ih_2, weight_hh_2)
        return combine(x, lengths, gradient(x, lengths, *weights, out[0], out[1], dout[0]))

    bprop = gradients_of_one if directions == 1 else gradients_of_two
    training = operator(f"{forward}{directions}", count, 2, integers=(1,), bprop=bprop)
    return training, operator(f"LSTMInference{directions}", count, 1, integers=(1,))


def crf_loss() -> ops.Custom:
    """Return the operator of the CRF's negative log likelihood, summed over the rows of a batch.

    Inputs: emissions (T, B, K), transitions (K, K), start (K,), end (K,), lengths (B,) and gold tags (T, B), int32.
    The first output is the loss (1,); the others are its gradients, which the forward pass computes with it.
    """

    def bprop(emissions, transitions, start, end, lengths, tags, out, dout):
        scale = dout[0]
        gradients = (out[1] * scale, out[2] * scale, out[3] * scale, out[4] * scale)
        return gradients + (ops.zeros_like(lengths), ops.zeros_like(tags))

    return operator("CRFLoss", 6, 5, integers=(4, 5), bprop=bprop)
