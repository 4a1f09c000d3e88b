"""The shell scripts, with a stand-in for Python that writes down how it was called."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "script"
RUN_SCRIPTS = sorted(SCRIPTS.glob("run_*.sh"))

STUB = """#!/usr/bin/env bash
{ printf '%s\\n' "$PWD" "$(basename "$0")" "$@"; } > "$CALLS.unfinished"
mv "$CALLS.unfinished" "$CALLS"
echo "epoch: 1 step: 390, loss is 0.6003723"
echo "to standard error" >&2
[ -z "${STUB_SLEEP:-}" ] || exec sleep "$STUB_SLEEP"
exit "${STUB_CODE:-0}"
"""


class Caller:
    """Somebody who calls the scripts from a folder with a space in its name."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "my work"
        self.bin = place / "a venv" / "bin"
        self.calls = place / "calls"
        for folder in ("data", "other"):
            (self.folder / folder).mkdir(parents=True)
        (self.folder / "data/test.char.bmes").touch()
        (self.folder / "best.ckpt").touch()
        self.bin.mkdir(parents=True)
        for name in ("python", "msrun"):
            (self.bin / name).write_text(STUB, encoding="utf-8")
            (self.bin / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        environment = {**keep, "PYTHON": str(self.bin / "python"), "CALLS": str(self.calls), **variables}
        call = ["bash", str(SCRIPTS / script), *arguments]
        return subprocess.run(call, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)

    def called(self) -> list[str]:
        """Folder, name and arguments of the program, which may still be starting in the background."""
        deadline = time.monotonic() + 30
        while not self.calls.exists():
            assert time.monotonic() < deadline, "the program was never called"
            time.sleep(0.01)
        return self.calls.read_text(encoding="utf-8").splitlines()

    def options(self) -> dict[str, str]:
        """The program's options; those without a value have the value ''."""
        words, options = self.called()[3:], {}
        for word, following in zip(words, [*words[1:], "--"]):
            if word.startswith("--"):
                options[word] = "" if following.startswith("--") else following
        return options


@pytest.fixture
def caller(tmp_path):
    return Caller(tmp_path)


def test_all_scripts_of_the_model_zoo_are_here():
    kinds = ("train", "eval", "distribute_train", "performance")
    expected = {f"run_{kind}_{device}.sh" for kind in kinds for device in ("ascend", "gpu", "cpu")}
    assert {path.name for path in RUN_SCRIPTS} == expected


@pytest.mark.parametrize("script", [path.name for path in RUN_SCRIPTS])
def test_usage(caller, script):
    asked, bare = caller.run(script, "--help"), caller.run(script)
    assert asked.returncode == 0 and asked.stdout.startswith(f"Usage: bash {script} ") and not asked.stderr
    assert bare.returncode == 2 and bare.stderr == asked.stdout and not bare.stdout
    assert not caller.calls.exists()


@pytest.mark.parametrize(
    ("script", "arguments", "device", "inputs"),
    [
        ("run_train_gpu.sh", "3 data", "GPU", "device_id data_path"),
        ("run_train_gpu.sh", "3 ./data", "GPU", "device_id data_path"),
        ("run_train_ascend.sh", "3 data", "Ascend", "device_id data_path"),
        ("run_train_cpu.sh", "data", "CPU", "data_path"),
        ("run_train_cpu.sh", "3 data", "CPU", "device_id data_path"),
        ("run_performance_gpu.sh", "3 data", "GPU", "device_id data_path"),
        ("run_performance_ascend.sh", "3 data", "Ascend", "device_id data_path"),
        ("run_performance_cpu.sh", "data", "CPU", "data_path"),
        ("run_eval_gpu.sh", "3 data best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_cpu.sh", "data/test.char.bmes best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_cpu.sh", "3 data best.ckpt", "CPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 data best.ckpt", "Ascend", "device_id data_path ckpt_path"),
    ],
)
def test_arguments_become_options(caller, script, arguments, device, inputs):
    done = caller.run(script, *arguments.split(), "--", "--extra", "a b", FOREGROUND="1")
    assert done.returncode == 0, done.stderr
    program = "eval.py" if "eval" in script else "train.py"
    assert caller.called()[:3] == [str(caller.folder), "python", str(SCRIPTS.parent / program)]
    expected = {"--device_target": device, "--extra": "a b"}
    if program == "train.py":
        expected["--ckpt_path"] = str(caller.folder / "outputs")
    if "performance" in script:
        expected["--performance_steps"] = "100"
    for name, value in zip(inputs.split(), arguments.split()):
        expected[f"--{name}"] = value if name == "device_id" else str(caller.folder / value)
    assert caller.options() == expected


@pytest.mark.parametrize("device", ["Ascend", "GPU", "CPU"])
def test_distributed_training_goes_through_msrun(caller, device):
    script = f"run_distribute_train_{device.lower()}.sh"
    done = caller.run(script, "2", "data", "--", "--train_epochs", "1", FOREGROUND="1", MASTER_PORT="9000")
    assert done.returncode == 0, done.stderr
    folder, program, *words = caller.called()
    assert (folder, program) == (str(caller.folder), "msrun")
    at = words.index(str(SCRIPTS.parent / "train.py"))
    assert {"--worker_num=2", "--local_worker_num=2", "--master_port=9000", "--join=True"} <= set(words[:at])
    assert f"--log_dir={caller.folder}/msrun_log" in words[:at]
    assert words[at + 1 : at + 5] == ["--distributed", "true", "--device_target", device]
    assert words[at + 5 :][:2] == [
        "--data_path",
        f"{caller.folder}/data",
    ]
    assert words[-2:] == ["--train_epochs", "1"] and "--device_id" not in words


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("run_train_gpu.sh", "0 lost", "DATA_DIR: there is no folder 'lost'"),
        ("run_train_gpu.sh", "0 best.ckpt", "DATA_DIR: there is no folder 'best.ckpt'"),
        ("run_train_gpu.sh", "data", "too few arguments"),
        ("run_train_gpu.sh", "data data", "DEVICE_ID must be a number, not 'data'"),
        ("run_train_gpu.sh", "0 data other", "one argument too many, 'other'"),
        ("run_train_cpu.sh", "x data", "DATA_DIR: there is no folder 'x'"),
        (
            "run_train_cpu.sh",
            "data --train_epochs 3",
            "unknown option '--train_epochs'; options for train.py come after --",
        ),
        ("run_eval_cpu.sh", "data lost.ckpt", "CKPT: there is no file 'lost.ckpt'"),
        ("run_eval_ascend.sh", "0 lost best.ckpt", "DATA_DIR: there is no 'lost'"),
        ("run_distribute_train_cpu.sh", "two data", "WORKERS must be a number, not 'two'"),
        ("run_distribute_train_cpu.sh", "0 data", "WORKERS must be at least 1"),
    ],
)
def test_wrong_arguments_get_one_line(caller, script, arguments, words):
    done = caller.run(script, *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert not caller.calls.exists() and not (caller.folder / "log.txt").exists()


def test_paths_given_absolutely_stay_as_they_are(caller):
    data = caller.folder / "data"
    caller.run("run_train_cpu.sh", str(data), FOREGROUND="1", CKPT_DIR="/tmp/x", PREPROCESS_DIR="some/place")
    options = caller.options()
    assert options["--data_path"] == str(data)
    assert options["--ckpt_path"] == "/tmp/x"
    assert "--preprocess_path" not in options


@pytest.mark.parametrize(
    ("script", "log"), [("run_train_cpu.sh", "log.txt"), ("run_performance_cpu.sh", "performance_log.txt")]
)
def test_in_front_the_output_is_shown_and_logged_and_the_exit_code_kept(caller, script, log):
    done = caller.run(script, "data", FOREGROUND="1", STUB_CODE="7")
    assert done.returncode == 7
    assert done.stdout == (caller.folder / log).read_text(encoding="utf-8")
    assert "epoch: 1 step: 390, loss is 0.6003723\n" in done.stdout and "to standard error" in done.stdout


def test_evaluation_is_in_front_and_leaves_the_log_of_training_alone(caller):
    (caller.folder / "log.txt").write_text("kept", encoding="utf-8")
    done = caller.run("run_eval_cpu.sh", "data", "best.ckpt", STUB_CODE="2")
    assert done.returncode == 2 and "loss is" in (caller.folder / "eval_log.txt").read_text(encoding="utf-8")
    assert (caller.folder / "log.txt").read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize("script", ["run_train_cpu.sh", "run_distribute_train_cpu.sh"])
def test_training_runs_in_the_background_and_says_where(caller, script):
    arguments = ["2", "data"] if "distribute" in script else ["data"]
    done = caller.run(script, *arguments, STUB_SLEEP="60")
    log = caller.folder / "log.txt"
    assert done.returncode == 0 and f"log {log}\n" in done.stdout
    process = int(done.stdout.split("process ")[1].split(",")[0])
    try:
        caller.called()
        os.kill(process, 0)  # raises if the process has ended with the script
        deadline = time.monotonic() + 30
        while "loss is" not in log.read_text(encoding="utf-8") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "epoch: 1 step: 390, loss is 0.6003723\n" in log.read_text(encoding="utf-8")
    finally:
        os.kill(process, signal.SIGTERM)


def test_interpreter_of_the_active_environment_is_the_default(caller):
    done = caller.run("run_eval_cpu.sh", "data", "best.ckpt", PYTHON="", VIRTUAL_ENV=str(caller.bin.parent))
    assert done.returncode == 0 and caller.called()[1] == "python"


def test_missing_interpreter_and_msrun_get_one_line(caller):
    done = caller.run("run_train_cpu.sh", "data", PYTHON="/nowhere/python")
    assert done.returncode == 2 and "there is no Python at '/nowhere/python'" in done.stderr
    (caller.bin / "msrun").unlink()
    done = caller.run("run_distribute_train_cpu.sh", "2", "data")
    assert done.returncode == 2 and "there is no msrun beside" in done.stderr and done.stderr.count("\n") == 1


def test_a_log_that_cannot_be_written_gets_one_line(caller):
    (caller.folder / "log.txt").mkdir()
    done = caller.run("run_train_cpu.sh", "data")
    assert done.returncode == 2 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
