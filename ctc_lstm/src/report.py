"""What the report of an evaluation shows: error rates, confusions, and the worst utterances with their alignments."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from rapidfuzz.distance import Levenshtein

from src.model_utils.html_page import Html, escaped, join, mark, paragraph, section, table

SHOWN = 10  # utterances
STYLE = """
.replace { background: #ffd8a8 } .delete { background: #ffc9c9 } .insert { background: #a5d8ff }
.aligned table { display: inline-table }
.aligned td { padding: 0 3px; text-align: center; border: 0; font: 12px monospace }
"""


def sections(
    result: dict, references: Sequence[Sequence[str]], answers: Sequence[Sequence[str]], name: Callable[[int], str]
) -> Iterator[Html]:
    """Yield the sections of a result of eval.py; `name` gives that of an utterance from its index."""
    kinds = ("substitutions", "deletions", "insertions")
    yield section(
        f"Error rate of {result['utterances']} {result['split']} utterances",
        table(
            ["", "share of the labels", "count"],
            [
                ["error rate", _percent(result["per"]), sum(result[kind] for kind in kinds)],
                *([kind, _percent(result[kind] / result["labels"]), result[kind]] for kind in kinds),
                ["labels", _percent(1), result["labels"]],
            ],
        ),
        paragraph(f"{result['wrong_utterances']} utterances have an error; decoder: {result['decoder']}"),
    )
    yield section(
        "Most frequent errors",
        table(["label", "answer", "count"], result["confusions"]) if result["confusions"] else "",
        *(table([kind, "count"], result[kind]) for kind in ("deleted", "inserted") if result[kind]),
    )
    for column, groups in result.get("groups", {}).items():
        rows = [[group, _percent(row["per"]), row["utterances"], row["labels"]] for group, row in groups.items()]
        yield section(f"By {column}", table([column, "error rate", "utterances", "labels"], rows))
    rates = [Levenshtein.distance(r, a) / max(1, len(r)) for r, a in zip(references, answers)]
    worst = [i for i in heapq.nlargest(SHOWN, range(len(rates)), key=rates.__getitem__) if rates[i]]
    names = {"replace": "another label", "delete": "left out", "insert": "added"}
    legend = join((mark(text, kind) for kind, text in names.items()), " ")
    yield section(
        "Worst utterances",
        paragraph("The reference above, the answer below: ", legend),
        *(part for i in worst for part in _utterance(name(i), rates[i], references[i], answers[i])),
    )


def _utterance(name: str, rate: float, reference: Sequence[str], answer: Sequence[str]) -> Iterator[Html]:
    yield Html(f"<h3>{escaped(name)}, error rate {_percent(rate)}</h3>\n")
    yield Html('<div class="aligned">')
    for kind, above, below in aligned(reference, answer):
        cells = (mark(label or "–", kind) if kind else escaped(label) for label in (above, below))
        yield Html("<table>" + "".join(f"<tr><td>{cell}</td></tr>" for cell in cells) + "</table>\n")
    yield Html("</div>\n")


def aligned(reference: Sequence[str], answer: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, label of the reference, label of the answer) of each place, "" where there is none.

    Kind is "" for what is right, else replace, delete or insert.
    """
    for step in Levenshtein.opcodes(reference, answer):
        above, below = reference[step.src_start : step.src_end], answer[step.dest_start : step.dest_end]
        for pair in zip_longest(above, below, fillvalue=""):
            yield "" if step.tag == "equal" else step.tag, *pair


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
