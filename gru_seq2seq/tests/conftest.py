"""Makes `src` and the entry points importable wherever pytest is started from, and trains one small model for all."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from shared_fixtures import by_two_ranks, exit_of, kernels_as_at_the_start, run_exported  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A synthetic corpus in Multi30k's layout: 800 pairs in train, 100 in val and in test."""
    from src.sample_data import write_sample_corpus

    folder = tmp_path_factory.mktemp("corpus") / "multi30k"
    write_sample_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def odd_corpus(corpus, tmp_path_factory):
    """The corpus with what NFKC would change in its English: joiners within words, an ellipsis, a no-break space."""
    folder = tmp_path_factory.mktemp("odd") / "multi30k"
    shutil.copytree(corpus, folder)
    for path in folder.glob("*.en"):
        text = path.read_text(encoding="utf-8").replace("sees", "see\u200cs").replace("on the ", "on\xa0the ")
        path.write_text(text.replace(".\n", " \u2026\n"), encoding="utf-8", newline="\n")
    return folder


@pytest.fixture(scope="session")
def trained(odd_corpus, tmp_path_factory):
    """Paths of the corpus, its prepared data, and a tiny network trained on them."""
    import train

    corpus, folder = odd_corpus, tmp_path_factory.mktemp("trained")
    prepared, outputs = folder / "preprocess", folder / "outputs"
    options = {"data_dir": corpus, "preprocess_path": prepared, "ckpt_path": outputs}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    result = train.main(["--preset", "tiny", "--device_target", "CPU", *arguments])
    best = outputs / "gru_seq2seq_best.ckpt"
    return SimpleNamespace(folder=folder, corpus=corpus, prepared=prepared, outputs=outputs, best=best, result=result)


@pytest.fixture(scope="session")
def without_validation(trained):
    """The prepared data without val: a training that does not translate compiles less."""
    folder = trained.folder / "without_validation"
    shutil.copytree(trained.prepared, folder)
    for path in folder.glob("val.mindrecord*"):
        path.unlink()
    return folder


@pytest.fixture
def settings():
    """The configuration of the preset tiny, free to change."""
    from easydict import EasyDict

    from src.config import gru_seq2seq_cfg, presets

    return EasyDict({**gru_seq2seq_cfg, **presets["tiny"]})
