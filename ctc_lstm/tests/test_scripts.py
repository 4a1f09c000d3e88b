"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import soundfile
from script_contract import ScriptContract, run


class TestScripts(ScriptContract):
    inputs = {"data_path": "TIMIT"}
    files = ("prepared/fingerprint.json",)
    options = [
        ("run_train_gpu.sh", "3 TIMIT", "GPU", "device_id data_path"),
        ("run_train_cpu.sh", "TIMIT", "CPU", "data_path"),
        ("run_performance_cpu.sh", "0 TIMIT", "CPU", "device_id data_path"),
        ("run_eval_cpu.sh", "TIMIT best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_cpu.sh", "prepared best.ckpt", "CPU", "preprocess_path ckpt_path"),
        ("run_eval_gpu.sh", "3 TIMIT best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 prepared best.ckpt", "Ascend", "device_id preprocess_path ckpt_path"),
    ]


def test_from_a_corpus_to_a_score(corpus, tmp_path):
    variables = {"PYTHON": sys.executable, "FOREGROUND": "1"}
    options = ["--preset", "tiny", "--num_epoches", "1", "--num_buckets", "1", "--hidden_size", "8"]
    done = run(tmp_path, "run_train_cpu.sh", corpus, "--", *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch: 1 step: 5, loss is " in (tmp_path / "log.txt").read_text(encoding="utf-8")
    done = run(tmp_path, "run_eval_cpu.sh", "preprocess", "outputs/ctc_lstm_best.ckpt", **variables)
    assert done.returncode == 0 and "error rate" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "rank_"))) == [
        "eval_log.txt",
        "log.txt",
        "outputs",
        "preprocess",
    ]


def test_digit_strings_from_recordings(tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for take in (0, 5, 45):
        tone = 0.2 * np.sin(np.arange(2000) * (take + 1) / 9)
        soundfile.write(recordings / f"3_ann_{take}.wav", tone, 8000)
    options = ["--", "--train", "2", "--valid", "1", "--test", "1"]
    done = run(tmp_path, "prepare_fsdd.sh", "out", "recordings", *options, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert "holds 3 recordings and not the 3000" in done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.jsonl")} == {"train.jsonl", "valid.jsonl", "test.jsonl"}
    done = run(tmp_path, "prepare_fsdd.sh", "out", "lost", PYTHON=sys.executable)
    assert done.returncode == 2 and "there is no folder" in done.stderr
    assert run(tmp_path, "prepare_fsdd.sh").returncode == 2

    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    recordings.rename(tmp_path / "repository/recordings")
    git = ["git", "-C", str(tmp_path / "repository"), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "recordings"], check=True)
    source = (tmp_path / "repository").as_uri()
    done = run(tmp_path, "prepare_fsdd.sh", "cloned", *options, PYTHON=sys.executable, FSDD_URL=source)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cloned/fsdd/recordings/3_ann_0.wav").is_file()
    made = [(tmp_path / folder / "train.jsonl").read_bytes() for folder in ("out", "cloned")]
    assert made[0] == made[1]


def test_corpus_is_counted(corpus):
    done = run(corpus.parent, "download_dataset.sh", ".")
    assert (
        done.returncode == 0 and "80 audio and 80 .PHN files" in done.stdout and "a part of the corpus" in done.stdout
    )
    done = run(corpus, "download_dataset.sh", ".")
    assert done.returncode == 2 and "LDC93S1" in done.stderr
