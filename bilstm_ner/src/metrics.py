"""The two scores that published numbers mix: of tags, weighted by support, and of whole entities."""

from __future__ import annotations

from collections import Counter

from src.tagging import Entity, entities


def tag_report(gold: list[list[str]], predicted: list[list[str]]) -> dict:
    """Return precision, recall and F1 of each tag, `O` included, averaged with the gold counts as weights.

    This is the "weighted average" of luopeixiang/named_entity_recognition and of the model zoo's table. Its recall is
    the accuracy.
    """
    gold_counts, predicted_counts, right = Counter(), Counter(), Counter()
    for gold_tags, predicted_tags in zip(gold, predicted):
        gold_counts.update(gold_tags)
        predicted_counts.update(predicted_tags)
        right.update(tag for tag, answer in zip(gold_tags, predicted_tags) if tag == answer)
    total = sum(gold_counts.values())
    scores = {tag: _scores(right[tag], predicted_counts[tag], count) for tag, count in gold_counts.items()}
    keys = ("precision", "recall", "f1")
    return {key: sum(scores[tag][key] * count for tag, count in gold_counts.items()) / total for key in keys}


def entity_report(gold: list[list[str]], predicted: list[list[str]], scheme: str) -> dict:
    """Return micro precision, recall and F1 of entities, right only if start, end and type are (seqeval, strict).

    `types` holds the same for each type, with the counts; `errors` counts what went wrong: `type` (right place, wrong
    type), `boundary` (overlaps a gold entity of that type), `both` (overlaps one of another type only), `spurious`
    (overlaps no gold entity), `missed` (gold entities that no predicted one overlaps).
    """
    right, predicted_counts, gold_counts, errors = Counter(), Counter(), Counter(), Counter()
    for gold_tags, predicted_tags in zip(gold, predicted):
        gold_entities, answer = entities(gold_tags, scheme), entities(predicted_tags, scheme)
        gold_counts.update(entity.type for entity in gold_entities)
        predicted_counts.update(entity.type for entity in answer)
        right.update(entity.type for entity in set(gold_entities) & set(answer))
        errors.update(_error(entity, gold_entities) for entity in answer if entity not in gold_entities)
        errors["missed"] += sum(not _overlapping(entity, answer) for entity in gold_entities)
    micro = _scores(*(sum(counts.values()) for counts in (right, predicted_counts, gold_counts)))
    types = {
        kind: {
            **_scores(right[kind], predicted_counts[kind], gold_counts[kind]),
            "gold": gold_counts[kind],
            "predicted": predicted_counts[kind],
        }
        for kind in sorted(gold_counts | predicted_counts)
    }
    kinds = ("type", "boundary", "both", "spurious", "missed")
    return {**micro, "types": types, "errors": {kind: errors[kind] for kind in kinds}}


def _scores(right: int, predicted: int, gold: int) -> dict:
    precision, recall = right / max(1, predicted), right / max(1, gold)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def _overlapping(entity: Entity, others: list[Entity]) -> list[Entity]:
    return [other for other in others if other.start < entity.end and entity.start < other.end]


def _error(entity: Entity, gold: list[Entity]) -> str:
    """Return what is wrong with a predicted entity that is not among the gold ones."""
    near = _overlapping(entity, gold)
    if not near:
        return "spurious"
    if any((other.start, other.end) == (entity.start, entity.end) for other in near):
        return "type"
    return "boundary" if any(other.type == entity.type for other in near) else "both"
