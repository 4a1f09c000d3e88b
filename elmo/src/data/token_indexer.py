"""Words to rows of character ids: the bytes of their UTF-8 form between marks, as in bilm-tf."""

from __future__ import annotations

import numpy as np

from src.data.vocabulary import SPECIAL

BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = range(256, 261)


def encode_word(word: str, max_characters: int) -> np.ndarray:
    """Return (max_characters,) int16: begin mark, the bytes of the word (cut where there are more), end mark, padding.

    `<S>` and `</S>` are one mark in place of bytes.
    """
    row = np.full(max_characters, PADDING, np.int16)
    if word in SPECIAL[:2]:
        row[:3] = BEGIN_WORD, BEGIN_SENTENCE + SPECIAL.index(word), END_WORD
        return row
    data = word.encode()[: max_characters - 2]
    row[0] = BEGIN_WORD
    row[1 : 1 + len(data)] = np.frombuffer(data, np.uint8)
    row[1 + len(data)] = END_WORD
    return row


def encode_words(words: list[str], max_characters: int) -> np.ndarray:
    """Return the rows of `encode_word` for all words, (N, max_characters) int16."""
    rows = np.empty((len(words), max_characters), np.int16)
    for row, word in zip(rows, words):
        row[:] = encode_word(word, max_characters)
    return rows
