"""Pretrained and in-domain word vectors. What is right and wrong in a file of vectors is tested with its reader."""

import os

import numpy as np
import pytest
from sample_glove import write_sample_glove

from src import word_vectors
from src.model_utils.runtime import UserError
from src.word_vectors import WordTable, find_vectors_file, read_pretrained_vectors, train_word_vectors

VOCABULARY = {"<pad>": 0, "<unk>": 1, "the": 2, "café": 3, "film": 4, "n't": 5}
LINES = ["the 1 2 3", "film -0.5 0.25 1e-2", ". 9 9 9", "café 4 5 6"]


def write(path, lines, end="\n"):
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return path


def message_of(*args):
    with pytest.raises(UserError) as caught:
        read_pretrained_vectors(*args)
    return str(caught.value)


@pytest.mark.parametrize("header", [[], ["4 3"]])
@pytest.mark.parametrize("end", ["\n", ""])
def test_rows_of_the_vocabulary(tmp_path, header, end):
    path = write(tmp_path / "glove.6B.3d.txt", header + LINES, end)
    before = path.read_bytes(), path.stat().st_mtime_ns
    for place in (path, tmp_path, str(tmp_path)):
        vectors, known = read_pretrained_vectors(place, 3, VOCABULARY)
        assert vectors.dtype == np.float32 and vectors.shape == (6, 3)
        assert known == 3
        np.testing.assert_array_equal(vectors[[2, 3, 4]], np.float32([[1, 2, 3], [4, 5, 6], [-0.5, 0.25, 0.01]]))
        assert not vectors[0].any()
        assert vectors[[1, 5]].all()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_binary_word2vec_file_is_read(tmp_path):
    path = tmp_path / "GoogleNews.bin"
    rows = {b"the": [1, 2, 3], b"film": [-0.5, 0.25, 4]}
    path.write_bytes(b"2 3\n" + b"".join(word + b" " + np.array(row, "<f4").tobytes() for word, row in rows.items()))
    vectors, known = read_pretrained_vectors(path, 3, VOCABULARY)
    assert known == 2 and vectors[[2, 4]].tolist() == [[1, 2, 3], [-0.5, 0.25, 4]]


def test_tokens_of_the_file_may_contain_blanks(tmp_path):
    path = write(tmp_path / "glove.840B.3d.txt", [*LINES, ". . . 1 2 3", "at name@domain.com 4 5 6"])
    assert read_pretrained_vectors(path, 3, VOCABULARY)[1] == 3


def test_padding_has_no_vector_even_where_the_file_has_one(tmp_path):
    vectors, known = read_pretrained_vectors(write(tmp_path / "v.txt", ["<pad> 1 2 3", *LINES]), 3, VOCABULARY)
    assert known == 3 and not vectors[0].any()


def test_absent_rows_are_seeded_and_as_wide_as_the_present_ones(monkeypatch):
    monkeypatch.setattr(word_vectors, "BLOCK", 300)
    vocabulary = {str(number): number for number in range(4000)}
    present = np.random.default_rng(1).normal(0, 0.37, (1999, 10)).astype(np.float32)
    known = {str(number): vector for number, vector in enumerate(present, 1)}

    def table(seed):
        made = WordTable(vocabulary, 10)
        for word, vector in known.items():
            made.set(word, vector)
        return made.finished(seed)

    vectors = table(3)
    np.testing.assert_array_equal(vectors[1:2000], present)
    assert vectors[2000:].std() == pytest.approx(0.37, rel=0.03)
    assert not vectors[0].any()
    np.testing.assert_array_equal(table(3), vectors)
    other = table(4)
    assert (other[2000:] != vectors[2000:]).any(axis=1).all()


def test_missing_file_is_named_with_those_that_are_there(tmp_path):
    assert message_of(tmp_path / "no", 300, VOCABULARY).startswith(f"{tmp_path}/no: no such file or folder")
    message = message_of(tmp_path, 300, VOCABULARY)
    assert message.startswith(f"{tmp_path}/glove.6B.300d.txt: no such file; there is no GloVe file in that folder")
    assert "script/download_dataset.sh" in message
    for name in ("glove.6B.50d.txt", "glove.6B.100d.txt"):
        (tmp_path / name).touch()
    message = message_of(tmp_path, 300, VOCABULARY)
    assert "there is only glove.6B.100d.txt, glove.6B.50d.txt" in message and "--embed_size" in message


def test_pipe_is_refused_because_the_next_run_could_not_compare_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(UserError, match=f"{path}: is a pipe or a device; give a file"):
            find_vectors_file(path, 50)


def test_wrong_size_names_the_right_one(tmp_path):
    path = write(tmp_path / "vectors.txt", LINES)
    assert message_of(path, 300, VOCABULARY).startswith(f"{path}:1: vectors of 3 numbers, but 300 are expected")


def test_file_without_any_word_of_the_vocabulary_is_an_error(tmp_path):
    path = write(tmp_path / "vectors.txt", ["The 1 2 3", "<pad> 1 2 3"])
    assert message_of(path, 3, VOCABULARY).startswith(f"{path}: holds no vector for any of the 5 tokens")


def test_sample_glove_is_read_back(tmp_path):
    path = write_sample_glove(tmp_path / "glove", 50, ["the", "film"], seed=1)
    assert path.name == "glove.6B.50d.txt"
    vectors, known = read_pretrained_vectors(tmp_path / "glove", 50, VOCABULARY)
    assert known == 2 and vectors.shape == (6, 50)


@pytest.fixture(scope="module")
def texts():
    source = np.random.default_rng(0)
    groups = ["good great fine nice lovely".split(), "bad awful poor dull weak".split()]  # noqa: SIM905
    return [list(source.choice(groups[i % 2], 12)) for i in range(400)]


def test_training_gives_the_vocabulary_rows_and_neighbours(texts, capsys):
    words = sorted({word for text in texts for word in text} - {"weak"})
    vocabulary = {"<pad>": 0, "<unk>": 1, **{word: i for i, word in enumerate(words, 2)}, "absent": 20}
    vectors = train_word_vectors(texts, 16, vocabulary, seed=1, epochs=5, workers=1, sample=0)
    assert vectors.shape == (21, 16) and vectors.dtype == np.float32
    assert not vectors[0].any() and vectors[1].any() and vectors[20].any()
    assert capsys.readouterr().out.splitlines()[-1].startswith("word vectors: epoch 5 of 5, ")

    def cosine(one, other):
        a, b = vectors[vocabulary[one]], vectors[vocabulary[other]]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine("good", "great") > cosine("good", "bad")
    again = train_word_vectors(texts, 16, vocabulary, seed=1, epochs=5, workers=1, sample=0)
    np.testing.assert_array_equal(again, vectors)
    other = train_word_vectors(texts, 16, vocabulary, seed=2, epochs=5, workers=1, sample=0)
    assert (other != vectors)[1:].any()


@pytest.mark.parametrize("token_lists", [[], [["other", "words"]], [["<pad>"]]])
def test_training_without_a_known_word_is_an_error(token_lists):
    with pytest.raises(UserError, match="no word of the vocabulary"):
        train_word_vectors(token_lists, 4, VOCABULARY, seed=0, epochs=1, workers=1)
