"""The sample of classes that are the rivals in a softmax: the log-uniform sampler of TensorFlow."""

from __future__ import annotations

import numpy as np


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
