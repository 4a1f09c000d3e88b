"""Training loss of the translator."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.tokenization import PAD

_TINY = 1e-37  # below it a probability has no normal float32, and a logarithm of 0 would be infinite


class SmoothedCrossEntropy(nn.Cell):
    """Output layer and cross entropy with label smoothing (Szegedy et al. 2016, section 7) of what is not padding.

    The logits (N, V) are by far the largest array of the step, so their gradient, softmax minus the smoothed target,
    is never made: written out, the gradients of the layer's inputs need products of the softmax alone, and
    corrections by the target that are no larger than those inputs.

    The mean is that over the tokens of all data-parallel `processes`.
    """

    def __init__(self, *, smoothing: float, processes: int = 1):
        super().__init__()
        self.smoothing = float(smoothing)
        self.processes = processes
        self.sum_over_processes = ops.AllReduce() if processes > 1 else None
        self.matmul = ops.MatMul()
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.matmul_tn = ops.MatMul(transpose_a=True)
        self.add_bias = ops.BiasAdd()

    def construct(self, hidden, weight, bias, targets) -> tuple[Tensor, Tensor]:
        """Return the mean loss, a scalar, and the softmax, for the gradient only.

        hidden (N, E) is what the output layer with weight (V, E) and bias (V,) reads, targets (N,) the ids to predict.
        """
        logits = self.matmul_nt(hidden, weight.astype(hidden.dtype))
        logits = self.add_bias(logits, bias.astype(hidden.dtype)).astype(ms.float32)  # (N, V)
        softmax = ops.softmax(logits, -1)
        places = targets.expand_dims(1)
        loss = -ops.log(ops.maximum(ops.gather_d(softmax, 1, places), _TINY)).squeeze(1)  # (N,)
        if self.smoothing > 0:  # the mean of ln p over the vocabulary differs from ln p of the target as the logits do
            loss = loss + self.smoothing * (ops.gather_d(logits, 1, places).squeeze(1) - logits.mean(1))
        return (loss * self._weights(targets)).sum(), softmax

    def bprop(self, hidden, weight, bias, targets, out, dout) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the inputs."""
        softmax, table = out[1].astype(hidden.dtype), weight.astype(hidden.dtype)
        size, classes = hidden.shape[1], weight.shape[0]
        kept, spread = 1 - self.smoothing, self.smoothing / classes
        shares = (self._weights(targets) * dout[0]).astype(hidden.dtype)  # (N,)
        wide_shares = ops.tile(shares.expand_dims(1), (1, size))  # (N, E)
        weighted = hidden * wide_shares
        d_hidden = self.matmul(softmax, table) - kept * ops.gather(table, targets, 0)
        d_hidden = self.add_bias(d_hidden, -spread * table.sum(0)) * wide_shares
        of_targets = ops.unsorted_segment_sum(weighted, targets, classes)  # (V, E)
        d_weight = self.matmul_tn(softmax, weighted) - kept * of_targets
        d_weight = self.add_bias(d_weight, -spread * weighted.sum(0))
        of_targets = ops.unsorted_segment_sum(shares, targets, classes)  # (V,)
        d_bias = self.matmul(shares.expand_dims(0), softmax).squeeze(0) - spread * shares.sum() - kept * of_targets
        return d_hidden, d_weight.astype(weight.dtype), d_bias.astype(bias.dtype), ops.zeros_like(targets)

    def _weights(self, targets):
        """Return (N,) the share of each position in the mean over the tokens of all processes, times their number."""
        real = (targets != PAD).astype(ms.float32)
        tokens = real.sum()
        if self.sum_over_processes is not None:  # a process may have more tokens than another
            tokens = self.sum_over_processes(tokens) / self.processes
        return real / ops.maximum(tokens, 1.0)


class TranslationLoss(nn.Cell):
    """Smoothed cross entropy of the network's logits, a mean over the target tokens of the batch."""

    def __init__(self, *, network: nn.Cell, smoothing: float, processes: int = 1):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.cross_entropy = SmoothedCrossEntropy(smoothing=smoothing, processes=processes)

    def construct(self, source, source_lengths, target_input, target_output, dropout_keys) -> Tensor:
        network = self.network
        hidden = network.hidden(source, source_lengths, target_input, dropout_keys)
        targets = target_output.reshape(-1)
        return self.cross_entropy(hidden, network.output_embedding, network.output_bias, targets)[0]
