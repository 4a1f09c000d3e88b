"""Tagged files: what is read, and what is refused with file and line."""

from __future__ import annotations

import pytest

from src.model_utils.runtime import UserError
from src.resume_ner import find_file, read_corpus

GOOD = "高 B-N\n勇 E-N\n： O\n\n男 O\n"


def write(tmp_path, content, name="train.char.bmes"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content", [GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace(" ", "\t"), "\ufeff" + GOOD + "\n\n"]
)
def test_line_ends_blanks_and_byte_order_marks_do_not_matter(tmp_path, content):
    corpus = read_corpus(write(tmp_path, content))
    assert [sentence.characters for sentence in corpus.sentences] == [["高", "勇", "："], ["男"]]
    assert (corpus.scheme, corpus.characters, corpus.skipped) == ("BMES", 4, 0)


def test_other_conll_files(tmp_path):
    corpus = read_corpus(write(tmp_path, "-DOCSTART- O\n\nEU B-ORG\nrejects O\nGerman B-MISC\ncall I-MISC\n"))
    assert corpus.scheme == "BIO" and corpus.sentences[0].characters == ["EU", "rejects", "German", "call"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("高 O\n勇\n", 2, "expected a character and its tag"),
        ("高 O\n勇 B\n", 2, "unknown tag 'B'"),
        ("高 O\n勇 X-NAME\n", 2, "unknown tag 'X-NAME'"),
        ("高 O\n勇 O extra\n", 2, "expected a character and its tag"),
        ("高 B-N\n勇 O\n王 S-N\n", 2, "'O' cannot follow 'B-N' in BMES"),
        ("高 S-N\n\n勇 E-N\n", 3, "'E-N' cannot start a sentence"),
        ("王 S-N\n高 B-N\n", 2, "a sentence cannot end with 'B-N'"),
        ("高 O\n".encode("gb18030"), 1, "is not UTF-8"),
        ("", 1, "the file is empty"),
        ("\n\n", 1, "the file is empty"),
    ],
)
def test_bad_input_names_file_and_line(tmp_path, content, line, words):
    path = write(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_corpus(path)
    assert str(error.value).startswith(f"{path}:{line}: ") and words in str(error.value)


@pytest.mark.parametrize("bad", ["高\n", "高 Q-N\n", "高 B-N\n勇 O\n", b"\xff\xfe O\n"])
def test_lenient_leaves_bad_sentences_out_and_counts_them(tmp_path, bad, capsys):
    bad = bad if isinstance(bad, bytes) else bad.encode()
    corpus = read_corpus(write(tmp_path, bad + b"\n" + GOOD.encode()), lenient=True)
    assert len(corpus) == 2 and corpus.skipped == 1
    assert "left out 1 bad sentences, kept 2" in capsys.readouterr().out


def test_nothing_but_bad_sentences_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no good sentence is left"):
        read_corpus(write(tmp_path, "高\n"), lenient=True)


def test_a_blank_line_within_an_entity_is_joined(tmp_path, capsys):
    corpus = read_corpus(write(tmp_path, "圣 B-ORG\n。 M-ORG\n\n彼 M-ORG\n得 E-ORG\n， O\n"))
    assert [len(sentence.tags) for sentence in corpus.sentences] == [5]
    assert corpus.sentences[0].lines == [1, 2, 4, 5, 6] and ":4: joined" in capsys.readouterr().out


def test_files_are_found(tmp_path):
    path = write(tmp_path, GOOD)
    assert find_file(tmp_path, "train") == path and find_file(path, "test") == path
    other = write(tmp_path, GOOD, "valid.conll")
    assert find_file(tmp_path, "dev") == other
    with pytest.raises(UserError, match="holds no test.char.bmes"):
        find_file(tmp_path, "test")
    with pytest.raises(UserError, match="did you mean"):
        find_file(tmp_path.parent, "train")
    write(tmp_path, GOOD, "valid.txt")
    with pytest.raises(UserError, match="which one is the dev file"):
        find_file(tmp_path, "dev")
    with pytest.raises(UserError, match="no such file or folder"):
        find_file(tmp_path / "lost", "train")
