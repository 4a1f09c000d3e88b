"""Tokenizer, vocabulary, character ids, MindRecord and the unrolled batches."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from src.data.reader import Corpus, convert
from src.data.token_indexer import (
    BEGIN_SENTENCE,
    BEGIN_WORD,
    END_SENTENCE,
    END_WORD,
    PADDING,
    encode_word,
    encode_words,
)
from src.data.tokenizer import divide, read_documents, split_sentences, tokenize
from src.data.vocabulary import BEGIN, END, UNKNOWN, build_vocabulary, load_vocabulary
from src.dataset import TrainingBatches, shuffled, steps_of, unroll
from src.metrics import stretches
from src.model_options import load_options
from src.model_utils.runtime import UserError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's a well-made film, isn't it?", "It 's a well-made film , is n't it ?"),
        ('"No..." he said (in 1,000.5 words)!!', '" No ... " he said ( in 1,000.5 words ) !!'),
        ("Mr. Smith of the U.S. gave it 7/10.", "Mr. Smith of the U.S. gave it 7 / 10 ."),
        ("Ça coûte 3 € — здорово", "Ça coûte 3 € — здорово"),
        ("it 's two , n't words", "it 's two , n't words"),
        ("  ", ""),
    ],
)
def test_words(text, words):
    assert " ".join(tokenize(text)) == words


def test_sentences():
    text = 'He left . " Why ? " said I . Wow ! that e.g. helps ... Yes ( it does . ) End'
    found = [" ".join(sentence) for sentence in split_sentences(text.split())]
    assert found == ["He left .", '" Why ? " said I .', "Wow ! that e.g. helps ...", "Yes ( it does . )", "End"]


def test_documents_of_files_and_lines(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/2.txt").write_text("Second file.<br /><br />New line here", encoding="utf-8")
    (tmp_path / "1.txt").write_text("One line\nnext. And more\n\n\nOther document\n", encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    documents = list(read_documents(tmp_path))
    assert documents == [
        [["One", "line"], ["next", "."], ["And", "more"]],
        [["Other", "document"]],
        [["Second", "file", "."], ["New", "line", "here"]],
    ]
    assert list(read_documents(tmp_path / "1.txt", "whitespace"))[0] == [["One", "line"], ["next.", "And", "more"]]
    (tmp_path / "bad.txt").write_bytes(b"good\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"bad.txt:\d: not UTF-8"):
        list(read_documents(tmp_path / "bad.txt"))
    with pytest.raises(UserError, match="no such file or folder"):
        list(read_documents(tmp_path / "lost"))


def test_division_is_complete_and_depends_on_the_seed_alone(texts, tmp_path):
    counts = divide(texts, tmp_path / "a", 0.1, 0.2, seed=3)
    assert [counts[part]["documents"] for part in ("train", "valid", "heldout")] == [280, 40, 80]
    again = divide(texts, tmp_path / "b", 0.1, 0.2, seed=3)
    assert again == counts
    parts = {}
    for part in ("train", "valid", "heldout"):
        assert (tmp_path / "a" / f"{part}.txt").read_bytes() == (tmp_path / "b" / f"{part}.txt").read_bytes()
        parts[part] = list(read_documents(tmp_path / "a" / f"{part}.txt", "whitespace"))
        assert len(parts[part]) == counts[part]["documents"]
    everything = sorted(document for part in parts.values() for document in part)
    assert everything == sorted(read_documents(texts))


def test_vocabulary_is_ordered_and_checked(tmp_path):
    vocabulary, counts = build_vocabulary([[["b", "a", "a"], ["c", "b", "d"]]], min_count=1, max_size=6)
    assert vocabulary.words == ["<S>", "</S>", "<UNK>", "a", "b", "c"] and counts["d"] == 1
    vocabulary.save(tmp_path / "vocab.txt")
    again = load_vocabulary(tmp_path / "vocab.txt")
    assert again.words == vocabulary.words and again.fingerprint == vocabulary.fingerprint
    for content, words in (
        ("<S>\n</S>\nx\n", ":3: must be <UNK>"),
        ("<S>\n</S>\n<UNK>\na\nb\na\n", ":6: 'a' is there twice"),
        ("<S>\n</S>\n<UNK>\na b\n", ":4: 'a b' is not one word"),
        ("<S>\n</S>\n<UNK>\n\nb\n", ":4: '' is not one word"),
    ):
        (tmp_path / "bad.txt").write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=words):
            load_vocabulary(tmp_path / "bad.txt")
    with pytest.raises(UserError, match="build_vocab.sh"):
        load_vocabulary(tmp_path / "lost.txt")


def test_characters_are_bytes_between_marks():
    assert encode_word("aé", 8).tolist() == [BEGIN_WORD, 97, 0xC3, 0xA9, END_WORD, PADDING, PADDING, PADDING]
    assert encode_word("<S>", 5).tolist() == [BEGIN_WORD, BEGIN_SENTENCE, END_WORD, PADDING, PADDING]
    assert encode_word("</S>", 4).tolist() == [BEGIN_WORD, END_SENTENCE, END_WORD, PADDING]
    assert encode_word("<UNK>", 9).tolist() == [BEGIN_WORD, *b"<UNK>", END_WORD, PADDING, PADDING]
    long = encode_word("日本" * 20, 50)
    assert len(long) == 50 and long[1:49].tolist() == list(("日本" * 20).encode()[:48]) and long[49] == END_WORD
    assert encode_words(["a", "b"], 5).shape == (2, 5) and encode_words([], 5).shape == (0, 5)


def test_mindrecord_keeps_every_word(prepared, tmp_path):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    text = tmp_path / "text.txt"
    long = "é" * 40
    text.write_text(f"The new wörd\n{long} is\n\nThe old tree\n", encoding="utf-8")
    counts = convert(text, tmp_path / "x.mindrecord", vocabulary, 50, "whitespace", 6)
    assert {key: counts[key] for key in ("documents", "sentences", "words", "unknown", "cut")} == {
        "documents": 2,
        "sentences": 3,
        "words": 8,
        "unknown": 3,
        "cut": 1,
    }
    corpus = Corpus(tmp_path / "x.mindrecord", vocabulary)
    assert corpus.shard_tokens == [9, 5]
    first, second = corpus.shard(0), corpus.shard(1)
    words = vocabulary.words + first.unknown
    assert [words[k] for k in first.ids] == ["<S>", "The", "new", "wörd", "</S>", "<S>", "é" * 24, "is", "</S>"]
    assert [vocabulary.words[k] for k in second.ids] == ["<S>", "The", "old", "tree", "</S>"]
    assert second.unknown == [] and first.starts.tolist() == [0]


def test_unusable_mindrecord_is_refused(prepared, tmp_path):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    for name in ("valid.mindrecord", "valid.mindrecord.db", "valid.mindrecord.json"):
        shutil.copy(prepared / name, tmp_path / name)
    other, _ = build_vocabulary([[["x"]]])
    with pytest.raises(UserError, match="another vocabulary"):
        Corpus(tmp_path / "valid.mindrecord", other)
    content = (tmp_path / "valid.mindrecord").read_bytes()
    (tmp_path / "valid.mindrecord").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged"):
        Corpus(tmp_path / "valid.mindrecord", vocabulary).shard(0)
    (tmp_path / "valid.mindrecord.json").unlink()
    with pytest.raises(UserError, match="not complete"):
        Corpus(tmp_path / "valid.mindrecord", vocabulary)


def test_rows_continue_from_batch_to_batch_in_both_directions():
    ids = np.arange(100, 170)
    assert steps_of(70, 3, 4) == 5
    batches = list(unroll(ids, 3, 4))
    assert len(batches) == 5 and [batch.restart for batch in batches] == [True] + [False] * 4
    forward = np.concatenate([batch.forward for batch in batches])
    targets = np.concatenate([batch.forward_targets for batch in batches])
    assert (targets == forward + 1).all() and (forward[0] == [100, 120, 140]).all()
    assert sorted(forward.ravel()) == list(range(100, 160)), "every token is read once"
    backward = np.concatenate([batch.backward for batch in batches])
    targets = np.concatenate([batch.backward_targets for batch in batches])
    assert (targets == backward - 1).all() and (backward[0] == [120, 140, 160]).all()
    later = list(unroll(ids, 3, 4, first=3))
    assert (later[0].forward == batches[3].forward).all() and not later[0].restart


def test_evaluation_predicts_every_pair_once():
    ids = np.random.default_rng(0).permutation(53)
    pairs = [[], []]
    for texts, targets, real in stretches(ids, 4, 5):
        for found, text, target in zip(pairs, texts, targets):
            found += list(zip(text[real], target[real]))
    assert sorted(pairs[0]) == sorted(zip(ids[:-1], ids[1:]))
    assert sorted(pairs[1]) == sorted(zip(ids[1:], ids[:-1]))


@pytest.fixture(scope="module")
def batches_of(prepared, settings):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    corpus = Corpus(prepared / "train.mindrecord", vocabulary)
    options = dataclasses.replace(load_options("tiny"), batch_size=4)
    return lambda rank=0, size=1: TrainingBatches(corpus, vocabulary, options, settings, rank, size)


def test_a_batch_holds_the_text(prepared, batches_of):
    batches = batches_of()
    vocabulary, corpus = load_vocabulary(prepared / "vocab.txt"), batches.corpus
    short, long, forward, _, target, _, classes, log_expected, restart, keys = next(batches(1)).inputs
    table = [*short.tolist(), *long.tolist()]
    assert forward.shape == (5, 4) and restart == [1] and keys.shape == (2, 4)
    number = int(np.random.default_rng([1, 500, 1]).permutation(len(corpus.shard_tokens))[0])
    shard = corpus.shard(number)
    ids = shuffled(shard, [1, 501, 1, number])
    words = vocabulary.words + shard.unknown
    text = next(unroll(ids, 4, 5))
    for place, k in zip(forward.ravel(), text.forward.ravel()):
        row = encode_word(words[k], 50)
        assert table[place][: len(row)] == row[: len(table[place])].tolist()
    wanted = np.where(text.forward_targets < len(vocabulary), text.forward_targets, UNKNOWN)
    assert (classes[target] == wanted.ravel()).all()
    assert len(set(classes)) == len(classes) == len(log_expected)


def test_batches_are_a_function_of_epoch_and_step(batches_of):
    batches = batches_of()
    whole = list(batches(2))
    assert len(whole) == batches.steps_per_epoch > 20
    for first in (1, 7, batches.steps_per_epoch - 1):
        later = list(batches_of()(2, first))
        assert len(later) == len(whole) - first
        for found, wanted in zip(later[0].inputs, whole[first].inputs):
            np.testing.assert_array_equal(found, wanted)
    stretch = batches.stretch(1, batches.steps_per_epoch + 7)
    for found, wanted in zip(next(stretch).inputs, whole[7].inputs):
        np.testing.assert_array_equal(found, wanted)
    different = [a.inputs[6] for a in (whole[0], whole[1], next(batches(1)))]
    assert not (different[0] == different[1]).all() and not (different[0] == different[2]).all()


def test_processes_share_a_batch(batches_of):
    whole = next(batches_of()(1)).inputs
    parts = [next(batches_of(rank, 2)(1)).inputs for rank in (0, 1)]

    def rows(inputs, k):  # the characters of each word; the groups differ between processes
        table = np.full((len(inputs[0]) + len(inputs[1]), 50), PADDING)
        table[: len(inputs[0]), : inputs[0].shape[1]] = inputs[0]
        table[len(inputs[0]) :] = inputs[1]
        return table[inputs[k]]

    for k in (2, 3):
        np.testing.assert_array_equal(np.concatenate([rows(part, k) for part in parts], 1), rows(whole, k))
    for k in (4, 5):
        halves = [part[k].reshape(5, 2) for part in parts]
        np.testing.assert_array_equal(np.concatenate(halves, 1), whole[k].reshape(5, 4))
    for k in (6, 7, 8):
        np.testing.assert_array_equal(parts[0][k], parts[1][k])
        np.testing.assert_array_equal(parts[0][k], whole[k])
    np.testing.assert_array_equal(np.concatenate([part[9] for part in parts], 1), whole[9])
    with pytest.raises(UserError, match="batch_size 4 does not divide among 3"):
        batches_of(0, 3)


def test_sentences_are_marked(prepared):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    shard = Corpus(prepared / "valid.mindrecord", vocabulary).shard(0)
    assert shard.ids[0] == BEGIN and shard.ids[-1] == END
    assert (shard.ids[np.flatnonzero(shard.ids == END)[:-1] + 1] == BEGIN).all()
