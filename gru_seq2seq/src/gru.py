"""Gated recurrent unit with the gradient written out, for sequences of different lengths in one padded batch."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.layers import AddBias, padding_mask

_SATURATED = 1e4  # sigmoid(1e4) is exactly 1 in float32, and the number still fits into float16


class GRUScan(nn.Cell):
    """The recurrence of a GRU in its reset-after form, unrolled over the steps, from the last one if `reverse`.

    The update is that of cuDNN, Ascend and `nn.GRU` (Cho et al. 2014 with the reset gate after the product):
    r = sigmoid(x_r + W_r h), z = sigmoid(x_z + W_z h), n = tanh(x_n + r * (W_n h + b_n)), h' = (1 - z) * n + z * h.

    Its gradient is written out: what does not depend on the gradient that arrives is computed for all steps at once,
    the loop over the steps back keeps one product, and the gradient of the weights is one product over all steps, where
    automatic differentiation would add up as many weight matrices as there are steps.
    """

    def __init__(self, reverse: bool = False):
        super().__init__()
        self.reverse = reverse
        self.matmul = ops.MatMul()
        self.matmul_tn = ops.MatMul(transpose_a=True)
        self.add_bias = ops.BiasAdd()

    def construct(self, x_r, x_z, x_n, state, weight, bias_n) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Run over x_r, x_z, x_n (T, B, H) from state (B, H) with weight (3H, H), rows r, z, n, and bias_n (H,).

        Returns the states (T, B, H), and r, z, n and W_n h + b_n (T, B, H), which only the gradient needs.
        """
        size = weight.shape[1]
        weight = transposed(weight)  # (H, 3H)
        bias = ops.cat((ops.zeros(2 * size, bias_n.dtype), bias_n))  # (3H,)
        inputs_r, inputs_z, inputs_n = ops.unstack(x_r), ops.unstack(x_z), ops.unstack(x_n)
        states, resets, updates, candidates, inner = (), (), (), (), ()
        steps = len(inputs_r)
        for k in range(steps):
            t = steps - 1 - k if self.reverse else k
            to_r, to_z, a = ops.split(self.add_bias(self.matmul(state, weight), bias), size, 1)  # (B, H) each
            r = ops.sigmoid(inputs_r[t] + to_r)  # (B, H)
            z = ops.sigmoid(inputs_z[t] + to_z)  # (B, H)
            n = ops.tanh(inputs_n[t] + r * a)  # (B, H)
            state = n + z * (state - n)  # (B, H)
            states, resets, updates = self._put(states, state), self._put(resets, r), self._put(updates, z)
            candidates, inner = self._put(candidates, n), self._put(inner, a)
        return ops.stack(states), ops.stack(resets), ops.stack(updates), ops.stack(candidates), ops.stack(inner)

    def bprop(
        self, x_r, x_z, x_n, state, weight, bias_n, out, dout
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the six inputs; those of the outputs kept for this method are not used."""
        states, r, z, n, a = out
        steps, rows, size = states.shape
        first = state.expand_dims(0)
        before = ops.cat((states[1:], first) if self.reverse else (first, states[:-1]))  # what each step starts from
        to_n = (1 - z) * (1 - n * n)  # each factor takes dh to the gradient before an activation
        to_z = (before - n) * z * (1 - z)
        to_a = to_n * r
        to_r = to_n * a * r * (1 - r)
        d_states, keep = ops.unstack(dout[0]), ops.unstack(z)
        by_r, by_z, by_a = ops.unstack(to_r), ops.unstack(to_z), ops.unstack(to_a)
        dh, total = ops.zeros_like(state), ()
        for k in range(steps):
            t = k if self.reverse else steps - 1 - k
            dh = dh + d_states[t]
            total = total + (dh,) if self.reverse else (dh,) + total
            gates = ops.cat((dh * by_r[t], dh * by_z[t], dh * by_a[t]), 1)  # (B, 3H)
            dh = dh * keep[t] + self.matmul(gates, weight)  # (B, H)
        total = ops.stack(total)  # (T, B, H): the gradient of each state
        d_r, d_z, d_n, d_a = total * to_r, total * to_z, total * to_n, total * to_a
        flat = before.reshape(steps * rows, size)
        d_weight = ops.cat(
            (
                self.matmul_tn(d_r.reshape(steps * rows, size), flat),
                self.matmul_tn(d_z.reshape(steps * rows, size), flat),
                self.matmul_tn(d_a.reshape(steps * rows, size), flat),
            )
        )
        return d_r, d_z, d_n, dh, d_weight, d_a.reshape(steps * rows, size).sum(0)

    def _put(self, values, value):
        return (value,) + values if self.reverse else values + (value,)


class GRU(nn.Cell):
    """One (bidirectional) GRU layer that is exact for sequences of any length in one padded batch.

    On a CPU the project's own kernel runs each sequence up to its length (src/native/recurrent.cc). Elsewhere, and
    where it is not in use, padding opens the update gate for good (its input gets 1e4 there), so the state passes
    through padded steps unchanged: the last state is that of the last real step, and the backward direction reaches the
    last real step with its initial state. Each number of steps then compiles once.

    Weights are those of `nn.GRU`: `weight_ih` (3H, I), `weight_hh` (3H, H), `bias_ih`, `bias_hh` (3H,), gates in the
    order reset, update, new; those of the backward direction end in `_reverse`.
    """

    def __init__(self, *, input_size: int, hidden_size: int, bidirectional: bool, seed):
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        random = np.random.default_rng(seed)

        def weight(name, columns):
            rows = [_orthogonal_or_uniform(random, hidden_size, columns) for _ in range(3)]
            return Parameter(Tensor(np.concatenate(rows)), name=name)

        def bias(name):
            return Parameter(Tensor(np.zeros(3 * hidden_size, np.float32)), name=name)

        self.weight_ih, self.weight_hh = weight("weight_ih", input_size), weight("weight_hh", hidden_size)
        self.bias_ih, self.bias_hh = bias("bias_ih"), bias("bias_hh")
        if bidirectional:
            self.weight_ih_reverse = weight("weight_ih_reverse", input_size)
            self.weight_hh_reverse = weight("weight_hh_reverse", hidden_size)
            self.bias_ih_reverse, self.bias_hh_reverse = bias("bias_ih_reverse"), bias("bias_hh_reverse")
        self.native = native.enabled()
        if self.native:
            self.kernel, self.forward_kernel = native_ops.gru(2 if bidirectional else 1)
        self.scan = GRUScan()
        self.scan_reverse = GRUScan(reverse=True)
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.add_bias = AddBias()

    def construct(self, x, lengths, state=None, forward_only=False) -> Tensor:
        """Map x (T, B, I) and lengths (B,) int32 to outputs (T, B, H * directions).

        One direction starts from `state` (B, H), two from zeros. What the outputs are on padding is not defined.
        `forward_only` (a constant) takes a faster kernel that has no gradient.
        """
        if self.native:
            weights = self._kernel_weights(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
            if self.bidirectional:
                weights += self._kernel_weights(
                    self.weight_ih_reverse, self.weight_hh_reverse, self.bias_ih_reverse, self.bias_hh_reverse
                )
            else:
                weights = (state,) + weights
            return self.forward_kernel(x, lengths, *weights) if forward_only else self.kernel(x, lengths, *weights)[0]
        padding = padding_mask(lengths, x.shape[0])
        if self.bidirectional:
            state = ops.zeros((x.shape[1], self.hidden_size), x.dtype)
        outputs = self._run(self.scan, x, padding, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if not self.bidirectional:
            return outputs
        backward = self._run(
            self.scan_reverse,
            x,
            padding,
            state,
            self.weight_ih_reverse,
            self.weight_hh_reverse,
            self.bias_ih_reverse,
            self.bias_hh_reverse,
        )
        return ops.cat((outputs, backward), 2)

    def last_states(self, outputs, lengths) -> Tensor:
        """Return the states (B, H * directions) in which each direction ends, of outputs (T, B, H * directions)."""
        steps, rows, columns = outputs.shape
        places = ops.maximum(lengths - 1, 0) * rows + ops.arange(rows).astype(lengths.dtype)
        last = ops.gather(outputs.reshape(steps * rows, columns), places, 0)
        if not self.bidirectional:
            return last
        return ops.cat((last[:, : self.hidden_size], outputs[0][:, self.hidden_size :]), 1)

    def _kernel_weights(self, weight_ih, weight_hh, bias_ih, bias_hh):
        """Return the weights of a direction with one bias (4H,), as the kernel wants them: see native_ops.gru."""
        size = self.hidden_size
        both = bias_ih[: 2 * size] + bias_hh[: 2 * size]
        return weight_ih, weight_hh, ops.cat((bias_hh[2 * size :], both, bias_ih[2 * size :]))

    def _run(self, scan, x, padding, state, weight_ih, weight_hh, bias_ih, bias_hh):
        steps, rows, columns = x.shape
        x = x.reshape(steps * rows, columns)
        w_r, w_z, w_n = ops.split(weight_ih, self.hidden_size, 0)  # (H, I) each
        b_r, b_z, b_n = ops.split(bias_ih, self.hidden_size, 0)  # (H,) each
        c_r, c_z, c_n = ops.split(bias_hh, self.hidden_size, 0)
        shape = (steps, rows, self.hidden_size)
        x_r = self.add_bias(self.matmul_nt(x, w_r), b_r + c_r).reshape(shape)
        x_z = self.add_bias(self.matmul_nt(x, w_z), b_z + c_z).reshape(shape)
        x_n = self.add_bias(self.matmul_nt(x, w_n), b_n).reshape(shape)
        x_z = x_z + ops.tile(padding * _SATURATED, (1, 1, self.hidden_size))  # see `repeat_over_time`
        return scan(x_r, x_z, x_n, state, weight_hh, c_n)[0]

    def step(self, x, state) -> Tensor:
        """Map x (B, I) and state (B, H) of the forward direction to the next state (B, H)."""
        from_input = self.add_bias(self.matmul_nt(x, self.weight_ih), self.bias_ih)  # (B, 3H)
        from_state = self.add_bias(self.matmul_nt(state, self.weight_hh), self.bias_hh)  # (B, 3H)
        x_r, x_z, x_n = ops.split(from_input, self.hidden_size, 1)
        h_r, h_z, h_n = ops.split(from_state, self.hidden_size, 1)
        n = ops.tanh(x_n + ops.sigmoid(x_r + h_r) * h_n)
        return n + ops.sigmoid(x_z + h_z) * (state - n)


def transposed(matrix: Tensor, rows: int = 128) -> Tensor:
    """Return the transpose of a matrix; piece by piece, because a CPU transposes a large one three times slower."""
    pieces = ()
    for start in range(0, matrix.shape[0], rows):
        pieces += (matrix[start : start + rows].transpose(1, 0),)
    return ops.cat(pieces, 1)


def _orthogonal_or_uniform(random, rows: int, columns: int) -> np.ndarray:
    """Return (rows, columns) float32: orthogonal for a square matrix (Saxe et al. 2014), else Glorot & Bengio 2010."""
    if rows == columns:
        q, r = np.linalg.qr(random.standard_normal((rows, columns)))
        return (q * np.sign(np.diag(r))).astype(np.float32)
    bound = (6 / (rows + columns)) ** 0.5
    return random.uniform(-bound, bound, (rows, columns)).astype(np.float32)
