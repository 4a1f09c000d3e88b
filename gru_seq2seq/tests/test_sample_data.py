"""The synthetic corpus: Multi30k's layout, the same in every run, and clear about where it may be written."""

from __future__ import annotations

import subprocess

import pytest

from src import sample_data
from src.model_utils.runtime import UserError
from src.multi30k import read_pairs


def test_layout(corpus):
    assert {path.name for path in corpus.iterdir()} == {
        f"{split}.{end}" for split in ("train", "val", "test") for end in ("de", "en")
    }
    splits = [read_pairs(corpus, split, "de", "en") for split in ("train", "val", "test")]
    assert [len(pairs) for pairs in splits] == [800, 100, 100]
    everything = [pair for pairs in splits for pair in pairs]
    assert len(set(everything)) == 1000, "no pair is there twice"
    for side in zip(*everything):
        words = {word.strip(".").lower() for text in side for word in text.split()}
        assert 30 < len(words) < 90


def test_words_agree_and_stand_in_the_order_of_their_language(corpus):
    pairs = read_pairs(corpus, "train", "de", "en")
    verb_last = [pair for pair in pairs if " kann " in pair.source]
    assert verb_last and all(pair.source.split()[-1][:-1] in sample_data.VERBS for pair in verb_last)
    assert all(" can " in pair.target for pair in verb_last)
    assert any(pair.source.startswith("Heute ") and pair.target.endswith(" today.") for pair in pairs)
    assert any(" einen kleinen Ball" in pair.source for pair in pairs)
    assert not any(" a old" in pair.target or " an big" in pair.target for pair in pairs)


def test_same_again(corpus, tmp_path):
    sample_data.main([str(tmp_path / "multi30k")])
    assert not subprocess.run(["diff", "-r", str(corpus), str(tmp_path / "multi30k")]).returncode
    with pytest.raises(UserError, match="exists already"):
        sample_data.main([str(tmp_path / "multi30k")])
    with pytest.raises(UserError, match="choose 10 or more"):
        sample_data.main([str(tmp_path / "other"), "--pairs", "9"])
    sample_data.main([str(tmp_path / "other"), "--pairs", "10", "--seed", "2"])
    assert (tmp_path / "other/val.en").read_text().count("\n") == 10


def test_a_wrong_option_gets_one_line(exit_of):
    code, _, error = exit_of(sample_data.main, "here", "--pair", "3")
    assert code == 2 and error.startswith("error: ") and "did you mean '--pairs'?" in error and error.count("\n") == 1
