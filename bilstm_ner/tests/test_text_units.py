"""Raw texts as the characters or words that a model was trained on."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from src.text_units import CHARACTERS, WORDS, detect_units, split_text

KNOWN = {"中", "国", "é", "Mary", "Smith", ".", "U.S.", "(", ")", "e\u0302"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mary Smith lives in Paris .", WORDS),
        ("他 在 北京 工作 。", WORDS),
        ("中 国 国 籍 ， 1 9 6 3 年", CHARACTERS),
        ("他 在 IBM 工 作 。 2012 年 起 任 经 理", CHARACTERS),
        ("c a f e\u0301", CHARACTERS),
        ("नि म ते", CHARACTERS),
    ],
)
def test_units_are_seen_from_the_corpus(text, expected):
    assert detect_units(Counter(text.split())) == expected


def test_characters_are_what_is_not_white_space():
    assert split_text("中 国\u3000\r\u2028中", CHARACTERS, KNOWN) == [("中", 0), ("国", 2), ("中", 6)]


def test_a_decomposed_accent_belongs_to_its_letter():
    assert split_text("ce\u0301中", CHARACTERS, KNOWN) == [("c", 0), ("e\u0301", 1), ("中", 3)]
    korean = unicodedata.normalize("NFD", "한국")
    assert [unicodedata.normalize("NFC", unit) for unit, _ in split_text(korean, CHARACTERS, KNOWN)] == ["한", "국"]


def test_marks_that_training_saw_as_characters_are_characters():
    assert split_text("e\u0301", CHARACTERS, {"e", "\u0301"}) == [("e", 0), ("\u0301", 1)]


@pytest.mark.parametrize("invisible", ["\u200b", "\u200d", "\ufeff", "\u00ad", "\ufe0f", "\U000e0100"])
def test_invisible_characters_are_not_read(invisible):
    text = f"{invisible}中{invisible}国{invisible}"
    start = len(invisible)
    assert split_text(text, CHARACTERS, KNOWN) == [("中", start), ("国", start + 2)]
    assert split_text(text, CHARACTERS, {*KNOWN, invisible})[0] == (invisible, 0)


def test_words_are_separated_by_blanks_where_they_stand():
    words = [("EU", 0), ("rejects", 4), ("EU", 12), ("call", 16)]
    assert split_text("EU  rejects EU\u00a0\u200bcall", WORDS, KNOWN) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mary lives in Paris.", ["Mary", "lives", "in", "Paris", "."]),
        ("(Paris).", ["(", "Paris", ")", "."]),
        ("U.S. and U.K.", ["U.S.", "and", "U.K", "."]),
        ("Paris,", ["Paris,"]),
        ("...", [".", ".", "."]),
        ("1.5", ["1.5"]),
    ],
)
def test_punctuation_that_training_saw_alone_is_cut_off_unknown_words(text, words):
    units = split_text(text, WORDS, KNOWN)
    assert [unit for unit, _ in units] == words
    assert all(text[start : start + len(unit)] == unit for unit, start in units)
