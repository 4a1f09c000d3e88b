"""Makes `src` and the entry points importable wherever pytest is started from, and trains one small model for all."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sample_glove import write_sample_glove
from shared_fixtures import by_two_ranks, exit_of, kernels_as_at_the_start, run_exported  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Paths of a synthetic corpus, its conversion, and a tiny network trained on it."""
    import train
    from src.imdb import read_reviews
    from src.sample_data import write_sample_corpus
    from src.tokenizer import tokenize

    folder = tmp_path_factory.mktemp("trained")
    corpus, prepared, outputs = folder / "aclImdb", folder / "preprocess", folder / "outputs"
    write_sample_corpus(corpus)
    tokens = {token for review in read_reviews(corpus, "train") for token in tokenize(review.text)}
    glove = write_sample_glove(folder / "glove", 50, sorted(tokens))  # the same in every run, and quick
    options = {"aclimdb_path": corpus, "glove_path": glove, "preprocess_path": prepared, "ckpt_path": outputs}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    result = train.main(["--preset", "tiny", "--device_target", "CPU", *arguments])
    best = outputs / "lstm_best.ckpt"
    return SimpleNamespace(
        folder=folder, corpus=corpus, glove=glove, prepared=prepared, outputs=outputs, best=best, result=result
    )


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory):
    """40 synthetic reviews in each split."""
    from src.sample_data import write_sample_corpus

    folder = tmp_path_factory.mktemp("corpus") / "aclImdb"
    write_sample_corpus(folder, 40)
    return folder
