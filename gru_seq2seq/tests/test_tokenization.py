"""Tokenizers: ids and texts back and forth, saved and loaded, the same in every run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from easydict import EasyDict

from src.model_utils.runtime import UserError
from src.tokenization import (
    ESCAPE,
    GLUE,
    JOINER,
    SPECIAL_TOKENS,
    UNK,
    WordTokenizer,
    train_sentencepiece,
    train_tokenizers,
    train_words,
)
from src.tokenizer_files import MODEL, load_tokenizers, same_tokenizers, save_tokenizers

GERMAN = ["Ein kleiner Hund läuft.", "Zwei Männer (beide alt) sitzen da.", 'Er sagt: "Was?"', "Ein T-Shirt, rot."] * 5
ENGLISH = ["A small dog runs.", "Two men (both old) aren't there.", 'He says: "What?"', "A T-shirt, red."] * 5
ODD = [  # what NFKC changes, the tokenizers use themselves, or a text has by accident
    "see\u200cs \u2026",  # zero-width non-joiner, ellipsis
    "zw\u200dj \u2028line\x85\x1c",  # zero-width joiner, line separators of Unicode
    "u\u0308ber \ufb01n \u212b \uff21",  # decomposed, ligature, Angstrom sign, full width
    "5\u00a0km  8\u3000m",  # blanks of other kinds, two blanks
    "  a \tb \u00a0 c  ",
    "\u2581x \u2581 \u2585 \u2581",
    f"{JOINER}x {GLUE} {JOINER}{GLUE}{ESCAPE} {ESCAPE}{ESCAPE}x",
    "<s> </s> <pad><unk> <0x41>",
    "a\rb \0 \x1b[0m \ufeff \ufffd",
    "\U0001f469\u200d\U0001f467",
]


@pytest.fixture(scope="module")
def subwords():
    return train_sentencepiece(GERMAN + ENGLISH, 90, False, True)


@pytest.fixture(scope="module")
def words():
    pytest.importorskip("spacy")
    return train_words(GERMAN, "de", 2, False, True), train_words(ENGLISH, "en", 2, False, True)


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
    assert subwords.unknown("A 猫 runs, \u200b.") == ["猫", "\u200b"]


def test_every_character_and_blank_comes_back():
    tokenizer = train_sentencepiece([*GERMAN, *ODD], 200, False, True)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in ODD] == ODD
    assert [tokenizer.join(tokenizer.pieces(text)) for text in ODD] == ODD
    assert tokenizer.decode(tokenizer.encode(" ")) == " " and tokenizer.decode(tokenizer.encode("   ")) == "   "
    assert not any(tokenizer.unknown(text) for text in ODD) and all(map(tokenizer.keeps, ODD))


def test_every_character_and_blank_of_words_comes_back():
    pytest.importorskip("spacy")
    tokenizer = train_words([*ENGLISH, *ODD], "en", 1, False, True)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in ODD] == ODD
    assert tokenizer.encode("    ") == [UNK] and tokenizer.join(tokenizer.pieces("    ")) == "    "
    assert tokenizer.pieces("A  dog")[::2] == ["A", "dog"], "the words beside are those of other texts"


@pytest.mark.parametrize("kind", ["sentencepiece", "spacy"])
def test_tokenizers_of_older_versions_change_texts_as_they_did(kind):
    pytest.importorskip(kind)
    if kind == "sentencepiece":
        tokenizer = train_sentencepiece([*GERMAN, *ODD[:5]], 150, False, False)
        assert tokenizer.decode(tokenizer.encode("see\u200cs  \u2026")) == "see s ..."
    else:
        tokenizer = train_words([*GERMAN, *ODD[:5]], "en", 1, False, False)
    assert not tokenizer.keeps("5\u00a0km  8") and tokenizer.keeps("Ein Hund.")
    assert tokenizer.decode(tokenizer.encode("5\u00a0km  8")) == "5 km 8"


def test_training_subwords_gives_the_same_each_time(subwords):
    assert train_sentencepiece(GERMAN + ENGLISH, 90, False, True).model == subwords.model
    assert len(train_sentencepiece(GERMAN + ENGLISH, 4000, False, True)) < 400, "a small text gives fewer"
    with pytest.raises(UserError, match="vocab_size 10: SentencePiece cannot learn that many"):
        train_sentencepiece(GERMAN + ENGLISH, 10, False, True)


def test_subwords_are_drawn_by_a_seed(subwords):
    one, again, other = (subwords.sample_all(ENGLISH, 0.1, seed) for seed in (3, 3, 4))
    assert one == again != other
    assert [subwords.decode(ids) for ids in one] == ENGLISH
    assert one != subwords.encode_all(ENGLISH)
    best, drawn = subwords.encode_all(ENGLISH), subwords.sample_all(ENGLISH, 20.0, 3)
    assert sum(map(list.__eq__, best, drawn)) > len(best) / 2 > sum(map(list.__eq__, best, one)), "alpha sharpens"


def test_another_process_draws_the_same_subwords(subwords, tmp_path):
    save_tokenizers(tmp_path, (subwords, subwords))
    program = f"""
