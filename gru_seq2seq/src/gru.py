"""Gated recurrent unit for sequences of different lengths in one padded batch."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.layers import AddBias, padding_mask


class GRU(nn.Cell):
    """One (bidirectional) GRU layer that is exact for sequences of any length in one padded batch.

    The update is that of cuDNN, Ascend and `nn.GRU` (Cho et al. 2014 with the reset gate after the product):
    r = sigmoid(x_r + W_r h), z = sigmoid(x_z + W_z h), n = tanh(x_n + r * (W_n h + b_n)), h' = (1 - z) * n + z * h.

    On a CPU the project's own kernel runs each sequence up to its length (src/native/recurrent.cc). Elsewhere, and
    where it is not in use, the steps are written out, and the state passes through padded ones unchanged: the last
    state is that of the last real step, and the backward direction reaches the last real step with its initial state.
    Each number of steps then compiles once.

    Weights are those of `nn.GRU`: `weight_ih` (3H, I), `weight_hh` (3H, H), `bias_ih`, `bias_hh` (3H,), gates in the
    order reset, update, new; those of the backward direction end in `_reverse`.
    """

    def __init__(self, *, input_size: int, hidden_size: int, bidirectional: bool, seed):
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional, self.output_size = bidirectional, (1 + bidirectional) * hidden_size
        random = np.random.default_rng(seed)
        weights = []
        for suffix in ("", "_reverse")[: 1 + bidirectional]:
            for name, columns in (("weight_ih", input_size), ("weight_hh", hidden_size)):
                rows = [_orthogonal_or_uniform(random, hidden_size, columns) for _ in range(3)]
                weights.append(Parameter(Tensor(np.concatenate(rows)), name=name + suffix))
            for name in ("bias_ih", "bias_hh"):
                weights.append(Parameter(Tensor(np.zeros(3 * hidden_size, np.float32)), name=name + suffix))
        self.weights = ParameterTuple(weights)  # four of each direction
        self.native = native.enabled()
        if self.native:
            self.kernel, self.forward_kernel = native_ops.gru(1 + bidirectional)
        self.matmul_nt, self.add_bias = ops.MatMul(transpose_b=True), AddBias()
        self.sigmoid, self.tanh, self.split_gates = ops.Sigmoid(), ops.Tanh(), ops.Split(1, 3)
        self.concat, self.reverse_sequence = ops.Concat(1), ops.ReverseSequence(0, 1)
        self.first_step = ops.StridedSlice(end_mask=0b010, shrink_axis_mask=0b001)  # of some columns of all rows

    def construct(self, x, lengths, state=None, forward_only=False) -> Tensor:
        """Map x (T, B, I) and lengths (B,) int32 to outputs (T, B, H * directions).

        One direction starts from `state` (B, H), two from zeros. What the outputs are on padding is not defined.
        `forward_only` (a constant) takes a faster kernel that has no gradient. Without lengths it is a single step,
        T = 1, of one direction.
        """
        if lengths is None:
            return self.step(x.reshape(-1, x.shape[2]), state).reshape(1, -1, self.hidden_size)
        if self.native:
            inputs = (x, lengths) if self.bidirectional else (x, lengths, state)
            if forward_only:
                return self.forward_kernel(*inputs, *self.weights)
            return self.kernel(*inputs, *self.weights)[0]
        padded = padding_mask(lengths, x.shape[0]) > 0  # (T, B, 1)
        if not self.bidirectional:
            return self._run(x, padded, state, *self.weights)
        state = ops.zeros((x.shape[1], self.hidden_size), x.dtype)
        forward = self._run(x, padded, state, *self.weights[:4])
        backward = self._run(ops.flip(x, (0,)), ops.flip(padded, (0,)), state, *self.weights[4:])
        return ops.cat((forward, ops.flip(backward, (0,))), 2)

    def step(self, x, state) -> Tensor:
        """Map x (B, I) and state (B, H) of the forward direction to the next state (B, H)."""
        weight_ih, weight_hh, bias_ih, bias_hh = self.weights[:4]
        return self._next_state(self.add_bias(self.matmul_nt(x, weight_ih), bias_ih), state, weight_hh, bias_hh)

    def last_states(self, outputs, lengths) -> Tensor:
        """Return the states (B, H * directions) in which each direction ends, of outputs (T, B, H * directions)."""
        size, ones = self.hidden_size, (1, 1, 1)
        last = self.first_step(self.reverse_sequence(outputs, lengths), (0, 0, 0), (1, 0, size), ones)
        if not self.bidirectional:
            return last
        return self.concat((last, self.first_step(outputs, (0, 0, size), (1, 0, self.output_size), ones)))

    def _run(self, x, padded, state, weight_ih, weight_hh, bias_ih, bias_hh):
        """Return the states (T, B, H) of one direction over x (T, B, I), `padded` (T, B, 1)."""
        steps, rows, columns = x.shape
        from_inputs = self.add_bias(self.matmul_nt(x.reshape(steps * rows, columns), weight_ih), bias_ih)
        from_inputs = from_inputs.reshape(steps, rows, 3 * self.hidden_size)  # (T, B, 3H)
        states = ()
        for t in range(steps):
            after = self._next_state(from_inputs[t], state, weight_hh, bias_hh)  # (B, H)
            state = ops.where(padded[t], state, after)
            states += (state,)
        return ops.stack(states)

    def _next_state(self, from_input, state, weight_hh, bias_hh):
        """Return the state after `state` (B, H), of an input's part in the gates (B, 3H)."""
        from_state = self.add_bias(self.matmul_nt(state, weight_hh), bias_hh)  # (B, 3H)
        x_r, x_z, x_n = self.split_gates(from_input)
        h_r, h_z, h_n = self.split_gates(from_state)
        n = self.tanh(x_n + self.sigmoid(x_r + h_r) * h_n)
        return n + self.sigmoid(x_z + h_z) * (state - n)


def _orthogonal_or_uniform(random, rows: int, columns: int) -> np.ndarray:
    """Return (rows, columns) float32: orthogonal for a square matrix (Saxe et al. 2014), else Glorot & Bengio 2010."""
    if rows == columns:
        q, r = np.linalg.qr(random.standard_normal((rows, columns)))
        return (q * np.sign(np.diag(r))).astype(np.float32)
    bound = (6 / (rows + columns)) ** 0.5
    return random.uniform(-bound, bound, (rows, columns)).astype(np.float32)
