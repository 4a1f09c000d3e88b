"""No content of a file that a user may have ends in anything but an answer or one line of complaint."""

from collections import Counter

import numpy as np
import pytest
from damaged_files import read_damaged
from mindspore import Parameter, Tensor

from src.imdb import read_reviews
from src.model_utils.checkpoint import load_checkpoint, save_checkpoint
from src.preparation import build_vocabulary, load_vocabulary, save_vocabulary
from src.sample_data import write_sample_corpus
from src.tokenizer import tokenize


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "aclImdb"
    write_sample_corpus(folder, 20)
    return folder


def test_reviews(corpus):
    review = next((corpus / "train/pos").iterdir())
    assert read_damaged(review, lambda: [tokenize(each.text) for each in read_reviews(corpus, "train")]) > 5


def test_list_of_films(corpus):
    read_damaged(corpus / "train/urls_pos.txt", lambda: read_reviews(corpus, "train"))


def test_vocabulary(tmp_path):
    path = tmp_path / "vocab.json"
    save_vocabulary(path, build_vocabulary(Counter(["a", "film", "a", "plot"]), 1))
    assert read_damaged(path, lambda: load_vocabulary(path)) > 20


def test_checkpoint(tmp_path):
    path = tmp_path / "x.ckpt"
    weights = [Parameter(Tensor(np.ones((8, k + 1), np.float32)), name=f"weight{k}") for k in range(4)]
    save_checkpoint(path, weights)

    def read():
        parameters, _ = load_checkpoint(path)
        for weight in weights:  # a damage that is not seen must not matter
            assert (parameters[weight.name].asnumpy() == 1).all()

    assert read_damaged(path, read) > 30
