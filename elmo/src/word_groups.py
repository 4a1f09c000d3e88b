"""The distinct words of a batch in two groups, so that short words are not computed at the width of the longest."""

from __future__ import annotations

import numpy as np

from src.data.token_indexer import PADDING
from src.model_options import ModelOptions

SHORT = 13  # characters of a word of the first group, its begin and end marks included


def group_words(char_ids: np.ndarray, options: ModelOptions, multiples: tuple[int, int]):
    """Divide distinct words (N, W) int into short and long ones.

    Returns (short (n, w) int32, long (m, W) int32, place (N,) int32): the words in two groups whose sizes are rounded
    up to `multiples` (at least one multiple each), so that few shapes occur, and the row of each word in the table of
    both groups, short ones first. The results of the character encoder are those of the full width: every filter still
    has a window of nothing but padding behind a short word.
    """
    length = (char_ids != PADDING).sum(1)
    width = min(char_ids.shape[1], SHORT + options.widest_filter)
    is_long = length > SHORT if width < char_ids.shape[1] else np.zeros(len(char_ids), bool)
    groups, place, start = [], np.zeros(len(char_ids), np.int32), 0
    for members, columns, multiple in ((~is_long, width, multiples[0]), (is_long, char_ids.shape[1], multiples[1])):
        count = int(members.sum())
        group = np.full((max(-(-count // multiple), 1) * multiple, columns), PADDING, np.int32)
        group[:count] = char_ids[members, :columns]
        place[members] = start + np.arange(count)
        start += len(group)
        groups.append(group)
    return *groups, place
