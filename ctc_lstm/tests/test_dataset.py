"""From samples to batches: what is too short, buckets, frame budget, shares of processes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from easydict import EasyDict

from src.dataset import (
    TrainingBatches,
    build_vocabulary,
    evaluation_batches,
    load_vocabulary,
    needed_steps,
    pad,
    scored_labels,
    training_samples,
    warn_of_unseen_labels,
)
from src.model_utils.batching import one_of_each_shape
from src.model_utils.files import write_json
from src.model_utils.runtime import UserError
from src.preparation import ALONE, Samples


class Rows:
    """Utterances in memory that are read as those of a file."""

    def __init__(self, lengths, random):
        self.frames = [random.standard_normal((length, 4)).astype(np.float32) for length in lengths]

    def __getitem__(self, row):
        return {"frames": self.frames[row]}

    def column(self, _):
        return [f"u{row}" for row in range(len(self.frames))]


def made_samples(lengths, labels=None):
    random = np.random.default_rng(0)
    rows, count = Rows(lengths, random), len(lengths)
    labels = labels or [tuple(random.permutation(["a", "b", "c"])) for _ in lengths]
    groups, nothing = np.full(count, ALONE), np.zeros((0, 2, 4))
    places = np.arange(count)[:, None] + (0, 1)
    empty = Samples(rows, places, np.array(lengths), groups, nothing, [], [])
    return empty.select(range(count), labels)


def names_of(samples):
    return [samples.name(i) for i in range(len(samples))]


def batches_of(samples, settings, rank=0, size=1, **changes):
    changed = EasyDict(settings, **{"num_mels": 4, "energy": False, **changes})
    return TrainingBatches(samples, build_vocabulary([samples.label_names]), changed, rank, size)


def test_vocabulary(tmp_path):
    vocabulary = build_vocabulary([("b", "a"), ("c",)])
    assert vocabulary == ["<blank>", "a", "b", "c"]
    write_json(tmp_path / "vocab.json", vocabulary)
    assert load_vocabulary(tmp_path / "vocab.json") == vocabulary
    for text, message in (("[", "not valid JSON"), (json.dumps(["a"]), "starts with <blank>")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=message):
            load_vocabulary(tmp_path / "bad.json")
    with pytest.raises(UserError, match="no such file"):
        load_vocabulary(tmp_path / "none.json")


def test_too_short_utterances_are_named(settings, capsys):
    assert needed_steps("aab") == 4 and needed_steps("") == 0 and needed_steps("abab") == 4
    labels = [("a", "a", "b"), ("a", "a", "b"), ()]
    samples = made_samples([9, 10, 30], labels)
    config = EasyDict(settings, phone_set="none", front_end="stack-3")
    with pytest.raises(UserError, match=r"u0: too short for its labels, which need 4 output steps where 9 .*give 3"):
        training_samples(samples, config)
    kept = training_samples(samples, EasyDict(config, on_bad_input="skip"))
    assert names_of(kept) == ["u1"] and list(kept.labels()) == [("a", "a", "b")] and kept.lengths.tolist() == [10]
    assert "left out u2: has no labels" in capsys.readouterr().out


def test_phones_that_timit_lacks_are_named_with_their_utterance(settings, capsys):
    samples = made_samples([30, 30], [("iy",), ("s", "oops")])
    with pytest.raises(UserError, match="^u1: 'oops' is no phone of TIMIT; --phone_set none"):
        training_samples(samples, EasyDict(settings, phone_set="39"))
    kept = training_samples(samples, EasyDict(settings, phone_set="39", on_bad_input="skip"))
    assert names_of(kept) == ["u0"] and "left out u1: 'oops'" in capsys.readouterr().out


def test_references_are_named_where_they_are_no_phones():
    assert scored_labels(made_samples([30], [("ix", "q")]), "39") == [("ih",)]
    samples = made_samples([30, 30], [("ix", "q"), ("oops",)])
    assert scored_labels(samples, "none")[1] == ("oops",)
    with pytest.raises(UserError, match="^u1: 'oops' is no phone of TIMIT"):
        scored_labels(samples, "39")


def test_labels_unseen_in_training_are_named(capsys):
    warn_of_unseen_labels([("b", "zz"), ("a", "\u00e9")], ["a", "b", "e\u0301"], "test.tsv")
    assert capsys.readouterr().out.startswith("warning: test.tsv: zz, \u00e9 not seen in training")
    warn_of_unseen_labels([("b",), ()], ["a", "b"], "test.tsv")
    assert capsys.readouterr().out == ""


def test_padding():
    padded, lengths = pad([np.ones((5, 2), np.float32), np.ones((7, 2), np.float32)], 3)
    assert padded.shape == (2, 9, 2) and lengths.tolist() == [5, 7] and lengths.dtype == np.int32
    assert padded[0, 5:].sum() == padded[1, 7:].sum() == 0 and padded.sum() == 24
    assert pad([np.ones((5, 2), np.float32)], 3, 10)[0].shape == (1, 12, 2)


def test_evaluation_reads_every_utterance_once(settings):
    utterances = made_samples([5, 90, 40, 41, 7]).file.frames
    lengths = [len(frames) for frames in utterances]
    batches = list(evaluation_batches(lengths, utterances.__getitem__, EasyDict(settings, eval_frames=90)))
    assert sorted(i for indices, _ in batches for i in indices) == list(range(5))
    for indices, (frames, lengths) in batches:
        assert frames.shape[0] * lengths.max() <= 90 or len(indices) == 1
        for row, i in enumerate(indices):
            np.testing.assert_array_equal(frames[row, : lengths[row]], utterances[i])


def test_batches_keep_to_the_budget_and_use_everything(settings):
    lengths = np.random.default_rng(1).integers(20, 200, 203)
    batches = batches_of(made_samples(lengths), settings, batch_size=16, batch_frames=1000, num_buckets=4)
    used, shapes = set(), set()
    for epoch in (1, 2, 3):
        steps = list(batches(epoch))
        assert len(steps) == batches.steps_per_epoch
        plan = batches.plan(epoch)
        seen = np.concatenate([chosen for chosen, _ in plan])
        assert len(set(seen)) == len(seen) >= 203 - 16, "none twice, and few left out"
        used |= set(seen)
        for batch, (chosen, (longest, most_labels)) in zip(steps, plan):
            inputs = batch.inputs
            assert inputs.frames.shape[:2] == (len(chosen), -(-longest // 3) * 3)
            assert inputs.labels.shape[1] == most_labels == 3
            assert len(chosen) * longest <= 1000 and len(chosen) in (4, 8, 12, 16)
            assert inputs.lengths.tolist() == lengths[chosen].tolist() and batch.tokens == inputs.lengths.sum()
            assert inputs.dropout_keys.shape == inputs.label_lengths.shape == (len(chosen),)
            shapes.add(inputs.frames.shape)
    assert used == set(range(203)) and len(shapes) == 4
    assert {batch.inputs.frames.shape for batch in one_of_each_shape(batches(1))} == shapes


def test_epochs_are_pure_functions(settings):
    samples = made_samples(np.random.default_rng(1).integers(20, 90, 60))
    changes = {"freq_masks": 1, "time_masks": 1, "feature_noise": 0.1, "batch_frames": 400}
    first, again = batches_of(samples, settings, **changes), batches_of(samples, settings, **changes)
    whole, rest = list(first(2)), list(again(2, 3))
    assert len(rest) == len(whole) - 3
    for one, other in zip(whole[3:], rest):
        for array, same in zip(one.inputs, other.inputs):
            np.testing.assert_array_equal(array, same)
    frames, others = whole[0].inputs.frames, next(first(3)).inputs.frames
    assert others.shape != frames.shape or (others != frames).any()


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
    assert all(b.inputs.frames.shape[1] == -(-b.inputs.lengths.max() // 3) * 3 for b in batches(1))


def test_too_few_utterances(settings):
    with pytest.raises(UserError, match="2 training utterances do not fill one batch"):
        batches_of(made_samples([20, 30]), settings)
    with pytest.raises(UserError, match="0 training utterances do not fill one batch"):
        batches_of(made_samples([]), settings)
