"""Features: against formulas and known sounds, the same from any process."""

from __future__ import annotations

import importlib
import shutil
import sys

import numpy as np
import pytest
import soundfile
from easydict import EasyDict

from export import write_processing
from src.extraction import Job, extract
from src.features import (
    Moments,
    add_deltas,
    compute_features,
    feature_size,
    features_of_file,
    normalize,
    spec_augment,
    static_features,
)
from src.model_utils.exporting import EXAMPLES

RATE = 16000


def tone(hertz, seconds=0.5, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    "features,energy,deltas,size",
    [("fbank", True, 2, 63), ("fbank", False, 0, 20), ("mfcc", True, 1, 26)],
)
def test_shape_and_size(settings, features, energy, deltas, size):
    changed = EasyDict(settings, features=features, energy=energy, deltas=deltas)
    frames = compute_features(tone(440), RATE, changed)
    assert feature_size(changed) == size and frames.shape == (50, size) and frames.dtype == np.float32


def test_filter_bank_hears_the_pitch(settings):
    fbank = EasyDict(settings, energy=False, num_mels=40)
    mel = [1127 * np.log(1 + hertz / 700) for hertz in (20, RATE / 2)]  # Kaldi's lowest and highest
    for hertz in (300, 1000, 4000):
        loudest = static_features(tone(hertz), fbank).mean(0).argmax()
        where = (1127 * np.log(1 + hertz / 700) - mel[0]) / (mel[1] - mel[0]) * 41 - 1
        assert abs(loudest - where) < 1
    louder = static_features(2 * tone(1000), fbank)[10:40] - static_features(tone(1000), fbank)[10:40]
    np.testing.assert_allclose(louder.max(1), np.log(4), atol=0.01)


@pytest.mark.parametrize(
    "features,energy,deltas,rate,count",
    [
        ("fbank", True, 2, 16000, 8000),
        ("fbank", False, 0, 8000, 100),
        ("mfcc", True, 1, 22050, 5001),
        ("mfcc", False, 0, 16000, 900),
    ],
)
def test_features_of_exported_programs_are_those_of_training(
    settings, tmp_path, monkeypatch, features, energy, deltas, rate, count
):
    changed = EasyDict(settings, features=features, energy=energy, deltas=deltas, sample_rate=rate)
    samples = np.random.default_rng(1).normal(0, 0.1, count) * np.sin(np.arange(count) / 300)
    soundfile.write(tmp_path / "a.wav", samples, rate, subtype="PCM_16")
    write_processing(tmp_path, changed)
    (tmp_path / "vocab.json").write_text("[]", encoding="utf-8")
    monkeypatch.syspath_prepend(shutil.copy(EXAMPLES / "processing.py", tmp_path / "processing.py").parent)
    monkeypatch.delitem(sys.modules, "processing", raising=False)
    processing = importlib.import_module("processing")
    monkeypatch.delitem(sys.modules, "processing")
    actual = processing.inputs(str(tmp_path / "a.wav"))["frames"][0]
    frames, *_ = features_of_file(tmp_path / "a.wav", changed)
    np.testing.assert_allclose(actual, normalize(frames, Moments(frames).mean_and_scale()), atol=2e-3)


def test_deltas_are_the_regression(settings):
    frames = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    actual = add_deltas(frames, 2)
    assert actual.shape == (9, 9)

    def at(x, t):
        return x[min(max(t, 0), 8)].astype(np.float64)

    def delta(x):
        return np.array([sum(n * (at(x, t + n) - at(x, t - n)) for n in (1, 2)) / 10 for t in range(9)])

    np.testing.assert_allclose(actual[:, :3], frames)
    np.testing.assert_allclose(actual[:, 3:6], delta(frames), atol=1e-6)
    np.testing.assert_allclose(actual[:, 6:], delta(delta(frames)), atol=1e-6)
    line = add_deltas(np.arange(10, dtype=np.float32)[:, None], 1)
    np.testing.assert_allclose(line[2:-2, 1], 1)


def test_normalisation_by_moments_of_many_utterances():
    random = np.random.default_rng(0)
    utterances = [random.normal(i, 1 + i, (20 + i, 4)).astype(np.float32) for i in range(4)]
    together = np.concatenate(utterances).astype(np.float64)
    moments = Moments(utterances[0])
    for each in utterances[1:]:
        moments.add(Moments(each))
    mean, scale = moments.mean_and_scale()
    np.testing.assert_allclose(mean, together.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale, 1 / np.sqrt(together.var(0) + 1e-8), rtol=1e-12)
    normalized = normalize(utterances[0], moments.mean_and_scale())
    assert normalized.dtype == np.float32 and abs(normalized.mean()) > 0.1, "not normalised by itself"
    np.testing.assert_allclose(normalized, (utterances[0] - together.mean(0)) / together.std(0), rtol=1e-5)
    np.testing.assert_allclose(normalize(utterances[3], Moments(utterances[3]).mean_and_scale()).mean(0), 0, atol=1e-5)


def test_spec_augment(settings):
    changed = EasyDict(settings, deltas=1, freq_masks=1, freq_mask_width=3, time_masks=1, time_mask_width=4)
    frames = np.ones((50, 16), np.float32)
    kinds = set()
    for seed in range(20):
        actual = spec_augment(frames, changed, np.random.default_rng(seed))
        rows, columns = (actual == 0).all(1), (actual == 0).all(0)
        assert rows.sum() <= 4 and columns[:8].sum() <= 3 and (columns[:8] == columns[8:]).all()
        assert ((actual == 0) == (rows[:, None] | columns)).all()
        kinds.add((rows.any(), columns.any()))
    assert len(kinds) > 1 and frames.all(), "the input is not changed"


def test_processes_give_what_one_gives(tmp_path, settings, monkeypatch):
    for i in range(6):
        soundfile.write(tmp_path / f"{i}.wav", tone(200 + 100 * i, 0.2 + 0.1 * i), RATE)
    (tmp_path / "bad.wav").write_text("x")
    files = [(str(tmp_path / f"{name}.wav"), "ann" if name == 0 else "") for name in [*range(6), "bad"]]
    jobs = [Job(*file, speed) for file in files for speed in (1.0, 0.9)]
    alone = list(extract(jobs, len(jobs), settings, 1))
    monkeypatch.setattr("src.extraction.FEW", 5)
    monkeypatch.setattr("src.extraction.AT_ONCE", 2)
    together = list(extract(jobs, len(jobs), settings, 3))
    assert len(alone) == len(together) == 14
    for one, other in zip(alone, together):
        if isinstance(one, str):
            assert one == other and "bad.wav: unreadable" in one
        else:
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1].mean_and_scale(), other[1].mean_and_scale())
    means = [abs(frames.mean()) for frames, _ in alone[:4]]
    assert max(means[2:]) < 1e-5 < min(means[:2]), "a known speaker's frames wait for the others"
