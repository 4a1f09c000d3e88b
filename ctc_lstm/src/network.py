"""The acoustic network: front end, bidirectional LSTM layers with batch normalisation, log-probabilities of labels."""

from __future__ import annotations

import re
from typing import TypeVar

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils.layers import AddBias, KeyedDropout, padding_mask, repeat_over_time
from src.model_utils.recurrent import LSTMLayer
from src.random_streams import CONVOLUTION_1, CONVOLUTION_2, OUTPUT

FRONT_ENDS = "none, stack-2 to stack-9, or conv"
_CONV_SUBSAMPLING = 2
Lengths = TypeVar("Lengths", int, np.ndarray)


def subsampling_of(front_end: str) -> int:
    """Return how many frames become one output step; ValueError for an unknown front end."""
    stack = re.fullmatch(r"stack-([2-9])", front_end)
    if stack:
        return int(stack[1])
    return {"none": 1, "conv": _CONV_SUBSAMPLING}[front_end]


def output_lengths(lengths: Lengths, front_end: str) -> Lengths:
    """Return the output steps of utterances of `lengths` frames, a number or an array: the last one may be partial."""
    return -(-lengths // subsampling_of(front_end))


def _uniform(seed, *shape) -> Tensor:
    bound = shape[-1] ** -0.5
    return Tensor(np.random.default_rng(seed).uniform(-bound, bound, shape).astype(np.float32))


class TimeConvolution(nn.Cell):
    """Two convolutions over time with ReLU: six frames every two, then three steps (Waibel et al. 1989).

    Written as shifted copies side by side and one matrix product, which is far faster than Conv1d on a CPU. Outside an
    utterance all values are zero, so no result depends on padding.
    """

    def __init__(self, *, size: int, channels: int, seed: int):
        super().__init__()
        self.channels = channels
        self.weight_1 = Parameter(_uniform([seed, CONVOLUTION_1], channels, 3 * size), name="weight_1")
        self.bias_1 = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias_1")
        self.weight_2 = Parameter(_uniform([seed, CONVOLUTION_2], channels, 3 * channels), name="weight_2")
        self.bias_2 = Parameter(Tensor(np.zeros(channels, np.float32)), name="bias_2")
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(self, x: Tensor, padding: Tensor) -> Tensor:
        """Map pairs of frames x (T, B, 2 * D), zero on padding, and padding (T, B, 1) to (T, B, C)."""
        x = self._convolve(x, self.weight_1, self.bias_1) * (1 - padding)
        return self._convolve(x, self.weight_2, self.bias_2) * (1 - padding)

    def _convolve(self, x, weight, bias):
        steps, batch, size = x.shape
        edge = ops.zeros((1, batch, size), x.dtype)
        x = ops.cat((ops.cat((edge, x[:-1]), 0), x, ops.cat((x[1:], edge), 0)), 2)  # (T, B, 3 * I)
        x = self.matmul_nt(x.reshape(steps * batch, 3 * size), weight.astype(x.dtype))  # (T * B, C)
        return ops.relu(x.reshape(steps, batch, self.channels) + bias.astype(x.dtype))


class Moments(nn.Cell):
    """Mean and variance of each column over the real steps of a batch, with the gradient written out."""

    def __init__(self, sum_over_processes: ops.AllReduce | None = None):
        super().__init__()
        self.sum_over_processes, self.zero = sum_over_processes, Tensor(0.0, ms.float32)
        self.cast, self.matmul, self.ones, self.maximum = ops.Cast(), ops.MatMul(), ops.Ones(), ops.Maximum()
        self.greater, self.tile = ops.Greater(), ops.Tile()

    def construct(self, x, count) -> tuple[Tensor, Tensor]:
        """Return mean and variance (1, C) of x (T, B, C), zero on padding, of `count` (1,) real steps."""
        flat = self.cast(x, ms.float32).reshape(-1, x.shape[2])  # (T * B, C)
        ones = self.ones((1, flat.shape[0]), ms.float32)  # a product with ones is a far faster sum
        mean = self._all(self.matmul(ones, flat)) / count  # (1, C)
        return mean, self.maximum(self._all(self.matmul(ones, flat * flat)) / count - mean * mean, self.zero)

    def bprop(self, x, count, out, dout) -> tuple[Tensor, Tensor]:
        """Return the gradients of the inputs; there is none of the count."""
        of_variance = dout[1] * self.cast(self.greater(out[1], self.zero), ms.float32)  # (1, C)
        of_total = self._all(dout[0] - 2 * out[0] * of_variance) / count
        of_squares = 2 * self._all(of_variance) / count
        repeats = (x.shape[0], x.shape[1], 1)
        of_x = x * self.cast(self.tile(of_squares.reshape(1, 1, -1), repeats), x.dtype)
        return of_x + self.cast(self.tile(of_total.reshape(1, 1, -1), repeats), x.dtype), count * 0

    def _all(self, numbers):
        return numbers if self.sum_over_processes is None else self.sum_over_processes(numbers)


class ScaleColumns(nn.Cell):
    """x * scale + shift where an utterance keeps a column; its gradient is that of broadcasts known beforehand."""

    def __init__(self):
        super().__init__()
        self.sum, self.sum_rows, self.tile = ops.ReduceSum(), ops.ReduceSum(keep_dims=True), ops.Tile()

    def construct(self, x, scale, shift, kept) -> Tensor:
        """Map x (T, B, C), scale and shift (1, C) and the factors of a dropout (B, C) to (T, B, C)."""
        return x * self._repeat(scale * kept, x) + self._repeat(shift * kept, x)

    def bprop(self, x, scale, shift, kept, out, dout) -> tuple[Tensor, ...]:
        """Return the gradients of the inputs; there is none of the dropout."""
        of_scale = self.sum_rows(self.sum(dout * x, (0,)) * kept, (0,))  # over time and then over utterances is faster
        of_shift = self.sum_rows(self.sum(dout, (0,)) * kept, (0,))
        return dout * self._repeat(scale * kept, x), of_scale, of_shift, kept * 0

    def _repeat(self, rows, x):  # as repeat_over_time, which a bprop cannot call
        return self.tile(rows.reshape(1, -1, x.shape[2]), (x.shape[0], 1, 1))


class MaskedBatchNorm(nn.Cell):
    """Batch normalisation of each column over the real steps of all utterances of a batch (Ioffe & Szegedy 2015).

    The input must be exactly zero on padding, as an LSTMLayer leaves it: sums over everything are then sums over the
    real steps, and only their number is an input. In a data-parallel training they are those of all processes. It
    returns a factor and a summand, so that a dropout can be multiplied into them: one pass over x, and a gradient that
    sums over time alone, which the CPU does ten times faster than over time and utterances at once.
    """

    def __init__(self, *, size: int, momentum: float = 0.95, moments: Moments | None = None):
        super().__init__()
        self.momentum, self.epsilon = momentum, 1e-5
        self.weight = Parameter(Tensor(np.ones(size, np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(size, np.float32)), name="bias")
        self.mean = Parameter(Tensor(np.zeros(size, np.float32)), name="mean", requires_grad=False)
        self.variance = Parameter(Tensor(np.ones(size, np.float32)), name="variance", requires_grad=False)
        self.moments, self.rsqrt, self.assign = moments or Moments(), ops.Rsqrt(), ops.Assign()

    def construct(self, x: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Return factor and summand (1, C) that normalise x (T, B, C), zero on padding, of `count` (1,) real steps."""
        if self.training:
            mean, variance = self.moments(x, count)
            mean = self._keep(self.mean, mean)
            variance = self._keep(self.variance, variance)
        else:
            mean, variance = self.mean.reshape(1, -1), self.variance.reshape(1, -1)
        scale = self.weight * self.rsqrt(variance + self.epsilon)  # (1, C)
        return scale, self.bias - mean * scale

    def _keep(self, average, value):
        """Return value (1, C) after it has moved its running average (C,)."""
        new = self.momentum * average + (1 - self.momentum) * ops.stop_gradient(value).reshape(-1)
        return ops.depend(value, self.assign(average, new))


class CTCNet(nn.Cell):
    """Log-probabilities of the blank and the labels at every output step; exact for utterances of any lengths.

    Each LSTM layer but the first, and the output layer, reads batch-normalised outputs of the layer below, with columns
    dropped for a whole utterance. After Graves et al. 2013, section 3. `sum_over_processes` adds up the statistics of
    data-parallel processes, None where there is one.
    """

    def __init__(
        self,
        *,
        feature_size: int,
        num_labels: int,
        front_end: str,
        conv_channels: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        batch_norm: bool,
        dropout: float = 0.0,
        seed: int = 0,
        sum_over_processes: ops.AllReduce | None = None,
    ):
        super().__init__()
        self.subsampling = subsampling_of(front_end)
        input_size = self.subsampling * feature_size
        self.has_convolution = front_end == "conv"
        if self.has_convolution:
            self.front_end = TimeConvolution(size=input_size, channels=conv_channels, seed=seed)
            input_size = conv_channels
        size = hidden_size * (2 if bidirectional else 1)
        layers, norms, moments = [], [], Moments(sum_over_processes)  # one for all layers compiles once
        for k, layer_size in enumerate([input_size] + [size] * (num_layers - 1)):
            trained_below = k > 0 or self.has_convolution
            layers.append(LSTMLayer(layer_size, hidden_size, bidirectional, 1.0, [seed, k], trained_below))
            if batch_norm:
                norms.append(MaskedBatchNorm(size=size, moments=moments))
        self.layers, self.norms = nn.CellList(layers), nn.CellList(norms)
        self.dropouts = nn.CellList([KeyedDropout(dropout, size, [seed, k]) for k in range(num_layers)])
        self.weight = Parameter(_uniform([seed, OUTPUT], num_labels, size), name="weight")
        self.bias = Parameter(Tensor(np.zeros(num_labels, np.float32)), name="bias")
        self.matmul_nt, self.add_bias, self.scale_columns = ops.MatMul(transpose_b=True), AddBias(), ScaleColumns()
        self.transpose, self.cast, self.sum, self.ones = ops.Transpose(), ops.Cast(), ops.ReduceSum(), ops.Ones()
        self.log_softmax, self.sum_over_processes = ops.LogSoftmax(2), sum_over_processes

    def construct(self, frames: Tensor, lengths: Tensor, dropout_keys: Tensor, forward_only: bool = False) -> Tensor:
        """Map frames (B, T, D), zero on padding, T a multiple of the subsampling, to log-probabilities (T', B, V).

        `lengths` (B,) int32 counts frames, T' = T / subsampling. The output behind an utterance's end is undefined.
        `forward_only` (a constant) says that no gradient will be asked for, which is faster.
        """
        return self.classify(self.layer_outputs(frames, lengths, dropout_keys, forward_only)[-1])

    def layer_outputs(
        self, frames: Tensor, lengths: Tensor, dropout_keys: Tensor, forward_only: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the outputs (T', B, H) of each layer, normalised, in training with columns dropped."""
        steps = (lengths + (self.subsampling - 1)) // self.subsampling  # (B,)
        batch, longest, size = frames.shape
        x = frames.reshape(batch, longest // self.subsampling, self.subsampling * size)  # (B, T', subsampling * D)
        x = self.transpose(x, (1, 0, 2))  # (T', B, subsampling * D)
        count = self.sum(self.cast(steps, ms.float32)).reshape(1)
        if self.training and self.sum_over_processes is not None:
            count = self.sum_over_processes(count)
        if self.has_convolution:
            padding = padding_mask(steps, longest // self.subsampling).astype(x.dtype)  # (T', B, 1)
            x = self.front_end(x, padding)  # (T', B, C)
        outputs = ()
        for k in range(len(self.layers)):
            x = self.layers[k](x, steps, forward_only)  # (T', B, H), zero on padding
            factor = self.dropouts[k](self.ones((x.shape[1], x.shape[2]), x.dtype), dropout_keys)  # (B, H)
            if len(self.norms):
                scale, shift = self.norms[k](x, count)
                x = self.scale_columns(x, self.cast(scale, x.dtype), self.cast(shift, x.dtype), factor)
            elif self.training:
                x = x * repeat_over_time(factor, x.shape[0])
            outputs += (x,)
        return outputs

    def classify(self, x: Tensor) -> Tensor:
        """Map outputs of a layer (T', B, H) to log-probabilities (T', B, V); all layers share the weights."""
        steps, batch, size = x.shape
        logits = self.matmul_nt(x.reshape(steps * batch, size), self.weight.astype(x.dtype))  # (T' * B, V)
        logits = self.add_bias(logits, self.bias.astype(x.dtype))
        return self.log_softmax(logits.astype(ms.float32).reshape(steps, batch, -1))


def dynamic_inputs(feature_size: int) -> list[Tensor]:
    """Return placeholders, of any batch size and lengths, for the arrays of dataset.TrainingInputs in their order."""
    rest = [None], [None], [None, None], [None]
    frames = Tensor(shape=[None, None, feature_size], dtype=ms.float32)
    return [frames, *(Tensor(shape=shape, dtype=ms.int32) for shape in rest)]
