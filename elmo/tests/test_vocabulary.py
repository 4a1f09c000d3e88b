"""Vocabulary: its order, and what its file must look like."""

from __future__ import annotations

import pytest

from src.data.vocabulary import build_vocabulary, load_vocabulary
from src.model_utils.runtime import UserError


def test_vocabulary_is_ordered_and_checked(tmp_path):
    vocabulary, counts = build_vocabulary([[["b", "a", "a"], ["c", "b", "d"]]], min_count=1, max_size=6)
    assert vocabulary.words == ["<S>", "</S>", "<UNK>", "a", "b", "c"] and counts["d"] == 1
    vocabulary.save(tmp_path / "vocab.txt")
    again = load_vocabulary(tmp_path / "vocab.txt")
    assert again.words == vocabulary.words and again.fingerprint == vocabulary.fingerprint
    for content, words in (
        ("<S>\n</S>\nx\n", ":3: must be <UNK>"),
        ("<S>\n</S>\n<UNK>\na\nb\na\n", ":6: 'a' occurs twice"),
        ("<S>\n</S>\n<UNK>\na b\n", ":4: 'a b' is not one word"),
        ("<S>\n</S>\n<UNK>\n\nb\n", ":4: '' is not one word"),
    ):
        (tmp_path / "bad.txt").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=words):
            load_vocabulary(tmp_path / "bad.txt")
    with pytest.raises(UserError, match="lost.txt: no such file"):
        load_vocabulary(tmp_path / "lost.txt")
