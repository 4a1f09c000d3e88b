"""From utterances to samples: conversion, its reuse, damaged and missing files."""

from __future__ import annotations

import re
import shutil
import weakref

import numpy as np
import pytest
from easydict import EasyDict

from src.extraction import extract
from src.features import feature_size
from src.model_utils.runtime import UserError
from src.preparation import check_prepared, load_samples, prepare


@pytest.fixture(scope="module")
def prepared(corpus, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "preprocess"
    prepare(corpus, folder, settings)
    return folder


def test_conversion_keeps_what_there_is(prepared, corpus, settings, tmp_path, capsys):
    train = load_samples(prepared, "train")
    assert len(train) == 36 and len(load_samples(prepared, "valid")) == len(load_samples(prepared, "test")) == 12
    assert train.frames(0).shape == (train.lengths[0], feature_size(settings)) and train.frames(0).dtype == np.float32
    assert next(train.labels())[0] == "h#" and re.fullmatch(r"[fm]aa[a-z]0_s[ix]\d+", train.name(0))
    assert len(train.statistics) == 6
    speaker = np.concatenate([train.frames(i) for i in range(36) if train.groups[i] == train.groups[0]])
    np.testing.assert_allclose(speaker.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(speaker.std(0), 1, atol=1e-3)
    before = (prepared / "train.mindrecord").stat().st_mtime_ns
    for place in (corpus, shutil.copytree(corpus, tmp_path / "on another machine")):
        prepare(place, prepared, settings)
        assert "is up to date" in capsys.readouterr().out
    assert (prepared / "train.mindrecord").stat().st_mtime_ns == before


def test_conversion_holds_few_utterances_at_a_time(corpus, settings, tmp_path, monkeypatch):
    alive, most = 0, 0

    def forget():
        nonlocal alive
        alive -= 1

    def counted(*arguments):
        nonlocal alive, most
        for frames, moments in extract(*arguments):
            alive += 1
            most = max(most, alive)
            weakref.finalize(frames, forget)
            yield frames, moments
            del frames

    monkeypatch.setattr("src.preparation.extract", counted)
    monkeypatch.setattr("src.preparation.AT_ONCE", 4)
    prepare(corpus, tmp_path / "preprocess", settings)
    assert most < 12, "of 36"


def test_an_utterance_that_is_too_long_for_a_row_takes_several(prepared, corpus, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("src.preparation.LARGEST", 2**12)
    prepare(corpus, tmp_path / "preprocess", settings)
    whole, cut = load_samples(prepared, "train"), load_samples(tmp_path / "preprocess", "train")
    assert len(cut) == len(whole) == 36 and len(cut.file) > 2 * len(whole.file)
    chosen = [7, 30, 2]
    some = cut.select(chosen, (("a",) for _ in chosen))
    for i in range(36):
        assert cut.name(i) == whole.name(i) and cut.lengths[i] == len(cut.frames(i))
        np.testing.assert_array_equal(cut.frames(i), whole.frames(i))
    for i, k in enumerate(chosen):
        assert some.name(i) == whole.name(k)
        np.testing.assert_array_equal(some.frames(i), whole.frames(k))


def test_other_settings_convert_again_or_are_refused(prepared, corpus, settings, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    changed = EasyDict(settings, speed_perturbation="0.9,1.0", deltas=1)
    with pytest.raises(UserError, match="was prepared with deltas 0, the configuration says 1"):
        check_prepared(folder, changed)
    prepare(corpus, folder, changed)
    check_prepared(folder, changed)
    train = load_samples(folder, "train")
    assert len(train) == 72 and len(load_samples(folder, "valid")) == 12
    names, labels = [train.name(i) for i in range(72)], list(train.labels())
    slow, plain = (names.index(names[36] + end) for end in (" x0.9", ""))
    assert abs(train.lengths[slow] * 0.9 - train.lengths[plain]) <= 1
    assert labels[slow] == labels[plain] and train.groups[slow] != train.groups[plain]
    assert [path.name for path in tmp_path.iterdir()] == ["copy", ".copy.lock"] or len(list(tmp_path.iterdir())) == 2


def test_folders_that_are_not_ours_stay(corpus, settings, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="not empty and not made by this program"):
        prepare(corpus, tmp_path, settings)
    with pytest.raises(UserError, match="holds no preprocessed data"):
        check_prepared(tmp_path, settings)


def test_damaged_or_missing_files(prepared, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    with open(folder / "train.mindrecord", "r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match="train.mindrecord: damaged"):
        load_samples(folder, "train")
    (folder / "valid.npz").write_bytes((folder / "valid.npz").read_bytes()[:-9])
    with pytest.raises(UserError, match="valid.npz: missing or damaged"):
        load_samples(folder, "valid")
    (folder / "test.mindrecord").unlink()
    with pytest.raises(UserError, match="no test split"):
        load_samples(folder, "test")
    assert load_samples(folder, "test", missing_ok=True) is None
