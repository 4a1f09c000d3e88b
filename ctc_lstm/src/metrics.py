"""Scores of label sequences: error rate, accuracy and the most frequent confusions, by jiwer's alignment."""

from __future__ import annotations

from collections import Counter

import jiwer


def error_counts(references, hypotheses) -> dict[str, int]:
    """Return hits, substitutions, deletions, insertions and labels of the references (N label sequences each).

    A reference may be empty: all labels of its hypothesis are insertions.
    """
    counts = dict.fromkeys(("hits", "substitutions", "deletions", "insertions"), 0)
    pairs = [(list(r), list(h)) for r, h in zip(references, hypotheses)]
    counts["insertions"] += sum(len(h) for r, h in pairs if not r)
    pairs = [(r, h) for r, h in pairs if r]
    if pairs:
        output = _align(pairs)
        for key in counts:
            counts[key] += getattr(output, key)
    return {**counts, "labels": counts["hits"] + counts["substitutions"] + counts["deletions"]}


def error_rate(references, hypotheses) -> float:
    """Return (substitutions + deletions + insertions) / labels of the references."""
    return _rate(error_counts(references, hypotheses))


def score(references, hypotheses, most: int = 10) -> dict:
    """Return counts, `per`, `accuracy` = 1 - per, and the `most` frequent errors of each kind.

    `per` is the phone error rate, or the error rate of labels of another kind. `confusions` are the substitutions as
    [reference, hypothesis, count], `deleted` and `inserted` are [label, count].
    """
    counts = error_counts(references, hypotheses)
    confusions, deleted, inserted = Counter(), Counter(), Counter()
    pairs = [(list(r), list(h)) for r, h in zip(references, hypotheses)]
    for r, h in pairs:
        inserted.update(h if not r else ())
    pairs = [pair for pair in pairs if pair[0]]
    if pairs:
        for (r, h), chunks in zip(pairs, _align(pairs).alignments):
            for chunk in chunks:
                reference = r[chunk.ref_start_idx : chunk.ref_end_idx]
                hypothesis = h[chunk.hyp_start_idx : chunk.hyp_end_idx]
                if chunk.type == "substitute":
                    confusions.update(zip(reference, hypothesis))
                elif chunk.type == "delete":
                    deleted.update(reference)
                elif chunk.type == "insert":
                    inserted.update(hypothesis)
    per = _rate(counts)
    return {
        "utterances": len(references),
        **counts,
        "per": per,
        "accuracy": 1 - per,
        "wrong_utterances": sum(list(r) != list(h) for r, h in zip(references, hypotheses)),
        "confusions": [[*pair, count] for pair, count in _top(confusions, most)],
        "deleted": [[label, count] for label, count in _top(deleted, most)],
        "inserted": [[label, count] for label, count in _top(inserted, most)],
    }


def _rate(counts: dict[str, int]) -> float:
    errors = counts["substitutions"] + counts["deletions"] + counts["insertions"]
    return errors / counts["labels"] if counts["labels"] else float("nan")


def _align(pairs):
    """Align by jiwer, which takes sentences of words: a label must hold no space."""
    plain = jiwer.Compose([jiwer.ReduceToListOfListOfWords()])  # its default would strip and join white space
    return jiwer.process_words(
        [" ".join(r) for r, _ in pairs],
        [" ".join(h) for _, h in pairs],
        reference_transform=plain,
        hypothesis_transform=plain,
    )


def _top(counter: Counter, most: int):
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
