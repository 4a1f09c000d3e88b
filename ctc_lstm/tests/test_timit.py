"""Reading the TIMIT layout: splits, phone sets, and what is reported about wrong files."""

from __future__ import annotations

import shutil

import pytest
from easydict import EasyDict

from src.corpus import hold_out, read_corpus
from src.model_utils.runtime import UserError
from src.sample_data import write_sample_corpus
from src.timit import CORE_TEST_SPEAKERS, DEVELOPMENT_SPEAKERS, PHONES_61, fold, read_phones, scored


@pytest.fixture
def copy(corpus, tmp_path):
    return shutil.copytree(corpus, tmp_path / "TIMIT")


def test_phone_sets_have_their_sizes():
    assert len(set(PHONES_61)) == len(PHONES_61) == 61
    assert len(set(fold(PHONES_61, "48"))) == 48
    assert len(set(fold(PHONES_61, "39"))) == 39
    assert len(CORE_TEST_SPEAKERS) == 24 and len(DEVELOPMENT_SPEAKERS) == 50
    assert not set(CORE_TEST_SPEAKERS) & set(DEVELOPMENT_SPEAKERS)
    assert sum(name[0] == "m" for name in CORE_TEST_SPEAKERS) == 16


def test_folding():
    phones = ("h#", "sh", "ix", "hv", "eh", "dcl", "q", "ax-h", "epi", "axr", "zh", "h#")
    assert fold(phones, "61") == phones
    assert fold(phones, "48") == ("sil", "sh", "ix", "hh", "eh", "vcl", "ax", "epi", "er", "zh", "sil")
    assert fold(phones, "39") == ("sil", "sh", "ih", "hh", "eh", "sil", "ah", "sil", "er", "sh", "sil")
    assert scored(fold(phones, "48"), "48") == scored(phones, "61") == fold(phones, "39")
    assert fold(fold(phones, "39"), "39") == fold(phones, "39")
    assert scored(("three", "q"), "none") == ("three", "q")
    with pytest.raises(UserError, match="'three' is no phone of TIMIT"):
        fold(("three",), "39")


def test_part_of_the_corpus_lends_training_speakers(corpus, settings, capsys):
    splits = read_corpus(corpus, settings)
    log = capsys.readouterr().out
    assert "a part of TIMIT (TRAIN has 48 utterances without SA, TEST 12)" in log
    assert "held out 12 utterances of 2 speakers" in log
    assert {split: len(utterances) for split, utterances in splits.items()} == {"train": 36, "valid": 12, "test": 12}
    assert not {u.speaker for u in splits["train"]} & {u.speaker for u in splits["valid"]}
    assert not any("_sa" in u.name for utterances in splits.values() for u in utterances)
    assert read_corpus(corpus, settings) == splits, "the held-out speakers are always the same"
    first = splits["test"][0]
    assert first.labels[0] == first.labels[-1] == "h#" and first.name == f"{first.speaker}_si100"


def test_standard_splits_of_a_full_corpus(tmp_path, settings, capsys):
    names = [*CORE_TEST_SPEAKERS, *DEVELOPMENT_SPEAKERS, "mother0"]
    write_sample_corpus(tmp_path / "timit", 2, len(names), 3)
    for name, path in zip(names, sorted(tmp_path.glob("timit/TEST/*/*"))):
        path.rename(path.with_name(name.upper()))
    splits = read_corpus(tmp_path / "timit", settings)
    assert {u.speaker for u in splits["test"]} == set(CORE_TEST_SPEAKERS)
    assert {u.speaker for u in splits["valid"]} == set(DEVELOPMENT_SPEAKERS)
    assert len({u.speaker for u in splits["train"]}) == 2
    assert "train has 2 utterances, the standard split 3696" in capsys.readouterr().out


def test_letter_case_and_riff_copies(copy, settings):
    expected = read_corpus(copy, settings)
    for path in sorted(copy.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.lower()))
    for path in copy.rglob("*.wav"):
        path.with_name(path.name + ".wav").write_bytes(path.read_bytes())
    actual = read_corpus(copy, settings)
    assert [(u.name, u.labels) for u in actual["test"]] == [(u.name, u.labels) for u in expected["test"]]
    for path in copy.rglob("sx*.wav"):
        if not path.name.endswith(".wav.wav"):
            path.unlink()
    assert read_corpus(copy, settings)["test"][-1].audio.endswith(".wav.wav")


@pytest.mark.parametrize(
    "text,message",
    [
        ("0 100 h#\n100 zz\n", r":2: expected `begin end phone`, not '100 zz'"),
        ("0 100 h#\n100 50 iy\n", r":2: expected `begin end phone`"),
        ("0 100 xx\n", r":1: 'xx' is none of TIMIT's 61 phones"),
        ("\n", "holds no phones"),
        ("0 100 h#\n100 ² iy\n", r":2: expected `begin end phone`"),
        (f"0 {'9' * 5000} h#\n", r":1: expected `begin end phone`"),
        ("0 100 h#\x85100 200 iy\n", r":1: expected `begin end phone`"),
        ("0 100 h#\r100 200 iy\r", "the lines end in carriage returns alone"),
    ],
)
def test_phone_files_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "SX1.PHN"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(UserError, match=message):
        read_phones(path)


def test_byte_order_mark_and_carriage_returns_are_no_part_of_phone_files(tmp_path):
    (tmp_path / "SX1.PHN").write_bytes(b"\xef\xbb\xbf0 100 h#\r\n100 200 IY\r\n\r\n")
    assert read_phones(tmp_path / "SX1.PHN") == ("h#", "iy")


def test_bad_files_are_named_or_left_out(copy, settings, capsys):
    wrong = sorted(copy.glob("TRAIN/*/*/SX10.PHN"))[0]
    wrong.write_text("0 1 xx\n")
    missing = sorted(copy.glob("TRAIN/*/*/SX20.PHN"))[0]
    missing.unlink()
    with pytest.raises(UserError, match=r"SX10.PHN:1: .*bad files: 2; .*--on_bad_input skip"):
        read_corpus(copy, settings)
    splits = read_corpus(copy, EasyDict(settings, on_bad_input="skip"))
    assert len(splits["train"]) + len(splits["valid"]) == 46
    log = capsys.readouterr().out
    assert f"left out {wrong}:1" in log and "sx20: has no .PHN file" in log


def test_wrong_folders(corpus, tmp_path, settings):
    with pytest.raises(UserError, match="no such folder"):
        read_corpus(tmp_path / "nothing", settings)
    with pytest.raises(UserError, match=f"did you mean {corpus}?"):
        read_corpus(corpus.parent, settings)
    with pytest.raises(UserError, match="holds neither TRAIN/"):
        read_corpus(tmp_path, settings)
    (tmp_path / "TRAIN").mkdir()
    with pytest.raises(UserError, match="no TEST"):
        read_corpus(tmp_path, settings)
    (tmp_path / "TEST").mkdir()
    with pytest.raises(UserError, match="holds no DRn/SPEAKER"):
        read_corpus(tmp_path, settings)


def test_holding_out(corpus, settings):
    utterances = read_corpus(corpus, settings)["train"]
    assert hold_out(utterances, 0, 0) == (utterances, [])
    one = [u for u in utterances if u.speaker == utterances[0].speaker]
    train, valid = hold_out(one, 0.3, 0)
    assert len(train) == 4 and len(valid) == 2, "single utterances where there is one speaker"
    assert hold_out(utterances, 0.3, 0) != hold_out(utterances, 0.3, 1)
