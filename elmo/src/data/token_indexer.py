"""Words to rows of character ids: the bytes of their UTF-8 form between marks, as in bilm-tf.

The distinct words of a batch come in two groups, so that short words are not computed at the width of the longest.
NumPy is enough, since export.py copies this file beside what it exports.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SPECIAL = ("<S>", "</S>", "<UNK>")
CHARACTERS = 261  # 256 bytes, begin and end of sentence, begin and end of word, padding
BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PADDING = range(256, CHARACTERS)
SHORT = 13  # characters of a word of the first group, its begin and end marks included


def encode_word(word: str, max_characters: int) -> np.ndarray:
    """Return (max_characters,) int16: begin mark, the bytes of the word (cut where there are more), end mark, padding.

    `<S>` and `</S>` are one mark in place of bytes.
    """
    marks = {SPECIAL[0]: [BEGIN_SENTENCE], SPECIAL[1]: [END_SENTENCE]}
    characters = [BEGIN_WORD, *marks.get(word, word.encode()[: max_characters - 2]), END_WORD]
    return np.array(characters + [PADDING] * (max_characters - len(characters)), np.int16)


def encode_words(words: list[str], max_characters: int) -> np.ndarray:
    """Return the rows of `encode_word` for all words, (N, max_characters) int16."""
    rows = [encode_word(word, max_characters) for word in words]
    return np.array(rows, np.int16).reshape(-1, max_characters)


def number_words(sentences: Sequence[Sequence[str]], steps: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Put each sentence between `<S>` and `</S>` and number the distinct words.

    Returns (words, index (T, B) int32, lengths (B,) int32, marks included): a column of `index` is a sentence, padded
    with 0; T is the greatest length, or `steps` where that is more.
    """
    framed = [[SPECIAL[0], *sentence, SPECIAL[1]] for sentence in sentences]
    words = list(dict.fromkeys(word for sentence in framed for word in sentence))
    number = {word: row for row, word in enumerate(words)}
    lengths = np.array([len(sentence) for sentence in framed], np.int32)
    index = np.zeros((max(lengths.max(), steps), len(framed)), np.int32)
    for column, sentence in enumerate(framed):
        index[: len(sentence), column] = [number[word] for word in sentence]
    return words, index, lengths


def sentence_inputs(
    sentences: Sequence[Sequence[str]], max_characters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the inputs of the graph that export.py writes for B sentences of words, all int32.

    char_ids (N, W): the distinct words, `<S>` and `</S>` among them; index (T, B): rows of char_ids, each sentence
    between these marks and padded with anything; lengths (B,), the marks included.
    """
    words, index, lengths = number_words(sentences)
    return encode_words(words, max_characters).astype(np.int32), index, lengths


def group_words(
    char_ids: np.ndarray, widest_filter: int, multiples: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide distinct words (N, W) int into short and long ones.

    Returns (short (n, w) int32, long (m, W) int32, row_of (N,) int32): the words in two groups whose sizes are rounded
    up to `multiples` (at least one multiple each), so that few shapes occur, and the row of each word in the table of
    both groups, short ones first. The results of the character encoder are those of the full width: every filter still
    has a window of only padding after a short word.
    """
    length = (char_ids != PADDING).sum(1)
    width = min(char_ids.shape[1], SHORT + widest_filter)
    is_long = length > SHORT if width < char_ids.shape[1] else np.zeros(len(char_ids), bool)
    groups, row_of, start = [], np.zeros(len(char_ids), np.int32), 0
    for members, columns, multiple in ((~is_long, width, multiples[0]), (is_long, char_ids.shape[1], multiples[1])):
        count = int(members.sum())
        group = np.full((max(-(-count // multiple), 1) * multiple, columns), PADDING, np.int32)
        group[:count] = char_ids[members, :columns]
        row_of[members] = start + np.arange(count)
        start += len(group)
        groups.append(group)
    return *groups, row_of
