"""Operators of the project's own kernels with their gradients, for graph mode: see src/native/."""

from __future__ import annotations

import mindspore.ops.signature as sig
from mindspore import ops

from src.model_utils.native import operator


def lstm(directions: int, input_gradient: bool = True) -> tuple[ops.Custom, ops.Custom]:
    """Return the operators of an LSTM layer for training and for inference.

    Inputs: x (T, B, I), lengths (B,) int32, then weight_ih (4H, I), weight_hh (4H, H) and bias (4H,) of each direction.
    Outputs: y (T, B, D * H), and in training what the backward pass needs. Without `input_gradient` that of x is zero:
    inputs without weights before them have no use for it, and it is a quarter of the work.
    """
    name = "LSTM" if input_gradient else "LSTMOfData"
    return _recurrent(f"{name}{directions}", 2 + 3 * directions, constants=(1,) if input_gradient else (0, 1))


def lstm_of_tokens(directions: int, input_gradient: bool = True) -> tuple[ops.Custom, ops.Custom]:
    """Return the operators of an LSTM layer whose steps read rows of a table, for training and for inference.

    Inputs: x (U, I), lengths (B,) and tokens (T, B), int32, indices into x, then the weights as those of `lstm`, whose
    outputs these have. The products with weight_ih are those of the U rows, not of T * B steps. Without
    `input_gradient` that of x is zero.
    """
    name = "LSTMOfTokens" if input_gradient else "LSTMOfDataTokens"
    constants = (1, 2) if input_gradient else (0, 1, 2)
    return _recurrent(f"{name}{directions}", 3 + 3 * directions, constants, integers=(1, 2))


def gru(directions: int) -> tuple[ops.Custom, ops.Custom]:
    """Return the operators of a GRU layer for training and for inference.

    Inputs: x (T, B, I), lengths (B,) int32, with one direction the state (B, H) before the first step, then weight_ih
    (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,) of each direction, gates in the order r, z, n. Outputs as
    those of `lstm`.
    """
    return _recurrent(f"GRU{directions}", 2 + (directions == 1) + 4 * directions, constants=(1,))


def projected_lstm() -> tuple[ops.Custom, ops.Custom]:
    """Return the operators of a projected LSTM layer for training and for inference.

    Inputs: x (T, B, I), lengths (B,) int32, the state h (B, P) and c (B, H), w_x (I, 4H), w_h (P, 4H), bias (4H,),
    w_p (H, P), and the limits of cell and output (2,), 0 for none. Outputs: y (T, B, P), the state after the last step
    of each row, (B, P) and (B, H), and in training what the backward pass needs. No gradient flows through the state.
    """
    return _recurrent("ProjectedLSTM", 9, constants=(1, 2, 3, 8), outputs=3)


def _recurrent(
    name: str, inputs: int, constants: tuple[int, ...], outputs: int = 1, integers: tuple[int, ...] = (1,)
) -> tuple[ops.Custom, ops.Custom]:
    """Return an operator whose gradient is that of all inputs but the `constants`, and its form for inference."""
    gradient = operator(f"{name}Gradient", inputs + 3, inputs - len(constants), integers)
    zeros_like = ops.ZerosLike()

    # written out for each set of constants, as every turn of a loop takes MindSpore milliseconds to compile
    def without_lengths(values, found):
        return (found[0], zeros_like(values[1])) + found[1:]

    def without_tokens(values, found):
        return (found[0], zeros_like(values[1]), zeros_like(values[2])) + found[1:]

    def of_weights(values, found):
        return (zeros_like(values[0]), zeros_like(values[1])) + found

    def of_weights_alone(values, found):
        return (zeros_like(values[0]), zeros_like(values[1]), zeros_like(values[2])) + found

    def of_projected(values, found):
        none = zeros_like(values[1]), zeros_like(values[2]), zeros_like(values[3])
        return found[:1] + none + found[1:5] + (zeros_like(values[8]),)

    complete = {
        (1,): without_lengths,
        (1, 2): without_tokens,
        (0, 1): of_weights,
        (0, 1, 2): of_weights_alone,
        (1, 2, 3, 8): of_projected,
    }[constants]

    def gradients(values, out, dout):
        return complete(values, gradient(*values, out[0], out[outputs], dout[0]))

    # graph mode wants to see how many inputs there are
    def bprop_5(x, lengths, a, b, c, out, dout):
        return gradients((x, lengths, a, b, c), out, dout)

    def bprop_6(x, lengths, a, b, c, d, out, dout):
        return gradients((x, lengths, a, b, c, d), out, dout)

    def bprop_7(x, lengths, a, b, c, d, e, out, dout):
        return gradients((x, lengths, a, b, c, d, e), out, dout)

    def bprop_8(x, lengths, a, b, c, d, e, f, out, dout):
        return gradients((x, lengths, a, b, c, d, e, f), out, dout)

    def bprop_9(x, lengths, a, b, c, d, e, f, g, out, dout):
        return gradients((x, lengths, a, b, c, d, e, f, g), out, dout)

    def bprop_10(x, lengths, a, b, c, d, e, f, g, h, out, dout):
        return gradients((x, lengths, a, b, c, d, e, f, g, h), out, dout)

    bprop = {5: bprop_5, 6: bprop_6, 7: bprop_7, 8: bprop_8, 9: bprop_9, 10: bprop_10}[inputs]
    training = operator(name, inputs, outputs + 1, integers, bprop=bprop)
    return training, operator(f"{name}Inference", inputs, outputs, integers)


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


