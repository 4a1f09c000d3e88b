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
    """A synthetic corpus in TIMIT's layout: 8 training and 2 test speakers, 8 sentences each, of which 2 are SA."""
    from src.sample_data import write_sample_corpus

    folder = tmp_path_factory.mktemp("corpus") / "TIMIT"
    write_sample_corpus(folder, 8, 2)
    return folder


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """Paths of the corpus, its features, and a tiny network trained on them."""
    import train

    folder = tmp_path_factory.mktemp("trained")
    prepared, outputs = folder / "preprocess", folder / "outputs"
    options = {"data_path": corpus, "preprocess_path": prepared, "ckpt_path": outputs, "num_epoches": 20}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    result = train.main(["--preset", "tiny", "--device_target", "CPU", *arguments])
    best = outputs / "ctc_lstm_best.ckpt"
    return SimpleNamespace(folder=folder, corpus=corpus, prepared=prepared, outputs=outputs, best=best, result=result)


@pytest.fixture(scope="session")
def without_validation(trained):
    """The prepared features without valid: a training that does not recognise compiles less."""
    folder = trained.folder / "without_validation"
    return shutil.copytree(trained.prepared, folder, ignore=shutil.ignore_patterns("valid.mindrecord*"))


@pytest.fixture(scope="session")
def settings():
    """The configuration of the preset tiny, free to copy and change."""
    from easydict import EasyDict

    from src.config import ctc_cfg, presets

    return EasyDict({**ctc_cfg, **presets["tiny"]})


@pytest.fixture(scope="session")
def audio(trained):
    """Paths of the test utterances of the corpus of `trained`."""
    return sorted(trained.corpus.glob("TEST/*/*/S[XI]*.WAV"))
