"""Scores of label sequences: error rate, accuracy and the most frequent confusions, by jiwer's alignment."""

from __future__ import annotations

from collections import Counter

import jiwer


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
    pairs = [(list(r), list(h)) for r, h in zip(references, hypotheses)]
    inserted.update(label for r, h in pairs if not r for label in h)
    aligned = [(r, h) for r, h in pairs if r]
    for (r, h), chunks in zip(aligned, _align(aligned)):
        for chunk in chunks:
            reference = r[chunk.ref_start_idx : chunk.ref_end_idx]
            hypothesis = h[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "substitute":
                confusions.update(zip(reference, hypothesis))
            elif chunk.type == "delete":
                deleted.update(reference)
            elif chunk.type == "insert":
                inserted.update(hypothesis)
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


def _align(pairs) -> list:
    """Return the chunks of each pair by jiwer, which takes sentences of words: a label must hold no space."""
    if not pairs:
        return []
    plain = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])  # its default would strip and join white space
    return jiwer.process_words(
        [" ".join(r) for r, _ in pairs],
        [" ".join(h) for _, h in pairs],
        reference_transform=plain,
        hypothesis_transform=plain,
    ).alignments


def _top(counter: Counter, most: int):
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
