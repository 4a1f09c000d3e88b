"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

SCRIPTS = Path(__file__).resolve().parents[1] / "script"

STUB = """#!/usr/bin/env bash
printf '%s\\n' "$PWD" "$(basename "$0")" "$@" > "$CALLS"
"""


def run(folder, script, *arguments, **variables):
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    call = ["bash", str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(call, cwd=folder, env={**keep, **variables}, capture_output=True, text=True, timeout=300)


@pytest.fixture
def stub(tmp_path):
    """A folder with a corpus, features and a checkpoint, and the variables of a stand-in for Python."""
    folder = tmp_path / "my work"
    for name in ("TIMIT/TRAIN", "prepared"):
        (folder / name).mkdir(parents=True)
    (folder / "prepared/fingerprint.json").touch()
    (folder / "best.ckpt").touch()
    for name in ("python", "msrun"):
        (tmp_path / name).write_text(STUB, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return folder, {"PYTHON": str(tmp_path / "python"), "CALLS": str(tmp_path / "calls"), "FOREGROUND": "1"}


def test_all_scripts_of_the_model_zoo_are_here():
    kinds = ("train", "eval", "distribute_train", "performance")
    expected = {f"run_{kind}_{device}.sh" for kind in kinds for device in ("ascend", "gpu", "cpu")}
    assert {path.name for path in SCRIPTS.glob("run_*.sh")} == expected
    for name in expected:
        done = run(SCRIPTS, name, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: bash {name} ")


@pytest.mark.parametrize(
    ("script", "arguments", "device", "inputs"),
    [
        ("run_train_gpu.sh", "3 TIMIT", "GPU", "device_id data_path"),
        ("run_train_ascend.sh", "3 TIMIT", "Ascend", "device_id data_path"),
        ("run_train_cpu.sh", "TIMIT", "CPU", "data_path"),
        ("run_performance_cpu.sh", "0 TIMIT", "CPU", "device_id data_path"),
        ("run_eval_cpu.sh", "TIMIT best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_cpu.sh", "prepared best.ckpt", "CPU", "preprocess_path ckpt_path"),
        ("run_eval_gpu.sh", "3 TIMIT best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 prepared best.ckpt", "Ascend", "device_id preprocess_path ckpt_path"),
    ],
)
def test_arguments_become_options(stub, script, arguments, device, inputs):
    folder, variables = stub
    done = run(folder, script, *arguments.split(), "--", "--seed", "4", **variables)
    assert done.returncode == 0, done.stderr
    where, program, path, *words = Path(variables["CALLS"]).read_text(encoding="utf-8").splitlines()
    assert (where, program) == (str(folder), "python")
    assert path == str(SCRIPTS.parent / ("eval.py" if "eval" in script else "train.py"))
    found = dict(zip(words[::2], words[1::2]))
    assert found["--device_target"] == device and found["--seed"] == "4"
    for name, value in zip(inputs.split(), arguments.split()):
        assert found[f"--{name}"] == (value if name == "device_id" else str(folder / value))


def test_distributed_training_goes_through_msrun(stub):
    folder, variables = stub
    assert run(folder, "run_distribute_train_cpu.sh", "2", "TIMIT", **variables).returncode == 0
    words = Path(variables["CALLS"]).read_text(encoding="utf-8").splitlines()
    assert (
        words[1] == "msrun"
        and "--worker_num=2" in words
        and ["--data_path", f"{folder}/TIMIT"] == words[words.index("--data_path") :][:2]
    )


def test_wrong_arguments_get_one_line(stub):
    folder, variables = stub
    for script, arguments, words in (
        ("run_train_cpu.sh", ["lost"], "DATA_DIR: there is no folder 'lost'"),
        ("run_eval_cpu.sh", ["TIMIT", "lost.ckpt"], "CKPT: there is no file 'lost.ckpt'"),
        ("run_train_gpu.sh", ["TIMIT"], "too few arguments"),
    ):
        done = run(folder, script, *arguments, **variables)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


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
