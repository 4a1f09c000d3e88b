"""Best tag sequences of a linear-chain model on the host, which is faster than a loop in the graph.

The score of a path is the sum of its emissions and of its transitions, first and last tag (Viterbi 1967).
"""

from __future__ import annotations

import numpy as np

from src.model_utils import native


def viterbi(
    emissions: np.ndarray, lengths: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray
) -> list[np.ndarray]:
    """Return the best path of each sentence, (length,) int64.

    Takes emissions (T, B, K), lengths (B,) of at least 1, transitions (K, K) from row to column, start (K,), end (K,).
    The project's own kernel takes a third of the time of NumPy, which serves where there is none. In NumPy the forward
    pass keeps maxima only; which tag gave a maximum is found on the way back, for one tag instead of K.
    """
    if native.enabled():
        arrays = [array.astype(np.float32) for array in (emissions, transitions, start, end)]
        outputs = np.zeros(emissions.shape[:2], np.int32), np.zeros(len(lengths), np.float32)
        tags, _ = native.call("CRFViterbi", [*arrays, lengths.astype(np.int32)], list(outputs))
        return [tags[:length, row].astype(np.int64) for row, length in enumerate(lengths)]
    steps = int(lengths.max())
    scores = emissions[:steps].copy()  # (T, B, K), becomes the best score of a path that ends there
    scores[0] += start
    for t in range(1, steps):
        through = scores[t - 1].T[:, :, None] + transitions[:, None]  # (K from, B, K to)
        scores[t] += through.max(0)
    tags = np.zeros((steps + 1, len(lengths)), np.int64)
    for t in reversed(range(steps)):
        following = np.where((t < lengths - 1)[:, None], transitions.T[tags[t + 1]], end)  # (B, K)
        tags[t] = (scores[t] + following).argmax(1)
    return [tags[:length, row] for row, length in enumerate(lengths)]


def best_paths(
    emissions: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray, count: int
) -> list[tuple[np.ndarray, float]]:
    """Return the `count` best different paths of one sentence with their scores, the best first, or all if fewer exist.

    emissions (n, K). List Viterbi: every tag of a step keeps its `count` best histories (Seshadri & Sundberg 1994).
    """
    steps, tags = emissions.shape
    emissions = emissions.astype(np.float64)  # scores of forbidden tags are so large that others would lose digits
    scores = (emissions[0] + start)[None]  # (histories, K)
    pointers = []
    for t in range(1, steps):
        through = (scores[:, :, None] + transitions).reshape(-1, tags)  # (histories * K from, K to)
        kept = np.argsort(-through, 0, kind="stable")[:count]
        pointers.append(kept)
        scores = np.take_along_axis(through, kept, 0) + emissions[t]
    finals = (scores + end).reshape(-1)
    best = []
    for place in np.argsort(-finals, kind="stable")[:count]:
        score, path = float(finals[place]), [place % tags]
        for kept in reversed(pointers):
            place = kept[place // tags, place % tags]
            path.append(place % tags)
        best.append((np.array(path[::-1]), score))
    return best
