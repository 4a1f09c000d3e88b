"""Decoders against enumeration of all label sequences, the n-gram model, and alignments in time."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from src.decoding import align, beam_search, greedy
from src.model_utils.runtime import UserError
from src.ngram import END, START, load_ngram, save_ngram, train_ngram

NAMES = ["<blank>", "a", "b", "c"]


def collapse(path):
    return tuple(label for label, _ in itertools.groupby(path) if label)


def random_log_probs(steps, seed, size=4):
    logits = np.random.default_rng(seed).normal(0, 1.5, (steps, size))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def sums(log_probs):
    """ln p of every label sequence, from all alignments."""
    sums: dict = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        p = np.exp(log_probs[range(len(path)), path].sum())
        sums[collapse(path)] = sums.get(collapse(path), 0) + p
    return {labels: np.log(p) for labels, p in sums.items()}


def test_greedy_is_the_best_path():
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    assert greedy(np.log(np.eye(4)[path] * 0.9 + 0.025)) == [1, 1, 2]
    assert greedy(random_log_probs(6, 0) * 0 + np.log([0.7, 0.1, 0.1, 0.1])) == []


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_equals_enumeration(seed):
    log_probs = random_log_probs(5, seed)
    every = sums(log_probs)
    assert beam_search(log_probs, 10**6) == list(max(every, key=every.get))


@pytest.mark.parametrize("seed", range(6))
def test_beam_search_with_a_language_model_equals_enumeration(seed):
    ngram = train_ngram([tuple("abc"), tuple("abab"), tuple("ca"), tuple("b")], 3)
    log_probs = random_log_probs(5, 50 + seed)

    def scored(labels):
        words = [START, *(NAMES[i] for i in labels), END]
        lm = sum(math.log(ngram.probability(words[i], tuple(words[max(0, i - 2) : i]))) for i in range(1, len(words)))
        return every[labels] + 0.8 * lm + 0.7 * len(labels)

    every = sums(log_probs)
    expected = max(every, key=scored)
    assert beam_search(log_probs, 10**6, NAMES, ngram, 0.8, 0.7) == list(expected)
    if seed == 0:
        assert list(expected) != beam_search(log_probs, 10**6), "the language model changes the answer"


def test_a_narrow_beam_finds_what_the_best_path_misses():
    log_probs = np.log([[0.4, 0.6 - 1e-9, 1e-9], [0.6 - 1e-9, 0.4, 1e-9]])
    assert greedy(log_probs) == [1] and beam_search(log_probs, 2) == [1]
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])  # Graves 2012, figure 7.6: the best path is empty, the best labels not
    assert greedy(log_probs) == [] and beam_search(log_probs, 2) == [1]
    assert beam_search(log_probs, 2, prune=0.9) == [], "pruned away"


def test_ngram_is_a_distribution(tmp_path):
    ngram = train_ngram([tuple("abc"), tuple("abab"), tuple("ca")], 3)
    for history in ((START,), ("a",), ("a", "b"), (START, "c"), ("c", "c"), ("x", "y")):
        assert sum(ngram.probability(w, history) for w in ("a", "b", "c", END)) == pytest.approx(1)
    assert ngram.probability("b", (START, "a")) > ngram.probability("c", (START, "a")) > 0
    # by hand: unigrams a 4, b 3, c 2, END 3 of 12, 4 kinds; behind a: b 3, END 1, 2 kinds
    unigram = (3 + 4 / 4) / (12 + 4)
    assert ngram.probability("b", ("a",)) == pytest.approx((3 + 2 * unigram) / (4 + 2))
    save_ngram(tmp_path / "ngram.json", ngram)
    again = load_ngram(tmp_path / "ngram.json")
    for history in ((START, "a"), ("b", "a"), ()):
        assert again.probability("b", history) == ngram.probability("b", history)
    (tmp_path / "bad.json").write_text(json.dumps({"order": 3}))
    with pytest.raises(UserError, match="not an n-gram model"):
        load_ngram(tmp_path / "bad.json")


@pytest.mark.parametrize("seed", range(4))
def test_alignment_equals_enumeration(seed):
    log_probs = random_log_probs(6, seed)
    labels = [[1], [1, 2], [2, 2], [3, 1, 3]][seed]
    paths = [path for path in itertools.product(range(4), repeat=6) if collapse(path) == tuple(labels)]
    best = max(paths, key=lambda path: log_probs[range(6), path].sum())
    runs, start = [], 0
    for label, steps in itertools.groupby(best):
        end = start + len(list(steps))
        if label:
            runs.append((start, end))
        start = end
    assert align(log_probs, labels) == runs


def test_alignment_that_does_not_fit():
    assert align(random_log_probs(2, 0), [1, 1]) == [] and align(random_log_probs(2, 0), []) == []
    assert align(random_log_probs(3, 0), [1, 1]) == [(0, 1), (2, 3)]
