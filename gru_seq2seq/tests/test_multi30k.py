"""Reading parallel text: which files, and what is wrong with them, by file and line."""

from __future__ import annotations

import shutil

import pytest

from src.model_utils.runtime import UserError
from src.multi30k import ParallelText, find_files, has_split, read_pairs


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "train.de").write_bytes("Ein Hund.\nZwei Männer.\nDrei\u2028Kinder.\n".encode())
    (tmp_path / "train.en").write_bytes(b"A dog.\nTwo men.\nThree children.\n")
    return tmp_path


def test_pairs_in_either_direction(corpus):
    german = ["Ein Hund.", "Zwei Männer.", "Drei\u2028Kinder."]  # a line separator of Unicode does not end a line
    english = ["A dog.", "Two men.", "Three children."]
    assert read_pairs(corpus, "train", "de", "en") == ParallelText(german, english)
    assert read_pairs(corpus, "train", "en", "de") == ParallelText(english, german)


def test_byte_order_mark_and_crlf_and_missing_line_end(corpus):
    (corpus / "train.en").write_bytes(b"\xef\xbb\xbfA dog.\r\nTwo men.\r\nThree children.")
    assert read_pairs(corpus, "train", "de", "en").targets == ["A dog.", "Two men.", "Three children."]


def test_a_sentence_keeps_all_but_the_blanks_at_its_ends(corpus, capsys):
    inside = "Three\u200c \u00a0 u\u0308  children\u0085\rhere\ufeff."
    (corpus / "train.en").write_bytes(f" A dog.\t\n\ufeffTwo men.\u00a0\r\n{inside}\n".encode())
    assert read_pairs(corpus, "train", "de", "en").targets == ["A dog.", "Two men.", inside]
    assert "train: blanks at the ends of lines are left out in 2 pairs" in capsys.readouterr().out


def test_the_same_text_in_both_languages_is_reported(corpus, capsys):
    shutil.copy(corpus / "train.de", corpus / "train.en")
    read_pairs(corpus, "train", "de", "en")
    assert "warning: 3 of 3 pairs of train have the same text in de and en" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A dog.\nTwo men.\n", "train.de:3: train.de has 3 lines and train.en 2"),
        (b"A dog.\nTwo men.\nx\ny\n", "train.en:4: train.de has 3 lines and train.en 4"),
        (
            b"A dog.\n \t\nThree.\n",
            "train.en:2: the line is empty; bad pairs in train: 1; mend them, or leave",
        ),
        (b"A dog.\nTwo m\xe9n.\nThree.\n", "train.en:2: byte 6 of the line is not UTF-8; convert the file"),
        ("A dog.\nTwo.\nThree.\n".encode("utf-16"), "train.en:1: not UTF-8 but UTF-16"),
        ("A dog.\nTwo.\nThree.\n".encode("utf-16-le"), "train.en:1: not UTF-8 but UTF-16"),
        (b"A dog.\nTwo\0men.\nThree.\n", "train.en:2: not UTF-8 but UTF-16, or not text at all"),
        (b"A dog.\rTwo.\rThree.\r", "train.en:1: the lines end in carriage returns alone"),
    ],
)
def test_errors_name_file_and_line(corpus, content, message):
    (corpus / "train.en").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_pairs(corpus, "train", "de", "en")


def test_empty_files(corpus):
    for name in ("train.de", "train.en"):
        (corpus / name).write_bytes(b"")
    with pytest.raises(UserError, match="train.de:1: the file is empty"):
        read_pairs(corpus, "train", "de", "en")


def test_bad_pairs_can_be_left_out(corpus, capsys):
    (corpus / "train.en").write_bytes(b"A dog.\n\nThree ch\xefldren.\n")
    assert read_pairs(corpus, "train", "de", "en", "skip") == ParallelText(["Ein Hund."], ["A dog."])
    output = capsys.readouterr().out
    assert "train.en:2: the line is empty" in output and "left out 2 bad pairs in train" in output
    (corpus / "train.en").write_bytes(b"\n\n\n")
    with pytest.raises(UserError, match="no good pair is left, first problem: .*train.en:1: the line is empty"):
        read_pairs(corpus, "train", "de", "en", "skip")
    (corpus / "train.en").write_bytes(b"one line\n")
    with pytest.raises(UserError, match="train.de:2"):
        read_pairs(corpus, "train", "de", "en", "skip")


def test_missing_files_are_named(corpus, tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder; check --data_dir"):
        find_files(tmp_path / "nowhere", "train", "de", "en")
    with pytest.raises(UserError, match="train.fr: no such file, only train.de is there"):
        find_files(corpus, "train", "de", "fr")
    with pytest.raises(UserError, match="--source and --target are both de"):
        find_files(corpus, "train", "de", "de")
    assert not has_split(corpus, "val", "de", "en")
    with pytest.raises(UserError, match="holds no val.de and val.en$"):
        find_files(corpus, "val", "de", "en")
    (corpus / "val.de.gz").touch()
    with pytest.raises(UserError, match="gunzip val.de.gz"):
        find_files(corpus, "val", "de", "en")
    inner = tmp_path / "data" / "multi30k"
    inner.mkdir(parents=True)
    (inner / "train.de").touch()
    with pytest.raises(UserError, match=f"did you mean {inner}"):
        find_files(inner.parent, "train", "de", "en")


def test_other_names_of_splits(corpus):
    for name in ("dev.de", "dev.en", "test_2016_flickr.de", "test_2016_flickr.en"):
        (corpus / name).write_text("x\n")
    assert has_split(corpus, "val", "de", "en") and has_split(corpus, "test", "en", "de")
    assert find_files(corpus, "val", "de", "en")[0].name == "dev.de"
    assert find_files(corpus, "test", "de", "en")[1].name == "test_2016_flickr.en"
