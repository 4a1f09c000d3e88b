"""The softmax over the vocabulary that both directions share, sampled in training and whole in evaluation."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.network import BiLanguageModel, LanguageModel
from src.ops.sampled_softmax import SampledSoftmaxLoss


class TrainingLoss(nn.Cell):
    """Mean sampled softmax loss of both directions."""

    def __init__(self, *, bilm: BiLanguageModel, sampled: int):
        super().__init__(auto_prefix=False)
        self.bilm = bilm
        self.loss = SampledSoftmaxLoss(sampled)

    def construct(self, text, targets, h, c, dropout_keys, weight, bias, log_expected) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scalar loss and the state after the last step.

        text: the biLM's short and long character ids, forward and backward index; targets: forward and backward
        (T * B,) int32, rows of weight (R, P); h, c: the state before the first step.
        """
        forward, backward, new_h, new_c = self.bilm(*text, h, c, dropout_keys)
        size = weight.shape[1]
        loss = 0.0
        for layers, target in ((forward, targets[0]), (backward, targets[1])):
            loss = loss + self.loss(layers[-1].reshape(-1, size), target, weight, bias, log_expected)[0] / 2
        return loss, new_h, new_c


class FullLoss(nn.Cell):
    """The negative log probability of every token in both directions, with the softmax over the whole vocabulary."""

    def __init__(self, model: LanguageModel):
        super().__init__(auto_prefix=False)
        self.model = model
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.log_softmax = ops.LogSoftmax(1)

    def construct(
        self, char_ids, long_char_ids, forward_index, backward_index, forward_target, backward_target, h, c
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses (2, T * B) of the targets (T * B,), classes of the vocabulary, and the new state."""
        keys = ops.zeros((2, forward_index.shape[1]), ms.int32)
        layers = self.model.bilm(char_ids, long_char_ids, forward_index, backward_index, h, c, keys)
        forward = self.losses(layers[0][-1], forward_target)
        backward = self.losses(layers[1][-1], backward_target)
        return ops.stack((forward, backward)), layers[2], layers[3]

    def losses(self, hidden, targets) -> Tensor:
        """Return (M,) losses of hidden (T, B, P) with targets (M,)."""
        weight, bias = self.model.weight, self.model.bias.reshape(-1, 1)
        hidden = hidden.reshape(-1, weight.shape[1])  # (M, P)
        hidden = ops.cat((hidden, ops.ones((hidden.shape[0], 1), hidden.dtype)), 1)  # (M, P + 1), for the bias
        both = ops.cat((weight, bias), 1)  # (V, P + 1)
        logits = self.matmul_nt(hidden, both)  # (M, V)
        normalizer = logits[:, 0] - self.log_softmax(logits)[:, 0]  # (M,)
        return normalizer - (hidden * ops.gather(both, targets, 0)).sum(1)
