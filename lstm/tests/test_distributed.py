"""Two processes of a data-parallel training against one process with the same global batch."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from src.arguments import parse_arguments, resolve_configuration
from src.model_utils.checkpoint import load_checkpoint
from src.preparation import prepare
from src.sample_data import write_sample_corpus

TRAIN = Path(train.__file__).resolve()
LINE = re.compile(r"^epoch: (\d+) step: (\d+), loss is (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_sample_corpus(folder / "aclImdb", 40)
    config = resolve_configuration(parse_arguments(["--preprocess", "false", "--preset", "tiny"], ""), "CPU")
    prepare(folder / "aclImdb", None, folder / "preprocess", config)
    return folder / "preprocess"


def options(preprocessed, folder, **changes):
    settings = {
        "preset": "tiny",
        "device_target": "CPU",
        "preprocess": "false",
        "preprocess_path": preprocessed,
        "ckpt_path": folder,
        "num_epochs": 2,
        "batch_size": 8,
        "print_steps": 1,
        "dropout": 0.4,
        "word_dropout": 0.2,
        "pretrain_batch_size": 8,
        **changes,
    }
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def run_two(arguments, log_dir):
    """Run train.py as two processes; returns the exit code and the log of each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # msrun starts `python`
    msrun = shutil.which("msrun", path=path)
    if msrun is None:
        pytest.skip("msrun, which MindSpore installs, is not on the path")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [msrun, "--worker_num=2", "--local_worker_num=2", f"--master_port={port}", "--join=True"]
    command += [f"--log_dir={log_dir}", str(TRAIN), "--distributed", "true", *arguments]
    environment = {**os.environ, "PATH": path, "MS_NODE_TIMEOUT": "5"}  # seconds until dead workers are noticed
    result = subprocess.run(command, cwd=TRAIN.parent, env=environment, capture_output=True, text=True, timeout=120)
    return result.returncode, [(log_dir / f"worker_{rank}.log").read_text(encoding="utf-8") for rank in (0, 1)]


def test_two_processes_train_as_one(preprocessed, tmp_path, capsys):
    train.main(options(preprocessed, tmp_path / "one"))
    wanted = LINE.findall(capsys.readouterr().out)
    code, logs = run_two(options(preprocessed, tmp_path / "two"), tmp_path / "logs")
    assert code == 0, logs[0][-3000:]
    found = LINE.findall(logs[0])
    assert [line[:2] for line in found] == [line[:2] for line in wanted] and len(found) > 6
    np.testing.assert_allclose([float(line[2]) for line in found], [float(line[2]) for line in wanted], rtol=1e-4)
    assert "processes: 2" in logs[0]
    assert not LINE.search(logs[1]) and "epoch" not in logs[1], "only rank 0 speaks"

    files = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("one", "two")]
    assert files[0] == files[1]
    last = [name for name in files[0] if name.startswith("lstm-")][-1]
    (one, state_one), (two, state_two) = (load_checkpoint(tmp_path / run / last)[0:2] for run in ("one", "two"))
    assert state_one["epoch"] == state_two["epoch"] == 3 and one.keys() == two.keys()
    for name, parameter in one.items():
        np.testing.assert_allclose(two[name].asnumpy(), parameter.asnumpy(), atol=2e-4, err_msg=name)


def test_batch_that_two_processes_cannot_share(preprocessed, tmp_path):
    code, logs = run_two(options(preprocessed, tmp_path / "two", batch_size=9), tmp_path / "logs")
    assert code != 0
    assert "error: batch_size 9 does not divide among 2 processes; set --batch_size" in logs[0]
    assert "Traceback" not in logs[0]
