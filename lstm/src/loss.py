"""Training losses of the classifier."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops


class ClassificationLoss(nn.Cell):
    """Mean cross entropy of a network's logits with labels (B,), in float32."""

    def __init__(self, network: nn.Cell, *, label_smoothing: float = 0.0):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.label_smoothing = float(label_smoothing)

    def construct(self, words: Tensor, tokens: Tensor, lengths: Tensor, dropout_keys: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of the network's inputs with labels (B,) int32."""
        logits = self.network(words, tokens, lengths, dropout_keys)
        return self.cross_entropy(logits, labels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C)."""
        return ops.cross_entropy(logits.astype(ms.float32), labels, label_smoothing=self.label_smoothing)


class AdversarialGradient(nn.Cell):
    """Gradients of the loss plus the loss with the word vectors moved by `epsilon` in the worst direction.

    Miyato et al. 2017, eqs. 2, 5 and 6, with the L2 norm taken over each review. `epsilon` is relative to the norm of
    the review's vectors. The first backward pass gives the direction and the gradient of the plain loss together, so a
    step costs two plain ones. Returns (plain loss, gradients of `weights`).
    """

    def __init__(self, loss_network: ClassificationLoss, *, weights: ms.ParameterTuple, epsilon: float):
        super().__init__(auto_prefix=False)
        self.loss_network = loss_network
        self.network = loss_network.network
        self.epsilon = epsilon
        self.plain = ms.value_and_grad(self._loss, 0, weights)
        self.moved = ms.grad(self._loss, None, weights)

    def _loss(self, shift, words, tokens, lengths, dropout_keys, labels):
        x = self.network.embedding(words, tokens) + shift
        return self.loss_network.cross_entropy(self.network.classify(x, lengths, dropout_keys), labels)

    def construct(
        self, words: Tensor, tokens: Tensor, lengths: Tensor, dropout_keys: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map the inputs of the loss to the plain loss and the gradients."""
        batch = (words, tokens, lengths, dropout_keys, labels)
        x = ops.stop_gradient(self.network.embedding(words, tokens))  # (T, B, D)
        loss, (direction, gradients) = self.plain(ops.zeros_like(x), *batch)
        scale = self.epsilon * _norm(x) / (_norm(direction) + 1e-12)  # (1, B, 1)
        moved = self.moved(direction * scale, *batch)
        return loss, tuple(a + b for a, b in zip(gradients, moved))


def _norm(x):
    return ops.sqrt(ops.square(x).sum((0, 2), keepdims=True))
