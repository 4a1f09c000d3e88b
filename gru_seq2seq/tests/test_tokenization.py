"""Tokenizers: ids and texts back and forth, saved and loaded, the same in every run."""

from __future__ import annotations

import pytest
from easydict import EasyDict

from src import tokenization
from src.model_utils.runtime import UserError
from src.tokenization import (
    JOINER,
    SPECIAL_TOKENS,
    UNK,
    WordTokenizer,
    load_tokenizers,
    same_tokenizers,
    save_tokenizers,
    train_sentencepiece,
    train_tokenizers,
    train_words,
)

GERMAN = ["Ein kleiner Hund läuft.", "Zwei Männer (beide alt) sitzen da.", 'Er sagt: "Was?"', "Ein T-Shirt, rot."] * 5
ENGLISH = ["A small dog runs.", "Two men (both old) aren't there.", 'He says: "What?"', "A T-shirt, red."] * 5


@pytest.fixture(scope="module")
def subwords():
    return train_sentencepiece(GERMAN + ENGLISH, 90, False)


@pytest.fixture(scope="module")
def words():
    pytest.importorskip("spacy")
    return train_words(GERMAN, "de", 2, False), train_words(ENGLISH, "en", 2, False)


def test_subwords_go_back_to_the_text(subwords):
    for text in GERMAN + ENGLISH:
        ids = subwords.encode(text)
        assert subwords.decode(ids) == text and min(ids) > 3
        assert subwords.tokens(ids) == subwords.pieces(text)
        assert subwords.join(subwords.pieces(text)) == text
    assert subwords.encode_all(GERMAN, 2) == [subwords.encode(text) for text in GERMAN]
    assert subwords.tokens(range(4)) == list(SPECIAL_TOKENS)
    assert subwords.decode([2, *subwords.encode("A dog"), 3, 0]) == "A dog"


def test_unknown_characters_of_subwords(subwords):
    ids = subwords.encode("A 猫 runs.")
    assert UNK in ids and subwords.decode(ids) == "A <unk> runs."
    pieces = subwords.pieces("A 猫 runs.")
    assert len(pieces) == len(ids) and pieces[ids.index(UNK)] == "猫"
    assert subwords.join(pieces) == "A 猫 runs."
    assert len(subwords.encode("\u200b")) == len(subwords.pieces("\u200b")) == 1


def test_training_subwords_gives_the_same_each_time(subwords):
    assert train_sentencepiece(GERMAN + ENGLISH, 90, False).model == subwords.model
    assert len(train_sentencepiece(GERMAN + ENGLISH, 4000, False)) < 400, "a small text gives fewer"
    with pytest.raises(UserError, match="vocab_size 10: SentencePiece cannot learn that many"):
        train_sentencepiece(GERMAN + ENGLISH, 10, False)


def test_subwords_are_drawn_by_a_seed(subwords):
    one, again, other = (subwords.sample_all(ENGLISH, 0.1, seed) for seed in (3, 3, 4))
    assert one == again != other
    assert [subwords.decode(ids) for ids in one] == ENGLISH
    assert one != subwords.encode_all(ENGLISH)


def test_lower_case():
    lower = train_sentencepiece(GERMAN + ENGLISH, 80, True)
    assert lower.decode(lower.encode("Zwei MÄNNER")) == "zwei männer"


def test_words_go_back_to_the_text(words):
    for tokenizer, texts in zip(words, (GERMAN, ENGLISH)):
        for text in texts:
            ids = tokenizer.encode(text)
            assert tokenizer.decode(ids) == text and UNK not in ids
            assert tokenizer.join(tokenizer.pieces(text)) == text
    german, english = words
    assert english.pieces("They aren't (yet).")[-5:] == [
        JOINER + "n't",
        "(",
        JOINER + "yet",
        JOINER + ")",
        JOINER + ".",
    ]
    assert german.pieces("Ein  Hund") == ["Ein", "Hund"]
    assert german.decode(german.encode("Ein Pferd läuft .")) == "Ein <unk> läuft <unk>"
    assert german.encode("<pad>") != [0] and german.encode(" ") == [UNK]


def test_vocabulary_of_words_is_by_count_then_alphabet():
    pytest.importorskip("spacy")
    tokenizer = train_words(["b a c <pad>", "b a", "b D"], "en", 1, True)
    assert tokenizer.vocabulary[:6] == [*SPECIAL_TOKENS, "b", "a"] and tokenizer.vocabulary.count("<pad>") == 1
    assert "d" in tokenizer.vocabulary and "D" not in tokenizer.vocabulary
    assert train_words(["b a c", "b a", "b"], "en", 2, False).vocabulary == [*SPECIAL_TOKENS, "b", "a"]


def test_unknown_language():
    pytest.importorskip("spacy")
    with pytest.raises(UserError, match="tokenizer spacy cannot split qq"):
        WordTokenizer("qq", list(SPECIAL_TOKENS), False)


@pytest.mark.parametrize("kind", ["sentencepiece", "spacy"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_saved_and_loaded(kind, lowercase, tmp_path):
    pytest.importorskip(kind)
    config = EasyDict(tokenizer=kind, vocab_size=90, min_count=1, lowercase=lowercase, source="de", target="en")
    tokenizers = train_tokenizers(GERMAN, ENGLISH, config)
    assert (tokenizers[0] is tokenizers[1]) == (kind == "sentencepiece")
    save_tokenizers(tmp_path, tokenizers)
    loaded = load_tokenizers(tmp_path)
    assert same_tokenizers(loaded, tokenizers) and (loaded[0] is loaded[1]) == (kind == "sentencepiece")
    for old, new, text in zip(tokenizers, loaded, ("Ein kleiner HUND", "A small DOG")):
        assert new.encode(text) == old.encode(text) and len(new) == len(old)
    config.lowercase = not lowercase
    assert not same_tokenizers(loaded, train_tokenizers(GERMAN, ENGLISH, config))


def test_damaged_files_are_named(subwords, words, tmp_path):
    with pytest.raises(UserError, match="tokenizer.json: no such file; it lies beside the checkpoint"):
        load_tokenizers(tmp_path)
    save_tokenizers(tmp_path, (subwords, subwords))
    (tmp_path / tokenization.MODEL).write_bytes(b"not a model")
    with pytest.raises(UserError, match="sentencepiece.model: damaged"):
        load_tokenizers(tmp_path)
    (tmp_path / tokenization.MODEL).unlink()
    with pytest.raises(UserError, match="sentencepiece.model: no such file"):
        load_tokenizers(tmp_path)
    save_tokenizers(tmp_path, words)
    (tmp_path / "vocab.en.json").write_text('["a"]')
    with pytest.raises(UserError, match="vocab.en.json: not a vocabulary"):
        load_tokenizers(tmp_path)
    for content, message in (("{", "not valid JSON"), ("[]", "not the tokenizers"), ('{"format": 0}', "not the tok")):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError, match=f"tokenizer.json: {message}"):
            load_tokenizers(tmp_path)
