"""Scores against hand-counted errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from src.metrics import error_rate, score, score_groups


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def test_errors_by_kind():
    references = [("a", "b", "c", "d"), ("a", "a"), ("b",)]
    hypotheses = [("a", "x", "c"), ("a", "a"), ("b", "b", "h#")]
    result = score(references, hypotheses)
    assert (result["hits"], result["substitutions"], result["deletions"], result["insertions"]) == (5, 1, 1, 2)
    assert result["labels"] == 7 and result["utterances"] == 3 and result["wrong_utterances"] == 2
    assert result["per"] == pytest.approx(4 / 7) and result["accuracy"] == pytest.approx(3 / 7)
    assert result["confusions"] == [["b", "x", 1]] and result["deleted"] == [["d", 1]]
    assert sorted(result["inserted"]) == [["b", 1], ["h#", 1]]


def test_nothing_said_or_heard():
    assert error_rate([("a", "b"), ()], [(), ("a",)]) == pytest.approx(3 / 2)
    result = score([(), ("a",)], [("b",), ()])
    assert result["insertions"] == 1 and result["inserted"] == [["b", 1]] and result["deleted"] == [["a", 1]]
    assert math.isnan(error_rate([()], [()]))


def test_equals_levenshtein():
    random = np.random.default_rng(0)
    pairs = [[tuple(random.choice(list("abc"), random.integers(1, 12))) for _ in range(2)] for _ in range(30)]
    references, hypotheses = zip(*pairs)
    expected = sum(levenshtein(a, b) for a, b in pairs) / sum(map(len, references))
    assert error_rate(references, hypotheses) == pytest.approx(expected)
    counts = score(references, hypotheses, 1000)
    assert sum(n for *_, n in counts["confusions"]) == counts["substitutions"]


def test_scores_of_groups():
    references, hypotheses = ["abc", "de", "f"], ["abx", "de", ""]
    groups = [{"age": "child", "text": "new"}, {"age": "adult", "text": "new"}, {"age": "child", "text": "old"}]
    assert score_groups(references, hypotheses, groups) == {
        "age": {
            "adult": {"utterances": 1, "labels": 2, "per": 0},
            "child": {"utterances": 2, "labels": 4, "per": 0.5},
        },
        "text": {
            "new": {"utterances": 2, "labels": 5, "per": pytest.approx(0.2)},
            "old": {"utterances": 1, "labels": 1, "per": 1},
        },
    }
