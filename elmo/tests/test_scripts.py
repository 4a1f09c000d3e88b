"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "script"
LM1B = "1-billion-word-language-modeling-benchmark-r13output"

STUB = """#!/usr/bin/env bash
printf '%s\\n' "$PWD" "$(basename "$0")" "$@" > "$CALLS"
"""


def run(folder, script, *arguments, **variables):
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    call = ["bash", str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(call, cwd=folder, env={**keep, **variables}, capture_output=True, text=True, timeout=300)


@pytest.fixture
def stub(tmp_path):
    """A folder with converted text and a checkpoint, and the variables of a stand-in for Python."""
    folder = tmp_path / "my work"
    (folder / "text").mkdir(parents=True)
    (folder / "best.ckpt").touch()
    for name in ("python", "msrun"):
        (tmp_path / name).write_text(STUB, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return folder, {"PYTHON": str(tmp_path / "python"), "CALLS": str(tmp_path / "calls"), "FOREGROUND": "1"}


def test_all_scripts_are_here():
    kinds = ("train", "eval", "distribute_train", "performance")
    expected = {f"run_{kind}_{device}.sh" for kind in kinds for device in ("ascend", "gpu", "cpu")}
    expected |= {"run_distribution.sh", "convert_dataset.sh", "build_vocab.sh", "download_dataset.sh", "common.sh"}
    assert {path.name for path in SCRIPTS.glob("*.sh")} == expected
    for name in expected - {"common.sh"}:
        done = run(SCRIPTS, name, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: bash {name} "), name
        assert run(SCRIPTS, name).returncode == 2


@pytest.mark.parametrize(
    ("script", "arguments", "device", "inputs"),
    [
        ("run_train_gpu.sh", "3 text", "GPU", "device_id preprocess_path"),
        ("run_train_ascend.sh", "3 text", "Ascend", "device_id preprocess_path"),
        ("run_train_cpu.sh", "text", "CPU", "preprocess_path"),
        ("run_performance_cpu.sh", "0 text", "CPU", "device_id preprocess_path"),
        ("run_eval_cpu.sh", "text best.ckpt", "CPU", "preprocess_path ckpt_path"),
        ("run_eval_gpu.sh", "3 text best.ckpt", "GPU", "device_id preprocess_path ckpt_path"),
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


@pytest.mark.parametrize("call", ["run_distribute_train_cpu.sh", "run_distribution.sh CPU"])
def test_distributed_training_goes_through_msrun(stub, call):
    folder, variables = stub
    script, *device = call.split()
    assert run(folder, script, *device, "2", "text", **variables).returncode == 0
    words = Path(variables["CALLS"]).read_text(encoding="utf-8").splitlines()
    assert words[1] == "msrun" and "--worker_num=2" in words
    assert words[words.index("--preprocess_path") + 1] == f"{folder}/text"


def test_wrong_arguments_get_one_line(stub):
    folder, variables = stub
    for script, arguments, words in (
        ("run_train_cpu.sh", ["lost"], "PREPROCESS_DIR: there is no folder 'lost'"),
        ("run_eval_cpu.sh", ["text", "lost.ckpt"], "CKPT: there is no file 'lost.ckpt'"),
        ("run_distribution.sh", ["TPU", "2", "text"], "unknown device 'TPU'"),
        ("convert_dataset.sh", ["lost", "out"], "there is no file or folder 'lost'"),
    ):
        done = run(folder, script, *arguments, **variables)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_from_raw_text_to_a_score(texts, tmp_path):
    variables = {"PYTHON": sys.executable, "FOREGROUND": "1"}
    (tmp_path / "raw").symlink_to(texts)
    conversion = {"VALID": "0.05", "HELDOUT": "0.05", "MIN_COUNT": "1"}
    done = run(tmp_path, "convert_dataset.sh", "raw", "made", "tiny", **variables, **conversion)
    assert done.returncode == 0, done.stderr
    assert "360 documents" in done.stdout and "<UNK>" in done.stdout
    done = run(tmp_path, "run_train_cpu.sh", "made", "--", "--preset", "tiny", "--max_steps", "20", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch: 1 step: 20, loss is " in (tmp_path / "log.txt").read_text(encoding="utf-8")
    done = run(tmp_path, "run_eval_cpu.sh", "made", "outputs/elmo_best.ckpt", **variables)
    assert done.returncode == 0 and "perplexity both" in done.stdout
    names = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "rank_")))
    assert names == ["eval_log.txt", "log.txt", "made", "outputs", "raw"]


def test_vocabulary_of_any_text(tmp_path):
    (tmp_path / "text.txt").write_text("b a b\nc b a", encoding="utf-8")
    done = run(tmp_path, "build_vocab.sh", "text.txt", "v.txt", "--", "--min_count", "2", PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "v.txt").read_text(encoding="utf-8") == "<S>\n</S>\n<UNK>\nb\na\n"


def test_download_is_checked_and_unpacked(tmp_path):
    part = tmp_path / LM1B / "training-monolingual.tokenized.shuffled"
    part.mkdir(parents=True)
    (part / "news.en-00001-of-00100").write_text("A sentence .\n", encoding="utf-8")
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / LM1B, LM1B)
    variables = {"LM1B_URL": archive.as_uri(), "LM1B_SHA256": hashlib.sha256(archive.read_bytes()).hexdigest()}
    done = run(tmp_path, "download_dataset.sh", "wrong", **{**variables, "LM1B_SHA256": "0" * 64})
    assert done.returncode == 1 and "wrong sha256 checksum" in done.stderr and not list((tmp_path / "wrong").iterdir())
    done = run(tmp_path, "download_dataset.sh", "data", **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / LM1B / part.name / "news.en-00001-of-00100").is_file()
    assert "is there already" in run(tmp_path, "download_dataset.sh", "data", **variables).stdout
