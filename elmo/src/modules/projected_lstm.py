"""The LSTM layer of the biLM: projected outputs, clipped cells and clipped projections."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils import native, native_ops
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

        def glorot(rows, columns, of_rows=0):
            bound = (6 / ((of_rows or rows) + columns)) ** 0.5
            return Tensor(random.uniform(-bound, bound, (rows, columns)).astype(np.float32))

        both = input_size + output_size  # TensorFlow keeps w_x and w_h as one matrix
        self.w_x = Parameter(glorot(input_size, 4 * hidden_size, both), name="w_x")
        self.w_h = Parameter(glorot(output_size, 4 * hidden_size, both), name="w_h")
        self.bias = Parameter(Tensor(np.zeros(4 * hidden_size, np.float32)), name="bias")
        self.w_p = Parameter(glorot(hidden_size, output_size), name="w_p")
        self.recurrence = _Recurrence(hidden_size=hidden_size, cell_clip=cell_clip, proj_clip=proj_clip)
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
        h, c = ops.stop_gradient(h), ops.stop_gradient(c)
        if self.native:
            if counts is None:
                counts = ops.full((x.shape[1],), x.shape[0], dtype=ms.int32)
            kernel = self.forward_kernel if forward_only else self.kernel
            bias = self.bias + self.recurrence.forget_bias
            results = kernel(x, counts, h, c, self.w_x, self.w_h, bias, self.w_p, self.clips)
            return results[0], ops.stop_gradient(results[1]), ops.stop_gradient(results[2])
        outputs, states = self.recurrence(x, h, c, self.w_x, self.w_h, self.bias, self.w_p)
        last_h, last_c = _state_after(counts, h, outputs), _state_after(counts, c, ops.stack(states[1][1:]))
        return outputs, ops.stop_gradient(last_h), ops.stop_gradient(last_c)

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights as `step` wants them, so that a loop over it prepares them once."""
        return self.recurrence.prepared(self.w_x, self.w_h, self.bias)

    def step(self, x, h, c, weights) -> tuple[Tensor, Tensor]:
        """Map one step's x (B, I) and the state to the new h (B, P) and c (B, H)."""
        w_x, w_h, bias = weights
        inputs = self.recurrence.inputs(x, w_x, bias)
        h, c, _, _, _ = self.recurrence.step(inputs, h, c, w_h, self.w_p)
        return h, c


