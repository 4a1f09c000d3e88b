"""From text to batches: conversion that is done once, shapes that hold all pairs, epochs that can be repeated."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest
from easydict import EasyDict

from src import dataset, preparation
from src.dataset import MOST_SLACK, TARGET_COST, TrainingBatches, bucket_shapes, pad_pairs
from src.model_utils.batching import one_of_each_shape
from src.model_utils.mindrecord import Rows, write_mindrecord
from src.model_utils.runtime import UserError
from src.multi30k import ParallelText
from src.preparation import Samples, check_prepared, load_samples, load_texts, prepare
from src.tokenization import BOS, EOS, PAD
from src.tokenizer_files import load_tokenizers


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    from src.config import gru_seq2seq_cfg, presets

    folder = tmp_path_factory.mktemp("dataset") / "preprocess"
    prepare(corpus, folder, EasyDict({**gru_seq2seq_cfg, **presets["tiny"]}))
    return folder


@pytest.fixture
def samples(prepared):
    return load_samples(prepared, "train")


@pytest.fixture
def few_segmented(monkeypatch):
    monkeypatch.setattr(dataset, "SEGMENTED", 100)


def test_what_was_written_is_read(prepared, samples, corpus):
    german, english = ((corpus / name).read_text(encoding="utf-8").splitlines() for name in ("train.de", "train.en"))
    assert load_texts(prepared, "train") == ParallelText(german, english) and len(samples) == 800
    source, target = load_tokenizers(prepared)
    assert source is target
    for number in (799, 0, 13):
        pair = samples[number]
        for text, ids in zip(pair[:2], pair[2:]):
            assert source.decode(ids.tolist()) == text and ids.dtype == np.int32
        assert samples.lengths[:, number].tolist() == [len(ids) + 1 for ids in pair[2:]]
    assert len(load_texts(prepared, "val")) == 100
    assert not (prepared / "test.mindrecord").exists(), "only eval.py reads the test set"


def test_prepared_once_and_again_when_it_has_to_be(corpus, tmp_path, settings, capsys):
    data, folder = tmp_path / "data", tmp_path / "preprocess"
    shutil.copytree(corpus, data)
    prepare(data, folder, settings)
    output = capsys.readouterr().out
    assert "train: 800 pairs, " in output and "val: 100 pairs, " in output and " pieces\n" in output
    prepare(data, folder, settings)
    assert "is up to date" in capsys.readouterr().out
    settings.vocab_size = 60
    with pytest.raises(UserError, match="was prepared with vocab_size 150, the configuration says 60"):
        check_prepared(folder, settings)
    prepare(data, folder, settings)
    check_prepared(folder, settings)
    assert len(load_tokenizers(folder)[0]) == 60
    with open(data / "train.de", "a", encoding="utf-8") as file:
        file.write("Ein Satz zu viel.\n")
    with pytest.raises(UserError, match="train.de:801: train.de has 801 lines"):
        prepare(data, folder, settings)
    assert len(load_samples(folder, "train")) == 800, "what was there is there still"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "preprocess", ".preprocess.lock"}


def test_folders_of_others_are_left_alone(corpus, tmp_path, settings, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(UserError, match="not empty and not made by this program"):
        prepare(corpus, tmp_path / "mine", settings)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="you are in it"):
        prepare(corpus, tmp_path / "here", settings)


def test_missing_and_damaged_data(prepared, tmp_path, settings):
    with pytest.raises(UserError, match="holds no preprocessed data; give --data_dir"):
        check_prepared(tmp_path, settings)
    with pytest.raises(UserError, match="train.mindrecord: no such file"):
        load_samples(tmp_path, "train")
    assert load_texts(tmp_path, "val") == ParallelText([], [])
    (tmp_path / "train.mindrecord").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="train.mindrecord: damaged"):
        load_samples(tmp_path, "train")


def test_chunks_of_processes_make_the_same_files(prepared, corpus, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK", 300)
    settings.workers = 2
    prepare(corpus, tmp_path / "preprocess", settings)
    for one, other in zip(load_samples(prepared, "train"), load_samples(tmp_path / "preprocess", "train")):
        assert all(map(np.array_equal, one, other))


def test_words_are_counted_over_all_chunks(corpus, tmp_path, settings, monkeypatch):
    pytest.importorskip("spacy")
    settings.update(tokenizer="spacy", tied_embeddings="decoder", workers=1)
    vocabularies = []
    for chunk in (300, 1000):
        monkeypatch.setattr(preparation, "CHUNK", chunk)
        prepare(corpus, tmp_path / str(chunk), settings)
        vocabularies.append([tokenizer.vocabulary for tokenizer in load_tokenizers(tmp_path / str(chunk))])
    assert vocabularies[0] == vocabularies[1] and min(map(len, vocabularies[0])) > 20


def test_the_tokenizer_may_learn_from_some_of_the_pairs(corpus, tmp_path, settings, capsys):
    settings.tokenizer_pairs = 50
    prepare(corpus, tmp_path / "some", settings)
    assert "the tokenizer learns from 50 of the 800 pairs" in capsys.readouterr().out
    settings.tokenizer_pairs = 800
    with pytest.raises(UserError, match="was prepared with tokenizer_pairs 50, the configuration says 800"):
        check_prepared(tmp_path / "some", settings)
    prepare(corpus, tmp_path / "all", settings)
    models = [load_tokenizers(tmp_path / name)[0].model for name in ("some", "all")]
    assert models[0] != models[1] and "learns from" not in capsys.readouterr().out


def test_without_validation(corpus, tmp_path, settings):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train.de", "train.en"):
        shutil.copy(corpus / name, data)
    prepare(data, tmp_path / "preprocess", settings)
    assert not (tmp_path / "preprocess/val.mindrecord").exists()
    assert json.loads((tmp_path / "preprocess/fingerprint.json").read_text())["source"] == "de"


def cost(source, target, shapes):
    """What the steps of all pairs cost, each in the first shape that holds it."""
    total = 0
    for pair in zip(source, target):
        shape = next(shape for shape in shapes if all(a <= b for a, b in zip(pair, shape)))
        total += shape[0] + TARGET_COST * shape[1]
    return total


def test_shapes_have_the_least_padding():
    random = np.random.default_rng(0)
    source = random.integers(1, 9, 40)
    target = np.clip(source + random.integers(-2, 3, 40), 1, 9)
    for count in (1, 2, 3):
        best = np.inf
        for slack in range(MOST_SLACK + 1):
            longer = np.maximum(source - slack, target)
            ends = sorted(set(longer.tolist()))
            for chosen in itertools.combinations(ends[:-1], count - 1):
                inside = [longer <= end for end in (*chosen, ends[-1])]
                shapes = [(source[rows].max(), target[rows].max()) for rows in inside]
                best = min(best, cost(source, target, shapes))
        shapes = bucket_shapes(source, target, count)
        assert len(shapes) == count and cost(source, target, shapes) == best
        assert shapes[-1] == (source.max(), target.max()) and shapes == sorted(shapes)
    assert len(bucket_shapes(np.array([3, 3]), np.array([2, 2]), 6)) == 1


def test_padded_pairs():
    source, lengths, target_input, target_output = pad_pairs([[5, 6], [8]], [[7], [9, 4]], 4, 3, 3)
    assert source.T.tolist() == [[5, 6, EOS, PAD], [8, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]]
    assert lengths.tolist() == [3, 2, 1]
    assert target_input.T.tolist() == [[BOS, 7, PAD], [BOS, 9, 4], [PAD, PAD, PAD]]
    assert target_output.T.tolist() == [[7, EOS, PAD], [9, 4, EOS], [PAD, PAD, PAD]]
    assert all(array.dtype == np.int32 for array in (source, lengths, target_input, target_output))


def id_pairs(batch):
    """The pairs of ids of a batch, without padding."""
    source, output = batch.inputs.source, batch.inputs.target_output
    for column in range(source.shape[1]):
        if output[0, column] != PAD:
            yield tuple(source[source[:, column] != PAD, column]), tuple(output[output[:, column] != PAD, column])


def test_an_epoch_has_every_pair_once(samples, settings):
    settings.update(batch_size=48, buckets=4)
    batches = TrainingBatches(samples, settings)
    assert batches.steps_per_epoch == 17 and len(batches.shapes) == 4 and batches.left_out == 0
    expected = sorted((*pair.source_ids, EOS, -1, *pair.target_ids, EOS) for pair in samples)
    orders = []
    for epoch in (1, 2):
        made = list(batches(epoch))
        assert len(made) == 17 and sum(batch.samples for batch in made) == 800
        assert sum(batch.tokens for batch in made) == batches.tokens
        pairs = [pair for batch in made for pair in id_pairs(batch)]
        assert sorted((*source, -1, *target) for source, target in pairs) == expected
        shapes = {(batch.inputs.source.shape, batch.inputs.target_input.shape) for batch in made}
        assert shapes <= {((s, 48), (t, 48)) for s, t in batches.shapes}
        orders.append(pairs)
    assert orders[0] != orders[1]
    assert len(one_of_each_shape(batches(1))) == len(shapes)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.inputs, other.inputs))


def first(batches, steps, epoch=3, first_step=0):
    """The first so many batches of an epoch, as drawing the segmentations of all would take long."""
    return list(itertools.islice(batches(epoch, first_step), steps))


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_an_epoch_is_the_same_each_time(samples, prepared, settings, few_segmented, alpha):
    settings.subword_sampling = alpha
    tokenizers = load_tokenizers(prepared)
    one, other = (TrainingBatches(samples, settings, tokenizers=tokenizers) for _ in range(2))
    whole = first(one, 5)
    assert all(map(equal, whole[3:], first(other, 2, first_step=3)))
    settings.seed = 2
    assert not any(map(equal, whole, first(TrainingBatches(samples, settings, tokenizers=tokenizers), 5)))


def test_drawn_segmentations_say_the_same_in_other_ways(samples, prepared, settings, few_segmented):
    tokenizers = load_tokenizers(prepared)
    every, seen = {(pair.source, pair.target) for pair in samples}, []
    for alpha, epoch in ((0.0, 1), (0.1, 1), (0.1, 1), (0.1, 2)):
        settings.subword_sampling = alpha
        batches = TrainingBatches(samples, settings, tokenizers=tokenizers)
        pairs = [pair for batch in first(batches, 4, epoch) for pair in id_pairs(batch)]
        texts = [tuple(tokenizers[0].decode(list(map(int, side))) for side in pair) for pair in pairs]
        assert len(texts) == 128 and set(texts) <= every
        seen.append((texts, set(pairs)))
    assert seen[0][0] == seen[1][0], "the same pairs in the same order"
    assert seen[1] == seen[2] and seen[1][0] != seen[3][0]
    assert len(seen[0][1] & seen[1][1]) < 16 > len(seen[1][1] & seen[3][1])


def test_drawn_segmentations_fit_into_the_shapes_but_for_a_few(samples, prepared, settings, few_segmented):
    settings.update(subword_sampling=0.1, buckets=2)
    tokenizers = load_tokenizers(prepared)
    best = TrainingBatches(samples, EasyDict(settings, subword_sampling=0.0))
    batches = TrainingBatches(samples, settings, tokenizers=tokenizers)
    assert all(larger > smaller for larger, smaller in zip(batches.shapes[0], best.shapes[0]))
    assert [len(members) for members, *_ in batches.buckets] == [len(members) for members, *_ in best.buckets]
    chances = np.random.default_rng(0).random((800, 2))
    anything = (settings.max_length,) * 2
    for members, _, shape in batches.buckets:
        drawn = [batches._ids(i, anything, chances[i]) for i in members[:80]]
        too_long = sum(any(len(ids) >= limit for ids, limit in zip(pair, shape)) for pair in drawn)
        assert too_long <= 0.1 * len(drawn)


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_processes_share_the_rows(samples, prepared, settings, few_segmented, alpha):
    settings.subword_sampling = alpha
    tokenizers = load_tokenizers(prepared)
    whole = first(TrainingBatches(samples, settings, tokenizers=tokenizers), 3)
    parts = [first(TrainingBatches(samples, settings, rank, 2, tokenizers), 3) for rank in (0, 1)]
    for all_rows, *ours in zip(whole, *parts):
        for rank, part in enumerate(ours):
            assert (part.samples, part.tokens) == (all_rows.samples, all_rows.tokens)
            for array, mine in zip(all_rows.inputs, part.inputs):
                np.testing.assert_array_equal(array[..., rank::2], mine)
    with pytest.raises(UserError, match="batch_size 32 does not divide among 3"):
        TrainingBatches(samples, settings, 0, 3)


def test_long_pairs_are_left_out(settings, tmp_path):
    ids, lengths = [np.full(length, 5, np.int32).tobytes() for length in (2, 3, 9)], (2, 3, 9)
    columns = ([b"a"] * 3, [b"b"] * 3, ids, ids[::-1], lengths, lengths[::-1])
    rows = (dict(zip(preparation._SCHEMA, row)) for row in zip(*columns))
    write_mindrecord(tmp_path / "x.mindrecord", preparation._SCHEMA, "pairs", rows)
    samples = Samples(Rows(tmp_path / "x.mindrecord"))
    settings.update(max_length=9, batch_size=2)
    batches = TrainingBatches(samples, settings)
    assert batches.left_out == 2 and batches.steps_per_epoch == 1 and batches.shapes == [(4, 4)]
    (batch,) = batches(1)
    assert batch.samples == 1 and batch.tokens == 8 and list(id_pairs(batch)) == [((5, 5, 5, EOS), (5, 5, 5, EOS))]
    settings.max_length = 3
    with pytest.raises(UserError, match="no training pair is at most 3 tokens long"):
        TrainingBatches(samples, settings)
