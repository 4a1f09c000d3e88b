"""Which words moved a decision."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.dataset import UNKNOWN_ID, Samples, evaluation_batches
from src.inference import dynamic_inputs
from src.model_utils.recurrent import BesideTheCaller
from src.network import SentimentNet

STEPS = 16  # points on the way from the baseline to the review


class Explainer:
    """Splits the difference of the positive and the negative logit among the words of a review.

    Integrated gradients (Sundararajan et al. 2017, eqs. 1 and 3; midpoints): the gradient with respect to each word
    vector, averaged on the straight way from a baseline to the review, times the distance. The baseline, which says
    nothing, is a review of as many unknown words; what the words contribute adds up to what sets the review apart from
    it, as nearly as STEPS points tell. The gradient at the review alone (Simonyan et al. 2014) is nearly zero where the
    network is sure of itself, and then often names the wrong words.
    """

    def __init__(self, network: SentimentNet, config):
        self.network = _PathGradient(network)
        self.network.set_train(False)
        self.network.set_inputs(*dynamic_inputs()[:4], Tensor(0.0, ms.float32))
        self.config = config

    def __call__(self, samples: Samples) -> list[dict[int, float]]:
        """Return for each sample word id -> contribution, summed over the word's places; positive speaks for positive.

        Only tokens that the network read, that is not cut off, count. Unknown words, which contribute 0, are left out.
        """
        results: list[dict[int, float]] = [{}] * len(samples)
        for indices, inputs in evaluation_batches(samples, self.config):
            words, tokens, lengths, _ = inputs
            tensors = [Tensor(array) for array in inputs]
            shares = [(step + 0.5) / STEPS for step in range(STEPS)]
            values = sum(self.network(*tensors, Tensor(share, ms.float32)).asnumpy() for share in shares) / STEPS
            for column, index in enumerate(indices):
                places = tokens[: lengths[column], column]
                sums = np.bincount(places, values[: lengths[column], column], len(words))
                results[index] = {int(words[place]): float(sums[place]) for place in np.unique(places)}
                results[index].pop(UNKNOWN_ID, None)
        return results


class _PathGradient(nn.Cell):
    """Contributions (T, B) to the logit difference at one point between the baseline and the review."""

    def __init__(self, network: SentimentNet):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradient = ms.grad(self._difference, 0)
        self.unknown = Tensor([UNKNOWN_ID], ms.int32)  # (1,)
        self.add_bias = ops.BiasAdd()
        self.beside_the_caller = BesideTheCaller()

    def _difference(self, x, lengths, dropout_keys):
        logits = self.network.classify(x, lengths, dropout_keys)  # (B, 2)
        return (logits[:, 1] - logits[:, 0]).sum()  # each review depends on its own column of x alone

    def construct(self, words, tokens, lengths, dropout_keys, share):
        """Map the network's inputs and the share of the way, 0 at the baseline, to contributions (T, B) float32."""
        baseline = self.network.embedding.table(self.unknown)[0]  # (D,)
        x = ops.stop_gradient(self.network.embedding(words, tokens))  # (T, B, D)
        rows = x.reshape(-1, x.shape[2])  # a bias is added many times faster than such shapes are broadcast
        distance = self.add_bias(rows, -baseline)  # (T * B, D)
        point = self.add_bias(share * distance, baseline)
        gradient = self.gradient(point.reshape(x.shape), lengths, dropout_keys)  # (T, B, D)
        contributions = (gradient * distance.reshape(x.shape)).sum(2).astype(ms.float32)
        return self.beside_the_caller(contributions, lengths)
