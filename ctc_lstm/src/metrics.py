"""Scores of label sequences: error rate, accuracy and the most frequent confusions, by RapidFuzz's alignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein


def error_rate(references, hypotheses) -> float:
    """Return (substitutions + deletions + insertions) / labels of the references (N label sequences each)."""
    return score(references, hypotheses)["per"]


def score(references, hypotheses, most: int = 10) -> dict:
    """Return counts, `per`, `accuracy` = 1 - per, and the `most` frequent errors of each kind.

    `per` is the phone error rate, or the error rate of labels of another kind. `confusions` are the substitutions as
    [reference, hypothesis, count], `deleted` and `inserted` are [label, count]. A reference may be empty: all labels of
    its hypothesis are insertions.
    """
    confusions, deleted, inserted = Counter(), Counter(), Counter()
    pairs = list(zip(references, hypotheses))
    for r, h in pairs:
        for kind, i, j in Levenshtein.editops(r, h):
            if kind == "replace":
                confusions[r[i], h[j]] += 1
            elif kind == "delete":
                deleted[r[i]] += 1
            else:
                inserted[h[j]] += 1
    labels = sum(len(r) for r, _ in pairs)
    substitutions, deletions, insertions = (sum(counter.values()) for counter in (confusions, deleted, inserted))
    per = (substitutions + deletions + insertions) / labels if labels else float("nan")
    return {
        "utterances": len(pairs),
        "hits": labels - substitutions - deletions,
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
        "labels": labels,
        "per": per,
        "accuracy": 1 - per,
        "wrong_utterances": sum(r != h for r, h in pairs),
        "confusions": [[*pair, count] for pair, count in _top(confusions, most)],
        "deleted": [[label, count] for label, count in _top(deleted, most)],
        "inserted": [[label, count] for label, count in _top(inserted, most)],
    }


def score_groups(references, hypotheses, groups: Sequence[dict[str, str]]) -> dict[str, dict[str, dict]]:
    """Return utterances, labels and `per` of each group, by its column; `groups` are those of each reference."""
    members: dict[tuple[str, str], list] = {}
    for reference, hypothesis, mine in zip(references, hypotheses, groups):
        for pair in mine.items():
            members.setdefault(pair, []).append((reference, hypothesis))
    result: dict[str, dict[str, dict]] = {}
    for (column, group), pairs in sorted(members.items()):
        scores = score(*zip(*pairs))
        result.setdefault(column, {})[group] = {key: scores[key] for key in ("utterances", "labels", "per")}
    return result


def _top(counter: Counter, most: int):
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
