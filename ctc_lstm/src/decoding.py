"""From log-probabilities to labels: best path, prefix beam search with an n-gram model, and alignment in time.

NumPy only. Log-probabilities are (T, V), the blank has id 0.
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from src.ngram import END, START, NGram

BLANK_ID = 0


def greedy(log_probs: np.ndarray) -> list[int]:
    """Return the labels of the most probable path: repeats merged, then blanks removed (Graves et al. 2006, 3.2)."""
    path = log_probs.argmax(1)
    changes = np.flatnonzero(np.diff(path, prepend=-1))
    return [int(label) for label in path[changes] if label != BLANK_ID]


def beam_search(
    log_probs: np.ndarray,
    beam_width: int,
    vocabulary: list[str] | None = None,
    ngram: NGram | None = None,
    lm_weight: float = 0.0,
    label_bonus: float = 0.0,
    prune: float = 0.0,
) -> list[int]:
    """Return the labels y that maximize ln p(y | frames) + lm_weight * ln p_ngram(y) + label_bonus * len(y).

    Prefix beam search (Hannun et al. 2014, algorithm 1): a prefix keeps the probability of all its paths, those that
    end in a blank apart from those that end in a label. It is exact where `beam_width` holds all prefixes. `prune`
    leaves out, in each step, labels less probable than that share of the best. `vocabulary` gives the names of the ids
    to the n-gram model.
    """

    def bonus(label: int | None, prefix) -> float:  # None ends the sequence
        if ngram is None or not lm_weight:
            return 0.0
        history = (START, *(vocabulary[i] for i in prefix[-ngram.order :]))
        return lm_weight * math.log(ngram.probability(END if label is None else vocabulary[label], history))

    extras = {(): 0.0}  # of each prefix: n-gram model and bonuses
    beams = {(): [0.0, -np.inf]}  # of each prefix: ln p of its paths that end in a blank, in a label
    for row in log_probs.astype(np.float64):
        threshold = row.max() + np.log(prune) if prune else -np.inf
        labels = [int(i) for i in np.flatnonzero(row >= threshold) if i != BLANK_ID]
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (blank, label) in beams.items():
            both, last = _add(blank, label), prefix[-1] if prefix else BLANK_ID
            grown[prefix][0] = both + row[BLANK_ID]
            grown[prefix][1] = _add(grown[prefix][1], label + row[last])
            for i in labels:
                start = blank if i == last else both  # a repetition needs a blank between
                if start == -np.inf:
                    continue
                longer = (*prefix, i)
                if longer not in extras:
                    extras[longer] = extras[prefix] + label_bonus + bonus(i, prefix)
                grown[longer][1] = _add(grown[longer][1], start + row[i])
        best = sorted(grown, key=lambda p: -(_add(*grown[p]) + extras[p]))[:beam_width]
        beams = {prefix: grown[prefix] for prefix in best}
        extras = {prefix: extras[prefix] for prefix in best}
    return list(max(beams, key=lambda p: _add(*beams[p]) + extras[p] + bonus(None, p)))


def _add(a: float, b: float) -> float:
    """Return ln(exp(a) + exp(b)); most often one of them is 0."""
    return a if b == -np.inf else b if a == -np.inf else np.logaddexp(a, b)


def align(log_probs: np.ndarray, labels: list[int]) -> list[tuple[int, int]]:
    """Return for each label the first step and the step behind the last that the best path of the labels gives it.

    Viterbi over the alignments of CTC (Graves et al. 2006, 4.1, with maxima for sums). Empty where the steps do not
    suffice for the labels.
    """
    extended = np.zeros(2 * len(labels) + 1, int)  # blanks between, before and behind the labels
    extended[1::2] = labels
    may_skip = np.zeros(len(extended), bool)
    may_skip[3::2] = extended[3::2] != extended[1:-2:2]
    scores = np.full(len(extended), -np.inf)
    scores[:2] = log_probs[0, extended[:2]]
    back = np.zeros((len(log_probs), len(extended)), int)
    for t in range(1, len(log_probs)):
        one = np.concatenate(([-np.inf], scores[:-1]))
        two = np.where(may_skip, np.concatenate(([-np.inf] * 2, scores[:-2]))[: len(scores)], -np.inf)
        choices = np.stack([scores, one, two])
        back[t] = choices.argmax(0)
        scores = choices.max(0) + log_probs[t, extended]
    state = len(extended) - 1
    if labels and scores[-2] > scores[-1]:
        state -= 1
    if scores[state] == -np.inf:
        return []
    path = np.zeros(len(log_probs), int)
    for t in range(len(log_probs) - 1, -1, -1):
        path[t] = state
        state -= back[t, state]
    steps = [np.flatnonzero(path == 2 * number + 1) for number in range(len(labels))]
    return [(int(each[0]), int(each[-1]) + 1) for each in steps]
