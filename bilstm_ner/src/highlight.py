"""Entities of texts, marked in their colours on a page of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from src.model_utils import html_page
from src.model_utils.html_page import Html, join, mark, paragraph

COLOURS = ("#ffd8a8", "#a5d8ff", "#b2f2bb", "#fcc2d7", "#d0bfff", "#ffec99", "#99e9f2", "#eebefa", "#d8f5a2", "#ffc9c9")


def page(answers: Iterable[dict], types: list[str]) -> Iterator[str]:
    """Yield a page piece by piece: each answer's text with its entities marked; the colours belong to the types."""
    legend = paragraph(join((mark(kind, _name(i)) for i, kind in enumerate(types)), " "))
    texts = (paragraph(marked(answer, types)) for answer in answers)
    return html_page.page("Named entities", (part for parts in ([legend], texts) for part in parts), styles(types))


def styles(types: list[str]) -> str:
    """Return the CSS of the types' colours."""
    colours = (f".{_name(i)} {{ background: {COLOURS[i % len(COLOURS)]} }}\n" for i in range(len(types)))
    return "".join(colours)


def marked(answer: dict, types: list[str]) -> Html:
    """Return the text of an answer of predict.py with its entities marked."""
    text, parts, position = answer["text"], [], 0
    for entity in answer["entities"]:
        parts.append(text[position : entity["start"]])
        kind = entity["type"]
        parts.append(mark(text[entity["start"] : entity["end"]], _name(types.index(kind)), kind))
        position = entity["end"]
    return join([*parts, text[position:]])


def _name(number: int) -> str:
    return f"type{number}"
