"""Training losses of the tagger: CRF or softmax, a language model, adversarial perturbation."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src import random_streams
from src.crf import CRFLoss
from src.model_utils.softmax_loss import SoftmaxLoss
from src.network import Tagger


class TaggingLoss(nn.Cell):
    """Negative log likelihood of the gold tags, summed over the characters of a sentence, averaged over sentences.

    With `language_model`, the weight of a LanguageModelLoss, that loss is added.
    """

    def __init__(
        self,
        network: Tagger,
        *,
        constraints: tuple[np.ndarray, ...],
        language_model: float = 0.0,
        most_characters: int = 0,
    ):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.forbidden, self.forbidden_start, self.forbidden_end = (Tensor(array) for array in constraints)
        self.crf_loss = CRFLoss()
        self.weight = language_model
        if language_model:
            self.language_model = LanguageModelLoss(network, most_characters=most_characters)

    def construct(self, characters, bigrams, lengths, dropout_keys, tags, targets) -> Tensor:
        """Map the arrays of a TrainingInputs to the scalar loss."""
        return self.of_vectors(self.network.embedding(characters, bigrams), lengths, dropout_keys, tags, targets)

    def of_vectors(self, x, lengths, dropout_keys, tags, targets) -> Tensor:
        """Return the scalar loss of vectors x (T, B, E)."""
        states = self.network.states(x, lengths, dropout_keys)
        loss = self.of_scores(self.network.scores(states), tags, lengths)
        if self.weight:
            loss = loss + self.weight * self.language_model(states, targets, lengths)
        return loss

    def of_scores(self, scores, tags, lengths) -> Tensor:
        """Return the scalar loss of scores (T, B, K), tags (T, B) and lengths (B,)."""
        scores = scores.astype(ms.float32)
        if self.network.crf:
            transitions = self.network.transitions + self.forbidden
            start, end = self.network.start + self.forbidden_start, self.network.end + self.forbidden_end
            return self.crf_loss(scores, transitions, start, end, tags, lengths) / scores.shape[1]
        steps, batch, size = scores.shape
        real = (ops.arange(steps).reshape(-1, 1) < lengths.reshape(1, -1)).astype(ms.float32)  # (T, B)
        gold = (tags.expand_dims(2) == ops.arange(size)).astype(ms.float32)  # (T, B, K)
        highest = ops.stop_gradient(scores.max(2, keepdims=True))  # (T, B, 1)
        normalizer = ops.log(ops.exp(scores - highest).sum(2)) + highest.reshape(steps, batch)  # (T, B)
        return ((normalizer - (gold * scores).sum(2)) * real).sum() / batch


class LanguageModelLoss(nn.Cell):
    """Each direction of the LSTM predicts the next character that its inputs have not shown yet.

    Rei 2017, a secondary objective on the tagger's own training text. As a character's bigrams show its neighbours, it
    is the one after the next. Only the `most_characters` most frequent characters (ids count by falling frequency) are
    predicted, which saves most of the cost; the others are skipped. Negative log likelihood, summed over characters and
    both directions, averaged over sentences.
    """

    def __init__(self, network: Tagger, *, most_characters: int):
        super().__init__(auto_prefix=False)
        self.distance = 2 if network.embedding.with_bigrams else 1
        self.size = min(most_characters, network.embedding.character_table.shape[0])
        self.hidden_size = network.lstm.layers[0].hidden_size
        bound = self.hidden_size**-0.5
        random = np.random.default_rng([network.seed, random_streams.LANGUAGE_MODEL])

        def weight(name: str, *shape: int) -> Parameter:
            return Parameter(Tensor(random.uniform(-bound, bound, shape).astype(np.float32)), name=name)

        self.next_weight = weight("language_model.next_weight", self.size, self.hidden_size)
        self.next_bias = weight("language_model.next_bias", self.size)
        self.previous_weight = weight("language_model.previous_weight", self.size, self.hidden_size)
        self.previous_bias = weight("language_model.previous_bias", self.size)
        self.loss = SoftmaxLoss()

    def construct(self, states, targets, lengths) -> Tensor:
        """Map states (T, B, 2H), targets (T, B) and lengths (B,) to the scalar loss."""
        steps, batch = targets.shape
        k = self.distance
        real = ops.arange(steps).reshape(-1, 1) < lengths.reshape(1, -1)  # (T, B)
        wanted = ops.logical_and(real, targets < self.size).astype(ms.float32)  # (T, B)
        targets = ops.minimum(targets, self.size - 1)
        forward, backward = ops.split(states, self.hidden_size, 2)  # (T, B, H)
        before = _shifted(wanted, -k) * real.astype(ms.float32)  # not at the padding behind a sentence
        loss = self.loss(forward, self.next_weight, self.next_bias, _shifted(targets, k), _shifted(wanted, k))
        loss += self.loss(backward, self.previous_weight, self.previous_bias, _shifted(targets, -k), before)
        return loss / batch


def _shifted(x, k: int):
    """Return x (T, B) moved by k steps towards the beginning, or by -k towards the end, zero where nothing was."""
    return ops.cat((x[k:], x[:k] * 0)) if k > 0 else ops.cat((x[k:] * 0, x[:k]))


class AdversarialGradient(nn.Cell):
    """Gradients of the loss plus the loss of vectors moved by `epsilon` in the worst direction.

    Miyato et al. 2017, eqs. 2, 5 and 6, with the L2 norm taken over each sentence; `epsilon` is relative to the norm of
    the sentence's vectors. The first backward pass gives both the direction and the plain gradient. Returns (plain
    loss, gradients of `weights`).
    """

    def __init__(self, loss_network: TaggingLoss, *, weights: ms.ParameterTuple, epsilon: float):
        super().__init__(auto_prefix=False)
        self.loss_network = loss_network
        self.network = loss_network.network
        self.epsilon = epsilon
        self.plain = ms.value_and_grad(self._loss, 0, weights)
        self.moved = ms.grad(self._loss, None, weights)

    def _loss(self, shift, characters, bigrams, *rest):
        return self.loss_network.of_vectors(self.network.embedding(characters, bigrams) + shift, *rest)

    def construct(self, characters, bigrams, *rest) -> tuple[Tensor, tuple[Tensor, ...]]:
        batch = (characters, bigrams, *rest)
        x = ops.stop_gradient(self.network.embedding(characters, bigrams))  # (T, B, E)
        loss, (direction, gradients) = self.plain(ops.zeros_like(x), *batch)
        scale = self.epsilon * _norm(x) / (_norm(direction) + 1e-12)  # (1, B, 1)
        moved = self.moved(direction * scale, *batch)
        return loss, tuple(a + b for a, b in zip(gradients, moved))


def _norm(x):
    return ops.sqrt(ops.square(x).sum((0, 2), keepdims=True))
