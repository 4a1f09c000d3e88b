"""Tokenizers: ids and texts back and forth, saved and loaded, the same in every run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from src.model_utils.runtime import UserError
from src.tokenization import (
    ESCAPE,
    GLUE,
    JOINER,
    SPECIAL_TOKENS,
    UNK,
    WordTokenizer,
    count_words,
    train_sentencepiece,
    words_of,
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


def train_words(texts, language, min_count, lowercase, lossless):
    counts = count_words((texts, language, lowercase, lossless))
    return words_of(counts, language, min_count, lowercase, lossless)


def train_tokenizers(kind, lowercase):
    if kind == "sentencepiece":
        return (train_sentencepiece(GERMAN + ENGLISH, 90, lowercase, True),) * 2
    return train_words(GERMAN, "de", 1, lowercase, True), train_words(ENGLISH, "en", 1, lowercase, True)


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


def draws(tokenizer, alpha):
    chances = np.random.default_rng(3).random(len(ENGLISH))
    return [tokenizer.sample(text, alpha, chance) for text, chance in zip(ENGLISH, chances)]


def test_subwords_are_drawn_by_their_chances(subwords):
    drawn, best = draws(subwords, 0.1), [subwords.encode(text) for text in ENGLISH]
    assert [subwords.decode(ids) for ids in drawn] == ENGLISH and drawn != best
    sharper = draws(subwords, 20.0)
    assert sum(map(list.__eq__, best, sharper)) > len(best) / 2 > sum(map(list.__eq__, best, drawn)), "alpha sharpens"
    text, places = ENGLISH[0], np.arange(2000) / 2000
    seen = Counter(tuple(subwords.sample(text, 0.3, chance)) for chance in places)
    expected = {ids: math.exp(0.3 * subwords.log_probs[list(ids)].sum()) for ids in seen}
    for ids, count in seen.items():  # each as often as its probability says
        assert abs(count - 2000 * expected[ids] / sum(expected.values())) <= 5


def test_another_process_draws_the_same_subwords(subwords, tmp_path):
    save_tokenizers(tmp_path, (subwords, subwords))
    program = f"""
from src.tokenizer_files import load_tokenizers
print([load_tokenizers({str(tmp_path)!r})[0].sample(text, 0.1, 0.3) for text in {ENGLISH!r}])
"""
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.stdout == f"{[subwords.sample(text, 0.1, 0.3) for text in ENGLISH]}\n", done.stderr


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
    tokenizers = train_tokenizers(kind, lowercase)
    assert (tokenizers[0] is tokenizers[1]) == (kind == "sentencepiece")
    save_tokenizers(tmp_path, tokenizers)
    loaded = load_tokenizers(tmp_path)
    assert same_tokenizers(loaded, tokenizers) and (loaded[0] is loaded[1]) == (kind == "sentencepiece")
    for old, new, text in zip(tokenizers, loaded, ("Ein kleiner HUND", "A small DOG")):
        assert new.encode(text) == old.encode(text) and len(new) == len(old)
    assert not same_tokenizers(loaded, train_tokenizers(kind, not lowercase))
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
