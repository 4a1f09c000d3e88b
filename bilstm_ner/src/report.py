"""What the report of an evaluation shows: scores of tags and entities, and wrong sentences with gold and predicted."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from src.highlight import marked, styles
from src.model_utils.html_page import Html, paragraph, section, table
from src.resume_ner import Corpus
from src.tagging import entities

SHOWN = 50  # sentences
SCORES = ("precision", "recall", "f1")


def sections(result: dict, corpus: Corpus, answers: list[list[str]], between: str) -> Iterator[Html]:
    """Yield the sections of a result of eval.py; `between` stands between the units of a text, "" or a blank."""
    entity, tag = result["entity"], result["tag"]
    yield section(
        f"Scores of {result['sentences']} sentences",
        paragraph(result["file"], quiet=True),
        table(
            ["", *SCORES, "gold", "predicted"],
            [
                ["tags, weighted by support, with O", *_scores(tag), "", ""],
                ["entities, strict, micro average", *_scores(entity), *_counts(entity["types"].values())],
                *([kind, *_scores(row), row["gold"], row["predicted"]] for kind, row in entity["types"].items()),
            ],
        ),
        table(["entities that are wrong in", "count"], entity["errors"].items()),
    )
    types = list(entity["types"])
    errors = [
        (-len(set(entities(sentence.tags, corpus.scheme)) ^ set(entities(answer, corpus.scheme))), i)
        for i, (sentence, answer) in enumerate(zip(corpus.sentences, answers))
    ]
    shown = heapq.nsmallest(SHOWN, (pair for pair in errors if pair[0]))
    wrong = sum(count < 0 for count, _ in errors)
    yield section(
        "Wrong sentences",
        paragraph(f"{wrong} of {len(errors)} sentences; the {len(shown)} with the most errors:"),
        *(
            table(
                ["line", corpus.sentences[i].lines[0]],
                [
                    [name, marked(answer_of(corpus.sentences[i].characters, tags, corpus.scheme, between), types)]
                    for name, tags in (("gold", corpus.sentences[i].tags), ("predicted", answers[i]))
                ],
            )
            for _, i in shown
        ),
    )


def style(result: dict) -> str:
    """Return the colours of the types of a result."""
    return styles(list(result["entity"]["types"]))


def answer_of(units: list[str], tags: list[str], scheme: str, between: str) -> dict:
    """Return text and entities of a tagged sentence as predict.py gives them."""
    starts = [0]
    for unit in units:
        starts.append(starts[-1] + len(unit) + len(between))
    found = [
        {"type": entity.type, "start": starts[entity.start], "end": starts[entity.end] - len(between)}
        for entity in entities(tags, scheme)
    ]
    return {"text": between.join(units), "entities": found}


def _scores(row: dict) -> list[str]:
    return [f"{row[key]:.4f}" for key in SCORES]


def _counts(rows) -> list[int]:
    return [sum(row[key] for row in rows) for key in ("gold", "predicted")]
