"""What the shell scripts of every model do, tested with a stand-in for Python that writes down how it was called.

A test_scripts.py says in a subclass of `ScriptContract` what its model reads:

    class TestScripts(ScriptContract):
        inputs = {"data_path": "corpus"}
        options = [("run_train_gpu.sh", "3 corpus", "GPU", "device_id data_path")]
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "script"
KINDS = ("train", "eval", "distribute_train", "performance")
RUN_SCRIPTS = [f"run_{kind}_{device}.sh" for kind in KINDS for device in ("ascend", "gpu", "cpu")]

# writes down how it was called, and does what the variables say
STUB = """#!/usr/bin/env bash
{ printf '%s\\n' "$PWD" "$(basename "$0")" "$@"; } > "$CALLS.unfinished"
mv "$CALLS.unfinished" "$CALLS"
echo "epoch: 1 step: 390, loss is 0.6003723"
echo "to standard error" >&2
[ -z "${STUB_SLEEP:-}" ] || exec sleep "$STUB_SLEEP"
exit "${STUB_CODE:-0}"
"""

MISTAKES = [  # DATA: the first input, INPUTS: all of them, NAME: what the usage calls the first
    ("run_train_gpu.sh", "0 lost", "NAME: there is no folder 'lost'"),
    ("run_train_gpu.sh", "0 best.ckpt", "NAME: there is no folder 'best.ckpt'"),
    ("run_train_gpu.sh", "0", "too few arguments"),
    ("run_train_gpu.sh", "DATA", "too few arguments"),
    ("run_train_gpu.sh", "DATA INPUTS", "DEVICE_ID must be a number, not 'DATA'"),
    ("run_train_gpu.sh", "0 INPUTS other", "one argument too many, 'other'"),
    ("run_train_cpu.sh", "lost", "NAME: there is no folder 'lost'"),
    ("run_train_cpu.sh", "x INPUTS", "NAME: there is no folder 'x'"),
    ("run_train_cpu.sh", "DATA --epochs 3", "unknown option '--epochs'; options for train.py come after --"),
    ("run_eval_cpu.sh", "INPUTS lost.ckpt", "CKPT: there is no file 'lost.ckpt'"),
    ("run_eval_cpu.sh", "INPUTS DATA", "CKPT: there is no file 'DATA'"),
    ("run_distribute_train_cpu.sh", "two DATA", "WORKERS must be a number, not 'two'"),
    ("run_distribute_train_cpu.sh", "0 DATA", "WORKERS must be at least 1"),
]


def run(folder: Path, script: str, *arguments: object, timeout: int = 300, **variables: str):
    """Call a script from a folder with few environment variables; returns subprocess's CompletedProcess."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    call = ["bash", str(SCRIPTS / script), *map(str, arguments)]
    return subprocess.run(call, cwd=folder, env={**keep, **variables}, capture_output=True, text=True, timeout=timeout)


def code_after_interrupt(command: Sequence[str], folder: Path, began: Path, **variables: str) -> int:
    """Start a command, press Ctrl-C when the file `began` is there, and return the exit code."""

    def heed() -> None:  # a shell that runs tests in the background lets them ignore this signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    environment, quiet = {**os.environ, **variables}, subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=quiet, start_new_session=True, preexec_fn=heed
    )
    deadline = time.monotonic() + 30
    while not began.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    return process.wait(timeout=30)


class Caller:
    """Somebody who calls the scripts, with the stand-in for Python, from a folder with a space in its name."""

    def __init__(self, place: Path, folders: Iterable[str], files: Iterable[str]) -> None:
        self.folder = place / "my work"
        self.bin = place / "a venv" / "bin"
        self.calls = place / "calls"
        for folder in folders:
            (self.folder / folder).mkdir(parents=True)
        for file in files:
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).touch()
        self.bin.mkdir(parents=True)
        for name in ("python", "msrun"):
            (self.bin / name).write_text(STUB, encoding="utf-8")
            (self.bin / name).chmod(0o755)

    def run(self, script: str, *arguments: str, **variables: str):
        stand_in = {"PYTHON": str(self.bin / "python"), "CALLS": str(self.calls)}
        return run(self.folder, script, *arguments, timeout=60, **{**stand_in, **variables})

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


