"""GloVe files and in-domain vectors."""

import numpy as np
import pytest

from src.model_utils.runtime import UserError
from src.sample_data import write_sample_glove
from src.word_vectors import fill_absent_rows, read_glove, train_word_vectors

VOCABULARY = {"<pad>": 0, "<unk>": 1, "the": 2, "café": 3, "film": 4, "n't": 5}
LINES = ["the 1 2 3", "film -0.5 0.25 1e-2", ". 9 9 9", "café 4 5 6"]


def write(path, lines, end="\n"):
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return path


def message_of(*args):
    with pytest.raises(UserError) as caught:
        read_glove(*args)
    return str(caught.value)


@pytest.mark.parametrize("header", [[], ["4 3"]])
@pytest.mark.parametrize("end", ["\n", ""])
def test_rows_of_the_vocabulary(tmp_path, header, end):
    path = write(tmp_path / "glove.6B.3d.txt", header + LINES, end)
    before = path.read_bytes(), path.stat().st_mtime_ns
    for place in (path, tmp_path, str(tmp_path)):
        vectors, found = read_glove(place, 3, VOCABULARY)
        assert vectors.dtype == np.float32 and vectors.shape == (6, 3)
        assert found == 3
        np.testing.assert_array_equal(vectors[[2, 3, 4]], np.float32([[1, 2, 3], [4, 5, 6], [-0.5, 0.25, 0.01]]))
        assert not vectors[0].any()
        assert vectors[[1, 5]].all()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_odd_tokens_and_windows_line_ends(tmp_path):
    vocabulary = {"": 0, "\u00a0": 1, "\u2028": 2, "\x85": 3, "400000": 4}
    path = tmp_path / "glove.txt"
    path.write_bytes(b"".join(f"{token} {i} {i}\r\n".encode() for token, i in vocabulary.items() if i))
    vectors, found = read_glove(path, 2, vocabulary)
    assert found == 4
    np.testing.assert_array_equal(vectors[:, 0], range(5))


def test_absent_rows_are_seeded_and_as_wide_as_the_found_ones(tmp_path):
    found = np.zeros(4000, bool)
    found[1:2000] = True
    vectors = np.zeros((4000, 10), np.float32)
    vectors[found] = np.random.default_rng(1).normal(0, 0.37, (1999, 10))
    kept = vectors.copy()
    fill_absent_rows(vectors, found, seed=3)
    np.testing.assert_array_equal(vectors[found], kept[found])
    assert vectors[2000:].std() == pytest.approx(0.37, rel=0.03)
    assert not vectors[0].any()
    again, other = kept.copy(), kept.copy()
    fill_absent_rows(again, found, seed=3)
    fill_absent_rows(other, found, seed=4)
    np.testing.assert_array_equal(again, vectors)
    assert (other[2000:] != vectors[2000:]).any(axis=1).all()


def test_missing_files(tmp_path):
    assert message_of(tmp_path / "no", 300, VOCABULARY).startswith(f"{tmp_path}/no: no such file or folder")
    message = message_of(tmp_path, 300, VOCABULARY)
    assert message.startswith(f"{tmp_path}/glove.6B.300d.txt: no such file; there is no GloVe file in that folder")
    assert "script/download_dataset.sh" in message
    for name in ("glove.6B.50d.txt", "glove.6B.100d.txt"):
        (tmp_path / name).touch()
    message = message_of(tmp_path, 300, VOCABULARY)
    assert "there is only glove.6B.100d.txt, glove.6B.50d.txt" in message and "--embed_size" in message
    (tmp_path / "glove.6B.zip").touch()
    assert message_of(tmp_path / "glove.6B.zip", 300, VOCABULARY).startswith(f"{tmp_path}/glove.6B.zip: is packed")


@pytest.mark.parametrize("header", [[], ["4 3"]])
def test_wrong_dimension_names_the_right_one(tmp_path, header):
    path = write(tmp_path / "vectors.txt", header + LINES)
    message = message_of(path, 300, VOCABULARY)
    assert message == f"{path}:1: vectors of 3 numbers, but embed_size is 300; use --embed_size 3"


def test_other_text_is_no_vector_file(tmp_path):
    path = write(tmp_path / "vectors.txt", ["hello", "world"])
    assert "this is no file of word vectors" in message_of(path, 3, VOCABULARY)


@pytest.mark.parametrize(
    ("lines", "place", "what"),
    [
        ([*LINES, "zebra 1 2"], 5, "expected a word and 3 numbers, found 2"),  # truncated, outside the vocabulary
        ([LINES[0], "film 1 2 3 4"], 2, "found 4"),
        ([LINES[0], "film 1 2 x"], 2, "could not convert"),
        ([LINES[0], "film 1 2 nan"], 2, "not a finite number"),
        ([LINES[0], "", LINES[1]], 2, "found 1"),
        (["5 3", *LINES], 5, "the file ends here, before the 5 vectors that line 1 announces"),
        (["5 3"], 1, "the file ends here"),
    ],
)
def test_damaged_lines_name_the_place(tmp_path, lines, place, what):
    path = write(tmp_path / "vectors.txt", lines)
    message = message_of(path, 3, VOCABULARY)
    assert message.startswith(f"{path}:{place}: ") and what in message


def test_empty_file_and_nothing_found(tmp_path):
    path = tmp_path / "vectors.txt"
    path.touch()
    assert message_of(path, 3, VOCABULARY).startswith(f"{path}:0: the file ends here, before word vectors")
    write(path, ["The 1 2 3", "<pad> 1 2 3"])
    assert message_of(path, 3, VOCABULARY).startswith(f"{path}: none of the 5 words of the vocabulary is in it")


def test_sample_glove_is_read_back(tmp_path):
    path = write_sample_glove(tmp_path / "glove", 50, ["the", "film"], seed=1)
    assert path.name == "glove.6B.50d.txt"
    vectors, found = read_glove(tmp_path / "glove", 50, VOCABULARY)
    assert found == 2 and vectors.shape == (6, 50)


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
    with pytest.raises(UserError, match="hold no word of the vocabulary"):
        train_word_vectors(token_lists, 4, VOCABULARY, seed=0, epochs=1, workers=1)
