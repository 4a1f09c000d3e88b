"""No content of a file that a user may have ends in anything but an answer or one line of complaint."""

import shutil

import pytest
from damaged_files import read_damaged

from src.data.chunks import encode_chunk, map_chunks
from src.data.reader import Corpus, make_shards
from src.data.sentences import read_sentences
from src.data.vocabulary import count_words, load_vocabulary, most_frequent
from src.model_options import PRESET_FOLDER, load_options
from src.published_weights import read_weights


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_text(texts, tmp_path, tokenizer):
    path = tmp_path / "text.txt"
    shutil.copy(texts / "0000.txt", path)

    def read():
        vocabulary = most_frequent(count_words(path, tokenizer, ""), 1, 0)
        list(make_shards(map_chunks(encode_chunk, [path], tokenizer, ""), vocabulary, 48, 1000, {}))

    assert read_damaged(path, read) > 5


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_sentences(published, tmp_path, tokenizer):
    path = tmp_path / "text.txt"
    shutil.copy(published.text, path)
    assert read_damaged(path, lambda: list(read_sentences(path, tokenizer))) > 5


def test_vocabulary(prepared, tmp_path):
    path = tmp_path / "vocab.txt"
    shutil.copy(prepared / "vocab.txt", path)
    assert read_damaged(path, lambda: load_vocabulary(path)) > 15


def test_options(tmp_path):
    path = tmp_path / "options.json"
    shutil.copy(PRESET_FOLDER / "tiny.json", path)
    assert read_damaged(path, lambda: load_options(path)) > 20


def test_description_of_converted_text(prepared, tmp_path):
    for file in prepared.glob("valid.mindrecord*"):
        shutil.copy(file, tmp_path)
    vocabulary = load_vocabulary(prepared / "vocab.txt")
    read = lambda: Corpus(tmp_path / "valid.mindrecord", vocabulary)  # noqa: E731
    assert read_damaged(tmp_path / "valid.mindrecord.json", read) > 20


def test_published_weights(published, tmp_path):
    path = tmp_path / "weights.hdf5"
    shutil.copy(published.weights, path)
    assert read_damaged(path, lambda: read_weights(path, published.options)) > 20
