"""Best tag sequences of a linear-chain model in NumPy, which is faster here than a loop in the graph.

The score of a path is the sum of its emissions and of its transitions, first and last tag (Viterbi 1967).
"""

from __future__ import annotations

import numpy as np


def viterbi(
    emissions: np.ndarray, lengths: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the best path of each sentence, (length,) int64, and their scores (B,) float64.

    Takes emissions (T, B, K), lengths (B,) of at least 1, transitions (K, K) from row to column, start (K,), end (K,).
    The forward pass keeps maxima only; which tag gave a maximum is found on the way back, for one tag instead of K.
    """
    order = np.argsort(-lengths, kind="stable")  # the longest first, so that those still running are the first ones
    lengths_sorted = lengths[order]
    running = [int((lengths_sorted > t).sum()) for t in range(int(lengths_sorted[0]))]
    scores = emissions[: len(running), order]  # a copy; (T, B, K), becomes the best score of a path that ends there
    scores[0] += start
    for t in range(1, len(running)):
        through = scores[t - 1, : running[t]].T[:, :, None] + transitions[:, None, :]  # (K from, B, K to)
        scores[t, : running[t]] += through.max(0)
    tags = np.zeros(scores.shape[:2], np.int64)
    for t in range(len(running) - 1, -1, -1):
        later = running[t + 1] if t + 1 < len(running) else 0  # those that end here come behind them
        if later:
            tags[t, :later] = (scores[t, :later] + transitions.T[tags[t + 1, :later]]).argmax(1)
        if later < running[t]:
            tags[t, later : running[t]] = (scores[t, later : running[t]] + end).argmax(1)
    paths: list = [None] * len(lengths)
    for column, row in enumerate(order):
        paths[row] = tags[: lengths[row], column]
    path_scores = [path_score(emissions[:, b], path, transitions, start, end) for b, path in enumerate(paths)]
    return paths, np.array(path_scores)


def path_score(
    emissions: np.ndarray, path: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray
) -> float:
    """Return the score of a path (n,) through emissions (T, K), in float64."""
    steps = np.arange(len(path))
    total = emissions[steps, path].astype(np.float64).sum() + float(start[path[0]]) + float(end[path[-1]])
    return float(total + transitions[path[:-1], path[1:]].astype(np.float64).sum())


def best_paths(
    emissions: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray, count: int
) -> list[tuple[np.ndarray, float]]:
    """Return the `count` best different paths of one sentence with their scores, the best first, or all if fewer exist.

    emissions (n, K). List Viterbi: every tag of a step keeps its `count` best histories (Seshadri & Sundberg 1994).
    """
    steps, tags = emissions.shape
    scores = (emissions[0] + start).astype(np.float64)[None]  # (histories, K)
    pointers = []
    for t in range(1, steps):
        through = (scores[:, :, None] + transitions).reshape(-1, tags)  # (histories * K from, K to)
        kept = np.argsort(-through, 0, kind="stable")[:count]
        pointers.append(kept)
        scores = np.take_along_axis(through, kept, 0) + emissions[t]
    finals = (scores + end).reshape(-1)
    best = []
    for final in np.argsort(-finals, kind="stable")[:count]:
        path, place = [], int(final)
        for t in range(steps - 1, -1, -1):
            history, tag = divmod(place, tags)
            path.append(tag)
            place = int(pointers[t - 1][history, tag]) if t else 0
        path = np.array(path[::-1])
        best.append((path, path_score(emissions, path, transitions, start, end)))
    return best
