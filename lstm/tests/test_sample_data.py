"""The synthetic corpus: layout, repeatability, and that its sentiment takes more than a word."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from src import sample_data
from src.imdb import read_reviews, split_by_film
from src.model_utils.runtime import UserError
from src.sample_data import write_sample_corpus
from src.tokenizer import tokenize

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("sample") / "new" / "aclImdb"
    path.parent.mkdir()
    write_sample_corpus(path)
    return path


def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_layout(corpus):
    folders = {"train/neg": 200, "train/pos": 200, "train/unsup": 400, "test/neg": 200, "test/pos": 200}
    lists = {f"{Path(name).parent}/urls_{Path(name).name}.txt": count for name, count in folders.items()}
    files = contents(corpus)
    assert Counter(os.path.dirname(name) for name in files) == {**folders, "train": 3, "test": 2}
    for name, count in lists.items():
        lines = files[name].decode("ascii").splitlines()
        assert len(lines) == count
        assert all(re.fullmatch(r"http://www\.imdb\.com/title/tt\d{7}/usercomments", line) for line in lines)
    ratings = {"pos": {7, 8, 9, 10}, "neg": {1, 2, 3, 4}, "unsup": {0}}
    for name, count in folders.items():
        names = [re.fullmatch(r"(\d+)_(\d+)\.txt", path.name) for path in (corpus / name).iterdir()]
        assert sorted(int(found[1]) for found in names) == list(range(count))
        assert {int(found[2]) for found in names} == ratings[Path(name).name]
    assert os.listdir(corpus.parent) == ["aclImdb"]


def test_films_have_several_reviews_and_one_split(corpus):
    films = {split: Counter(r.film for r in read_reviews(corpus, split)) for split in ("train", "test", "unsup")}
    assert not set(films["train"]) & set(films["test"]) and not set(films["unsup"]) & set(films["test"])
    assert all(sum(count.values()) / len(count) > 3 for count in films.values())


@pytest.mark.parametrize("reviews", [20, 64, 400])
def test_can_be_split_by_film(tmp_path, reviews):
    write_sample_corpus(tmp_path / "corpus", reviews)
    for seed in range(5):
        train, valid = split_by_film(read_reviews(tmp_path / "corpus", "train"), 0.1, seed)
        assert len(train) > len(valid) >= 2


def test_lengths_and_markup_vary(corpus):
    reviews = read_reviews(corpus, "train")
    lengths = [len(tokenize(review.text)) for review in reviews]
    assert min(lengths) <= 8 and max(lengths) >= 200
    text = " ".join(review.text for review in reviews)
    for what in ("<br /><br />", "n't ", "'s ", "!!!", "...", "/10"):
        assert what in text
    assert len({review.text for review in reviews}) > 0.9 * len(reviews)


def test_no_single_word_tells_the_label(corpus):
    reviews = read_reviews(corpus, "train")
    holding = {0: Counter(), 1: Counter()}
    for review in reviews:
        holding[review.label].update(set(tokenize(review.text)))
    words = set(holding[0]) | set(holding[1])
    # A word that is in a positive and b negative reviews sorts 200 + |a - b| of the 400 rightly.
    best = max(abs(holding[1][word] - holding[0][word]) for word in words)
    assert 0.5 + best / len(reviews) < 0.7


def test_same_arguments_same_bytes(corpus, tmp_path):
    write_sample_corpus(tmp_path / "again")
    write_sample_corpus(tmp_path / "other", seed=1)
    assert contents(tmp_path / "again") == contents(corpus)
    assert contents(tmp_path / "other") != contents(corpus)


def test_refuses_what_it_cannot_do(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UserError, match="mine: exists already; remove it or choose another folder"):
        write_sample_corpus(tmp_path / "mine")
    with pytest.raises(UserError, match="--reviews 19: choose 20 or more"):
        write_sample_corpus(tmp_path / "small", reviews=19)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_command(tmp_path):
    def call(*arguments):
        command = [sys.executable, "-m", "src.sample_data", *arguments]
        return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)

    path = tmp_path / "corpus"
    done = call(str(path), "--reviews", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: 20 reviews in train, 20 in test, 20 in train/unsup\n"
    assert len(read_reviews(path, "train")) == 20
    again = call(str(path))
    assert again.returncode == 2 and again.stderr.startswith(f"error: {path}: exists already")
    assert call().returncode == 2


def test_a_wrong_option_gets_one_line(exit_of):
    code, _, error = exit_of(sample_data.main, "here", "--review", "3")
    assert code == 2 and error.startswith("error: ") and "did you mean '--reviews'?" in error and error.count("\n") == 1
