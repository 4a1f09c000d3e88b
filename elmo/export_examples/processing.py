"""From the sentences of a text file to what the exported network reads, and from its layers to vectors."""

import json
from pathlib import Path

import numpy as np
from token_indexer import SPECIAL, sentence_inputs

FOLDER = Path(__file__).resolve().parent
OPTIONS = json.loads((FOLDER / "options.json").read_text("utf-8"))


def sentences(path: str) -> list:
    """Return the words of each line, which white space separates, without the marks that every sentence gets."""
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        return [[word for word in line.split() if word not in SPECIAL[:2]] for line in file]


def inputs(words: list) -> tuple:
    """Return char_ids (N, W), index (T, 1) and lengths (1,) of a sentence."""
    return sentence_inputs([words], OPTIONS["char_cnn"]["max_characters_per_token"])


def answer(layers: np.ndarray) -> np.ndarray:
    """Return vectors (L + 1, words, 2P): the layers (L + 1, T, 1, 2P) without those of the marks."""
    return layers[:, 1:-1, 0]
