"""The units of a text that a model tags: its characters, or the words of a corpus of words.

The standard library is enough, since export.py copies this file beside what it exports.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container

# What is no part of a word, and of a column at its ends: white space, the zero-width space and the byte order mark.
BLANKS = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + "\u200b\ufeff"
CHARACTERS, WORDS = "characters", "words"
LEAST_SHARE = 0.25  # of units with several characters in a corpus of words; Chinese text in words has about a half


def detect_units(counts: Counter[str]) -> str:
    """Return what a line of a corpus holds: WORDS where many lines hold several characters, else CHARACTERS.

    `counts` says how often each unit occurs.
    """
    several = sum(count for unit, count in counts.items() if len(unit) > 1 and _size(unit) > 1)
    return WORDS if several > LEAST_SHARE * sum(counts.values()) else CHARACTERS


def _size(unit: str) -> int:
    """Return the number of characters, marks not counted."""
    return sum(not _is_mark(character) for character in unicodedata.normalize("NFC", unit))


def split_text(text: str, units: str, known: Container[str]) -> list[tuple[str, int]]:
    """Return the units of a raw text and where each starts; white space is not read.

    `known` is what the model was trained on.
    """
    return _words(text, known) if units == WORDS else _characters(text, known)


def _characters(text: str, known: Container[str]) -> list[tuple[str, int]]:
    """Return the characters of a text.

    A combining accent belongs to its letter, and other marks and invisible characters are not read, unless the model
    was trained on them as characters.
    """
    units: list[tuple[str, int]] = []
    for position, character in enumerate(text):
        if character.isspace():
            continue
        if character not in known:
            letter, start = units[-1] if units else ("", 0)
            touches = start + len(letter) == position > 0
            if touches and len(unicodedata.normalize("NFC", letter + character)) == 1:
                units[-1] = letter + character, start
                continue
            if _is_mark(character) or unicodedata.category(character) == "Cf":
                continue
        units.append((character, position))
    return units


def _words(text: str, known: Container[str]) -> list[tuple[str, int]]:
    """Return the words of a text, which blanks separate.

    Punctuation that training saw as a word is cut off the ends of a word that training did not see.
    """
    units = []
    for match in re.finditer(f"[^{re.escape(BLANKS)}]+", text):
        start, end = match.span()
        behind: list[tuple[str, int]] = []
        while end - start > 1 and not _is_known(text[start:end], known):
            if _is_punctuation(text[start]) and text[start] in known:
                units.append((text[start], start))
                start += 1
            elif _is_punctuation(text[end - 1]) and text[end - 1] in known:
                end -= 1
                behind.insert(0, (text[end], end))
            else:
                break
        units += [(text[start:end], start), *behind]
    return units


def _is_known(word: str, known: Container[str]) -> bool:
    return word in known or unicodedata.normalize("NFC", word) in known


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
