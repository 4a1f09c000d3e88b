"""Training on the synthetic corpus: it learns, resumes to the bit, and says clearly what is in its way."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import train
from src.model_utils.checkpoint import load_checkpoint
from src.model_utils.runtime import UserError


def options(trained, folder, **changes):
    settings = {
        "preset": "tiny",
        "device_target": "CPU",
        "preprocess_path": trained.prepared,
        "ckpt_path": folder,
        "num_epochs": 2,
        "batch_size": 16,
        "max_length": 19,
        "hidden_size": 16,
        "dropout": 0.3,
        **changes,
    }
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def test_it_learns(trained):
    assert trained.result["best_valid_bleu"] > 95 and trained.result["valid_perplexity"] < 1.5
    records = [json.loads(line) for line in (trained.outputs / "metrics.jsonl").read_text().splitlines()]
    assert records[0]["loss"] > 5 * records[-1]["train_loss"]
    names = {path.name for path in trained.outputs.iterdir()}
    assert {"gru_seq2seq_best.ckpt", "config.yaml", "curves.png", "metrics.jsonl"} <= names
    for name in ("tokenizer.json", "sentencepiece.model"):
        assert (trained.outputs / name).read_bytes() == (trained.prepared / name).read_bytes()


def test_resumed_training_ends_in_the_same_weights(trained, without_validation, tmp_path, capsys):
    settings = {"subword_sampling": 0.3, "preprocess_path": without_validation, "keep_checkpoint_max": 0}
    settings["decoder_layers"] = 1  # compiles faster
    train.main(options(trained, tmp_path / "whole", **settings))
    train.main(options(trained, tmp_path / "parts", save_checkpoint_steps=3, **settings))
    names = sorted(path.name for path in (tmp_path / "parts").glob("gru_seq2seq-*.ckpt"))
    assert names[0] == "gru_seq2seq-1_3.ckpt", "the middle of an epoch"
    for name in names[1:]:
        (tmp_path / "parts" / name).unlink()
    with pytest.raises(UserError, match="holds an earlier training"):
        train.main(options(trained, tmp_path / "parts", **settings))
    places = {"device_target": "CPU", "preprocess_path": without_validation, "ckpt_path": tmp_path / "parts"}
    base = [word for key, value in places.items() for word in (f"--{key}", str(value))]
    with pytest.raises(UserError, match="--resume continues with dropout 0.3"):
        train.main([*base, "--resume", "--dropout", "0.1"])
    train.main([*base, "--resume"])
    assert f"resumed from {tmp_path / 'parts' / names[0]}" in capsys.readouterr().out
    last = sorted(path.name for path in (tmp_path / "whole").glob("gru_seq2seq-2_*.ckpt"))[-1]
    whole, parts = (load_checkpoint(tmp_path / run / last)[0] for run in ("whole", "parts"))
    assert whole.keys() == parts.keys() and any(name.startswith("average.") for name in whole)
    for name, parameter in whole.items():
        np.testing.assert_array_equal(parts[name].asnumpy(), parameter.asnumpy(), err_msg=name)


def test_performance_and_pre_trained(trained, tmp_path, exit_of):
    arguments = options(trained, tmp_path, performance_steps=3, hidden_size=64)
    result = train.main([*arguments, "--pre_trained", str(trained.best)])
    assert result["steps"] == 3 and result["tokens_per_second"] > 0
    assert not list(tmp_path.iterdir()), "it leaves nothing"
    shutil.copytree(trained.outputs, tmp_path / "other")
    path = tmp_path / "other/tokenizer.json"
    path.write_text(path.read_text().replace("false", "true"))
    code, _, error = exit_of(train.main, *arguments, "--pre_trained", tmp_path / "other/gru_seq2seq_best.ckpt")
    assert code == 2 and "its tokenizers are not those of" in error


def test_the_other_direction_with_words(trained, tmp_path, capsys):
    pytest.importorskip("spacy")
    words = {"tokenizer": "spacy", "tied_embeddings": "decoder", "source": "en", "target": "de", "lowercase": "true"}
    words.update(data_dir=trained.corpus, preprocess_path=tmp_path / "words", num_epochs=1, decoder_layers=1)
    result = train.main(options(trained, tmp_path / "outputs", **words))
    assert 0 <= result["valid_bleu"] <= 100
    assert "vocabulary: " in capsys.readouterr().out
    assert {"vocab.de.json", "vocab.en.json"} <= {path.name for path in (tmp_path / "outputs").iterdir()}


def test_overwriting_waits_for_all_checks(trained, tmp_path, exit_of):
    outputs = tmp_path / "outputs"
    shutil.copytree(trained.outputs, outputs)
    (tmp_path / "other.ckpt").write_bytes(b"")
    before = {path.name: path.read_bytes() for path in outputs.iterdir()}
    place = ["--overwrite", "--device_target", "CPU", "--ckpt_path", outputs, "--preprocess_path", trained.prepared]
    for mistake, message in (
        (["--data_dir", tmp_path / "mistyped"], "mistyped: no such folder"),
        (["--preset", "tiny", "--max_length", "2"], "raise --max_length"),
        (["--preset", "tiny", "--pre_trained", tmp_path / "mistyped.ckpt"], "mistyped.ckpt: no such checkpoint file"),
        (["--preset", "tiny", "--pre_trained", trained.best, "--embed_size", "8"], "has shape"),
    ):
        code, _, error = exit_of(train.main, *mistake, *place)
        assert code == 2 and message in error, error
        assert {path.name: path.read_bytes() for path in outputs.iterdir()} == before


def test_bad_data_ends_with_one_line(trained, tmp_path, exit_of):
    place = ["--device_target", "CPU", "--ckpt_path", tmp_path]
    code, _, error = exit_of(train.main, "--data_dir", tmp_path / "none", *place)
    assert code == 2 and error.startswith(f"error: {tmp_path / 'none'}: no such folder; check --data_dir")
    code, _, error = exit_of(train.main, *options(trained, tmp_path / "a", vocab_size=99))
    assert code == 2 and "was prepared with vocab_size 150, the configuration says 99" in error
    code, _, error = exit_of(train.main, *options(trained, tmp_path / "b", max_length=2))
    assert code == 2 and "raise --max_length" in error
