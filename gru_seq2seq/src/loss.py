"""Training loss of the translator."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn, ops

from src.model_utils.runtime import rank_and_size
from src.tokenization import PAD


class SmoothedCrossEntropy(nn.Cell):
    """Cross entropy with label smoothing (Szegedy et al. 2016, section 7) of the positions that are not padding.

    Its gradient is written out, softmax minus the smoothed target: automatic differentiation goes over the logits, the
    largest array of the step, three times more.
    """

    def __init__(self, smoothing: float):
        super().__init__()
        self.smoothing = float(smoothing)
        self.ranks = rank_and_size()[1]
        self.sum_over_ranks = ops.AllReduce() if self.ranks > 1 else None

    def construct(self, logits, targets):
        """Return the mean loss, a scalar, and the softmax, for the gradient only, of logits (N, V) and targets (N,)."""
        log_probs = ops.log_softmax(logits.astype(ms.float32), -1)  # (N, V)
        picked = ops.gather_d(log_probs, 1, targets.expand_dims(1)).squeeze(1)  # (N,)
        weights = self._weights(targets)
        loss = -(1 - self.smoothing) * picked
        if self.smoothing > 0:
            loss = loss - self.smoothing * log_probs.mean(1)
        return (loss * weights).sum(), log_probs

    def bprop(self, logits, targets, out, dout):
        """Return the gradients of the inputs."""
        size = logits.shape[1]
        weights = self._weights(targets) * dout[0]  # (N,)
        off = self.smoothing / size
        target = ops.one_hot(targets, size, ms.Tensor(1 - self.smoothing + off), ms.Tensor(off))  # (N, V)
        d_logits = (ops.exp(out[1]) - target) * weights.expand_dims(1)
        return d_logits.astype(logits.dtype), ops.zeros_like(targets)

    def _weights(self, targets):
        """Return (N,) the share of each position in the mean over the tokens of all processes, times their number."""
        real = (targets != PAD).astype(ms.float32)
        tokens = real.sum()
        if self.sum_over_ranks is not None:  # a process may have more tokens than another
            tokens = self.sum_over_ranks(tokens) / self.ranks
        return real / ops.maximum(tokens, 1.0)


class TranslationLoss(nn.Cell):
    """Smoothed cross entropy of the network's logits, a mean over the target tokens of the batch."""

    def __init__(self, network: nn.Cell, smoothing: float):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.cross_entropy = SmoothedCrossEntropy(smoothing)

    def construct(self, source, source_lengths, target_input, target_output, dropout_keys):
        logits = self.network(source, source_lengths, target_input, dropout_keys)
        return self.cross_entropy(logits, target_output.reshape(-1))[0]
