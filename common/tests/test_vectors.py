"""Vectors in text and binary form: what is a token, what is a number, and what is wrong with a file."""

from __future__ import annotations

import gzip
import os
import threading

import numpy as np
import pytest
from damaged_files import mutations, read_damaged

from src.model_utils.runtime import UserError
from src.model_utils.vectors import read_vectors

ROWS = {"the": [1, 2, 3], "café": [4, 5, 6], "film": [-0.5, 0.25, 0.01], "王": [7, 8, 9]}


def text_lines(rows=ROWS) -> str:
    return "".join(f"{token} {' '.join(map(str, numbers))}\n" for token, numbers in rows.items())


def binary(rows=ROWS, end=b"\n", count=None) -> bytes:
    records = (token.encode() + b" " + np.array(numbers, "<f4").tobytes() + end for token, numbers in rows.items())
    return f"{count or len(rows)} 3\n".encode() + b"".join(records)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def check(vectors, rows=ROWS):
    assert list(vectors) == list(rows)
    for token, numbers in rows.items():
        assert vectors[token].dtype == np.float32
        np.testing.assert_array_equal(vectors[token], np.array(numbers, np.float32))


def message_of(path, *arguments):
    with pytest.raises(UserError) as caught:
        read_vectors(path, *arguments)
    return str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["", "4 3\n", "4\t3 \r\n"])
@pytest.mark.parametrize("size", [None, 3])
def test_text_with_and_without_a_first_line_and_a_byte_order_mark(path, mark, header, size):
    vectors, found_size = read_vectors(write(path, mark + header + text_lines()), size)
    assert found_size == 3
    check(vectors)


@pytest.mark.parametrize("change", [("\n", "\r\n"), (" ", "\t"), (" ", "  "), ("\n", " \n")])
def test_columns_are_separated_by_blanks_and_tabs_and_lines_end_at_line_feeds(path, change):
    check(read_vectors(write(path, text_lines().replace(*change)))[0])


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("size", [None, 3])
def test_binary_with_and_without_line_feeds_between_the_vectors(path, end, size):
    check(read_vectors(write(path, binary(end=end)), size)[0])


def test_binary_numbers_may_look_like_line_feeds_and_blanks(path):
    looks_like_text = np.frombuffer(b"\x0a\x20\x20\x20", "<f4")[0]
    rows = {f"w{i}": [looks_like_text, i, -looks_like_text] for i in range(5)}
    check(read_vectors(write(path, binary(rows)))[0], rows)


def test_binary_file_of_many_pieces(path, monkeypatch):
    monkeypatch.setattr("src.model_utils.vectors.LONGEST_LINE", 64)
    rows = {f"word{i}": [i, i + 0.5, -i] for i in range(500)}
    check(read_vectors(write(path, binary(rows)))[0], rows)


@pytest.mark.parametrize("binary_format", [False, True])
def test_gensim_writes_what_is_read(path, binary_format):
    models = pytest.importorskip("gensim.models")
    model = models.KeyedVectors(20)
    model.add_vectors([f"word{i}" for i in range(30)], np.random.default_rng(0).normal(size=(30, 20)))
    model.save_word2vec_format(str(path), binary=binary_format)
    vectors, size = read_vectors(path)
    assert size == 20 and list(vectors) == model.index_to_key
    np.testing.assert_allclose(list(vectors.values()), model.vectors, rtol=1e-6)


def test_token_may_contain_blanks(path):
    rows = {"the": [1, 2, 3], ". . .": [4, 5, 6], "at name@domain.com": [7, 8, 9], "part 2": [1, 1, 2]}
    check(read_vectors(write(path, text_lines(rows)), 3)[0], rows)
    assert list(read_vectors(path, 3, {". . .", "part 2"})[0]) == [". . .", "part 2"]


def test_first_token_may_contain_blanks_where_the_size_is_not_known(path):
    rows = {"at name@domain.com": [7, 8, 9], "the": [1, 2, 3]}
    vectors, size = read_vectors(write(path, text_lines(rows)))
    assert size == 3
    check(vectors, rows)


def test_characters_that_python_takes_for_blanks_are_tokens(path):
    rows = {token: [i, i, i] for i, token in enumerate(["\u00a0", "\u2028", "\x85", "\u3000", "\x1d", " ", "400000"])}
    check(read_vectors(write(path, "the 1 1 1\n" + text_lines(rows)))[0], {"the": [1, 1, 1], **rows})


@pytest.mark.parametrize("content", [text_lines(), binary()])
def test_wanted_tokens_alone_are_returned(path, content):
    vectors, size = read_vectors(write(path, content), 3, {"film", "王", "plot"})
    assert list(vectors) == ["film", "王"] and size == 3


