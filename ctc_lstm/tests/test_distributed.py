"""Two processes of a data-parallel training against one process with the same global batch."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from src.model_utils.checkpoint import load_checkpoint

TRAIN = Path(train.__file__).resolve()
LINE = re.compile(r"^epoch: (\d+) step: (\d+), loss is (\S+)$", re.MULTILINE)


def test_two_processes_train_as_one(without_validation, tmp_path, capsys):
    if not Path(sys.executable).with_name("msrun").exists():
        pytest.skip("msrun, which MindSpore installs, is not beside this Python")

    def options(folder):
        settings = {
            "preset": "tiny",
            "device_target": "CPU",
            "preprocess_path": without_validation,
            "ckpt_path": folder,
            "num_epoches": 2,
            "num_buckets": 1,
            "print_steps": 1,
            "dropout": 0.4,
            "freq_masks": 1,
            "feature_noise": 0.1,
            "learning_rate": 0.002,
        }
        return [word for key, value in settings.items() for word in (f"--{key}", str(value))]

    train.main(options(tmp_path / "one"))
    expected = LINE.findall(capsys.readouterr().out)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = ["--multiprocessing_distributed", "--world_size", "2", "--addr", f"127.0.0.1:{port}"]
    command = [sys.executable, str(TRAIN), *options(tmp_path / "two"), *start]
    environment = {**os.environ, "MS_NODE_TIMEOUT": "5"}  # seconds until dead workers are noticed
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    logs = [(tmp_path / f"msrun_log/worker_{rank}.log").read_text(encoding="utf-8") for rank in (0, 1)]
    assert done.returncode == 0, logs[0][-3000:]
    actual = LINE.findall(logs[0])
    assert [line[:2] for line in actual] == [line[:2] for line in expected] and len(actual) > 6
    np.testing.assert_allclose([float(line[2]) for line in actual], [float(line[2]) for line in expected], rtol=1e-4)
    assert "processes: 2" in logs[0]
    assert not LINE.search(logs[1]) and "epoch" not in logs[1], "only rank 0 speaks"

    last = sorted(path.name for path in (tmp_path / "one").glob("ctc_lstm-2_*.ckpt"))[-1]
    one, two = (load_checkpoint(tmp_path / run / last)[0] for run in ("one", "two"))
    assert one.keys() == two.keys()
    for name, parameter in one.items():  # statistics of batch normalisation among them
        np.testing.assert_allclose(two[name].asnumpy(), parameter.asnumpy(), atol=5e-4, err_msg=name)
