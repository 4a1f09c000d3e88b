"""Training on the synthetic corpus: it learns, resumes bit for bit, and reports bad data in one line."""

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
        "num_epoches": 2,
        "dropout": 0.3,
        "freq_masks": 1,
        "feature_noise": 0.1,
        "num_buckets": 1,
        **changes,
    }
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def test_it_learns(trained):
    assert trained.result["best_valid_per"] < 0.1
    records = [json.loads(line) for line in (trained.outputs / "metrics.jsonl").read_text().splitlines()]
    assert records[0]["loss"] > 5 * records[-1]["train_loss"]
    names = {path.name for path in trained.outputs.iterdir()}
    assert {"ctc_lstm_best.ckpt", "config.yaml", "vocab.json", "ngram.json", "curves.png", "metrics.jsonl"} <= names
    vocabulary = json.loads((trained.outputs / "vocab.json").read_text())
    assert vocabulary[0] == "<blank>" and "sil" in vocabulary and "tcl" not in vocabulary, "the 39 phones"


def test_resumed_training_ends_in_the_same_weights(trained, without_validation, tmp_path, capsys):
    settings = {"preprocess_path": without_validation}
    train.main(options(trained, tmp_path / "whole", **settings))
    train.main(options(trained, tmp_path / "parts", save_checkpoint_steps=3, **settings))
    names = sorted(path.name for path in (tmp_path / "parts").glob("ctc_lstm-*.ckpt"))
    for name in names[1:]:  # back to the middle of an epoch
        (tmp_path / "parts" / name).unlink()
    assert not names[0].endswith("_0.ckpt")
    with pytest.raises(UserError, match="holds an earlier training"):
        train.main(options(trained, tmp_path / "parts", **settings))
    base = [
        "--device_target",
        "CPU",
        "--preprocess_path",
        str(without_validation),
        "--ckpt_path",
        str(tmp_path / "parts"),
    ]
    with pytest.raises(UserError, match="--resume continues with dropout 0.3"):
        train.main([*base, "--resume", "--dropout", "0.1"])
    train.main([*base, "--resume"])
    assert f"resumed from {tmp_path / 'parts' / names[0]}" in capsys.readouterr().out
    last = sorted(path.name for path in (tmp_path / "whole").glob("ctc_lstm-2_*.ckpt"))[-1]
    whole, parts = (load_checkpoint(tmp_path / run / last)[0] for run in ("whole", "parts"))
    assert whole.keys() == parts.keys() and any("norms.0.mean" in name for name in whole)
    for name, parameter in whole.items():
        np.testing.assert_array_equal(parts[name].asnumpy(), parameter.asnumpy(), err_msg=name)


def test_performance_and_pre_trained(trained, tmp_path, exit_of):
    arguments = options(trained, tmp_path, performance_steps=3)
    result = train.main([*arguments, "--pre_trained", str(trained.best)])
    assert result["steps"] == 3 and result["tokens_per_second"] > 0
    shutil.copytree(trained.outputs, tmp_path / "other")
    (tmp_path / "other/vocab.json").write_text('["<blank>", "x"]')
    code, _, error = exit_of(train.main, *arguments, "--pre_trained", tmp_path / "other/ctc_lstm_best.ckpt")
    assert code == 2 and "not the labels of" in error


def test_nothing_is_deleted_before_the_data_are_checked(trained, tmp_path, exit_of):
    folder = shutil.copytree(trained.outputs, tmp_path / "outputs")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    arguments = options(trained, folder, preprocess_path=tmp_path / "preprocess")
    code, _, error = exit_of(train.main, *arguments, "--overwrite", "--data_path", tmp_path / "mistyped")
    assert code == 2 and "mistyped: no such folder" in error
    code, _, error = exit_of(train.main, *options(trained, folder), "--overwrite", "--pre_trained", tmp_path / "a.ckpt")
    assert code == 2 and "a.ckpt: no such checkpoint file" in error
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_bad_data_ends_with_one_line(trained, tmp_path, exit_of):
    code, _, error = exit_of(
        train.main, "--data_path", tmp_path / "none", "--device_target", "CPU", "--ckpt_path", tmp_path
    )
    assert code == 2 and error == f"error: {tmp_path / 'none'}: no such folder; check --data_path\n"
    code, _, error = exit_of(train.main, *options(trained, tmp_path / "a", front_end="stack-9"))
    assert code == 2 and "too short for its labels" in error and "front_end stack-9" in error
    code, _, error = exit_of(train.main, *options(trained, tmp_path / "b", num_mels=30))
    assert code == 2 and "was prepared with num_mels 20, the configuration says 30" in error