def softmax_loss() -> ops.Custom:
    """Return the operator of an output layer's cross entropy: see src/native/softmax_loss.h.

    Inputs: hidden (N, E), weight (V, E), bias (V,), targets (N,) int32, shares (N,), the smoothing (1,), and how many
    classes are candidates (1,) int32, 0 for all. The first output is the loss (1,); the others are the gradients of the
    first three inputs, which the forward pass computes with it.
    """

    def bprop(hidden, weight, bias, targets, shares, smoothing, candidates, out, dout):
        scale = dout[0]
        zeros = ops.zeros_like(targets), ops.zeros_like(shares), ops.zeros_like(smoothing), ops.zeros_like(candidates)
        return (out[1] * scale, out[2] * scale, out[3] * scale) + zeros

    return operator("SoftmaxLoss", 7, 4, integers=(3, 6), bprop=bprop)


def char_convolution() -> ops.Custom:
    """Return the operator of a character encoder's convolutions, each with the maximum over all places of a word.

    Inputs: char_ids (N, W) int32, embedding (C, D), the weights (width * D, number) of all widths in one, flat, the
    bias (F,), and the widths and numbers of filters (K, 2) int32. Outputs: the highest scores (N, F), and their places.
    """
    gradient = operator("CharConvolutionGradient", 7, 3, integers=(0, 4))

    def bprop(char_ids, embedding, weights, bias, sizes, out, dout):
        gradients = gradient(char_ids, embedding, weights, bias, sizes, out[1], dout[0])
        return (ops.zeros_like(char_ids), *gradients, ops.zeros_like(sizes))

    return operator("CharConvolution", 5, 2, integers=(0, 4), bprop=bprop)


def adam(weights: int, averaged: bool) -> ops.Custom:
    """Return the operator that updates so many weights by Adam, with clipping by their global norm.

    Inputs: beta1, beta2, epsilon, the largest norm (0: none), and decay and interval of the average (0: none), all in
    one (6,); the rates of all steps; then what it changes in place: the number of steps (1,) int32, the powers of beta1
    and beta2 and, if averaged, how many steps the average knows of, all weights, all first moments, all second moments
    and, if averaged, all averages; at last all gradients. Output: the norm of the gradients before clipping (1,).
    """
    counts, arrays = 3 + averaged, (3 + averaged) * weights
    return _update("Adam", 2 + counts + arrays + weights, range(2, 2 + counts + arrays), integers=(2,))


def sampled_update(weights: int, with_adam: bool) -> ops.Custom:
    """Return the operator that updates the rows of a softmax by Adagrad and so many weights by Adagrad or by Adam.

    All are clipped by their global norm, which is the output, (1,). Inputs: see src/native/mindspore_ops.cc.
    """
    first, moments = 8 + 2 * with_adam, 1 + with_adam
    changed = range(3, first + weights * (1 + moments))
    return _update("SampledUpdate", changed.stop + 2 + weights, changed, integers=(2, 3))


def _update(name: str, inputs: int, changed: range, integers: tuple[int, ...]) -> ops.Custom:
    """Return an operator that changes some of its inputs in place."""
    update = operator(name, inputs, 1, integers)
    access = [sig.sig_rw.RW_WRITE if k in changed else sig.sig_rw.RW_READ for k in range(inputs)]
    update.set_signatures([sig.make_sig(f"x{k}", rw) for k, rw in enumerate(access)])
    update.add_prim_attr("side_effect_mem", True)  # else MindSpore may hand over copies
    return update


def keyed_dropout() -> ops.Custom:
    """Return the operator of a KeyedDropout (model_utils/layers.py).

    Inputs: x (T, B, E) or (B, E), keys (B,), multipliers (E,) and threshold (1,), all three int32, and the scale (1,)
    of what is kept. Output: x with dropout.
    """
    gradient = operator("KeyedDropout", 5, 1, integers=(1, 2, 3))

    def bprop(x, keys, multipliers, threshold, scale, out, dout):
        zeros = ops.zeros_like(keys), ops.zeros_like(multipliers), ops.zeros_like(threshold), ops.zeros_like(scale)
        return (gradient(dout, keys, multipliers, threshold, scale),) + zeros

    return operator("KeyedDropout", 5, 1, integers=(1, 2, 3), bprop=bprop)
