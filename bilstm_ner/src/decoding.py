"""Best tag sequences of a linear-chain model in NumPy, which is faster here than a loop in the graph.

The score of a path is the sum of its emissions and of its transitions, first and last tag (Viterbi 1967).
"""

from __future__ import annotations

import numpy as np


def viterbi(emissions, lengths, transitions, start, end) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the best path of each sentence, (length,) int64, and their scores (B,) float64.

    Of emissions (T, B, K), lengths (B,) of at least 1, transitions (K, K) from row to column, start (K,), end (K,).
    """
    steps, batch, _ = emissions.shape
    scores = np.empty_like(emissions)  # (T, B, K), of the best path to each tag
    scores[0] = emissions[0] + start
    for t in range(1, steps):  # the maximum over the first axis of (K from, B, K to) is the fast one
        scores[t] = (scores[t - 1].T[:, :, None] + transitions[:, None, :]).max(0) + emissions[t]
    last, rows = lengths - 1, np.arange(batch)
    tag = (scores[last, rows] + end).argmax(1)  # (B,)
    tags = np.empty((steps, batch), np.int64)
    tags[-1] = tag
    for t in range(steps - 2, -1, -1):  # which tag led to the best one is only asked on the way back
        before = (scores[t] + transitions[:, tag].T).argmax(1)
        tag = np.where(t < last, before, tag)  # before a sentence's end the best last tag just waits
        tags[t] = tag
    paths = [tags[:length, b] for b, length in enumerate(lengths)]
    scores = [path_score(emissions[:, b], path, transitions, start, end) for b, path in enumerate(paths)]
    return paths, np.array(scores)


def path_score(emissions, path, transitions, start, end) -> float:
    """Return the score of a path (n,) through emissions (T, K), in float64."""
    steps = np.arange(len(path))
    total = emissions[steps, path].astype(np.float64).sum() + float(start[path[0]]) + float(end[path[-1]])
    return float(total + transitions[path[:-1], path[1:]].astype(np.float64).sum())


def best_paths(emissions, transitions, start, end, count: int) -> list[tuple[np.ndarray, float]]:
    """Return the `count` best different paths of one sentence with their scores, the best first (fewer if there are
    fewer).

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
    found = []
    for final in np.argsort(-finals, kind="stable")[:count]:
        path, place = [], int(final)
        for t in range(steps - 1, -1, -1):
            history, tag = divmod(place, tags)
            path.append(tag)
            place = int(pointers[t - 1][history, tag]) if t else 0
        path = np.array(path[::-1])
        found.append((path, path_score(emissions, path, transitions, start, end)))
    return found
