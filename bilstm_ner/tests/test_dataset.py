"""Vocabulary, batches, augmentation and pretrained vectors."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from easydict import EasyDict
from mindspore import Parameter, Tensor

from src import random_streams
from src.augmentation import MentionReplacement
from src.char_vectors import set_vectors
from src.config import bilstm_ner_cfg, presets
from src.dataset import (
    BUCKETS,
    PADDING_ID,
    UNKNOWN_ID,
    CodeTable,
    Samples,
    TrainingBatches,
    bucket_length,
    build_vocabulary,
    check_vocabulary,
    collate,
    encode,
    epoch_plan,
    evaluation_batches,
    length_bounds,
    lengths_of,
    load_vocabulary,
    pad,
    save_vocabulary,
)
from src.model_utils.mindrecord import write_mindrecord
from src.model_utils.processes import map_in_processes
from src.model_utils.runtime import UserError
from src.model_utils.vectors import read_vectors
from src.preparation import EDGE, Prepared, bigrams_of, load_prepared, prepare
from src.resume_ner import find_file, read_corpus
from src.tagged_lines import Sentence
from src.tagging import entities, illegal_step


@pytest.fixture(scope="module")
def train(corpus):
    return read_corpus(find_file(corpus, "train"))


@pytest.fixture(scope="module")
def vocabulary(prepared):
    return build_vocabulary(prepared, 1, 2)


@pytest.fixture(scope="module")
def table(prepared, vocabulary):
    return CodeTable(prepared, vocabulary)


def configured(**changes):
    return EasyDict({**bilstm_ner_cfg, **presets["tiny"], **changes})


def sentence(characters, tags=()):
    return Sentence(list(characters), list(tags), [])


def counted(*characters):
    """The counts of one training sentence, and the codes of its characters and of others."""
    counts = {"character_counts": Counter(characters), "bigram_counts": Counter(bigrams_of(list(characters)))}
    return Prepared(None, None, "BIO", [EDGE, *dict.fromkeys(characters)], ["O"], ["O"], **counts)


def test_vocabulary_survives_saving(vocabulary, tmp_path):
    save_vocabulary(tmp_path / "vocab.json", vocabulary)
    assert load_vocabulary(tmp_path / "vocab.json") == vocabulary
    assert vocabulary.characters[:2] == ["<pad>", "<unk>"]
    for content, words in (("[1]", "not a vocabulary"), ("{", "vocab.json:1: not valid JSON")):
        (tmp_path / "vocab.json").write_text(content)
        with pytest.raises(UserError, match=words):
            load_vocabulary(tmp_path / "vocab.json")


def test_the_vocabulary_of_other_data_is_refused(vocabulary, tmp_path):
    save_vocabulary(tmp_path / "vocab.json", vocabulary)
    check_vocabulary(tmp_path / "vocab.json", vocabulary, "data")
    fewer = dataclasses.replace(vocabulary, characters=vocabulary.characters[:-1])
    with pytest.raises(
        UserError, match="vocab.json: not the vocabulary of data; give the data and --char_vectors of that"
    ):
        check_vocabulary(tmp_path / "vocab.json", fewer, "data")


def test_unknown_and_padding_differ(vocabulary):
    (sample,) = encode([sentence("王\u9f98", ["O", "S-NEW"])], vocabulary)
    assert sample.characters[1] == UNKNOWN_ID and sample.characters[0] > UNKNOWN_ID
    assert len(sample.bigrams) == 3 and sample.tags.tolist() == [vocabulary.tag_ids["O"], -1]
    (_, batch) = next(evaluation_batches([sample], 4))
    assert (batch.characters[2:] == PADDING_ID).all() and batch.lengths.tolist() == [2]


@pytest.mark.parametrize(("trained", "text"), [("e\u0301", "\u00e9"), ("\u00e9", "e\u0301")])
def test_both_forms_of_an_accent_have_one_id(trained, text):
    vocabulary = build_vocabulary(counted(trained, "a"), 1, 1)
    known, same = encode([sentence([trained, "a"]), sentence([text, "a"])], vocabulary)
    assert known.characters.tolist() == same.characters.tolist() and UNKNOWN_ID not in known.characters
    assert known.bigrams.tolist() == same.bigrams.tolist() and UNKNOWN_ID not in known.bigrams


def test_a_text_that_looks_like_padding_is_text():
    vocabulary = build_vocabulary(counted("<unk>", "a"), 1, 1)
    (sample,) = encode([sentence(["<pad>", "<unk>", "a"])], vocabulary)
    assert sample.characters.tolist() == [UNKNOWN_ID, 2, 3]


def test_each_form_of_an_accent_that_training_saw_has_its_own_id():
    vocabulary = build_vocabulary(counted("e\u0301", "\u00e9"), 1, 1)
    (sample,) = encode([sentence(["e\u0301", "\u00e9"])], vocabulary)
    assert sample.characters.tolist() == [2, 3]


@pytest.mark.parametrize("least", [1, 2, 99])
def test_codes_give_the_ids_of_the_texts(prepared, train, least):
    vocabulary = build_vocabulary(prepared, least, least)
    samples = Samples(prepared.train, CodeTable(prepared, vocabulary))
    assert lengths_of(samples).tolist() == [len(s.tags) for s in train.sentences]
    for sample, expected in zip(samples, encode(train.sentences, vocabulary)):
        for array, other in zip(sample, expected):
            np.testing.assert_array_equal(array, other)


def test_codes_find_composed_forms():
    forms = ["e\u0301", "\u00e9", "a", "b", "u\u0308", "\u00fc"]
    texts = [list(pair) for pair in itertools.product(forms, repeat=2)]
    for known in (["e\u0301", "a", "u\u0308"], ["\u00e9", "e\u0301", "\u00fc"], ["a", "b"]):
        prepared = counted(*known)
        vocabulary = build_vocabulary(prepared, 1, 1)
        codes = [EDGE, *forms]
        table = CodeTable(dataclasses.replace(prepared, characters=codes), vocabulary)
        batch = np.array([[codes.index(character) for character in text] for text in texts]).T
        expected = encode([sentence(text) for text in texts], vocabulary)
        np.testing.assert_array_equal(table.bigrams(batch).T, [sample.bigrams for sample in expected])
        np.testing.assert_array_equal(table.characters[batch].T, [sample.characters for sample in expected])


def test_samples_keep_their_order_in_evaluation(vocabulary):
    samples = encode([sentence("王" * length) for length in (1, 40, 3)], vocabulary)
    indices = [i for chosen, _ in evaluation_batches(samples, 2) for i in chosen]
    assert indices == [1, 2, 0] and lengths_of(samples).tolist() == [1, 40, 3]


def test_bigrams_have_edges():
    assert bigrams_of(["a", "b"]) == ["\n\ta", "a\tb", "b\t\n"]


@pytest.mark.parametrize(("length", "expected"), [(1, 8), (16, 16), (17, 24), (256, 256), (257, 384), (5000, 5120)])
def test_padded_length_of_a_batch(length, expected):
    assert bucket_length(length) == expected and expected % 8 == 0 and BUCKETS[-1] == 256


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_length_bounds_pad_as_little_as_any_others(count):
    lengths = np.random.default_rng(count).choice([2, 3, 5, 8, 16], 40)
    values = np.unique(lengths)

    def padded(bounds):
        return sum(min(bound for bound in bounds if bound >= length) for length in lengths)

    bounds = length_bounds(lengths, count)
    assert bounds == sorted(set(bounds)) and len(bounds) == min(count, len(values))
    others = itertools.combinations(values, len(bounds))
    assert padded(bounds) == min(padded(choice) for choice in others if choice[-1] == 16)


def test_a_plan_holds_every_sentence_at_most_once_in_a_bucket_that_fits():
    lengths = np.random.default_rng(0).integers(1, 40, 203)  # some longer than the bounds
    plan = epoch_plan(lengths, [10, 20, 32], 8, 1)
    members = np.concatenate([chosen for chosen, _ in plan])
    assert len(plan) == 203 // 8 and len(set(members.tolist())) == len(members)
    assert all(lengths[chosen].max() <= longest and longest in (10, 20, 32, 40) for chosen, longest in plan)
    again, other = epoch_plan(lengths, [10, 20, 32], 8, 1), epoch_plan(lengths, [10, 20, 32], 8, 2)
    assert np.array_equal(again[0][0], plan[0][0]) and not np.array_equal(other[0][0], plan[0][0])


def test_an_epoch_is_a_function_of_seed_and_epoch(prepared, table):
    batches = TrainingBatches(prepared.train, table, configured())
    first, again, other = (list(batches(epoch)) for epoch in (1, 1, 2))
    assert len(first) == batches.steps_per_epoch
    assert all(np.array_equal(a, b) for x, y in zip(first, again) for a, b in zip(x.inputs, y.inputs))
    assert any(not np.array_equal(x.inputs.characters, y.inputs.characters) for x, y in zip(first, other))
    skipped = list(batches(1, 3))
    assert all(np.array_equal(a, b) for x, y in zip(first[3:], skipped) for a, b in zip(x.inputs, y.inputs))


def test_without_augmentation_a_batch_is_that_of_the_texts(prepared, train, vocabulary, table):
    nothing = {"mention_replacement": 0.0, "character_dropout": 0.0, "bigram_dropout": 0.0}
    batches, samples = (
        TrainingBatches(prepared.train, table, configured(**nothing)),
        encode(train.sentences, vocabulary),
    )
    for batch, (chosen, steps) in zip(batches(1), epoch_plan(lengths_of(samples), batches.bounds, 16, [1, 1])):
        expected = collate([samples[i] for i in chosen], steps)
        for array, other in zip(batch.inputs[:3], expected):
            np.testing.assert_array_equal(array, other)
        np.testing.assert_array_equal(batch.inputs.tags, pad([samples[i].tags for i in chosen], steps))


def test_two_processes_share_a_batch(prepared, table):
    whole = next(TrainingBatches(prepared.train, table, configured())(1)).inputs
    for rank in (0, 1):
        part = next(TrainingBatches(prepared.train, table, configured(), rank=rank, size=2)(1)).inputs
        for array, own in zip(whole, part):
            np.testing.assert_array_equal(own, array[..., rank::2])
    with pytest.raises(UserError, match="does not divide"):
        TrainingBatches(prepared.train, table, configured(batch_size=15), rank=0, size=2)


def test_targets_are_the_characters_before_any_became_unknown(prepared, table):
    inputs = next(TrainingBatches(prepared.train, table, configured(character_dropout=0.5))(1)).inputs
    unknown = inputs.characters != inputs.targets
    assert 0.3 < unknown.sum() / (inputs.targets != PADDING_ID).sum() < 0.7
    assert (inputs.characters[unknown] == UNKNOWN_ID).all() and (inputs.targets[unknown] != PADDING_ID).all()


def test_random_streams_keep_their_numbers():
    numbers = {name: value for name, value in vars(random_streams).items() if name.isupper()}
    assert numbers == {
        "REPLACED_MENTIONS": 2,
        "UNKNOWN_REPLACEMENT": 3,
        "CHARACTER_TABLE": 300,
        "BIGRAM_TABLE": 301,
        "EMBEDDING_DROPOUT": 302,
        "OUTPUT_DROPOUT": 303,
        "TAG_SCORES": 304,
        "LANGUAGE_MODEL": 305,
    }


def replaced(prepared, share, seed=0):
    """The training sentences with a share of their entities replaced, as (characters, tags)."""
    replacement = MentionReplacement(prepared.train, share)
    drawn = replacement.draw(np.random.default_rng(seed))
    lengths = replacement.lengths(drawn)
    for i in range(len(prepared.train)):
        characters, tags = replacement.sentence(i, drawn)
        assert len(characters) == len(tags) == lengths[i]
        yield [prepared.characters[code] for code in characters], [prepared.tags[code] for code in tags]


def test_mention_replacement_keeps_types_legality_and_what_is_between(prepared, train):
    mentions = {kind: Counter() for kind in (tag[2:] for tag in prepared.tags)}
    changed = drawn = 0

    def parts(characters, tags):
        spans, position, between = entities(tags, train.scheme), 0, []
        for entity in spans:
            between.append(characters[position : entity.start])
            position = entity.end
        inside = [(entity.type, tuple(characters[entity.start : entity.end])) for entity in spans]
        return [*between, characters[position:]], inside

    for old in train.sentences:
        for kind, text in parts(old.characters, old.tags)[1]:
            mentions[kind][text] += 1
    for new, old in zip(replaced(prepared, 0.7), train.sentences):
        assert illegal_step(new[1], train.scheme) is None
        (between, inside), (same, before) = parts(*new), parts(old.characters, old.tags)
        assert between == same and [kind for kind, _ in inside] == [kind for kind, _ in before]
        assert all(text in mentions[kind] for kind, text in inside)
        changed += sum(a != b for a, b in zip(inside, before))
        drawn += len(inside)
    assert 0.5 < changed / drawn < 0.7
    assert list(replaced(prepared, 0.0)) == [(s.characters, s.tags) for s in train.sentences]


def test_conversion_holds_few_sentences_at_a_time(corpus, tmp_path, monkeypatch):
    alive = []

    def sentences():
        return sum(type(each) is Sentence for each in gc.get_objects())

    def counted(path, schema, description, rows, **options):
        first = list(itertools.islice(rows, 30))
        alive.append(sentences())
        write_mindrecord(path, schema, description, itertools.chain(first, rows), **options)

    before = sentences()  # of the fixtures
    monkeypatch.setattr("src.preparation.write_mindrecord", counted)
    prepare(corpus, tmp_path / "preprocess", configured())
    assert len(alive) == 2 and max(alive) - before <= 3


def test_processes_write_what_one_writes(corpus, tmp_path, monkeypatch):
    counts = []

    def counted_map(function, items, workers):
        counts.append(workers)
        return map_in_processes(function, items, workers)

    prepare(corpus, tmp_path / "one", configured())
    monkeypatch.setattr("src.tagged_lines.CHUNK", 2000)
    monkeypatch.setattr("src.resume_ner.map_in_processes", counted_map)
    monkeypatch.setattr("src.preparation.resolve_workers", lambda number: 3)
    prepare(corpus, tmp_path / "three", configured())
    assert counts == [3] * 4
    for name in ("train.mindrecord", "dev.mindrecord", "train.npz", "dev.npz", "content.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes(), name


def test_a_sentence_that_no_row_can_hold_is_named(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("src.preparation.LARGEST", 60)
    with pytest.raises(UserError, match=r"train.char.bmes:\d+: \d+ lines are too many for one sentence; cut it"):
        prepare(corpus, tmp_path / "preprocess", configured())


def test_converted_files_are_used_again_and_damage_is_named(corpus, tmp_path, capsys):
    folder = tmp_path / "preprocess"
    for _ in range(2):
        prepare(corpus, folder, configured())
    assert "is up to date" in capsys.readouterr().out
    content = json.loads((folder / "content.json").read_text())
    for change in (
        {"characters": [1]},
        {"tags": None},
        {"more": 1},
        {"character_counts": {"a": "1"}},
        {"bigram_counts": 3},
        {"characters": content["characters"][:-1]},
    ):
        (folder / "content.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(UserError, match="content.json: damaged; delete the folder"):
            load_prepared(folder)
    (folder / "content.json").write_text(json.dumps(content))
    (folder / "dev.npz").write_bytes((folder / "dev.npz").read_bytes()[:-9])
    with pytest.raises(UserError, match="dev.npz: missing or damaged"):
        load_prepared(folder)
    with pytest.raises(UserError, match="holds no preprocessed data"):
        load_prepared(tmp_path)


@pytest.mark.parametrize("head", ["", "2 3\n"])
def test_vectors_with_and_without_a_first_line_fill_the_table(tmp_path, head):
    path = tmp_path / "vectors.txt"
    path.write_text(head + "王 1 2 3\n李 4 5 6\n", encoding="utf-8")
    vectors, size = read_vectors(path)
    assert size == 3 and vectors["李"].tolist() == [4, 5, 6]
    table = Parameter(Tensor(np.full((3, 3), 0.5, np.float32)))
    assert set_vectors(table, ["<pad>", "<unk>", "李"], vectors) == 1
    values = table.asnumpy()
    np.testing.assert_allclose(values[2] / np.linalg.norm(values[2]), np.array([4, 5, 6]) / 77**0.5, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(values[2]), 0.75**0.5, rtol=1e-5)
    assert (values[:2] == 0.5).all()
