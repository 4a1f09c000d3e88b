"""Converted text: shards of MindRecord hold every word, and what is damaged or does not belong is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.data.chunks import Part, encode_chunk
from src.data.reader import Corpus, convert, make_shards
from src.data.vocabulary import BEGIN, END, build_vocabulary, count_words, load_vocabulary
from src.model_utils.runtime import UserError


def encoded(documents):
    text = "\n\n".join("\n".join(map(" ".join, document)) for document in documents)
    return encode_chunk(("whitespace", [Part(Path("text.txt"), 0, 1, text.encode())]))


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


def test_a_document_that_is_larger_than_a_shard_is_divided_behind_a_sentence():
    vocabulary, _ = build_vocabulary([[["a"]]])
    sentence = ["a"] * 4  # 6 ids
    documents = [[sentence] * 2, [sentence] * 5, [sentence]]
    counts: dict = {}
    shards = list(make_shards([encoded(documents)], vocabulary, 48, 12, counts))
    assert counts["shard_tokens"] == [12, 12, 12, 12] and counts["documents"] == 3 and counts["divided"] == 1
    assert [shard.starts.tolist() for shard in shards] == [[0], [0], [0], [0, 6]]
    assert all(shard.ids[0] == BEGIN and shard.ids[-1] == END for shard in shards)


def test_a_sentence_that_no_shard_can_hold_is_refused(prepared, tmp_path):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    (tmp_path / "text.txt").write_text("The " * 600_000, encoding="utf-8")
    with pytest.raises(UserError, match="text.txt: 600002 tokens are too many for a shard; divide its longest lines"):
        convert(tmp_path / "text.txt", tmp_path / "x.mindrecord", vocabulary, 50, "whitespace", 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_shards_hold_whole_documents_where_they_can():
    vocabulary, _ = build_vocabulary([[["a"]]])
    counts: dict = {}
    shards = list(make_shards([encoded([["a"]] * n for n in (2, 3, 1))], vocabulary, 48, 9, counts))
    assert [shard.starts.tolist() for shard in shards] == [[0, 6], [0]] and counts["shard_tokens"] == [15, 3]
    assert counts["divided"] == 0


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_wherever_a_text_is_cut_the_converted_one_is_the_same(texts, prepared, tmp_path, monkeypatch, tokenizer):
    vocabulary, text = load_vocabulary(prepared / "vocab.txt"), tmp_path / "text"
    text.mkdir()
    for path in sorted(texts.iterdir())[:12]:
        shutil.copy(path, text)
    (text / "0003.txt").write_text("é" * 7 + " and " + "é" * 9 + "\n\n \n<S>\n\n" + "new .\n" * 70, encoding="utf-8")
    counts = convert(text, tmp_path / "x.mindrecord", vocabulary, 12, tokenizer, 60)
    assert len(counts["shard_tokens"]) > 5 and counts["cut"] and counts["unknown"] and counts["divided"]
    expected = [Corpus(tmp_path / "x.mindrecord", vocabulary).shard(k) for k in range(len(counts["shard_tokens"]))]
    words = count_words(text, tokenizer, "")
    assert sum(words.values()) == counts["words"]
    monkeypatch.setattr("src.data.chunks.CHUNK", 1000)
    monkeypatch.setattr("src.data.chunks.resolve_workers", lambda number: 3)
    assert convert(text, tmp_path / "y.mindrecord", vocabulary, 12, tokenizer, 60) == counts
    corpus = Corpus(tmp_path / "y.mindrecord", vocabulary)
    for number, shard in enumerate(expected):
        same = corpus.shard(number)
        assert same.unknown == shard.unknown
        np.testing.assert_array_equal(same.ids, shard.ids)
        np.testing.assert_array_equal(same.starts, shard.starts)
    assert count_words(text, tokenizer, "") == words


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
    for damaged in (content.replace(b'"blob_fields"', b'"glob_fields"'), content.replace(b'"bytes"', b'"bites"')):
        (tmp_path / "valid.mindrecord").write_bytes(damaged)  # MindSpore's own reader ends the process
        with pytest.raises(UserError, match="damaged"):
            Corpus(tmp_path / "valid.mindrecord", vocabulary).shard(0)
    (tmp_path / "valid.mindrecord").write_bytes(content)
    shard = Corpus(tmp_path / "valid.mindrecord", vocabulary).shard(0)
    (tmp_path / "valid.mindrecord").write_bytes(content.replace(shard.ids.tobytes(), (shard.ids + 10**6).tobytes()))
    with pytest.raises(UserError, match="damaged"):
        Corpus(tmp_path / "valid.mindrecord", vocabulary).shard(0)
    description = json.loads((tmp_path / "valid.mindrecord.json").read_text())
    for key, value in (
        ("shard_tokens", 3),
        ("shard_tokens", [None]),
        ("tokens", "9"),
        ("documents", None),
        ("words", -1),
    ):
        (tmp_path / "valid.mindrecord.json").write_text(json.dumps({**description, key: value}))
        with pytest.raises(UserError, match="not complete"):
            Corpus(tmp_path / "valid.mindrecord", vocabulary)
    (tmp_path / "valid.mindrecord.json").write_text(json.dumps({**description, "version": 1}))
    with pytest.raises(UserError, match="of another version of this program; convert the text again"):
        Corpus(tmp_path / "valid.mindrecord", vocabulary)
    (tmp_path / "valid.mindrecord.json").unlink()
    with pytest.raises(UserError, match="not complete"):
        Corpus(tmp_path / "valid.mindrecord", vocabulary)


def test_every_sentence_stands_between_its_marks(prepared):
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    shard = Corpus(prepared / "valid.mindrecord", vocabulary).shard(0)
    assert shard.ids[0] == BEGIN and shard.ids[-1] == END
    assert (shard.ids[np.flatnonzero(shard.ids == END)[:-1] + 1] == BEGIN).all()
