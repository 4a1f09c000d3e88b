"""Makes `src` and the entry points importable wherever pytest is started from, and what several tests share."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from shared_fixtures import by_two_ranks, exit_of, kernels_as_at_the_start, run_exported  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True, scope="session")
def graph_mode():
    """Cells that a test calls itself run as they do in the programs."""
    from src.model_utils.runtime import init_device

    init_device("CPU")


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A tiny biLM of random weights in the published format and as a checkpoint, and sentences for it."""
    import numpy as np
    from mindspore import Parameter, Tensor

    from src.model_options import load_options, save_options
    from src.model_utils.checkpoint import save_checkpoint
    from src.published_weights import layout, read_weights, write_weights

    folder = tmp_path_factory.mktemp("published")
    options, random, parameters = load_options("tiny"), np.random.default_rng(8), {}
    for names, shape in layout(options).values():
        shape = (shape[0] // len(names), *shape[1:])
        scale = 1.0 if "char_embed" in names[0] else 0.25
        for name in names:
            parameters[name] = random.normal(0, scale, shape).astype(np.float32)
    weights = folder / "weights.hdf5"
    write_weights(weights, parameters, options)
    save_options(folder / "options.json", options)
    ckpt = folder / "weights.ckpt"
    save_checkpoint(ckpt, [Parameter(Tensor(v), name=n) for n, v in read_weights(weights, options).items()])
    lines = [
        "The film was far too long .",
        "Never !",
        "诗 and Größe are words of other languages , and this sentence is longer than the steps of one graph by far .",
        "I saw the film twice .",
        "antidisestablishmentarianism is-a-word-of-more-than-fifty-bytes-which-is-cut-somewhere",
    ]
    text = folder / "text.txt"
    text.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    sentences = [line.split() for line in lines]
    return SimpleNamespace(
        folder=folder, weights=weights, ckpt=ckpt, options=options, lines=lines, sentences=sentences, text=text
    )


@pytest.fixture(scope="session")
def elmo_fixture():
    """The published test weights, sentences and embeddings in the folder that ELMO_FIXTURE names."""
    folder = os.environ.get("ELMO_FIXTURE")
    if not folder:
        pytest.skip("ELMO_FIXTURE does not name the folder of the published fixture")
    folder = Path(folder)
    sentences = json.loads((folder / "sentences_0.json").read_text(encoding="utf-8"))
    return SimpleNamespace(
        weights=folder / "lm_weights.hdf5",
        embeddings=folder / "lm_embeddings_0.hdf5",
        sentences=[sentence.split() for sentence in sentences],
        lines=sentences,
    )


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A folder of 400 synthetic documents of raw text."""
    from src.sample_data import write_sample_corpus

    folder = tmp_path_factory.mktemp("texts")
    write_sample_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def prepared(texts, tmp_path_factory):
    """The same as tokenized text, vocabulary and MindRecord of several shards."""
    from src.data.division import divide
    from src.data.reader import convert
    from src.data.tokenizer import read_documents
    from src.data.vocabulary import build_vocabulary

    folder = tmp_path_factory.mktemp("prepared")
    divide(texts, folder, 0.05, 0.05, seed=0)
    vocabulary, _ = build_vocabulary(read_documents(folder / "train.txt", "whitespace"), min_count=1)
    vocabulary.save(folder / "vocab.txt")
    for part in ("train", "valid", "heldout"):
        convert(folder / f"{part}.txt", folder / f"{part}.mindrecord", vocabulary, 50, "whitespace", 12000)
    return folder


@pytest.fixture(scope="session")
def without_validation(prepared, tmp_path_factory):
    """The converted text without the part that validations read: their graph takes seconds to compile."""
    folder = tmp_path_factory.mktemp("without_validation") / "text"
    return shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns("valid.*"))


@pytest.fixture(scope="session")
def small_options(tmp_path_factory):
    """Path of the options of a biLM with dropout whose graph is small."""
    from src.model_options import PRESET_FOLDER

    content = json.loads((PRESET_FOLDER / "tiny.json").read_text(encoding="utf-8"))
    content["lstm"]["n_layers"] = 1
    content["char_cnn"]["filters"] = [[1, 8], [2, 8]]
    path = tmp_path_factory.mktemp("options") / "options.json"
    path.write_text(json.dumps({**content, "dropout": 0.2, "unroll_steps": 3}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(prepared, tmp_path_factory):
    """Paths of the converted text and of a tiny biLM trained on it."""
    import train

    outputs = tmp_path_factory.mktemp("trained")
    options = {"data_url": prepared, "train_url": outputs, "epoch_num": 2, "short_words_multiple": 128}
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    result = train.main(["--preset", "tiny", "--device_target", "CPU", *arguments])
    return SimpleNamespace(prepared=prepared, outputs=outputs, best=outputs / "elmo_best.ckpt", result=result)
