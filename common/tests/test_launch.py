"""Processes of a training, started by msrun or by the options of PyTorch scripts."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from script_contract import code_after_interrupt

from src.model_utils import launch
from src.model_utils.configuration import Parser, boolean
from src.model_utils.launch import add_launch_options, msrun_command
from src.model_utils.runtime import UserError


@pytest.fixture
def command(monkeypatch):
    """The msrun command and its environment for the options of a training."""
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    for name in ("MS_ROLE", "NATIVE_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def call(words: str):
        parser = Parser("a test")
        parser.add_argument("--data_path")
        parser.add_argument("--num_epochs")
        parser.add_argument("--distributed", type=boolean, default=False)
        add_launch_options(parser)
        return msrun_command(parser.parse_args(["--data_path", "x", *words.split()]), "train.py")

    return call


def test_nothing_is_started_unasked(command):
    assert command("--num_epochs 3") is None


def test_processes_are_started_by_msrun(command):
    words = "--multiprocessing-distributed --device-list 1,3 --addr=10.0.0.1:9000 --epoch 4 --distributed false"
    started, environment = command(words)
    assert Path(started[0]).name == "msrun"
    assert {"--worker_num=2", "--local_worker_num=2", "--master_addr=10.0.0.1", "--master_port=9000"} <= set(started)
    assert started[-7:] == ["train.py", "--distributed", "true", "--data_path", "x", "--num_epochs", "4"]
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["ASCEND_RT_VISIBLE_DEVICES"] == "1,3"
    started, environment = command("--world_size 3 --multiprocessing_distributed")
    assert "--worker_num=3" in started and "CUDA_VISIBLE_DEVICES" not in environment
    assert int(environment["NATIVE_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 3)


def test_each_machine_starts_its_part_of_the_processes(command):
    words = "--multiprocessing-distributed --nnodes 2 --node_rank 1 --addr a:9000 "
    started, environment = command(words + "--world_size 6")
    assert {"--worker_num=6", "--local_worker_num=3", "--node_rank=1", "--master_addr=a"} <= set(started)
    assert "--tail_worker_log=3" in started and started[-4:] == ["--distributed", "true", "--data_path", "x"]
    assert int(environment["NATIVE_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 3)
    assert {"--worker_num=4", "--local_worker_num=2"} <= set(command(words + "--device_list 0,1")[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--nnodes 2", "--nnodes needs --multiprocessing_distributed"),
        ("--multiprocessing_distributed --world_size 3 --nnodes 2 --node_rank 0 --addr a", "the same part of"),
        ("--multiprocessing_distributed --world_size 2 --device_list 0,1 --nnodes 2", "one device for each"),
        ("--multiprocessing_distributed --world_size 2 --nnodes 2 --addr a", "give the number of this machine"),
        ("--multiprocessing_distributed --world_size 2 --nnodes 2 --node_rank 1", "the address of machine 0"),
        ("--multiprocessing_distributed --world_size 2 --nnodes 2 --node_rank 2 --addr a", "from 0 to 1"),
        ("--world_size 2", "--world_size needs --multiprocessing_distributed"),
        ("--addr h", "--addr needs --multiprocessing_distributed"),
        ("--multiprocessing_distributed", "give the number of processes"),
        ("--multiprocessing_distributed --world_size 2 --device_list 0", "one device for each"),
        ("--multiprocessing_distributed --device_list 0,0", "expected different numbers"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(command, words, message):
    with pytest.raises(UserError, match=message):
        command(words)


def test_after_interrupt_msrun_gets_the_signal_at_which_its_processes_save(tmp_path):
    (tmp_path / "script").mkdir()  # as common.sh expects them in a model's folder
    (tmp_path / "script/arguments.sh").touch()
    common = shutil.copy(launch.COMMON, tmp_path / "script")
    msrun = ["bash", "-c", "touch began; exec sleep 60"]
    program = f"""
from pathlib import Path
from src.model_utils import launch
launch.COMMON = Path({common!r})
launch.msrun_command = lambda *_: ({msrun}, {{}})
launch.launch(None, "train.py")
"""
    root = str(launch.COMMON.parents[1])
    code = code_after_interrupt([sys.executable, "-c", program], tmp_path, tmp_path / "began", PYTHONPATH=root)
    assert code == 128 + signal.SIGTERM


def test_msrun_does_not_start_msrun(command, monkeypatch):
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    with pytest.raises(UserError, match="starts msrun itself"):
        command("--multiprocessing_distributed --world_size 2")
