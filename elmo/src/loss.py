"""The softmax over the vocabulary that both directions share, sampled in training and whole in evaluation."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.model_utils.softmax_loss import SoftmaxLoss
from src.network import BiLanguageModel, LanguageModel


class TrainingLoss(nn.Cell):
    """Mean sampled softmax loss of so many `predictions`, whose rows of the softmax begin with the `sampled` rivals.

    Every logit is corrected by the log of its class's expected count in a sample (Jean et al. 2015, section 3;
    TensorFlow's documentation of candidate sampling). A target that was sampled itself has the same corrected logit
    there, so its loss is the plain softmax over the sample; a target outside is one more term.
    """

    def __init__(self, *, bilm: BiLanguageModel, sampled: int, predictions: int):
        super().__init__(auto_prefix=False)
        self.bilm = bilm
        self.join = ops.Concat(0)
        self.shares = Tensor(np.full(predictions, 1 / predictions, np.float32))
        self.loss = SoftmaxLoss(sampled=sampled)

    def construct(self, text, targets, h, c, dropout_keys, weight, bias, log_expected) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scalar loss and the state after the last step.

        text: the biLM's short and long character ids, forward and backward index; targets: forward and backward
        (T * B,) int32, rows of weight (R, P); h, c: the state before the first step.
        """
        forward, backward, new_h, new_c = self.bilm(*text, h, c, dropout_keys)
        hidden, targets = self.join((forward[-1], backward[-1])), self.join(targets)  # (2 * T, B, P), (2 * T * B,)
        loss = self.loss(hidden, weight, bias - log_expected, targets, self.shares)
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
