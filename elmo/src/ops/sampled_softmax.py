"""Softmax loss over a sample of the classes, as TensorFlow's sampled_softmax_loss with its log-uniform sampler."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn, ops


class LogUniformSampler:
    """Draws distinct classes with P(k) = log((k + 2) / (k + 1)) / log(V + 1), that is nearly Zipf's law.

    Classes must be in falling order of frequency. Where the sample is no smaller than the vocabulary, it is the whole
    vocabulary, and the loss the full softmax.
    """

    def __init__(self, vocabulary_size: int, sampled: int):
        self.vocabulary_size = vocabulary_size
        self.sampled = min(sampled, vocabulary_size)
        self.probabilities = np.diff(np.log1p(np.arange(vocabulary_size + 1))) / np.log(vocabulary_size + 1)

    def sample(self, generator: np.random.Generator) -> tuple[np.ndarray, int]:
        """Return `sampled` distinct classes in the order drawn, and how many draws that took."""
        if self.sampled == self.vocabulary_size:
            return np.arange(self.vocabulary_size), 0
        drawn = np.empty(0, np.int64)
        while True:
            more = np.exp(generator.random(4 * self.sampled) * np.log(self.vocabulary_size + 1)).astype(np.int64) - 1
            drawn = np.append(drawn, np.minimum(more, self.vocabulary_size - 1))
            first = np.sort(np.unique(drawn, return_index=True)[1])
            if len(first) >= self.sampled:
                return drawn[first[: self.sampled]], int(first[self.sampled - 1]) + 1

    def log_expected(self, classes: np.ndarray, draws: int) -> np.ndarray:
        """Return the log of the probability that a class is in a sample of so many draws, 1 - (1 - P)^draws."""
        if not draws:
            return np.zeros(len(classes))
        return np.log(-np.expm1(draws * np.log1p(-self.probabilities[classes])))


def sampled_rows(
    sampler: LogUniformSampler, generator: np.random.Generator | None, targets: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct classes that a step touches: first the sample, then targets outside it, then padding.

    targets: any shape, at most `most` of them. Returns (classes (R,) int32, log_expected (R,) float32, row_of (V,)
    int32: the row of a class). R = min(S + most, V) is always the same; the padding consists of classes that occur
    nowhere else, so that no class occurs twice.
    """
    size = sampler.vocabulary_size
    sample, draws = sampler.sample(generator)
    free = np.ones(size, bool)
    free[sample] = False
    extra = np.unique(targets[free[targets]])
    free[extra] = False
    padding = np.flatnonzero(free)[: max(0, min(sampler.sampled + most, size) - len(sample) - len(extra))]
    classes = np.concatenate([sample, extra, padding]).astype(np.int32)
    row_of = np.zeros(size, np.int32)
    row_of[classes] = np.arange(len(classes))
    return classes, sampler.log_expected(classes, draws).astype(np.float32), row_of


class SampledSoftmaxLoss(nn.Cell):
    """Mean loss of hidden (M, P) with targets (M,), each among the classes of `weight` (R, P) and `bias` (R,).

    The first `sampled` classes are the sample. A target's rivals are the sample without itself; every logit is
    corrected by the log of its class's expected count (Jean et al. 2015, section 3; TensorFlow's documentation of
    candidate sampling). A target that was sampled has the same corrected logit there, so its loss is the plain softmax
    over the sample, and nothing has to be taken out of a matrix: only for targets outside it another term is added.

    The gradient is computed on the way, because the (M, S) matrices are then needed only once.
    """

    def __init__(self, sampled: int):
        super().__init__()
        self.sampled = sampled
        self.matmul, self.matmul_nt = ops.MatMul(), ops.MatMul(transpose_b=True)
        self.matmul_tn = ops.MatMul(transpose_a=True)
        self.log_softmax = ops.LogSoftmax(1)
        self.sum_by_row = ops.UnsortedSegmentSum()

    def construct(self, hidden, targets, weight, bias, log_expected) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the scalar loss, and its gradients with respect to hidden, weight and bias, which are for bprop."""
        count, size = hidden.shape
        rows = weight.shape[0]
        ones = ops.ones((count, 1), hidden.dtype)
        hidden_1 = ops.cat((hidden, ones), 1)  # (M, P + 1): a column of ones adds the bias within the matmul
        both = ops.cat((weight, (bias - log_expected).reshape(rows, 1)), 1)  # (R, P + 1)
        sample = both[: self.sampled]  # (S, P + 1)
        logits = self.matmul_nt(hidden_1, sample)  # (M, S)
        log_probs = self.log_softmax(logits)  # (M, S)
        normalizer = logits[:, 0] - log_probs[:, 0]  # (M,), the log of the summed exponentials
        own = (hidden_1 * ops.gather(both, targets, 0)).sum(1)  # (M,)
        outside = (targets >= self.sampled).astype(hidden.dtype)  # (M,)
        # log(exp(normalizer) + exp(own)) for targets outside the sample
        more = ops.maximum(own - normalizer, 0) + ops.log1p(ops.exp(-ops.abs(own - normalizer)))
        normalizer_all = normalizer + outside * more
        loss = (normalizer_all - own).mean()

        probs = ops.exp(log_probs)  # (M, S)
        share = (ops.exp(normalizer - normalizer_all) / count).reshape(count, 1)  # (M, 1), of the sample
        d_own = ((outside * ops.exp(own - normalizer_all) - 1) / count).reshape(count, 1)  # (M, 1)
        d_hidden = share * self.matmul(probs, sample) + d_own * ops.gather(both, targets, 0)  # (M, P + 1)
        d_sample = self.matmul_tn(probs, share * hidden_1)  # (S, P + 1)
        d_rows = self.sum_by_row(d_own * hidden_1, targets, rows)  # (R, P + 1)
        d_rows = ops.cat((d_rows[: self.sampled] + d_sample, d_rows[self.sampled :]))
        return loss, d_hidden[:, :size], d_rows[:, :size], d_rows[:, size]

    def bprop(self, hidden, targets, weight, bias, log_expected, out, dout) -> tuple[Tensor, ...]:
        """Scale the gradients by that of the loss."""
        scale = dout[0]
        zeros = ops.zeros_like(targets), ops.zeros_like(log_expected)
        return out[1] * scale, zeros[0], out[2] * scale, out[3] * scale, zeros[1]
