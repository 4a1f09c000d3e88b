"""From a review to what the exported network reads, and from its probabilities to an answer."""

import json
from pathlib import Path

import numpy as np
from tokenizer import tokenize

FOLDER = Path(__file__).resolve().parent
SETTINGS, VOCABULARY = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("processing", "vocab"))
IDS = {token: number for number, token in enumerate(VOCABULARY)}
UNKNOWN = 1


def inputs(text: str) -> dict:
    """Return ids (1, T) and lengths (1,): the tokens of the beginning and of the end, where there are too many."""
    ids = [IDS.get(token, UNKNOWN) for token in tokenize(text)] or [UNKNOWN]
    head, tail = SETTINGS["head"], SETTINGS["tail"]
    if len(ids) > head + tail:
        ids = ids[:head] + ids[len(ids) - tail :]
    return {"ids": np.array([ids], np.int32), "lengths": np.array([len(ids)], np.int32)}


def answer(text: str, probabilities: np.ndarray) -> str:
    """Return the line of a text; probabilities (1, C)."""
    if not tokenize(text):
        return "empty"
    return f"{SETTINGS['labels'][probabilities.argmax()]} {probabilities.max():.4f}  {text}"
