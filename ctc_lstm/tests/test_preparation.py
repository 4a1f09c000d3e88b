"""From utterances to samples: conversion, its reuse, damaged and missing files."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from easydict import EasyDict

from src.features import feature_size
from src.model_utils.runtime import UserError
from src.preparation import check_prepared, load_samples, prepare


@pytest.fixture(scope="module")
def prepared(corpus, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "preprocess"
    prepare(corpus, folder, settings)
    return folder


def test_conversion_keeps_what_there_is(prepared, corpus, settings, capsys):
    train = load_samples(prepared, "train")
    assert len(train) == 36 and len(load_samples(prepared, "valid")) == len(load_samples(prepared, "test")) == 12
    first = train[0]
    assert first.frames.shape[1] == feature_size(settings) and first.frames.dtype == np.float32
    assert first.labels[0] == "h#" and re.fullmatch(r"[fm]aa[a-z]0_s[ix]\d+", first.name)
    speaker = np.concatenate([sample.frames for sample in train if sample.speaker == first.speaker])
    np.testing.assert_allclose(speaker.mean(0), 0, atol=1e-4)
    before = (prepared / "train.mindrecord").stat().st_mtime_ns
    prepare(corpus, prepared, settings)
    assert "is up to date" in capsys.readouterr().out
    assert (prepared / "train.mindrecord").stat().st_mtime_ns == before


def test_other_settings_convert_again_or_are_refused(prepared, corpus, settings, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    changed = EasyDict(settings, speed_perturbation="0.9,1.0", deltas=1)
    with pytest.raises(UserError, match="was prepared with deltas 0, the configuration says 1"):
        check_prepared(folder, changed)
    prepare(corpus, folder, changed)
    check_prepared(folder, changed)
    train = load_samples(folder, "train")
    assert len(train) == 72 and len(load_samples(folder, "valid")) == 12
    slow, plain = (next(s for s in train if s.name == train[36].name + end) for end in (" x0.9", ""))
    assert abs(len(slow.frames) * 0.9 - len(plain.frames)) <= 1
    assert slow.labels == plain.labels
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
    (folder / "test.mindrecord").unlink()
    with pytest.raises(UserError, match="no test split"):
        load_samples(folder, "test")
    assert len(load_samples(folder, "test", missing_ok=True)) == 0
