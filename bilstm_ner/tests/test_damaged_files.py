"""No content of a file that a user may have ends in anything but an answer or one line of complaint."""

import json

import numpy as np
import pytest
from damaged_files import read_damaged

from src.dataset import SPECIAL, Vocabulary, encode, load_vocabulary, save_vocabulary
from src.model_utils.runtime import UserError
from src.model_utils.vectors import read_vectors
from src.resume_ner import read_corpus
from src.sample_data import write_sample_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_sample_corpus(folder)
    path = folder / "dev.char.bmes"
    path.write_text("\n\n".join(path.read_text(encoding="utf-8").split("\n\n")[:20]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("on_bad_input", "refused"), [("error", 15), ("skip", 5)])
def test_corpus(corpus, on_bad_input, refused):
    def read():
        encode(read_corpus(corpus, on_bad_input).sentences, Vocabulary("BMES", ["O"], [*SPECIAL], [*SPECIAL]))

    assert read_damaged(corpus, read) > refused


def test_vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    rows = np.random.default_rng(0).normal(size=(30, 50))
    lines = [f"{chr(0x4E00 + k)} {' '.join(f'{value:.5f}' for value in row)}\n" for k, row in enumerate(rows)]
    path.write_text("".join(["30 50\n", *lines]), encoding="utf-8")
    assert read_damaged(path, lambda: read_vectors(path)) > 20


def test_vocabulary(corpus, tmp_path):
    path = tmp_path / "vocab.json"
    characters = sorted({character for s in read_corpus(corpus).sentences for character in s.characters})
    save_vocabulary(path, Vocabulary("BMES", ["O"], [*SPECIAL, *characters], [*SPECIAL]))
    assert read_damaged(path, lambda: load_vocabulary(path)) > 20


@pytest.mark.parametrize(
    "change", [{"tags": ["O", "X-NAME"]}, {"tags": [1]}, {"characters": [1]}, {"scheme": "IOBES"}, {"bigrams": None}]
)
def test_a_vocabulary_of_other_values_is_refused(tmp_path, change):
    path = tmp_path / "vocab.json"
    content = {"scheme": "BMES", "tags": ["O"], "characters": [*SPECIAL], "bigrams": [*SPECIAL], **change}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="not a vocabulary"):
        load_vocabulary(path)