class ScriptContract:
    """The tests that fit every model."""

    inputs: dict[str, str]  # the folders that train.py reads: options, in the order of the scripts' arguments
    files: Sequence[str] = ()  # what else is in the caller's folder, beside best.ckpt
    prepared: Collection[str] = ("train.py", "eval.py")  # the programs that have the option --preprocess_path
    options: Sequence[tuple]  # of calls: script, arguments, their device, names of the options that they become
    mistakes: Sequence[tuple] = ()  # that only this model knows: script, arguments, words of the error
    other_scripts: Collection[str] = ()  # that are called run_*.sh and are this model's own

    @pytest.fixture
    def caller(self, tmp_path) -> Caller:
        return Caller(tmp_path, self.inputs.values(), ("best.ckpt", *self.files))

    def pytest_generate_tests(self, metafunc):
        cases = {"options": self.options, "mistakes": [*MISTAKES, *self.mistakes]}
        for name in cases.keys() & set(metafunc.fixturenames):
            metafunc.parametrize(name, cases[name], ids=lambda case: f"{case[0]} {case[1]}")

    @property
    def data(self) -> str:
        return next(iter(self.inputs.values()))

    def check_msrun(self, caller, device, script, *arguments):
        """A script starts two workers on the model's inputs."""
        arguments = [*arguments, "2", *self.inputs.values(), "--", "--seed", "4"]
        done = caller.run(script, *arguments, FOREGROUND="1", MASTER_PORT="9000")
        assert done.returncode == 0, done.stderr
        folder, program, *words = caller.called()
        assert (folder, program) == (str(caller.folder), "msrun")
        at = words.index(str(SCRIPTS.parent / "train.py"))
        assert {"--worker_num=2", "--local_worker_num=2", "--master_port=9000", "--join=True"} <= set(words[:at])
        assert f"--log_dir={caller.folder}/msrun_log" in words[:at]
        expected = ["--distributed", "true", "--device_target", device]
        for name, value in self.inputs.items():
            expected += [f"--{name}", f"{caller.folder}/{value}"]
        assert words[at + 1 :][: len(expected)] == expected
        assert words[-2:] == ["--seed", "4"] and "--device_id" not in words

    def check_error(self, caller, script, arguments, words):
        """Wrong arguments get one line with these words, and nothing is started or written."""
        done = caller.run(script, *arguments.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ") and words in done.stderr and done.stderr.count("\n") == 1
        assert not caller.calls.exists() and not (caller.folder / "log.txt").exists()

    def test_arguments_become_options(self, caller, options):
        script, arguments, device, names = options
        done = caller.run(script, *arguments.split(), "--", "--extra", "a b", FOREGROUND="1")
        assert done.returncode == 0, done.stderr
        program = "eval.py" if "eval" in script else "train.py"
        assert caller.called()[:3] == [str(caller.folder), "python", str(SCRIPTS.parent / program)]
        expected = {"--device_target": device, "--extra": "a b"}
        if program in self.prepared:
            expected["--preprocess_path"] = str(caller.folder / "preprocess")
        if program == "train.py":
            expected["--ckpt_path"] = str(caller.folder / "outputs")
        if "performance" in script:
            expected["--performance_steps"] = "100"
        for name, value in zip(names.split(), arguments.split()):
            expected[f"--{name}"] = value if name == "device_id" else str(caller.folder / value)
        assert caller.options() == expected

    def test_all_scripts_of_the_model_zoo_are_here(self):
        assert {path.name for path in SCRIPTS.glob("run_*.sh")} == {*RUN_SCRIPTS, *self.other_scripts}

    @pytest.mark.parametrize("script", RUN_SCRIPTS)
    def test_usage(self, caller, script):
        asked, bare = caller.run(script, "--help"), caller.run(script)
        assert asked.returncode == 0 and asked.stdout.startswith(f"Usage: bash {script} ") and not asked.stderr
        assert bare.returncode == 2 and bare.stderr == asked.stdout and not bare.stdout
        assert not caller.calls.exists()

    @pytest.mark.parametrize("device", ["Ascend", "GPU", "CPU"])
    def test_distributed_training_goes_through_msrun(self, caller, device):
        self.check_msrun(caller, device, f"run_distribute_train_{device.lower()}.sh")

    def test_each_machine_starts_its_part_of_the_processes(self, caller):
        machine = {"FOREGROUND": "1", "NNODES": "3", "NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1"}
        done = caller.run("run_distribute_train_cpu.sh", "2", *self.inputs.values(), **machine)
        assert done.returncode == 0, done.stderr
        expected = {"--worker_num=6", "--local_worker_num=2", "--node_rank=1", "--master_addr=10.0.0.1"}
        assert expected | {"--tail_worker_log=2"} <= set(caller.called())
        for variable, value, words in (
            ("NNODES", "two", "NNODES must be a number from 1, not 'two'"),
            ("NODE_RANK", "3", "NODE_RANK must be a number from 0 to 2, not '3'"),
            ("NODE_RANK", "", "NODE_RANK must be a number from 0 to 2, not ''"),
            ("MASTER_ADDR", "", "3 machines need MASTER_ADDR, the address of machine 0"),
            ("NNODES", "", "NODE_RANK is 1: set NNODES, the number of machines, too"),
        ):
            done = caller.run("run_distribute_train_cpu.sh", "2", self.data, **{**machine, variable: value})
            assert (done.returncode, done.stdout) == (2, "") and done.stderr == f"error: {words}\n"

    def test_wrong_arguments_get_one_line(self, caller, mistakes):
        script, arguments, words = mistakes
        arguments = arguments.replace("INPUTS", " ".join(self.inputs.values())).replace("DATA", self.data)
        name = next(iter(self.inputs)).replace("_path", "_DIR").upper()
        self.check_error(caller, script, arguments, words.replace("DATA", self.data).replace("NAME", name))

    def test_paths_given_absolutely_stay_as_they_are(self, caller):
        data = str(caller.folder / self.data)
        caller.run("run_train_cpu.sh", data, FOREGROUND="1", CKPT_DIR="/tmp/x", PREPROCESS_DIR="some/place")
        expected = {"--device_target": "CPU", "--ckpt_path": "/tmp/x"}
        if "train.py" in self.prepared:
            expected["--preprocess_path"] = str(caller.folder / "some/place")
        expected[f"--{next(iter(self.inputs))}"] = data
        assert caller.options() == expected

    @pytest.mark.parametrize(
        ("script", "log"), [("run_train_cpu.sh", "log.txt"), ("run_performance_cpu.sh", "performance_log.txt")]
    )
    def test_in_front_the_output_is_shown_and_logged_and_the_exit_code_kept(self, caller, script, log):
        done = caller.run(script, self.data, FOREGROUND="1", STUB_CODE="7")
        assert done.returncode == 7
        assert done.stdout == (caller.folder / log).read_text(encoding="utf-8")
        assert "epoch: 1 step: 390, loss is 0.6003723\n" in done.stdout and "to standard error" in done.stdout

    def test_after_interrupt_msrun_gets_the_signal_at_which_its_processes_save(self, caller):
        command = ["bash", str(SCRIPTS / "run_distribute_train_cpu.sh"), "2", *self.inputs.values()]
        stand_in = {"PYTHON": str(caller.bin / "python"), "CALLS": str(caller.calls), "STUB_SLEEP": "60"}
        code = code_after_interrupt(command, caller.folder, caller.calls, FOREGROUND="1", **stand_in)
        assert code == 128 + signal.SIGTERM

    def test_evaluation_is_in_front_and_leaves_the_log_of_training_alone(self, caller):
        (caller.folder / "log.txt").write_text("kept", encoding="utf-8")
        done = caller.run("run_eval_cpu.sh", self.data, "best.ckpt", STUB_CODE="2")
        assert done.returncode == 2 and "loss is" in (caller.folder / "eval_log.txt").read_text(encoding="utf-8")
        assert (caller.folder / "log.txt").read_text(encoding="utf-8") == "kept"

    @pytest.mark.parametrize("script", ["run_train_cpu.sh", "run_distribute_train_cpu.sh"])
    def test_training_runs_in_the_background_and_says_where(self, caller, script):
        arguments = ["2", self.data] if "distribute" in script else [self.data]
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

    def test_interpreter_of_the_active_environment_is_the_default(self, caller):
        done = caller.run("run_eval_cpu.sh", self.data, "best.ckpt", PYTHON="", VIRTUAL_ENV=str(caller.bin.parent))
        assert done.returncode == 0 and caller.called()[1] == "python"

    def test_missing_interpreter_and_msrun_get_one_line(self, caller):
        done = caller.run("run_train_cpu.sh", self.data, PYTHON="/nowhere/python")
        assert done.returncode == 2 and "there is no Python at '/nowhere/python'" in done.stderr
        (caller.bin / "msrun").unlink()
        done = caller.run("run_distribute_train_cpu.sh", "2", self.data)
        assert done.returncode == 2 and "there is no msrun beside" in done.stderr and done.stderr.count("\n") == 1

    def test_a_log_that_cannot_be_written_gets_one_line(self, caller):
        (caller.folder / "log.txt").mkdir()
        done = caller.run("run_train_cpu.sh", self.data)
        assert done.returncode == 2 and "cannot write" in done.stderr and done.stderr.count("\n") == 1
