"""A linear-chain conditional random field (Lafferty et al. 2001) whose gradient is its marginals.

The gradient of the log partition function is the expected count of each tag and of each pair of tags, so one pass of
the forward-backward algorithm gives the loss and all its gradients, and nothing is differentiated through the loop.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

_TINY = 1e-30  # keeps 0 / 0 on padding from being nan
_CHUNK = 8  # steps in a turn of the loop


class ForwardBackward(nn.Cell):
    """Both recursions at once, in the probability domain and rescaled at every step (Rabiner 1989, section V.A).

    The forward messages of step s and the backward messages of step T - 1 - s depend only on the turn before, so they
    are one batched product with [exp(transitions), its transpose].
    """

    def __init__(self):
        super().__init__()
        self.product = ops.BatchMatMul()
        self.matmul = ops.MatMul()

    def construct(self, emissions, transitions, lengths):
        """Map emissions (T, B, K), transitions (K, K) and lengths (B,) to what a loss needs, all float32:

        log_partition (B,), the marginals of tags (T, B, K), zero on padding, and the expected number of each pair of
        neighbouring tags, summed over the batch (K, K). Every length must be at least 1 and at most T.
        """
        steps, batch, tags = emissions.shape
        position = ops.arange(steps).reshape(-1, 1)  # (T, 1)
        real = (position < lengths.reshape(1, -1)).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        last = (position == lengths.reshape(1, -1) - 1).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        first = (position == 0).astype(ms.float32).expand_dims(2)  # (T, 1, 1)
        highest = emissions.max(2, keepdims=True)  # (T, B, 1)
        psi = ops.exp(emissions - highest) * real  # (T, B, K), zero on padding
        potentials = ops.exp(transitions)  # (K, K)

        both = ops.stack((psi, ops.flip(psi, (0,))), 1)  # (T, 2, B, K)
        starts = ops.stack((first + ops.zeros_like(last), ops.flip(last, (0,))), 1)  # (T, 2, B, 1)
        messages = self._recursion(both, starts, ops.stack((potentials, potentials.T)))  # (T, 2, B, K)
        alpha = messages[:, 0]  # (T, B, K), each step's sum is 1
        beta = ops.flip(messages[:, 1], (0,))  # (T, B, K), of the step itself on, at any scale

        before = ops.cat((ops.zeros_like(alpha[:1]), alpha[:-1]), 0)  # (T, B, K)
        arriving = self.matmul(before.reshape(-1, tags), potentials).reshape(steps, batch, tags) + first
        scale = (arriving * psi).sum(2)  # (T, B)
        mask = real.reshape(steps, batch)
        log_scale = ops.log(scale + (1 - mask)) + highest.reshape(steps, batch)
        log_partition = (log_scale * mask).sum(0)  # (B,)
        joint = arriving * beta  # (T, B, K)
        total = joint.sum(2, keepdims=True) + _TINY  # (T, B, 1)
        pairs = potentials * self.matmul(before.reshape(-1, tags).T, (beta / total).reshape(-1, tags))  # (K, K)
        return log_partition, joint / total, pairs

    def _recursion(self, psi, starts, potentials):
        """Run m_s = psi_s * (m_{s-1} potentials + starts_s), each scaled to a sum of 1, over all T steps.

        A turn of the loop does a few steps, as a turn costs more than a step; the loop compiles once for all T.
        """
        steps, _, batch, tags = psi.shape
        missing = -steps % _CHUNK
        if missing:
            psi = ops.cat((psi, ops.zeros((missing, 2, batch, tags), ms.float32)), 0)
            starts = ops.cat((starts, ops.zeros((missing, 2, batch, 1), ms.float32)), 0)
        psi = psi.reshape(-1, _CHUNK, 2, batch, tags)
        starts = starts.reshape(-1, _CHUNK, 2, batch, 1)
        turns = psi.shape[0]
        messages = ops.zeros_like(psi)
        message = ops.zeros((2, batch, tags), ms.float32)
        turn = Tensor(0, ms.int32)
        while turn < turns:
            psi_turn, starts_turn = ops.gather(psi, turn, 0), ops.gather(starts, turn, 0)
            done = ()
            for s in range(_CHUNK):
                message = (self.product(message, potentials) + starts_turn[s]) * psi_turn[s]
                message = message / (message.sum(2, keepdims=True) + _TINY)
                done += (message,)
            messages = ops.tensor_scatter_update(messages, turn.reshape(1, 1), ops.stack(done).expand_dims(0))
            turn = turn + 1
        return messages.reshape(-1, 2, batch, tags)[:steps]


class CRFLoss(nn.Cell):
    """Negative log likelihood of tag sequences, summed over a batch.

    The value is log Z minus the gold score. Its gradient is the expected minus the gold counts, both constants of the
    pass before, so the loss is written as their product with the potentials, shifted to the right value.
    """

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.forward_backward = ForwardBackward()
        self.matmul = ops.MatMul()

    def construct(self, emissions, transitions, start, end, tags, lengths):
        """Map emissions (T, B, K), transitions (K, K), start (K,), end (K,), tags (T, B), lengths (B,) to a scalar."""
        steps, _, size = emissions.shape
        position = ops.arange(steps).reshape(-1, 1)  # (T, 1)
        last = (position == lengths.reshape(1, -1) - 1).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        first = (position == 0).astype(ms.float32).expand_dims(2)  # (T, 1, 1)
        real = (position < lengths.reshape(1, -1)).astype(ms.float32).expand_dims(2)  # (T, B, 1)
        emissions = emissions + first * start + last * end  # (T, B, K)
        log_partition, marginals, pairs = self.forward_backward(
            ops.stop_gradient(emissions), ops.stop_gradient(transitions), lengths
        )
        gold = (tags.expand_dims(2) == ops.arange(size)).astype(ms.float32) * real  # (T, B, K)
        gold_pairs = self.matmul(gold[:-1].reshape(-1, size).T, gold[1:].reshape(-1, size))  # (K, K)
        score = (gold * emissions).sum() + (gold_pairs * transitions).sum()
        product = (ops.stop_gradient(marginals - gold) * emissions).sum()
        product = product + (ops.stop_gradient(pairs - gold_pairs) * transitions).sum()
        return product + ops.stop_gradient(log_partition.sum() - score - product)
