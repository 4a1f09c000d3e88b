"""The n-gram model: probabilities sum to one, and the equations of a bigram model worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from src.data.vocabulary import BEGIN, END
from src.kneser_ney import KneserNey


@pytest.fixture(scope="module")
def text():
    draw = np.random.default_rng(0)
    sentences = [[BEGIN, *np.minimum(draw.geometric(0.3, draw.integers(1, 9)) + 1, 11), END] for _ in range(60)]
    return np.array([word for sentence in sentences for word in sentence], np.int32)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one(text, order):
    model = KneserNey(text, order, 13)
    for context in ([], [4], [2, 3], [3, 2, 2, 4, 3], [12, 12, 12], [5, 12, 2]):
        total = sum(np.exp(model.log_probabilities(np.array([BEGIN, *context, word]))[-1]) for word in range(1, 13))
        assert total == pytest.approx(1, abs=1e-9)


def test_bigram_probabilities_follow_the_equations(text):
    model = KneserNey(text, 2, 13)
    pairs: dict = {}
    for first, second in zip(text[:-1], text[1:]):
        if second != BEGIN:
            pairs[first, second] = pairs.get((first, second), 0) + 1
    before = {word: sum(1 for _, second in pairs if second == word) for word in range(1, 13)}

    def discounts(counts):
        n = [0] + [sum(1 for count in counts if count == c) for c in (1, 2, 3, 4)]
        y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0
        return [0.0] + [min(max(c - (c + 1) * y * n[c + 1] / n[c], 0), c) if n[c] else 0 for c in (1, 2, 3)]

    low, high = discounts(before.values()), discounts(pairs.values())
    total = sum(before.values())
    free = sum(low[min(count, 3)] for count in before.values()) / total / 12
    for (first, second), count in pairs.items():
        if first == BEGIN:
            continue
        unigram = (before[second] - low[min(before[second], 3)]) / total + free
        of_first = [c for (word, _), c in pairs.items() if word == first]
        rest = sum(high[min(c, 3)] for c in of_first) / sum(of_first)
        expected = (count - high[min(count, 3)]) / sum(of_first) + rest * unigram
        probability = np.exp(model.log_probabilities(np.array([BEGIN, first, second]))[-1])
        assert probability == pytest.approx(expected, rel=1e-9)


def test_longer_contexts_predict_better(text):
    pattern = np.array([BEGIN, 3, 4, 5, 3, 4, 6, 3, 7, END] * 30, np.int32)
    scores = [KneserNey(pattern, order, 13).log_probabilities(pattern[:10]).mean() for order in (1, 2, 3, 5)]
    assert scores == sorted(scores) and scores[-1] > scores[0] + 1
