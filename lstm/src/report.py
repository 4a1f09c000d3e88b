"""What the report of an evaluation shows: scores, the confusion matrix, and wrong reviews with the words that spoke."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from src.imdb import LABELS
from src.model_utils.html_page import Html, join, mark, paragraph, section, table

SCORES = ("accuracy", "precision", "recall", "f1", "roc_auc", "loss")
SHADES = 3  # of each colour
STYLE = """
.pos1 { background: #d9ecff } .pos2 { background: #a8d3ff } .pos3 { background: #6db5ff }
.neg1 { background: #ffe6d1 } .neg2 { background: #ffc895 } .neg3 { background: #ffa352 }
"""


def sections(result: dict, worst: Iterable[tuple[dict, Sequence[str], Mapping[str, float]]]) -> Iterator[Html]:
    """Yield the sections of a result of eval.py.

    `worst` are the rows of its wrong reviews, each with the review's tokens and the contributions of its words.
    """
    yield section(
        f"Scores of {result['reviews']} {result['split']} reviews",
        table(["", "score"], [[key.replace("_", " "), f"{result[key]:.4f}"] for key in SCORES]),
        table(
            ["", *(f"predicted {label}" for label in LABELS)],
            [[label, *row] for label, row in zip(LABELS, result["confusion_matrix"])],
        ),
    )
    legend = join([mark("positive", "pos2"), mark("negative", "neg2")], " or ")
    yield section(
        "Most confidently wrong",
        paragraph("Coloured words spoke for ", legend, ": integrated gradients, the stronger the darker."),
        *([part for row in worst for part in _review(*row)] or [paragraph("none is wrong")]),
    )


def _review(row: dict, tokens: Sequence[str], contributions: Mapping[str, float]) -> Iterator[Html]:
    answer = f"{row['label']}, predicted {row['answer']} with {row['probability']:.4f}"
    yield Html(f"<h3>{join([row['path'], answer], ': ')}</h3>\n")
    largest = max(map(abs, contributions.values()), default=0.0) or 1.0

    def shaded(token: str) -> object:
        value = contributions.get(token, 0.0)
        shade = round(SHADES * abs(value) / largest)
        return mark(token, f"{'pos' if value > 0 else 'neg'}{shade}") if shade else token

    yield paragraph(join(map(shaded, tokens), " "))
