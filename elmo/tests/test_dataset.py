"""The unrolled batches of training and evaluation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from src.data.reader import Corpus
from src.data.token_indexer import PADDING, encode_word
from src.data.vocabulary import UNKNOWN, load_vocabulary
from src.dataset import TrainingBatches, shuffled, steps_of, unroll, unroll_all
from src.model_options import load_options
from src.model_utils.runtime import UserError


def test_rows_continue_from_window_to_window_in_both_directions():
    ids = np.arange(100, 170)
    assert steps_of(70, 3, 4) == 5
    windows = list(unroll(ids, 3, 4))
    assert len(windows) == 5
    texts, targets = (np.concatenate(arrays, 1) for arrays in zip(*windows))
    forward, backward = texts
    assert (targets[0] == forward + 1).all() and (forward[0] == [100, 120, 140]).all()
    assert sorted(forward.ravel()) == list(range(100, 160)), "every token is read once"
    assert (targets[1] == backward - 1).all() and (backward[0] == [120, 140, 160]).all()
    later = list(unroll(ids, 3, 4, first=3))
    assert (later[0][0] == windows[3][0]).all()


def test_evaluation_predicts_every_pair_of_neighbours_once():
    ids = np.random.default_rng(0).permutation(53)
    forward, backward = [], []
    for text, target, real in unroll_all(ids, 4, 5):
        forward += list(zip(text[0][real], target[0][real]))
        backward += list(zip(text[1][real], target[1][real]))
    assert sorted(forward) == sorted(zip(ids[:-1], ids[1:]))
    assert sorted(backward) == sorted(zip(ids[1:], ids[:-1]))


@pytest.fixture(scope="module")
def batches_of(prepared):
    """A function from rank and size to TrainingBatches of 4 rows of 5 steps."""
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    corpus = Corpus(prepared / "train.mindrecord", vocabulary)
    options = dataclasses.replace(load_options("tiny"), batch_size=4)

    def batches(rank=0, size=1):
        return TrainingBatches(
            corpus=corpus,
            vocabulary=vocabulary,
            options=options,
            seed=1,
            multiples=(64, 16),
            rank=rank,
            size=size,
        )

    return batches


def test_a_batch_holds_the_text(prepared, batches_of):
    batches = batches_of()
    vocabulary, corpus = load_vocabulary(prepared / "vocab.txt"), batches.corpus
    inputs = next(batches(1)).inputs
    table = [*inputs.char_ids.tolist(), *inputs.long_char_ids.tolist()]
    assert inputs.forward_index.shape == (5, 4) and inputs.dropout_keys.shape == (2, 4)
    number = int(np.random.default_rng([1, 500, 1]).permutation(len(corpus.shard_tokens))[0])
    shard = corpus.shard(number)
    ids = shuffled(shard, [1, 501, 1, number])
    words = vocabulary.words + shard.unknown
    text, target = next(unroll(ids, 4, 5))
    for place, k in zip(inputs.forward_index.ravel(), text[0].ravel()):
        row = encode_word(words[k], 50)
        assert table[place][: len(row)] == row[: len(table[place])].tolist()
    expected = np.where(target[0] < len(vocabulary), target[0], UNKNOWN)
    assert (inputs.classes[inputs.forward_target] == expected.ravel()).all()
    assert len(set(inputs.classes)) == len(inputs.classes) == len(inputs.log_expected)


def test_the_state_restarts_where_a_shard_begins(batches_of):
    batches = batches_of()
    restarts = [int(batch.inputs.restart[0]) for batch in batches(1)]
    order = np.random.default_rng([1, 500, 1]).permutation(len(batches.steps))
    assert restarts == [int(k == 0) for number in order for k in range(batches.steps[number])]
    assert next(batches(1, 1)).inputs.restart == [0], "a resumed training continues within a shard"


def test_batches_are_a_function_of_epoch_and_step(batches_of):
    batches = batches_of()
    whole = list(batches(2))
    assert len(whole) == batches.steps_per_epoch > 20
    for first in (1, 7, batches.steps_per_epoch - 1):
        later = list(batches_of()(2, first))
        assert len(later) == len(whole) - first
        for again, expected in zip(later[0].inputs, whole[first].inputs):
            np.testing.assert_array_equal(again, expected)
    endless = batches.endless(1, batches.steps_per_epoch + 7)
    for again, expected in zip(next(endless).inputs, whole[7].inputs):
        np.testing.assert_array_equal(again, expected)
    one, two, other_epoch = (batch.inputs.classes for batch in (whole[0], whole[1], next(batches(1))))
    assert not (one == two).all() and not (one == other_epoch).all()


def test_processes_share_a_batch(batches_of):
    whole = next(batches_of()(1)).inputs
    parts = [next(batches_of(rank, 2)(1)).inputs for rank in (0, 1)]

    def characters(inputs, index):  # of each word; the groups differ between processes
        short, long = inputs.char_ids, inputs.long_char_ids
        table = np.full((len(short) + len(long), 50), PADDING)
        table[: len(short), : short.shape[1]] = short
        table[len(short) :] = long
        return table[index]

    for key in ("forward_index", "backward_index"):
        halves = [characters(part, getattr(part, key)) for part in parts]
        np.testing.assert_array_equal(np.concatenate(halves, 1), characters(whole, getattr(whole, key)))
    for key in ("forward_target", "backward_target"):
        halves = [getattr(part, key).reshape(5, 2) for part in parts]
        np.testing.assert_array_equal(np.concatenate(halves, 1), getattr(whole, key).reshape(5, 4))
    for key in ("classes", "log_expected", "restart"):
        np.testing.assert_array_equal(getattr(parts[0], key), getattr(parts[1], key))
        np.testing.assert_array_equal(getattr(parts[0], key), getattr(whole, key))
    np.testing.assert_array_equal(np.concatenate([part.dropout_keys for part in parts], 1), whole.dropout_keys)
    with pytest.raises(UserError, match="batch_size 4 does not divide among 3"):
        batches_of(0, 3)