class _Recurrence(nn.Cell):
    """The T steps, with a gradient by hand.

    Automatic differentiation would multiply and add whole weight matrices at every step. Here the backward loop only
    finds the gradients of the gates; those of the weights are one product each over all steps and rows.

    Outside training the gates are exact to 1e-7 as in activations.py, the scale of their arguments being put into the
    weights; the CPU kernels, which training uses, trade precision for speed.
    """

    def __init__(self, *, hidden_size: int, cell_clip: float, proj_clip: float):
        super().__init__()
        self.hidden_size, self.cell_clip, self.proj_clip = hidden_size, cell_clip, proj_clip
        gates = np.array([0.25, 0.5, 0.25, 0.25], np.float32)
        self.scale = Tensor(np.repeat(gates, hidden_size))
        self.forget_bias = Tensor(np.repeat(np.array([0, 0, FORGET_BIAS, 0], np.float32), hidden_size))
        self.matmul, self.add_bias = ops.MatMul(), ops.BiasAdd()
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.matmul_tn = ops.MatMul(transpose_a=True)

    def construct(self, x, h, c, w_x, w_h, bias, w_p):
        """Return the outputs (T, B, P), and what the gradient needs: of each step, and for h and c also before them."""
        steps, batch, size = x.shape
        w_x, w_h, bias = self.prepared(w_x, w_h, bias)
        inputs = self.inputs(x.reshape(steps * batch, size), w_x, bias)  # (T * B, 4H)
        hs, cs, gates, tanhs, hiddens = (h,), (c,), (), (), ()
        for t in range(steps):
            h, c, gate, tanh_c, hidden = self.step(inputs[t * batch : (t + 1) * batch], h, c, w_h, w_p)
            hs, cs, gates = hs + (h,), cs + (c,), gates + (gate,)
            tanhs, hiddens = tanhs + (tanh_c,), hiddens + (hidden,)
        return ops.stack(hs[1:]), (hs, cs, gates, tanhs, hiddens)

    def prepared(self, w_x, w_h, bias):
        """Return the weights with the forget bias and, outside training, the scale of exact gates."""
        bias = bias + self.forget_bias
        if self.training:
            return w_x, w_h, bias
        return w_x * self.scale, w_h * self.scale, bias * self.scale

    def inputs(self, x, w_x, bias):
        """Return x W_x + b (N, 4H) of x (N, I), without broadcasting (see `repeat_over_time` in layers.py)."""
        return self.add_bias(self.matmul(x, w_x), bias)

    def step(self, inputs, h, c, w_h, w_p):
        """Return h, c, and what the gradient needs of one step from its inputs x W_x + b (B, 4H) and h, c before it."""
        i, j, f, o = self._gates(inputs + self.matmul(h, w_h))  # (B, H)
        c = _clip(f * c + i * j, self.cell_clip)
        near = 0 < self.cell_clip <= 3  # where ops.tanh is exact to 1e-6
        tanh_c = ops.tanh(c) if self.training or near else activations.tanh(c)
        hidden = o * tanh_c
        return _clip(self.matmul(hidden, w_p), self.proj_clip), c, (i, j, f, o), tanh_c, hidden

    def _gates(self, z):
        """Return the gates i, j, f, o (B, H) from their arguments (B, 4H), with the weights of `prepared`."""
        if self.training:
            i, j, f, o = ops.split(z, self.hidden_size, 1)
            return ops.sigmoid(i), ops.tanh(j), ops.sigmoid(f), ops.sigmoid(o)
        i, j, f, o = ops.split(activations.half_tanh_of_double(z), self.hidden_size, 1)
        return i + 0.5, j + j, f + 0.5, o + 0.5

    def bprop(self, x, h, c, w_x, w_h, bias, w_p, out, dout):
        """Return the gradients of the inputs; only that of the outputs is taken, `d` names a gradient."""
        steps, batch, size = x.shape
        hs, cs, gates, tanhs, hiddens = out[1]
        outputs = dout[0]
        dh, dc = ops.zeros_like(h), ops.zeros_like(c)
        dzs, dprojections = (), ()
        for k in range(steps):
            t = steps - 1 - k
            dprojection = _unclipped(outputs[t] + dh, hs[t + 1], self.proj_clip)  # (B, P)
            dhidden = self.matmul_nt(dprojection, w_p)  # (B, H)
            i, j, f, o = gates[t]
            dc = _unclipped(dc + dhidden * o * (1 - ops.square(tanhs[t])), cs[t + 1], self.cell_clip)
            dz = ops.cat(
                (
                    dc * j * i * (1 - i),
                    dc * i * (1 - ops.square(j)),
                    dc * cs[t] * f * (1 - f),
                    dhidden * hiddens[t] * (1 - o),
                ),
                1,
            )  # (B, 4H)
            dc = dc * f
            dh = self.matmul_nt(dz, w_h)  # (B, P)
            dzs, dprojections = (dz,) + dzs, (dprojection,) + dprojections
        dz = ops.cat(dzs)  # (T * B, 4H)
        dx = self.matmul_nt(dz, w_x).reshape(steps, batch, size)
        read = ops.cat((x.reshape(steps * batch, size), ops.cat(hs[:-1])), 1)  # (T * B, I + P)
        dw = self.matmul_tn(read, dz)  # (I + P, 4H)
        dw_p = self.matmul_tn(ops.cat(hiddens), ops.cat(dprojections))
        return dx, dh, dc, dw[:size], dw[size:], dz.sum(0), dw_p


def _state_after(counts, before, steps):
    """Return the rows (B, H) of steps (T, B, H) after `counts` steps each; after none they are those of `before`."""
    if counts is None:
        return steps[-1]
    batch, size = before.shape
    rows = ops.cat((before.expand_dims(0), steps)).reshape(-1, size)  # ((T + 1) * B, H)
    return ops.gather(rows, counts * batch + ops.arange(batch), 0)


def _clip(x, limit):
    return ops.maximum(ops.minimum(x, limit), -limit) if limit > 0 else x


def _unclipped(gradient, clipped, limit):
    """Stop the gradient where the value was clipped."""
    return gradient * (ops.abs(clipped) < limit).astype(gradient.dtype) if limit > 0 else gradient
