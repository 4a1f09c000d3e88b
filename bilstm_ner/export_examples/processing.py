"""From a sentence to what the exported network reads, and from its emissions to entities."""

import json
import unicodedata
from pathlib import Path

import numpy as np
from text_units import split_text

FOLDER = Path(__file__).resolve().parent
SETTINGS, VOCABULARY = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("processing", "vocab"))
SCORES = np.load(FOLDER / "transitions.npz")
TRANSITIONS, START, END = (SCORES[name] for name in ("transitions", "start", "end"))
UNKNOWN, EDGE = 1, "\n"  # what has no id of its own, and what stands before and behind a sentence


def ids_of(kind: str) -> dict:
    """Return the ids of the characters or bigrams that training saw, and of their composed forms."""
    exact = {text: number for number, text in enumerate(VOCABULARY[kind]) if number > UNKNOWN}
    composed = {unicodedata.normalize("NFC", text): number for text, number in reversed(exact.items())}
    return {**composed, **exact}


CHARACTERS, BIGRAMS = ids_of("characters"), ids_of("bigrams")


def look_up(texts: list, ids: dict) -> np.ndarray:
    """Return ids (1, n)."""
    return np.array([[ids.get(t, ids.get(unicodedata.normalize("NFC", t), UNKNOWN)) for t in texts]], np.int32)


def inputs(text: str) -> dict:
    """Return characters (1, T), bigrams (1, T + 1) and lengths (1,)."""
    units = [unit for unit, _ in split_text(text, SETTINGS["units"], CHARACTERS)] or [EDGE]
    pairs = [a + "\t" + b for a, b in zip([EDGE, *units], [*units, EDGE])]
    lengths = np.array([len(units)], np.int32)
    return {"characters": look_up(units, CHARACTERS), "bigrams": look_up(pairs, BIGRAMS), "lengths": lengths}


def best_tags(emissions: np.ndarray) -> list:
    """Return the tags of the best path through emissions (T, K), the steps of which are all allowed (Viterbi 1967)."""
    scores, pointers = emissions[0] + START, []
    for row in emissions[1:]:
        through = scores[:, None] + TRANSITIONS
        pointers.append(through.argmax(0))
        scores = through.max(0) + row
    path = [(scores + END).argmax()]
    for pointer in reversed(pointers):
        path.append(pointer[path[-1]])
    return [VOCABULARY["tags"][tag] for tag in reversed(path)]


def answer(text: str, emissions: np.ndarray) -> str:
    """Return a text and a line for each of its entities; emissions (1, T, K)."""
    units, lines = split_text(text, SETTINGS["units"], CHARACTERS), [text]
    start, tags = 0, best_tags(emissions[0])
    for (unit, position), tag, following in zip(units, tags, [*tags[1:], "O"]):
        start = position if tag[0] in "BS" else start
        if tag != "O" and following[0] not in "MIE":
            end = position + len(unit)
            lines.append(f"    {start}-{end} {tag[2:]} {text[start:end]}")
    return "\n".join(lines)
