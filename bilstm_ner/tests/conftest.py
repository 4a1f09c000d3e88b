"""Makes `src` and the entry points importable wherever pytest is started from, and trains one small model for all."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from shared_fixtures import by_two_ranks, exit_of, kernels_as_at_the_start, run_exported  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folder of a synthetic corpus."""
    from src.sample_data import write_sample_corpus

    folder = tmp_path_factory.mktemp("corpus") / "sample"
    write_sample_corpus(folder, 160)
    return folder


@pytest.fixture(scope="session")
def prepared(corpus, tmp_path_factory):
    """The synthetic corpus, converted."""
    from easydict import EasyDict

    from src.preparation import load_prepared, prepare

    folder = tmp_path_factory.mktemp("prepared") / "preprocess"
    prepare(corpus, folder, EasyDict(on_bad_input="error"))
    return load_prepared(folder)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Lets nothing be written into the folder of the model, such as ./preprocess."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def trained(corpus, tmp_path_factory):
    """Paths of a tiny CRF trained on the synthetic corpus, and what train.py returned."""
    import train

    folder = tmp_path_factory.mktemp("trained")
    outputs = folder / "outputs"
    options = ["--preset", "tiny", "--device_target", "CPU", "--data_path", str(corpus), "--ckpt_path", str(outputs)]
    options += ["--preprocess_path", str(folder / "preprocess")]
    result = train.main(options)
    return SimpleNamespace(corpus=corpus, outputs=outputs, best=outputs / "bilstm_ner_best.ckpt", result=result)
