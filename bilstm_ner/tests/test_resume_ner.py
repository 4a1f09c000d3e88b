"""Tagged files: what is read, and what is refused with file and line."""

from __future__ import annotations

import os
import threading

import pytest
from easydict import EasyDict

from src.model_utils.runtime import UserError
from src.preparation import load_prepared, prepare
from src.resume_ner import TaggedFile, find_file, read_corpus, warn_of_unseen_tags
from src.tagged_lines import read_chunks

GOOD = "高 B-N\n勇 E-N\n： O\n\n男 O\n"


def write(folder, content, name="train.char.bmes"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def units(corpus):
    return [sentence.characters for sentence in corpus.sentences]


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(" ", "\t"),
        GOOD.replace(" ", " \t"),
        GOOD.replace(" ", "\t "),
        GOOD.replace(" ", " \t "),
        GOOD.replace(" ", "\u00a0\t\u3000"),
        GOOD.replace(" ", "\u200b \u200b"),
        GOOD.replace("\n", " \n"),
        GOOD.replace("\n", "\t\n"),
        "\ufeff" + GOOD + "\n\n",
        GOOD.replace("\n\n", "\n\ufeff\n\ufeff"),  # files with a mark each, one behind the other
        GOOD.replace("\n\n", "\n \u3000\n"),
    ],
)
def test_line_ends_blanks_and_byte_order_marks_are_no_part_of_a_column(tmp_path, content):
    corpus = read_corpus(write(tmp_path, content))
    assert units(corpus) == [["高", "勇", "："], ["男"]]
    assert [sentence.tags for sentence in corpus.sentences] == [["B-N", "E-N", "O"], ["O"]]
    assert (corpus.scheme, corpus.skipped) == ("BMES", 0)


@pytest.mark.parametrize("character", ["\u3000", "\u2028", "\u0085", "\u000b", "e\u0301", "\u200d"])
def test_a_line_ends_at_a_line_feed_only_and_a_column_stays_as_it_is(tmp_path, character):
    assert units(read_corpus(write(tmp_path, f"高 O\n{character} O\n男 O\n"))) == [["高", character, "男"]]


def test_a_blank_may_be_a_character_between_tabs(tmp_path):
    assert units(read_corpus(write(tmp_path, "高\tO\n \tO\n男\tO\n"))) == [["高", " ", "男"]]


def test_types_that_differ_in_the_form_of_their_accents_are_one(tmp_path):
    corpus = read_corpus(write(tmp_path, "高 B-Soci\u00e9t\u00e9\n勇 E-Socie\u0301te\u0301\n"))
    assert set(corpus.sentences[0].tags) == {"B-Soci\u00e9t\u00e9", "E-Soci\u00e9t\u00e9"}


@pytest.mark.parametrize("boundary", ["-DOCSTART- O\n", "-DOCSTART- -X- O O\n\n", "\n-DOCSTART-\tO\n"])
def test_a_document_line_ends_a_sentence(tmp_path, boundary):
    corpus = read_corpus(write(tmp_path, f"{boundary}EU B-ORG\nrejects O\n{boundary}German B-MISC\ncall I-MISC\n"))
    assert corpus.scheme == "BIO" and units(corpus) == [["EU", "rejects"], ["German", "call"]]


def test_a_document_line_is_no_cut_within_an_entity(tmp_path):
    path = write(tmp_path, "圣 B-ORG\n-DOCSTART- O\n得 E-ORG\n")
    with pytest.raises(UserError, match="cannot end with 'B-ORG'"):
        read_corpus(path)


def test_iob1_becomes_bio(tmp_path, capsys):
    path = write(tmp_path, "a I-X\nb I-X\nc B-X\nd I-Y\ne O\n\nf I-Y\n")
    corpus = read_corpus(path)
    assert [sentence.tags for sentence in corpus.sentences] == [["B-X", "I-X", "B-X", "B-Y", "O"], ["B-Y"]]
    assert corpus.scheme == "BIO" and f"{path}: the tags are IOB1; converted to BIO" in capsys.readouterr().out


def test_an_illegal_tag_among_bio_tags_is_not_iob1(tmp_path):
    with pytest.raises(UserError, match=":4: 'I-X' cannot follow 'O' in BIO"):
        read_corpus(write(tmp_path, "a O\nb B-X\nc O\nd I-X\n"))


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
        ("高 O\n".encode("utf-16"), 1, "not UTF-8 but UTF-16"),
        ("高 O\r勇 O\r", 1, "end in carriage returns alone"),
        ("\tO\n", 1, "expected a character and its tag"),
        ("", 1, "the file is empty"),
        ("\n\n", 1, "the file is empty"),
        ("-DOCSTART- O\n\n", 1, "the file is empty"),
    ],
)
def test_bad_input_names_file_and_line(tmp_path, content, line, words):
    path = write(tmp_path, content)
    with pytest.raises(UserError) as error:
        read_corpus(path)
    assert str(error.value).startswith(f"{path}:{line}: ") and words in str(error.value)


@pytest.mark.parametrize("bad", ["高\n", "高 Q-N\n", "高 B-N\n勇 O\n", b"\xff\xfe O\n", "高 Q-N\n勇\n"])
def test_bad_sentences_are_left_out_and_counted_on_request(tmp_path, bad, capsys):
    bad = bad if isinstance(bad, bytes) else bad.encode()
    corpus = read_corpus(write(tmp_path, bad + b"\n" + GOOD.encode()), "skip")
    assert len(corpus) == 2 and corpus.skipped == 1
    assert "left out 1 bad sentences" in capsys.readouterr().out


