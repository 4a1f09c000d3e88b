"""A linear-chain conditional random field (Lafferty et al. 2001) whose gradient is its marginals.

The gradient of the log partition function is the expected count of each tag and of each pair of tags. One pass of the
forward-backward algorithm therefore gives the loss and all its gradients; nothing is differentiated through the loop.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.model_utils import native, native_ops

_TINY = 1e-30  # keeps denominators above 0
UNROLLED = 256  # most steps that are unrolled; longer sentences go through a loop
TURN = 64  # steps of one pass of that loop


class ForwardBackward(nn.Cell):
    """Both recursions at once, in the probability domain and rescaled at every step (Rabiner 1989, section V.A).

    The backward recursion reads each sentence from its own end, so that both begin at the first step. They are one
    matrix product a step, with [exp(transitions), its transpose] on the diagonal of one matrix.
    """

    def __init__(self):
        super().__init__()
        self.matmul = ops.MatMul()
        self.matmul_tn = ops.MatMul(transpose_a=True)
        self.reverse = ops.ReverseSequence(0, 1)

    def construct(self, emissions, transitions, lengths) -> tuple[Tensor, Tensor, Tensor]:
        """Map emissions (T, B, K), transitions (K, K) and lengths (B,) to what a loss needs, all float32:

        log_partition (B,), the marginals of tags (T, B, K), zero on padding, and the expected number of each pair of
        neighbouring tags, summed over the batch (K, K). Every length must be at least 1 and at most T.
        """
        steps, batch, tags = emissions.shape
        real = (ops.arange(steps).reshape(-1, 1) < lengths.reshape(1, -1)).astype(ms.float32)  # (T, B)
        highest = emissions.max(2, keepdims=True)  # (T, B, 1)
        psi = ops.exp(emissions - highest)  # (T, B, K)
        potentials = ops.exp(transitions) + _TINY  # (K, K)
        both = ops.cat((psi, self.reverse(psi, lengths)), 2)  # (T, B, 2K)
        arriving, messages = self._recursions(both, potentials)  # (T, B, 2K)
        arriving = ops.split(arriving, tags, 2)[0]  # (T, B, K), of the forward recursion
        alpha, beta = ops.split(messages, tags, 2)  # (T, B, K), each step's sum is 1
        beta = self.reverse(beta, lengths)

        scale = (arriving * psi).sum(2)  # (T, B)
        log_partition = ((ops.log(scale) + highest.reshape(steps, batch)) * real).sum(0)  # (B,)
        joint = arriving * beta  # (T, B, K)
        weights = (real / (joint.sum(2) + _TINY)).expand_dims(2)  # (T, B, 1)
        expected = (beta * weights).reshape(-1, tags)[batch:]  # of steps 1 ...
        pairs = potentials * self.matmul_tn(alpha.reshape(-1, tags)[:-batch], expected)  # (K, K)
        return log_partition, joint * weights, pairs

    def _recursions(self, psi, potentials):
        """Run m_t = psi_t * (m_{t-1} potentials), scaled to a sum of 1, in both halves of psi (T, B, 2K).

        Returns the products with the potentials, 1 at the first step, and the scaled results, both (T, B, 2K).
        """
        steps, batch, size = psi.shape
        zero = potentials * 0  # not ops.zeros_like: MindSpore 2.10 loses that function in a cell with a bprop
        one = zero + 1
        transfer = ops.cat((ops.cat((potentials, zero), 1), ops.cat((zero, potentials.T), 1)))  # (2K, 2K)
        adding = ops.cat((ops.cat((one, zero), 1), ops.cat((zero, one), 1)))  # (2K, 2K), sums up each half
        arriving = ops.ones((batch, size), ms.float32)
        if steps <= UNROLLED:
            arrivals, messages, _ = self._turn(psi, arriving, transfer, adding)
            return arrivals, messages
        missing = -steps % TURN
        if missing:
            psi = ops.cat((psi, ops.ones((missing, batch, size), ms.float32)), 0)
        psi = psi.reshape(-1, TURN, batch, size)
        turns, arrivals, messages, turn = psi.shape[0], psi * 0, psi * 0, Tensor(0, ms.int32)
        while turn < turns:
            arrived, passed, arriving = self._turn(ops.gather(psi, turn, 0), arriving, transfer, adding)
            arrivals = ops.tensor_scatter_update(arrivals, turn.reshape(1, 1), arrived.expand_dims(0))
            messages = ops.tensor_scatter_update(messages, turn.reshape(1, 1), passed.expand_dims(0))
            turn = turn + 1
        return arrivals.reshape(-1, batch, size)[:steps], messages.reshape(-1, batch, size)[:steps]

    def _turn(self, psi, arriving, transfer, adding):
        """Run the steps of psi (S, B, 2K) from the products of the step before; returns those for the next step too."""
        arrivals, messages = (), ()
        for factor in ops.unstack(psi):
            message = arriving * factor
            message = message / self.matmul(message, adding)
            arrivals += (arriving,)
            messages += (message,)
            arriving = self.matmul(message, transfer)
        return ops.stack(arrivals), ops.stack(messages), arriving


class CRFLoss(nn.Cell):
    """Negative log likelihood of tag sequences, summed over a batch.

    On a CPU the project's own kernel computes it with its gradients (src/native/crf.cc). Elsewhere, and where that is
    not in use: its gradient is the expected minus the gold counts. Both are computed without a gradient of their own,
    and the loss is their product with the potentials, shifted to the right value.
    """

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.native = native.enabled()
        if self.native:
            self.kernel = native_ops.crf_loss()
        self.value_and_gradient = _ValueAndGradient()

    def construct(self, emissions, transitions, start, end, tags, lengths) -> Tensor:
        """Map emissions (T, B, K), transitions (K, K), start (K,), end (K,), tags (T, B), lengths (B,) to a scalar."""
        if self.native:
            return self.kernel(emissions, transitions, start, end, lengths, tags)[0].reshape(())
        potentials = ops.cat((emissions.reshape(-1), transitions.reshape(-1), start, end))
        value_and_gradient = self.value_and_gradient(emissions, transitions, start, end, tags, lengths)
        value, gradient = ops.split(ops.stop_gradient(value_and_gradient), [1, potentials.shape[0]])
        product = (gradient * potentials).sum()
        return product + ops.stop_gradient(value.reshape(()) - product)


class _ValueAndGradient(nn.Cell):
    """The loss and its gradient with respect to emissions, transitions, start and end, all in one vector."""

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.forward_backward = ForwardBackward()
        self.matmul_tn = ops.MatMul(transpose_a=True)
        self.zeros_like = ops.ZerosLike()

    def construct(self, emissions, transitions, start, end, tags, lengths):
        steps, batch, size = emissions.shape
        position = ops.arange(steps).reshape(-1, 1)  # (T, 1)
        last = (position == lengths.reshape(1, -1) - 1).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        first = (position == 0).astype(ms.float32).expand_dims(2)  # (T, 1, 1)
        real = (position < lengths.reshape(1, -1)).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        emissions = emissions + first * start + last * end  # (T, B, K)
        log_partition, marginals, pairs = self.forward_backward(emissions, transitions, lengths)
        gold = (tags.expand_dims(2) == ops.arange(size)).astype(ms.float32) * real  # (T, B, K)
        flat = gold.reshape(-1, size)
        gold_pairs = self.matmul_tn(flat[:-batch], flat[batch:])  # (K, K)
        value = log_partition.sum() - (gold * emissions).sum() - (gold_pairs * transitions).sum()
        change = marginals - gold  # (T, B, K)
        parts = (value, change, pairs - gold_pairs, change[0].sum(0), (change * last).sum((0, 1)))
        return ops.cat([part.reshape(-1) for part in parts])

    def bprop(self, emissions, transitions, start, end, tags, lengths, out, dout):
        """Declare the result constant; otherwise every step of the recursions would be prepared for a gradient."""
        inputs = (emissions, transitions, start, end, tags, lengths)
        return tuple([self.zeros_like(x) for x in inputs])
