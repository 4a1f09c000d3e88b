"""Vocabulary, conversion to MindRecord and the batches of training and evaluation."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import numpy as np
import pytest
from easydict import EasyDict

from src import preparation
from src.config import lstm_cfg, presets
from src.dataset import Sample, TrainingBatches, encode_reviews, evaluation_batches, load_samples, pad, truncate
from src.imdb import read_reviews
from src.language_model import PretrainingBatches
from src.model_utils.runtime import UserError
from src.preparation import (
    PADDING_ID,
    UNKNOWN_ID,
    build_vocabulary,
    encode,
    load_vectors,
    load_vocabulary,
    prepare,
    save_vocabulary,
)
from src.sample_data import write_sample_corpus
from src.tokenizer import tokenize


def make_config(**changes):
    return EasyDict({**lstm_cfg, **presets["CPU"]["tiny"], "vector_epochs": 1, "vector_workers": 1, **changes})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "aclImdb"
    write_sample_corpus(folder, 40)
    return folder


@pytest.fixture(scope="module")
def prepared(corpus):
    prepare(corpus, None, corpus.parent / "preprocess", make_config())
    return corpus.parent / "preprocess"


def make_samples(count=100, seed=0):
    random = np.random.default_rng(seed)
    ids = [random.integers(2, 50, length).astype(np.int32) for length in random.integers(1, 60, count)]
    return [Sample(sequence, i % 2) for i, sequence in enumerate(ids)]


# vocabulary and encoding


def test_vocabulary_is_by_falling_count_then_alphabet():
    vocabulary = build_vocabulary(Counter(["b", "a", "c", "b", "a", "rare", "d", "d", "c", "b"]), 2)
    assert list(vocabulary) == ["<pad>", "<unk>", "b", "a", "c", "d"]
    assert list(vocabulary.values()) == list(range(6))
    assert vocabulary["<pad>"] == PADDING_ID != UNKNOWN_ID == vocabulary["<unk>"]
    assert encode(["b", "rare", "d"], vocabulary).tolist() == [2, UNKNOWN_ID, 5]
    assert encode([], vocabulary).tolist() == [UNKNOWN_ID]


def test_vocabulary_file_comes_back(tmp_path):
    vocabulary = build_vocabulary(Counter(["naïve", "\u2028", "日本", '"']), 1)
    save_vocabulary(tmp_path / "vocab.json", vocabulary)
    assert load_vocabulary(tmp_path / "vocab.json") == vocabulary


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '["a", "b"]', '["<pad>", "<unk>", 3]', "[]"])
def test_vocabulary_file_of_something_else(tmp_path, content):
    path = tmp_path / "vocab.json"
    with pytest.raises(UserError, match="no such file"):
        load_vocabulary(path)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="vocab.json"):
        load_vocabulary(path)


@pytest.mark.parametrize(
    "max_length,truncation,expected",
    [(5, "head", [0, 1, 2, 3, 4]), (5, "head_tail", [0, 1, 7, 8, 9]), (1, "head_tail", [9]), (10, "head", range(10))],
)
def test_truncate(max_length, truncation, expected):
    assert truncate(np.arange(10), max_length, truncation).tolist() == list(expected)


# conversion


def test_mindrecord_holds_what_the_corpus_says(corpus, prepared):
    vocabulary = load_vocabulary(prepared / "vocab.json")
    assert load_vectors(prepared, len(vocabulary), 50).dtype == np.float32
    for split in ("train", "test"):
        reviews = read_reviews(corpus, split)
        samples = load_samples(prepared, split)
        files = samples.files()
        assert len(samples) == len(reviews) == 40
        for number, (review, encoded) in enumerate(zip(reviews, encode_reviews(reviews, vocabulary))):
            assert samples[number].ids.tolist() == encoded.ids.tolist()
            assert samples.lengths[number] == len(encoded.ids)
            assert samples[number].label == samples.labels[number] == files[number].label == review.label
            assert files[number].film == review.film
            assert files[number].path == "/".join(review.path.split(os.sep)[-3:])
    tokens = [tokenize(review.text) for split in ("train", "unsup") for review in read_reviews(corpus, split)]
    assert vocabulary == build_vocabulary(Counter(token for each in tokens for token in each), make_config().min_count)
    assert not list(prepared.glob("*.tokens"))


def test_chunks_of_processes_make_the_same_files(corpus, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK", 8)
    prepare(corpus, None, tmp_path / "preprocess", make_config())
    for name in ("vocab.json", "vectors.npy"):
        assert (tmp_path / "preprocess" / name).read_bytes() == (prepared / name).read_bytes()
    for one, other in zip(load_samples(prepared, "test"), load_samples(tmp_path / "preprocess", "test")):
        assert one.ids.tolist() == other.ids.tolist()


def test_samples_of_a_file_are_batched_as_those_in_memory(prepared):
    config, stored = make_config(batch_size=8, max_length=30, pretrain_length=12), load_samples(prepared, "train")
    samples = list(stored)
    for epoch in (1, 2):
        assert equal(list(TrainingBatches(stored, config)(epoch)), list(TrainingBatches(samples, config)(epoch)))
    parts = [[stored, samples[:10]], [samples, samples[:10]]]
    pretraining = [list(PretrainingBatches(each, config)(1)) for each in parts]
    assert equal(*pretraining) and len(pretraining[0]) > 2
    for (one, a), (other, b) in zip(evaluation_batches(stored, config), evaluation_batches(samples, config)):
        assert one.tolist() == other.tolist() and all(map(np.array_equal, a, b))


@pytest.mark.parametrize("longest", [12, 1000])
def test_segments_of_pre_training_are_equal_parts_of_the_reviews(longest):
    samples, config = make_samples(), make_config(pretrain_length=7, pretrain_batch_size=1, max_length=longest)
    expected = []
    for sample in samples:
        ids = truncate(sample.ids, longest, config.truncation)
        expected += [part.tolist() for part in np.array_split(ids, -(-len(ids) // 7)) if len(part) > 1]
    batches = PretrainingBatches([samples[:30], samples[30:]], config)
    assert [batches.segment(number).tolist() for number in range(len(batches.lengths))] == expected
    assert batches.lengths.tolist() == list(map(len, expected))


def test_mindrecord_survives_moving_beside_another_one(prepared, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(prepared, moved)
    shutil.copytree(prepared, tmp_path / "preprocess")
    (tmp_path / "preprocess" / "train.mindrecord").write_bytes(b"another one")
    files = [load_samples(folder, "train").files() for folder in (moved, prepared)]
    assert files[0] == files[1]


def snapshot(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_conversion_is_reused_until_something_changes(corpus, tmp_path, monkeypatch):
    target, conversions = tmp_path / "preprocess", []

    def convert(aclimdb_path, glove_path, folder, config):
        conversions.append(folder)
        (folder / "vocab.json").write_text("new", encoding="utf-8")

    monkeypatch.setattr(preparation, "_convert", convert)
    other_corpus, glove = tmp_path / "aclImdb", tmp_path / "glove.6B.50d.txt"
    shutil.copytree(corpus, other_corpus)
    glove.write_text("the 1 2\n", encoding="utf-8")
    prepare(other_corpus, None, target, make_config())
    before = snapshot(target)
    prepare(other_corpus, None, target, make_config(num_epochs=99, vector_workers=7))
    assert snapshot(target) == before and len(conversions) == 1

    changes = [(None, make_config(min_count=3)), (None, make_config(vector_seed=9)), (glove, make_config())]
    for number, (glove_path, config) in enumerate(changes):
        prepare(other_corpus, glove_path, target, config)
        prepare(other_corpus, glove_path, target, config)
        assert len(conversions) == number + 2
    review = next((other_corpus / "train" / "pos").iterdir())
    review.write_text(review.read_text(encoding="utf-8") + " more", encoding="utf-8")
    prepare(other_corpus, glove, target, make_config())
    glove.write_text("the 1 2 3\n", encoding="utf-8")
    prepare(other_corpus, glove, target, make_config())
    review.unlink()
    prepare(other_corpus, glove, target, make_config())
    assert len(conversions) == 7


def test_missing_or_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"train\.mindrecord: no such file.*--preprocess true"):
        load_samples(tmp_path, "train")
    for content in (b"\x93NUMPY\x01\x00 not numbers", b""):
        (tmp_path / "vectors.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"vectors\.npy.*preprocess again"):
            load_vectors(tmp_path, 3, 2)
    np.save(tmp_path / "vectors.npy", np.zeros((3, 5)))
    with pytest.raises(UserError, match=r"holds vectors \(3, 5\) but embed_size 2 and 3 words are configured"):
        load_vectors(tmp_path, 3, 2)


def test_mistyped_word_vectors_are_named_before_the_reviews_are_read(corpus, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/lost: no such file or folder; check --glove_path"):
        prepare(tmp_path / "no corpus either", tmp_path / "lost", tmp_path / "preprocess", make_config())


# batches


def ids_of(inputs, column):
    """The ids of one review of a batch."""
    return inputs.words[inputs.tokens[: inputs.lengths[column], column]].tolist()


def test_pad_collates_distinct_words():
    words, tokens, lengths = pad([np.array([5, 9, 5]), np.array([7])])
    assert words.tolist() == [0, 5, 7, 9] and lengths.tolist() == [3, 1]
    assert words[tokens].tolist() == [[5, 7], [9, 0], [5, 0]]
    assert {array.dtype for array in (words, tokens, lengths)} == {np.dtype(np.int32)}


def equal(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for one, other in zip(first, second) for a, b in zip(one.inputs, other.inputs)
    )


def test_epochs_are_a_pure_function_of_seed_and_epoch():
    config, samples = make_config(word_dropout=0.2), make_samples()
    batches = TrainingBatches(samples, config)
    third = list(batches(3))
    np.random.seed(1)
    assert equal(list(batches(3)), third) and equal(list(TrainingBatches(samples, config)(3)), third)
    assert not equal(list(batches(4)), third)
    assert not equal(list(TrainingBatches(samples, make_config(word_dropout=0.2, seed=2))(3)), third)
    for skipped in (1, 4, len(third)):
        assert equal(list(batches(3, skipped)), third[skipped:])


def test_every_batch_is_full_and_an_epoch_sees_all_that_fill_one():
    samples = make_samples(101)
    batches = TrainingBatches(samples, make_config(batch_size=16, word_dropout=0.0))
    seen, left_out = [], set()
    for epoch in (1, 2, 3):
        plan = batches.plan(epoch)
        assert plan.shape == (6, 16) == (batches.steps_per_epoch, 16)
        assert len(np.unique(plan)) == 96
        left_out |= set(range(101)) - set(plan.reshape(-1).tolist())
        seen.append(plan)
    assert not np.array_equal(seen[0], seen[1]) and len(left_out) > 5
    for step, batch in enumerate(batches(1)):
        inputs = batch.inputs
        assert len(inputs.dropout_keys) == len(inputs.labels) == len(inputs.lengths) == batch.samples == 16
        assert batch.tokens == inputs.lengths.sum() and inputs.tokens.shape == (inputs.lengths.max(), 16)
        for column, i in enumerate(seen[0][step]):
            assert ids_of(inputs, column) == samples[i].ids.tolist()
            assert inputs.labels[column] == samples[i].label


def test_batches_hold_reviews_of_about_equal_length():
    batches = TrainingBatches(make_samples(1000), make_config(batch_size=10))
    spread = [np.ptp(batches.lengths[rows]) for rows in batches.plan(1)]
    assert np.mean(spread) < 3


def test_two_ranks_make_up_the_global_batch():
    samples, config = make_samples(), make_config(word_dropout=0.3)
    ranks = [TrainingBatches(samples, config, rank, 2)(2) for rank in (0, 1)]
    for whole, *parts in zip(TrainingBatches(samples, config)(2), *ranks):
        for name in ("lengths", "dropout_keys", "labels"):
            expected = getattr(whole.inputs, name)
            merged = np.empty_like(expected)
            merged[0::2], merged[1::2] = (getattr(part.inputs, name) for part in parts)
            np.testing.assert_array_equal(merged, expected)
        for rank, part in enumerate(parts):
            assert (part.samples, part.tokens) == (whole.samples, whole.tokens)
            ids, whole_ids = (batch.inputs.words[batch.inputs.tokens] for batch in (part, whole))
            np.testing.assert_array_equal(ids, whole_ids[: len(ids), rank::2])


def test_word_dropout_takes_its_share_and_never_a_length():
    samples = make_samples(640)
    batches = TrainingBatches(samples, make_config(word_dropout=0.25))
    unknown = total = 0
    for batch, rows in zip(batches(1), batches.plan(1)):
        inputs = batch.inputs
        assert inputs.lengths.tolist() == [len(samples[i].ids) for i in rows]
        real = np.arange(len(inputs.tokens))[:, None] < inputs.lengths
        unknown += (inputs.words[inputs.tokens][real] == UNKNOWN_ID).sum()
        total += inputs.lengths.sum()
    assert unknown / total == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / total) ** 0.5)
    assert all(UNKNOWN_ID not in sample.ids for sample in samples)  # the samples themselves stay


def test_evaluation_sees_every_sample_once():
    samples = make_samples(37)
    seen = []
    for indices, inputs in evaluation_batches(samples, make_config(eval_batch_size=8)):
        for column, i in enumerate(indices):
            assert ids_of(inputs, column) == samples[i].ids.tolist()
        seen += indices.tolist()
    assert sorted(seen) == list(range(37))


def test_wrong_batch_sizes_are_named():
    with pytest.raises(UserError, match="batch_size 15 does not divide among 2 processes"):
        TrainingBatches(make_samples(), make_config(batch_size=15), 0, 2)
    with pytest.raises(UserError, match="100 training reviews do not fill one batch of 128"):
        TrainingBatches(make_samples(), make_config(batch_size=128))
