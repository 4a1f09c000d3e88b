"""Recurrent layers for sequences of different lengths.

Everything is time-major, `(T, B, E)`, because the fused kernels of every device are.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.layers import KeyedDropout, padding_mask

_SATURATED = 1e4  # sigmoid(+-1e4) is exactly 1 or 0 in float32, and the number still fits into float16


class LSTMLayer(nn.Cell):
    """One (bidirectional) LSTM layer that is exact for sequences of any length in one padded batch.

    On a CPU the project's own kernel runs each sequence up to its length (src/native/recurrent.cc). Elsewhere, and
    where it is not in use, MindSpore's fused kernel runs over all T steps. Padding is told to that by one more input
    column, which is 1 on padded steps and feeds the gates with constants: input and output gate shut, forget gate open.
    The cell state then passes through padding unchanged and the output there is exactly 0; the backward direction,
    which meets the padding first, still has its initial zero state when it reaches the last real step.

    Weights are `weight_ih` (4H, I), `weight_hh` (4H, H) and `bias` (4H,), gates in the order input, forget, cell,
    output; those of the backward direction end in `_reverse`. Equations: Hochreiter & Schmidhuber 1997 with the forget
    gate of Gers et al. 2000, whose bias starts at `forget_bias` (Jozefowicz et al. 2015). Without `input_gradient` that
    of the input may be left at zero: a layer that reads data has no use for it, and it is a quarter of the work;
    without `table_gradient` that of a table which tokens are rows of.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bidirectional: bool,
        forget_bias: float,
        seed,
        input_gradient: bool = True,
        table_gradient: bool = True,
    ):
        super().__init__()
        self.hidden_size = hidden_size
        self.directions = 2 if bidirectional else 1
        self.device = ms.get_context("device_target")
        random = np.random.default_rng(seed)
        bound = hidden_size**-0.5

        def weight(name, *shape):
            return Parameter(Tensor(random.uniform(-bound, bound, shape).astype(np.float32)), name=name)

        def bias(name):
            values = np.zeros(4 * hidden_size, np.float32)
            values[hidden_size : 2 * hidden_size] = forget_bias
            return Parameter(Tensor(values), name=name)

        self.weight_ih = weight("weight_ih", 4 * hidden_size, input_size)
        self.weight_hh = weight("weight_hh", 4 * hidden_size, hidden_size)
        self.bias = bias("bias")
        if bidirectional:
            self.weight_ih_reverse = weight("weight_ih_reverse", 4 * hidden_size, input_size)
            self.weight_hh_reverse = weight("weight_hh_reverse", 4 * hidden_size, hidden_size)
            self.bias_reverse = bias("bias_reverse")
        self.native = native.enabled()
        if self.native:
            self.kernel, self.forward_kernel = native_ops.lstm(self.directions, input_gradient)
            self.token_kernel, self.forward_token_kernel = native_ops.lstm_of_tokens(self.directions, table_gradient)
        else:
            self._build_kernels(input_size, hidden_size, bidirectional)

    def _build_kernels(self, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        """Make MindSpore's kernels of the device."""
        shut, free = np.full((hidden_size, 1), -_SATURATED, np.float32), np.zeros((hidden_size, 1), np.float32)
        self.padding_column = Tensor(np.concatenate([shut, -shut, free, shut]))  # (4H, 1)
        if self.device == "Ascend":
            self.kernel = nn.layer.rnns._DynamicLSTMAscend()
        else:  # cuDNN wants a layout of its own for two directions at once, so only the CPU kernel gets both
            both = bidirectional and self.device == "CPU"
            self.kernel = ops.LSTM(input_size + 1, hidden_size, 1, True, both, 0.0)
        self.forward_kernel = self.kernel
        if self.device == "CPU":  # without a gradient to prepare, oneDNN has a faster implementation
            self.forward_kernel = ops.LSTM(input_size + 1, hidden_size, 1, True, both, 0.0)
            self.forward_kernel.add_prim_attr("is_training", False)

    def construct(self, x, lengths, forward_only=False, tokens=None) -> Tensor:
        """Map x (T, B, I) and lengths (B,) int32 to outputs (T, B, H * directions), zero on padding.

        `forward_only` (a constant) takes a faster kernel that has no gradient. With tokens (T, B) int32, x is a table
        (U, I) and each step reads one of its rows: their products with `weight_ih` are computed once a row.
        """
        if self.native:
            weights = (self.weight_ih, self.weight_hh, self.bias)
            if self.directions == 2:
                weights += (self.weight_ih_reverse, self.weight_hh_reverse, self.bias_reverse)
            if tokens is not None:
                if forward_only:
                    return self.forward_token_kernel(x, lengths, tokens, *weights)
                return self.token_kernel(x, lengths, tokens, *weights)[0]
            if forward_only:
                return self.forward_kernel(x, lengths, *weights)
            return self.kernel(x, lengths, *weights)[0]
        if tokens is not None:
            x = ops.gather(x, tokens, 0)  # (T, B, I)
        x = ops.cat((x, padding_mask(lengths, x.shape[0]).astype(x.dtype)), 2)  # (T, B, I + 1)
        if self.device == "CPU":
            weights_ih, weights_hh, biases = (self.weight_ih,), (self.weight_hh,), (self.bias,)
            if self.directions == 2:
                weights_ih += (self.weight_ih_reverse,)
                weights_hh += (self.weight_hh_reverse,)
                biases += (self.bias_reverse,)
            state = ops.zeros((self.directions, x.shape[1], self.hidden_size), ms.float32)
            weights = self._flat(weights_ih, weights_hh, biases)
            if forward_only:
                return self.forward_kernel(x, state, state, weights)[0]
            return self.kernel(x, state, state, weights)[0]
        outputs = self._one_direction(x, self.weight_ih, self.weight_hh, self.bias)
        if self.directions == 1:
            return outputs
        backward = self._one_direction(
            ops.flip(x, (0,)), self.weight_ih_reverse, self.weight_hh_reverse, self.bias_reverse
        )
        return ops.cat((outputs, ops.flip(backward, (0,))), 2)

    def _flat(self, weights_ih, weights_hh, biases):
        """Return the kernel's weight vector (N, 1, 1): W_ih with the padding column of each direction, W_hh, biases."""
        parts = ()
        for weight_ih in weights_ih:
            parts += (ops.cat((weight_ih, self.padding_column), 1).reshape(-1),)
        for weight_hh in weights_hh:
            parts += (weight_hh.reshape(-1),)
        return ops.cat(parts + biases).reshape(-1, 1, 1)

    def _one_direction(self, x, weight_ih, weight_hh, bias):
        state = ops.zeros((1, x.shape[1], self.hidden_size), x.dtype)
        if self.device == "GPU":  # cuDNN adds two biases; the second stays zero so that checkpoints mean the same
            flat = self._flat((weight_ih,), (weight_hh,), (bias, ops.zeros_like(bias)))
            return self.kernel(x, state, state, flat.astype(x.dtype))[0]
        weight_ih = ops.cat((weight_ih, self.padding_column), 1)
        outputs, _ = self.kernel(x, (state[0], state[0]), None, weight_ih, weight_hh, bias, ops.zeros_like(bias))
        return outputs.astype(x.dtype)


class LSTM(nn.Cell):
    """A stack of LSTMLayer with dropout between the layers; the mask of a sequence is the same at every step."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
        forget_bias: float = 1.0,
        seed: int = 0,
        table_gradient: bool = True,
    ):
        super().__init__()
        output_size = hidden_size * (2 if bidirectional else 1)
        sizes = [input_size] + [output_size] * (num_layers - 1)
        self.layers = nn.CellList(
            [
                LSTMLayer(size, hidden_size, bidirectional, forget_bias, [seed, k], table_gradient=table_gradient)
                for k, size in enumerate(sizes)
            ]
        )
        self.dropouts = nn.CellList([KeyedDropout(dropout, output_size, [seed, k]) for k in range(num_layers - 1)])

    def construct(self, x, lengths, dropout_keys, forward_only=False, tokens=None) -> Tensor:
        """Map x (T, B, I), lengths (B,) and dropout_keys (B,), int32, to the last layer's (T, B, H * directions).

        With tokens (T, B) int32, x is a table (U, I), whose rows they are.
        """
        x = self.layers[0](x, lengths, forward_only, tokens)
        for k in range(len(self.dropouts)):
            x = self.dropouts[k](x, dropout_keys)
            x = self.layers[k + 1](x, lengths, forward_only)
        return x