def test_nothing_but_bad_sentences_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no good sentence is left"):
        read_corpus(write(tmp_path, "高\n"), "skip")


def test_a_blank_line_within_an_entity_is_joined(tmp_path, capsys):
    corpus = read_corpus(write(tmp_path, "圣 B-ORG\n。 M-ORG\n\n彼 M-ORG\n得 E-ORG\n， O\n"))
    assert [len(sentence.tags) for sentence in corpus.sentences] == [5]
    assert corpus.sentences[0].lines == [1, 2, 4, 5, 6] and ":4: joined" in capsys.readouterr().out


def test_nothing_is_joined_over_a_sentence_that_is_left_out(tmp_path):
    content = "圣 B-ORG\n\n高\n\n彼 M-ORG\n得 E-ORG\n\n， O\n"
    corpus = read_corpus(write(tmp_path, content), "skip")
    assert units(corpus) == [["，"]] and corpus.skipped == 3


TROUBLED = [
    *(
        "-DOCSTART- O\n\n",
        "圣 B-ORG\n",
        "\n\n",
        "彼 M-ORG\n得 E-ORG\n\n",
        "高\n",
        "\n",
        "彼 E-ORG\n\n",
        "王 S-N\r\n \r\n",
    ),
    *(
        "-DOCSTART- O\n",
        "王 S-N\n\n",
        "高 B-N\n\n",
        "-DOCSTART- O\n勇 E-N\n\n",
        "高 Q-N\n王 O\n",
        "\n",
        "勇 B-N\n\u3000\n",
        "勇 E-N",
    ),
]


@pytest.mark.parametrize("size", [1, 7, 20, 45, 2**22])
def test_wherever_a_file_is_cut_its_sentences_are_the_same(tmp_path, monkeypatch, capsys, size):
    path = write(tmp_path, "\ufeff" + ("".join(TROUBLED) + "\n\n") * 2)
    expected, said = read_corpus(path, "skip"), capsys.readouterr().out
    assert len(expected) == 8 and expected.skipped == 10 and said.count("joined to") == 4
    monkeypatch.setattr("src.tagged_lines.CHUNK", size)
    chunks = list(read_chunks(path))
    assert (len(chunks) == 1) == (size > 1000) and b"".join(chunk.data for chunk in chunks) == path.read_bytes()
    assert read_corpus(path, "skip") == expected and capsys.readouterr().out == said


def test_a_file_without_blank_lines_gets_a_warning(tmp_path, capsys):
    path = write(tmp_path, "高 O\n" * 1001)
    read_corpus(path)
    assert f"{path}:1: 1001 lines are one sentence; is the blank line" in capsys.readouterr().out


def test_a_test_file_of_another_scheme_is_refused(tmp_path):
    path = write(tmp_path, "EU B-ORG\nCommission I-ORG\n")
    with pytest.raises(UserError, match="tags are of scheme BIO, those of the training file of BMES"):
        read_corpus(path, scheme="BMES")
    assert read_corpus(write(tmp_path, "EU B-ORG\nhouse E-ORG\n"), scheme="BIOES").scheme == "BIOES"


def test_unseen_tags_are_named(tmp_path, capsys):
    path = write(tmp_path, GOOD)
    warn_of_unseen_tags(path, read_corpus(path).tags, ["O", "B-N"])
    assert capsys.readouterr().out == f"warning: {path}: E-N not seen in training, so these cannot be predicted\n"


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
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UserError, match="no such file or folder"):
        find_file(tmp_path / "loop", "train")


def test_a_linked_folder_is_read(tmp_path):
    (tmp_path / "corpus").mkdir()
    write(tmp_path / "corpus", GOOD)
    (tmp_path / "link").symlink_to(tmp_path / "corpus")
    assert len(read_corpus(find_file(tmp_path / "link", "train"))) == 2


def test_a_file_is_read_anew_by_each_iteration(tmp_path, capsys):
    content = "a I-N\nb I-N\n\nc I-X\n\nd\n\ne O\n"
    file = TaggedFile(write(tmp_path, content), "skip")
    assert file.scheme == "BIO" and file.sentences == 3
    expected = read_corpus(file.path, "skip").sentences
    assert list(file) == list(file) == expected and file.skipped == 1
    assert [sentence.tags for sentence in expected] == [["B-N", "I-N"], ["B-X"], ["O"]]
    assert capsys.readouterr().out.count("IOB1") == 2, "of the two that read, whatever the number of iterations"


def test_a_pipe_is_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(GOOD.encode(),))
    writer.start()
    assert len(read_corpus(find_file(pipe, "test"))) == 2
    writer.join()


@pytest.mark.parametrize("name", ["train.char.bmes", "dev.char.bmes"])
def test_training_needs_entities_to_learn_and_to_choose_by(tmp_path, name):
    for split in ("train", "dev"):
        write(tmp_path, GOOD, f"{split}.char.bmes")
    prepare(tmp_path, tmp_path / "preprocess", EasyDict(on_bad_input="error"))
    prepared = load_prepared(tmp_path / "preprocess")
    assert len(prepared.train) == len(prepared.valid) == 2
    path = write(tmp_path, "高 O\n", name)
    with pytest.raises(UserError, match=f"{path}: holds no entity"):
        prepare(tmp_path, tmp_path / "preprocess", EasyDict(on_bad_input="error"))


def test_training_does_not_validate_on_its_own_file(tmp_path):
    path = write(tmp_path, GOOD)
    with pytest.raises(UserError, match="not a folder; training needs one with train.char.bmes and dev.char.bmes"):
        prepare(path, tmp_path / "preprocess", EasyDict(on_bad_input="error"))