def test_first_vector_of_a_token_counts(path):
    assert read_vectors(write(path, "the 1 2 3\na 4 5 6\nthe 7 8 9\n"))[0]["the"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("content", [text_lines(), binary()])
def test_pipe_is_read(path, content):
    os.mkfifo(path)
    writer = threading.Thread(
        target=path.write_bytes, args=[content if isinstance(content, bytes) else content.encode()]
    )
    writer.start()
    check(read_vectors(path)[0])
    writer.join()


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("form", ["text", "binary"])
def test_first_line_with_a_wrong_count_is_an_error(path, count, form):
    write(path, binary(count=count) if form == "binary" else f"{count} 3\n" + text_lines())
    message = message_of(path)
    assert message.startswith(f"{path}:1: announces {count} vectors, but ") and "correct this number" in message


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_another_size_is_named(path, header):
    message = message_of(write(path, header + text_lines()), 300)
    assert message.startswith(f"{path}:1: vectors of 3 numbers, but 300 are expected; set the size")


def test_first_line_with_a_wrong_size_is_an_error(path):
    assert message_of(write(path, "4 2\n" + text_lines())).startswith(f"{path}:2: vectors of 3 numbers, but 2 are")
    assert message_of(write(path, "4 5\n" + text_lines())).startswith(f"{path}:2: vectors of 3 numbers, but 5 are")


@pytest.mark.parametrize(
    ("lines", "number", "what"),
    [
        (["the 1 2 3", "zebra 1 2"], 2, "expected a token and 3 numbers"),  # an unwanted one too
        (["the 1 2 3", ". . 1 2"], 2, "expected a token and 3 numbers"),
        (["the 1 2 3", "a 1 2 3 film 4 5 6"], 2, "expected a token and 3 numbers"),  # a line feed is lost
        (["the 1 2 3", "film 1 2 x"], 2, "could not convert"),
        (["the 1 2 3", "film 1 2 nan"], 2, "not a finite number"),
        (["the 1 2 3", "film 1 2 1e99"], 2, "not a finite number"),
        (["the 1 2 3", "", "film 1 2 3"], 2, "expected a token and 3 numbers"),
        (["hello", "world"], 1, "this is no file of vectors"),
        (["the 23135851162", "of 13151942776"], 1, "this is no file of vectors"),  # counts of words
        ([""], 1, "this is no file of vectors"),
        (["5 3"], 1, "announces 5 vectors, but 0 follow"),
        (["5 99999999999999"], 1, "this is no file of vectors"),
        (["9" * 5000 + " 3"], 1, "this is no file of vectors"),
    ],
)
def test_damaged_line_is_named(path, lines, number, what):
    message = message_of(write(path, "\n".join(lines) + "\n"), None, {"the", "film"})
    assert message.startswith(f"{path}:{number}: ") and what in message


def test_token_that_is_not_utf8_is_an_error_unless_some_are_wanted(path):
    write(path, text_lines().encode() + b"caf\xe9 1 1 1\n")
    assert message_of(path).startswith(f"{path}:5: the token is not UTF-8")
    assert list(read_vectors(path, 3, ROWS)[0]) == list(ROWS)


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_binary_file_that_is_cut_off_is_an_error(path, cut):
    message = message_of(write(path, binary(end=b"")[:-cut]))
    assert message.startswith(f"{path}: vector 4 of 4: cut off or damaged")


def test_binary_number_that_is_not_finite_is_an_error(path):
    message = message_of(write(path, binary({"the": [1, 2, 3], "film": [1, float("nan"), 3]})))
    assert message.startswith(f"{path}: vector 2: a value is not a finite number")


def test_nothing_wanted_in_the_file_is_an_error(path):
    assert message_of(write(path, text_lines()), 3, {"plot", "scene"}).startswith(
        f"{path}: holds no vector for any of the 2 tokens that are looked for"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(text_lines().encode()), "packed by gzip"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", "fastText"),
        (b"\x80\x05\x95", "pickle"),
        (text_lines().encode("utf-16"), "UTF-16"),
    ],
)
def test_other_format_is_named(path, content, what):
    message = message_of(write(path, content))
    assert message.startswith(f"{path}: is ") and what in message


@pytest.mark.parametrize("form", ["text", "text with a first line", "binary"])
def test_no_damage_ends_in_a_traceback(path, form):
    rows = {f"word{k}": row for k, row in enumerate(np.random.default_rng(0).normal(size=(30, 50)).round(5).tolist())}
    content = binary(rows).replace(b" 3\n", b" 50\n", 1) if form == "binary" else text_lines(rows).encode()
    write(path, (b"30 50\n" if form == "text with a first line" else b"") + content)
    assert len(mutations(content)) > 40
    assert read_damaged(path, lambda: read_vectors(path)) > 20
