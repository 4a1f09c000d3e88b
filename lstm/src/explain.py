"""Which words moved a decision, by integrated gradients."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.dataset import Sample, evaluation_batches
from src.model_utils.layers import RunInThreadPool
from src.network import SentimentNet, dynamic_inputs
from src.preparation import UNKNOWN_ID

STEPS = 16  # points on the line from the baseline to the review


class Explainer:
    """Splits the difference of the positive and the negative logit among the words of a review.

    Integrated gradients (Sundararajan et al. 2017, eqs. 1 and 3; midpoints): the gradient with respect to each word
    vector, averaged on the straight line from a baseline to the review, times the distance. The neutral baseline is a
    review of as many unknown words; the contributions add up to the difference between the review and the baseline, up
    to the error of STEPS points. The gradient at the review alone (Simonyan et al. 2014) is nearly zero where the
    network is confident, and then often names the wrong words.
    """

    def __init__(self, network: SentimentNet, config):
        self.network = _PathGradient(network)
        self.network.set_train(False)
        self.network.set_inputs(*dynamic_inputs(), Tensor(0.0, ms.float32))
        self.config = config

    def __call__(self, samples: Sequence[Sample]) -> list[dict[int, float]]:
        """Return word id -> contribution for each sample, summed over the places of the word.

        A positive contribution speaks for a positive review. Tokens that are cut off do not count; unknown words, which
        contribute 0, are left out.
        """
        return [sums_by_word(*sample) for sample in self.places(samples)]

    def places(self, samples: Sequence[Sample]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return word ids (T,) and contributions (T,) float32 of each sample's tokens, those that are read."""
        results: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(samples)
        for indices, inputs in evaluation_batches(samples, self.config):
            tensors = [Tensor(array) for array in inputs]
            shares = [(step + 0.5) / STEPS for step in range(STEPS)]
            values = sum(self.network(*tensors, Tensor(share, ms.float32)).asnumpy() for share in shares) / STEPS
            for column, (index, length) in enumerate(zip(indices, inputs.lengths)):
                results[index] = inputs.words[inputs.tokens[:length, column]], values[:length, column]
        return results


def sums_by_word(ids: np.ndarray, values: np.ndarray) -> dict[int, float]:
    """Return word id -> contribution of a sample of `Explainer.places`, without unknown words."""
    words, places = np.unique(ids, return_inverse=True)
    sums = dict(zip(words.tolist(), np.bincount(places, values, len(words)).tolist()))
    sums.pop(UNKNOWN_ID, None)
    return sums


class _PathGradient(nn.Cell):
    """Contributions (T, B) to the difference of the logits at one point between the baseline and the review."""

    def __init__(self, network: SentimentNet):
        super().__init__(auto_prefix=False)
        self.network = network
        self.gradient = ms.grad(self._difference, 0)
        self.unknown = Tensor([UNKNOWN_ID], ms.int32)  # (1,)
        self.add_bias = ops.BiasAdd()
        self.run_in_thread_pool = RunInThreadPool()

    def _difference(self, x, lengths, dropout_keys):
        logits = self.network.classify(x, lengths, dropout_keys)  # (B, 2)
        return (logits[:, 1] - logits[:, 0]).sum()  # each review depends on its own column of x alone

    def construct(self, words, tokens, lengths, dropout_keys, share):
        """Map the network's inputs and the share of the line, 0 at the baseline, to contributions (T, B) float32."""
        baseline = self.network.embedding.table(self.unknown)[0]  # (D,)
        x = ops.stop_gradient(self.network.embedding(words, tokens))  # (T, B, D)
        rows = x.reshape(-1, x.shape[2])  # adding a bias is many times faster than broadcasting such shapes
        distance = self.add_bias(rows, -baseline)  # (T * B, D)
        point = self.add_bias(share * distance, baseline)
        gradient = self.gradient(point.reshape(x.shape), lengths, dropout_keys)  # (T, B, D)
        contributions = (gradient * distance.reshape(x.shape)).sum(2).astype(ms.float32)
        return self.run_in_thread_pool(contributions, lengths)
