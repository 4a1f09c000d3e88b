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
    everything = [pair for pairs in splits for pair in zip(pairs.sources, pairs.targets)]
    assert len(set(everything)) == 1000, "no pair is there twice"
    for side in zip(*everything):
        words = {word.strip(".").lower() for text in side for word in text.split()}
        assert 30 < len(words) < 90


def test_words_agree_and_stand_in_the_order_of_their_language(corpus):
    text = read_pairs(corpus, "train", "de", "en")
    pairs = list(zip(text.sources, text.targets))
    verb_last = [(german, english) for german, english in pairs if " kann " in german]
    assert verb_last and all(german.split()[-1][:-1] in sample_data.VERBS for german, _ in verb_last)
    assert all(" can " in english for _, english in verb_last)
    assert any(german.startswith("Heute ") and english.endswith(" today.") for german, english in pairs)
    assert any(" einen kleinen Ball" in german for german in text.sources)
    assert not any(" a old" in english or " an big" in english for english in text.targets)


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
