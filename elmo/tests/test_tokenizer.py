"""Tokenizer: words, sentences and documents of raw text, and their division into three parts."""

from __future__ import annotations

import pytest

from src.data.tokenizer import divide, read_documents, split_sentences, tokenize
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
    sentences = [" ".join(sentence) for sentence in split_sentences(text.split())]
    assert sentences == ["He left .", '" Why ? " said I .', "Wow ! that e.g. helps ...", "Yes ( it does . )", "End"]


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
