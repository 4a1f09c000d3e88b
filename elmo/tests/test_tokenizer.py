"""Tokenizer: words, sentences and documents of raw text, and their division into three parts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from src.data import division
from src.data.chunks import CHUNK
from src.data.division import divide
from src.data.tokenizer import read_documents, split_sentences, text_files, tokenize
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
        # combining marks and joiners belong to the word: Devanagari, decomposed accents, Persian, a soft hyphen
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \u0964", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0964"),
        ("Noe\u0308l ferme\u0301-la, e\u0301te\u0301's", "Noe\u0308l ferme\u0301-la , e\u0301te\u0301 's"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645!", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 !"),
        ("co\u00adop", "co\u00adop"),
        # emoji keep their variation selectors, skin tones and partners
        (
            "\u2764\ufe0f\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd",
            "\u2764\ufe0f \U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd",
        ),
        # what shows nothing is no word, and divides words as a blank does
        ("\ufeffThe\u200bfilm \u200f. \u200d", "The film ."),
        ("AT&amp;T said &quot;no&#33;&quot; &c; &amp;amp; R&D", 'AT & T said " no ! " & c ; & amp ; R & D'),
    ],
)
def test_text_is_divided_into_words(text, words):
    assert " ".join(tokenize(text)) == words


def test_words_are_divided_into_sentences():
    text = 'He left . " Why ? " said I . Wow ! that e.g. helps ... Yes ( it does . ) End'
    sentences = [" ".join(sentence) for sentence in split_sentences(text.split())]
    assert sentences == ["He left .", '" Why ? " said I .', "Wow ! that e.g. helps ...", "Yes ( it does . )", "End"]


def read(path, tokenizer="words"):
    return [list(document) for document in read_documents(path, tokenizer)]


def test_documents_of_files_and_lines(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/2.txt").write_text("Second file.<br /><br />New line here", encoding="utf-8")
    (tmp_path / "1.txt").write_text("One line\nnext. And more\n\n\nOther document\n", encoding="utf-8")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    documents = read(tmp_path)
    assert documents == [
        [["One", "line"], ["next", "."], ["And", "more"]],
        [["Other", "document"]],
        [["Second", "file", "."], ["New", "line", "here"]],
    ]
    assert read(tmp_path / "1.txt", "whitespace")[0] == [["One", "line"], ["next.", "And", "more"]]
    (tmp_path / "bad.txt").write_bytes(b"good\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"bad.txt:2: byte 1 of the line is not UTF-8"):
        read(tmp_path / "bad.txt")
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "lost")


def test_a_line_ends_at_a_line_feed_only_and_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffone\u2028two\rthree\x85 four\r\nfive\x0bsix\x1csix\r\n\r\nother".encode())
    documents = [[["one", "two", "three", "four"], ["five", "six", "six"]], [["other"]]]
    assert read(path, "whitespace") == documents


def test_marks_of_sentences_in_a_text_are_no_words(tmp_path):
    (tmp_path / "text.txt").write_text("<S> one <UNK> </S>\n<S> </S>\n", encoding="utf-8")
    assert read(tmp_path / "text.txt", "whitespace") == [[["one", "<UNK>"]]]


def test_links_are_followed_and_each_file_is_read_once(tmp_path):
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    (corpus / "docs").mkdir(parents=True)
    (corpus / ".hidden").mkdir()
    elsewhere.mkdir()
    for path in (corpus / "docs/a.txt", corpus / ".hidden/h.txt", elsewhere / "b.txt", elsewhere / "c.txt"):
        path.write_text(path.stem, encoding="utf-8")
    (corpus / "more").symlink_to(elsewhere)
    (corpus / "docs/loop").symlink_to(corpus)
    (corpus / "docs/z.txt").symlink_to("a.txt")
    assert text_files(corpus) == [corpus / "docs/a.txt", corpus / "more/b.txt", corpus / "more/c.txt"]
    (tmp_path / "only_link").mkdir()
    (tmp_path / "only_link/more").symlink_to(elsewhere)
    assert len(text_files(tmp_path / "only_link")) == 2
    (corpus / "broken").symlink_to("nowhere")
    with pytest.raises(UserError, match="broken: a link to nothing"):
        text_files(corpus)


def test_a_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("one\n\ntwo\n",))
    writer.start()
    counts = divide(pipe, tmp_path / "out", 0, 0, seed=0, tokenizer="whitespace")
    writer.join()
    assert counts["train"] == {"documents": 2, "sentences": 2, "words": 2}


def test_division_is_complete_and_depends_on_the_seed_alone(texts, tmp_path, monkeypatch):
    counts = divide(texts, tmp_path / "a", 0.1, 0.2, seed=3)
    assert [counts[part]["documents"] for part in ("train", "valid", "heldout")] == [280, 40, 80]
    monkeypatch.setattr("src.data.chunks.CHUNK", 2**14)
    monkeypatch.setattr("src.data.chunks.resolve_workers", lambda _: 2)
    again = divide(texts, tmp_path / "b", 0.1, 0.2, seed=3)
    assert again == counts
    parts = {}
    for part in ("train", "valid", "heldout"):
        assert (tmp_path / "a" / f"{part}.txt").read_bytes() == (tmp_path / "b" / f"{part}.txt").read_bytes()
        parts[part] = read(tmp_path / "a" / f"{part}.txt", "whitespace")
        assert len(parts[part]) == counts[part]["documents"]
    everything = sorted(document for part in parts.values() for document in part)
    assert everything == sorted(read(texts))


def test_the_program_divides_texts_by_processes(tmp_path):
    lines = CHUNK // 10  # of 21 characters
    (tmp_path / "text.txt").write_text("one two three four .\n" * lines, encoding="utf-8")
    root = Path(division.__file__).parents[2]
    command = [sys.executable, "-m", "src.data.division", str(tmp_path / "text.txt"), str(tmp_path / "out")]
    done = subprocess.run([*command, "--heldout", "0"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = [(tmp_path / f"out/{part}.txt").read_text(encoding="utf-8") for part in ("train", "valid")]
    assert "".join(parts).count("one two three four .\n") == lines


def test_a_single_document_is_divided_by_sentences(tmp_path):
    lines = [f"sentence number {k} ." for k in range(400)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    counts = divide(tmp_path / "text.txt", tmp_path / "out", 0.05, 0.05, seed=0, tokenizer="whitespace")
    assert [counts[part]["sentences"] for part in ("train", "valid", "heldout")] == [360, 15, 25]
    written = {}
    for part in counts:
        documents = read(tmp_path / f"out/{part}.txt", "whitespace")
        assert len(documents) == counts[part]["documents"]
        written[part] = [" ".join(words) for document in documents for words in document]
    assert sorted(sum(written.values(), [])) == sorted(lines)
    assert all(part == sorted(part, key=lines.index) for part in written.values()), "neighbours stay together"


def test_a_part_that_would_remain_empty_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("one\ntwo\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"none of its sentences came into valid.txt, whose share is 0.05"):
        divide(tmp_path / "text.txt", tmp_path / "out", 0.05, 0, seed=0)
    assert not list((tmp_path / "out").iterdir())


def test_the_parts_never_become_text_of_the_next_division(texts, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.txt").write_text("one\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(corpus)
    for folder in (corpus, corpus / "parts", tmp_path / "link/parts"):
        with pytest.raises(UserError, match="lies in the folder of texts"):
            divide(corpus, folder, 0, 0, seed=0)
    with pytest.raises(UserError, match="would be replaced by a part of itself"):
        divide(corpus / "train.txt", corpus, 0, 0, seed=0)
    assert (corpus / "train.txt").read_text(encoding="utf-8") == "one\n"
