"""Entities of texts as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

COLOURS = ("#ffd8a8", "#a5d8ff", "#b2f2bb", "#fcc2d7", "#d0bfff", "#ffec99", "#99e9f2", "#eebefa", "#d8f5a2", "#ffc9c9")


def page(answers: Iterable[dict], types: list[str]) -> Iterator[str]:
    """Yield a page piece by piece: each answer's text with its entities marked; the colours belong to the types."""
    styles = "\n".join(f".{_name(i)} {{ background: {COLOURS[i % len(COLOURS)]} }}" for i in range(len(types)))
    legend = " ".join(f'<mark class="{_name(i)}">{escape(kind)}</mark>' for i, kind in enumerate(types))
    yield f"""<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>Named entities</title>
<style>
body {{ font: 16px/2 sans-serif; margin: 2em auto; max-width: 50em }}
mark {{ border-radius: 3px; padding: 2px 3px }}
mark small {{ font-size: 10px; opacity: 0.6; margin-left: 3px }}
{styles}
</style>
</head>
<body>
<p>{legend}</p>
"""
    for answer in answers:
        yield f"<p>{_marked(answer, types)}</p>\n"
    yield "</body>\n</html>\n"


def _name(number: int) -> str:
    return f"type{number}"


def _marked(answer: dict, types: list[str]) -> str:
    text, parts, position = answer["text"], [], 0
    for entity in answer["entities"]:
        parts.append(escape(text[position : entity["start"]]))
        name, kind = _name(types.index(entity["type"])), escape(entity["type"])
        inside = escape(text[entity["start"] : entity["end"]])
        parts.append(f'<mark class="{name}">{inside}<small>{kind}</small></mark>')
        position = entity["end"]
    return "".join([*parts, escape(text[position:])])
