"""From utterances to batches: conversion, its reuse, what is too short, buckets, frame budget, shares of processes."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from easydict import EasyDict

from src.dataset import (
    Samples,
    TrainingBatches,
    build_vocabulary,
    check_prepared,
    evaluation_batches,
    load_samples,
    load_vocabulary,
    needed_steps,
    pad_frames,
    prepare,
    save_vocabulary,
    training_samples,
)
from src.features import feature_size
from src.model_utils.runtime import UserError


@pytest.fixture(scope="module")
def prepared(corpus, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "preprocess"
    prepare(corpus, folder, settings)
    return folder


def made_samples(lengths, labels=3, size=4, seed=0):
    random = np.random.default_rng(seed)
    frames = [random.standard_normal((length, size)).astype(np.float32) for length in lengths]
    names = [f"u{i}" for i in range(len(lengths))]
    return Samples(
        names, [""] * len(names), frames, [tuple(random.permutation(["a", "b", "c"])[:labels]) for _ in names]
    )


def batches_of(samples, settings, rank=0, size=1, **changes):
    changed = EasyDict(settings, **{"num_mels": 4, "energy": False, **changes})
    return TrainingBatches(samples, build_vocabulary(samples.labels), changed, rank, size)


def test_conversion_keeps_what_there_is(prepared, corpus, settings, capsys):
    train = load_samples(prepared, "train")
    assert len(train) == 36 and len(load_samples(prepared, "valid")) == len(load_samples(prepared, "test")) == 12
    assert train.frames[0].shape[1] == feature_size(settings) and train.frames[0].dtype == np.float32
    assert train.labels[0][0] == "h#" and re.fullmatch(r"[fm]aa[a-z]0_s[ix]\d+", train.names[0])
    speaker = np.concatenate([f for f, s in zip(train.frames, train.speakers) if s == train.speakers[0]])
    np.testing.assert_allclose(speaker.mean(0), 0, atol=1e-4)
    before = (prepared / "train.mindrecord").stat().st_mtime_ns
    prepare(corpus, prepared, settings)
    assert "is up to date" in capsys.readouterr().out
    assert (prepared / "train.mindrecord").stat().st_mtime_ns == before


def test_other_settings_convert_again_or_are_refused(prepared, corpus, settings, tmp_path):
    folder = shutil.copytree(prepared, tmp_path / "copy")
    changed = EasyDict(settings, speed_perturbation="0.9,1.0", deltas=1)
    with pytest.raises(UserError, match="was computed with deltas 0, the configuration says 1"):
        check_prepared(folder, changed)
    prepare(corpus, folder, changed)
    check_prepared(folder, changed)
    train = load_samples(folder, "train")
    assert len(train) == 72 and len(load_samples(folder, "valid")) == 12
    slow, plain = (next(i for i, n in enumerate(train.names) if n == train.names[36] + end) for end in (" x0.9", ""))
    assert abs(len(train.frames[slow]) * 0.9 - len(train.frames[plain])) <= 1
    assert train.labels[slow] == train.labels[plain]
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


def test_vocabulary(tmp_path):
    vocabulary = build_vocabulary([("b", "a"), ("c",)])
    assert vocabulary == ["<blank>", "a", "b", "c"]
    save_vocabulary(tmp_path / "vocab.json", vocabulary)
    assert load_vocabulary(tmp_path / "vocab.json") == vocabulary
    for text, message in (("[", "not valid JSON"), (json.dumps(["a"]), "starts with <blank>")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=message):
            load_vocabulary(tmp_path / "bad.json")
    with pytest.raises(UserError, match="no such file"):
        load_vocabulary(tmp_path / "none.json")


def test_too_short_utterances_are_named(settings, capsys):
    assert needed_steps("aab") == 4 and needed_steps("") == 0 and needed_steps("abab") == 4
    samples = made_samples([9, 10, 30])
    samples.labels = [("a", "a", "b"), ("a", "a", "b"), ()]
    config = EasyDict(settings, phone_set="none", front_end="stack-3")
    with pytest.raises(UserError, match=r"u0: too short for its labels, which need 4 output steps where 9 .*give 3"):
        training_samples(samples, config)
    kept = training_samples(samples, EasyDict(config, on_bad_file="skip"))
    assert kept.names == ["u1"]
    assert "left out u2: has no labels" in capsys.readouterr().out


def test_padding():
    padded, lengths = pad_frames([np.ones((5, 2), np.float32), np.ones((7, 2), np.float32)], 3)
    assert padded.shape == (2, 9, 2) and lengths.tolist() == [5, 7] and lengths.dtype == np.int32
    assert padded[0, 5:].sum() == padded[1, 7:].sum() == 0 and padded.sum() == 24
    assert pad_frames([np.ones((5, 2), np.float32)], 3, 10)[0].shape == (1, 12, 2)


def test_evaluation_reads_every_utterance_once(settings):
    samples = made_samples([5, 90, 40, 41, 7])
    found = list(evaluation_batches(samples, EasyDict(settings, eval_frames=90)))
    assert sorted(i for chosen, _ in found for i in chosen) == list(range(5))
    for chosen, (frames, lengths) in found:
        assert frames.shape[0] * lengths.max() <= 90 or len(chosen) == 1
        for row, i in enumerate(chosen):
            np.testing.assert_array_equal(frames[row, : lengths[row]], samples.frames[i])


def test_batches_keep_to_the_budget_and_use_everything(settings):
    lengths = np.random.default_rng(1).integers(20, 200, 203)
    batches = batches_of(made_samples(lengths), settings, batch_size=16, batch_frames=1000, num_buckets=4)
    used, shapes = set(), set()
    for epoch in (1, 2, 3):
        steps = list(batches(epoch))
        assert len(steps) == batches.steps_per_epoch
        plan = batches.plan(epoch)
        seen = np.concatenate([chosen for chosen, _, _ in plan])
        assert len(set(seen)) == len(seen) >= 203 - 16, "none twice, and few left out"
        used |= set(seen)
        for batch, (chosen, longest, most_labels) in zip(steps, plan):
            frames, found, keys, labels, label_lengths = batch.inputs
            assert frames.shape[:2] == (len(chosen), -(-longest // 3) * 3) and labels.shape[1] == most_labels == 3
            assert len(chosen) * longest <= 1000 and len(chosen) in (4, 8, 12, 16)
            assert found.tolist() == lengths[chosen].tolist() and batch.tokens == found.sum()
            assert keys.shape == label_lengths.shape == (len(chosen),)
            shapes.add(frames.shape)
    assert used == set(range(203)) and len(shapes) == 4
    assert {batch.inputs[0].shape for batch in batches.one_of_each_shape()} == shapes


def test_epochs_are_pure_functions(settings):
    samples = made_samples(np.random.default_rng(1).integers(20, 90, 60))
    changes = {"freq_masks": 1, "time_masks": 1, "feature_noise": 0.1, "batch_frames": 400}
    first, again = batches_of(samples, settings, **changes), batches_of(samples, settings, **changes)
    whole, rest = list(first(2)), list(again(2, 3))
    assert len(rest) == len(whole) - 3
    for one, other in zip(whole[3:], rest):
        for array, same in zip(one.inputs, other.inputs):
            np.testing.assert_array_equal(array, same)
    other_epoch = next(first(3)).inputs[0]
    assert other_epoch.shape != whole[0].inputs[0].shape or (other_epoch != whole[0].inputs[0]).any()


def test_processes_share_each_batch(settings):
    samples = made_samples(np.random.default_rng(1).integers(20, 90, 61))
    changes = {"feature_noise": 0.1, "batch_frames": 500}
    whole = list(batches_of(samples, settings, **changes)(1))
    shares = [list(batches_of(samples, settings, rank, 2, **changes)(1)) for rank in (0, 1)]
    assert len(whole) == len(shares[0]) == len(shares[1])
    for batch, *parts in zip(whole, *shares):
        for array, even, odd in zip(batch.inputs, parts[0].inputs, parts[1].inputs):
            np.testing.assert_array_equal(array[0::2], even)
            np.testing.assert_array_equal(array[1::2], odd)


def test_unpadded_buckets_pad_to_the_longest(settings):
    samples = made_samples(np.random.default_rng(1).integers(20, 90, 60))
    batches = batches_of(samples, settings, pad_to_bucket=False, batch_frames=500)
    assert all(b.inputs[0].shape[1] == -(-b.inputs[1].max() // 3) * 3 for b in batches(1))


def test_too_few_utterances(settings):
    with pytest.raises(UserError, match="2 training utterances do not fill one batch"):
        batches_of(made_samples([20, 30]), settings)
