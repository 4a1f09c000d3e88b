"""Vocabulary, batches, augmentation and pretrained vectors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from src.augmentation import MentionReplacement
from src.char_vectors import fill_table, read_vectors
from src.config import bilstm_ner_cfg, presets
from src.dataset import (
    BUCKETS,
    PADDING_ID,
    UNKNOWN_ID,
    TrainingBatches,
    bigrams_of,
    bucket_length,
    bucketed_plan,
    build_vocabulary,
    encode,
    evaluation_batches,
    length_bounds,
    load_vocabulary,
    save_vocabulary,
)
from src.model_utils.configuration import EasyDict
from src.model_utils.runtime import UserError
from src.resume_ner import find_file, read_corpus
from src.tagging import entities, illegal_step


@pytest.fixture(scope="module")
def train(corpus):
    return read_corpus(find_file(corpus, "train"))


@pytest.fixture(scope="module")
def vocabulary(train):
    return build_vocabulary(train, 1, 2)


def configured(**changes):
    return EasyDict({**bilstm_ner_cfg, **presets["tiny"], **changes})


def test_vocabulary_survives_saving(vocabulary, tmp_path):
    save_vocabulary(tmp_path / "vocab.json", vocabulary)
    assert load_vocabulary(tmp_path / "vocab.json") == vocabulary
    assert vocabulary.characters[:2] == ["<pad>", "<unk>"]
    (tmp_path / "vocab.json").write_text("[1]")
    with pytest.raises(UserError, match="not a vocabulary"):
        load_vocabulary(tmp_path / "vocab.json")


def test_unknown_and_padding_differ(vocabulary):
    samples = encode([["王", "\u9f98"]], vocabulary)
    assert samples.characters[0][1] == UNKNOWN_ID and samples.characters[0][0] > UNKNOWN_ID
    assert len(samples.bigrams[0]) == 3 and (samples.tags[0] == -1).all()
    (_, (characters, _, lengths, _)) = next(evaluation_batches(samples, 4))
    assert (characters[2:] == PADDING_ID).all() and lengths.tolist() == [2]


def test_bigrams_have_edges():
    assert bigrams_of(["a", "b"]) == ["\n\ta", "a\tb", "b\t\n"]


@pytest.mark.parametrize(("length", "expected"), [(1, 8), (16, 16), (17, 24), (256, 256), (257, 384), (5000, 5120)])
def test_buckets(length, expected):
    assert bucket_length(length) == expected and expected % 8 == 0 and BUCKETS[-1] == 256


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_bounds_pad_least(count):
    lengths = np.random.default_rng(count).choice([2, 3, 5, 8, 16], 40)
    values = np.unique(lengths)

    def padded(bounds):
        return sum(min(bound for bound in bounds if bound >= length) for length in lengths)

    bounds = length_bounds(lengths, count)
    assert bounds == sorted(set(bounds)) and len(bounds) == min(count, len(values))
    others = itertools.combinations(values, len(bounds))
    assert padded(bounds) == min(padded(choice) for choice in others if choice[-1] == 16)


def test_a_plan_holds_every_sentence_once_in_a_bucket_that_fits():
    lengths = np.random.default_rng(0).integers(1, 40, 203)  # some longer than the bounds
    plan = bucketed_plan(lengths, [10, 20, 32], 8, 1)
    members = np.concatenate([chosen for chosen, _ in plan])
    assert len(plan) == 203 // 8 and len(set(members.tolist())) == len(members)
    assert all(lengths[chosen].max() <= longest and longest in (10, 20, 32, 40) for chosen, longest in plan)
    again, other = bucketed_plan(lengths, [10, 20, 32], 8, 1), bucketed_plan(lengths, [10, 20, 32], 8, 2)
    assert np.array_equal(again[0][0], plan[0][0]) and not np.array_equal(other[0][0], plan[0][0])


def test_an_epoch_is_a_function_of_seed_and_epoch(train, vocabulary):
    batches = TrainingBatches(train, vocabulary, configured())
    first, again, other = (list(batches(epoch)) for epoch in (1, 1, 2))
    assert len(first) == batches.steps_per_epoch
    assert all(np.array_equal(a, b) for x, y in zip(first, again) for a, b in zip(x.inputs, y.inputs))
    assert any(not np.array_equal(x.inputs[0], y.inputs[0]) for x, y in zip(first, other))
    skipped = list(batches(1, 3))
    assert all(np.array_equal(a, b) for x, y in zip(first[3:], skipped) for a, b in zip(x.inputs, y.inputs))


def test_two_processes_share_a_batch(train, vocabulary):
    whole = next(TrainingBatches(train, vocabulary, configured())(1)).inputs
    parts = [next(TrainingBatches(train, vocabulary, configured(), rank, 2)(1)).inputs for rank in (0, 1)]
    for number, axis in enumerate((1, 1, 0, 0, 1, 1)):
        for rank in (0, 1):
            wanted = np.take(whole[number], range(rank, whole[2].size, 2), axis)
            np.testing.assert_array_equal(parts[rank][number], wanted)
    with pytest.raises(UserError, match="does not divide"):
        TrainingBatches(train, vocabulary, configured(batch_size=15), 0, 2)


def test_replacement_keeps_types_and_legality(train):
    texts, tags = MentionReplacement(train, 0.7)(np.random.default_rng(0))
    changed = 0
    for text, row, sentence in zip(texts, tags, train.sentences):
        assert len(text) == len(row) and illegal_step(row, train.scheme) is None
        kinds = [[entity.type for entity in entities(t, train.scheme)] for t in (row, sentence.tags)]
        assert kinds[0] == kinds[1]
        changed += text != sentence.characters
    assert changed > len(train) / 4
    assert MentionReplacement(train, 0.0)(np.random.default_rng(0))[0] == [s.characters for s in train.sentences]


@pytest.mark.parametrize("head", ["", "2 3\n"])
def test_vectors_with_and_without_a_first_line(tmp_path, head):
    path = tmp_path / "vectors.txt"
    path.write_text(head + "王 1 2 3\n李 4 5 6\n", encoding="utf-8")
    vectors, size = read_vectors(path)
    assert size == 3 and vectors["李"].tolist() == [4, 5, 6]
    table = np.full((3, 3), 0.5, np.float32)
    assert fill_table(table, ["<pad>", "<unk>", "李"], vectors) == 1
    np.testing.assert_allclose(table[2] / np.linalg.norm(table[2]), np.array([4, 5, 6]) / 77**0.5, rtol=1e-5)


@pytest.mark.parametrize(("content", "line"), [("王 1 2\n李 4\n", 2), ("王 1 x\n", 1), ("", 1), ("王 1 nan\n", 1)])
def test_bad_vectors_name_the_line(tmp_path, content, line):
    path = tmp_path / "vectors.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_vectors(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