from src.tokenizer_files import load_tokenizers
print(load_tokenizers({str(tmp_path)!r})[0].sample_all({ENGLISH!r}, 0.1, 3))
"""
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.stdout == f"{subwords.sample_all(ENGLISH, 0.1, 3)}\n", done.stderr


def test_lower_case():
    lower = train_sentencepiece(GERMAN + ENGLISH, 80, True, True)
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
    assert german.decode(german.encode("Ein Pferd läuft .")) == "Ein <unk> läuft <unk>"
    assert 0 not in german.encode("<pad>") and german.encode(" ") == [UNK]


def test_vocabulary_of_words_is_by_count_then_alphabet():
    pytest.importorskip("spacy")
    tokenizer = train_words(["b a c <pad>", "b a", "b D"], "en", 1, True, True)
    assert tokenizer.vocabulary[:6] == [*SPECIAL_TOKENS, "b", "a"] and tokenizer.vocabulary.count("<pad>") == 1
    assert "d" in tokenizer.vocabulary and "D" not in tokenizer.vocabulary
    assert train_words(["b a c", "b a", "b"], "en", 2, False, True).vocabulary == [*SPECIAL_TOKENS, "b", "a"]


def test_unknown_language():
    pytest.importorskip("spacy")
    with pytest.raises(UserError, match="tokenizer spacy cannot split qq"):
        WordTokenizer("qq", list(SPECIAL_TOKENS), False, True)


@pytest.mark.parametrize("kind", ["sentencepiece", "spacy"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_saved_and_loaded(kind, lowercase, tmp_path):
    pytest.importorskip(kind)
    config = EasyDict(tokenizer=kind, vocab_size=90, min_count=1, lowercase=lowercase, lossless=True)
    config.update(source="de", target="en")
    tokenizers = train_tokenizers(GERMAN, ENGLISH, config)
    assert (tokenizers[0] is tokenizers[1]) == (kind == "sentencepiece")
    save_tokenizers(tmp_path, tokenizers)
    loaded = load_tokenizers(tmp_path)
    assert same_tokenizers(loaded, tokenizers) and (loaded[0] is loaded[1]) == (kind == "sentencepiece")
    for old, new, text in zip(tokenizers, loaded, ("Ein kleiner HUND", "A small DOG")):
        assert new.encode(text) == old.encode(text) and len(new) == len(old)
    config.lowercase = not lowercase
    assert not same_tokenizers(loaded, train_tokenizers(GERMAN, ENGLISH, config))
    path = tmp_path / "tokenizer.json"
    description = json.loads(path.read_text())
    description.pop("lossless")
    path.write_text(json.dumps({**description, "format": 1}))
    assert not load_tokenizers(tmp_path)[0].lossless, "format 1 knew no other"


def test_damaged_files_are_named(subwords, words, tmp_path):
    with pytest.raises(UserError, match="tokenizer.json: no such file; it lies beside the checkpoint"):
        load_tokenizers(tmp_path)
    save_tokenizers(tmp_path, (subwords, subwords))
    (tmp_path / MODEL).write_bytes(b"not a model")
    with pytest.raises(UserError, match="sentencepiece.model: damaged"):
        load_tokenizers(tmp_path)
    (tmp_path / MODEL).unlink()
    with pytest.raises(UserError, match="sentencepiece.model: no such file"):
        load_tokenizers(tmp_path)
    save_tokenizers(tmp_path, words)
    (tmp_path / "vocab.en.json").write_text('["a"]')
    with pytest.raises(UserError, match="vocab.en.json: not a vocabulary"):
        load_tokenizers(tmp_path)
    for content, message in (
        ("{", "not valid JSON"),
        ("[]", "not the tokenizers"),
        ('{"format": 3}', "not the tokenizers of this program, or of another version"),
        ('{"format": 1, "kind": "sentencepiece"}', "damaged"),
    ):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(UserError, match=f"tokenizer.json(:1)?: {message}"):
            load_tokenizers(tmp_path)
