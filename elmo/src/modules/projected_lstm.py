"""The LSTM layer of the biLM: projected outputs, clipped cells and clipped projections."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.layers import AddBias
from src.modules import activations

FORGET_BIAS = 1.0  # added in the cell and not stored, as in TensorFlow's LSTMCell


class ProjectedLSTM(nn.Cell):
    """One direction of one layer (Sak et al. 2014, section 2).

    With s the logistic function and z = x W_x + h W_h + b in the gate order i, j, f, o:
    c = clip(s(f + 1) * c + s(i) * tanh(j)), h = clip((s(o) * tanh(c)) W_p).

    Weights: `w_x` (I, 4H), `w_h` (P, 4H), `bias` (4H,), `w_p` (H, P). A clip of 0 is none.
    """

    def __init__(
        self, *, input_size: int, hidden_size: int, output_size: int, cell_clip: float, proj_clip: float, seed
    ):
        super().__init__()
        random = np.random.default_rng(seed)

        def glorot(rows, columns, inputs):
            bound = (6 / (inputs + columns)) ** 0.5
            return Tensor(random.uniform(-bound, bound, (rows, columns)).astype(np.float32))

        both = input_size + output_size  # TensorFlow keeps w_x and w_h as one matrix
        self.w_x = Parameter(glorot(input_size, 4 * hidden_size, both), name="w_x")
        self.w_h = Parameter(glorot(output_size, 4 * hidden_size, both), name="w_h")
        self.bias = Parameter(Tensor(np.zeros(4 * hidden_size, np.float32)), name="bias")
        self.w_p = Parameter(glorot(hidden_size, output_size, hidden_size), name="w_p")
        self.hidden_size, self.cell_clip, self.proj_clip = hidden_size, cell_clip, proj_clip
        self.forget_bias = Tensor(np.repeat(np.array([0, 0, FORGET_BIAS, 0], np.float32), hidden_size))
        self.matmul, self.add_bias = ops.MatMul(), AddBias()
        self.native = native.enabled()
        if self.native:
            self.kernel, self.forward_kernel = native_ops.projected_lstm()
            self.clips = Tensor(np.array([cell_clip, proj_clip], np.float32))

    def construct(self, x, h, c, counts=None, forward_only=False) -> tuple[Tensor, Tensor, Tensor]:
        """Map x (T, B, I) and the state h (B, P), c (B, H) to the outputs (T, B, P) and the state after the last step.

        `counts` (B,) int32 in 0 ... T: the steps after which the state is wanted, where it is not all of them; what the
        outputs are behind them is not defined. No gradient flows through either state. `forward_only` (a constant)
        takes a faster kernel that has no gradient.

        On a CPU the project's own kernel runs all steps (src/native/recurrent.cc); elsewhere, and where that is not in
        use, they are written out.
        """
        steps, batch, size = x.shape
        if counts is None:
            counts = ops.full((batch,), steps, dtype=ms.int32)
        if self.native:
            weights = self.w_x, self.w_h, self.bias + self.forget_bias, self.w_p, self.clips
            if forward_only:
                return self.forward_kernel(x, counts, h, c, *weights)
            y, h, c, _ = self.kernel(x, counts, h, c, *weights)
            return y, h, c
        h, c = ops.stop_gradient(h), ops.stop_gradient(c)
        hs, cs = (h,), (c,)
        for inputs in ops.split(self.inputs(x.reshape(steps * batch, size)), batch):  # the gradient of slices is slow
            h, c = self.step(inputs, h, c)
            hs, cs = hs + (h,), cs + (c,)
        last = counts, ops.arange(batch)
        return ops.stack(hs[1:]), ops.stop_gradient(ops.stack(hs)[last]), ops.stop_gradient(ops.stack(cs)[last])

    def inputs(self, x) -> Tensor:
        """Map x (N, I) to x W_x + b (N, 4H), which does not depend on the state."""
        return self.add_bias(self.matmul(x, self.w_x), self.bias + self.forget_bias)

    def step(self, inputs, h, c) -> tuple[Tensor, Tensor]:
        """Map one step's x W_x + b (B, 4H) and the state to the new h (B, P) and c (B, H)."""
        # the CPU's own activations, which training uses, trade precision for speed
        sigmoid, tanh = (ops.sigmoid, ops.tanh) if self.training else (activations.sigmoid, activations.tanh)
        i, j, f, o = ops.split(inputs + self.matmul(h, self.w_h), self.hidden_size, 1)  # (B, H)
        c = _clip(sigmoid(f) * c + sigmoid(i) * tanh(j), self.cell_clip)
        return _clip(self.matmul(sigmoid(o) * tanh(c), self.w_p), self.proj_clip), c


def _clip(x, limit):
    return ops.maximum(ops.minimum(x, limit), -limit) if limit > 0 else x
