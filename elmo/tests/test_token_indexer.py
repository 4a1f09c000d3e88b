"""Words as rows of character ids."""

from __future__ import annotations

from src.data.token_indexer import (
    BEGIN_SENTENCE,
    BEGIN_WORD,
    END_SENTENCE,
    END_WORD,
    PADDING,
    encode_word,
    encode_words,
)


def test_characters_are_bytes_between_marks():
    assert encode_word("aé", 8).tolist() == [BEGIN_WORD, 97, 0xC3, 0xA9, END_WORD, PADDING, PADDING, PADDING]
    assert encode_word("<S>", 5).tolist() == [BEGIN_WORD, BEGIN_SENTENCE, END_WORD, PADDING, PADDING]
    assert encode_word("</S>", 4).tolist() == [BEGIN_WORD, END_SENTENCE, END_WORD, PADDING]
    assert encode_word("<UNK>", 9).tolist() == [BEGIN_WORD, *b"<UNK>", END_WORD, PADDING, PADDING]
    long = encode_word("日本" * 20, 50)
    assert len(long) == 50 and long[1:49].tolist() == list(("日本" * 20).encode()[:48]) and long[49] == END_WORD
    assert encode_words(["a", "b"], 5).shape == (2, 5) and encode_words([], 5).shape == (0, 5)
