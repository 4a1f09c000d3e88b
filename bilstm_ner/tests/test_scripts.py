"""The shell scripts, with a stand-in for Python that writes down how it was called."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("scripts")
from script_contract import *  # noqa: E402, F403  the tests that all models share
from script_contract import Caller, check_error, check_options  # noqa: E402


@pytest.fixture
def caller(tmp_path):
    """A caller with a corpus, which is not prepared."""
    return Caller(tmp_path, {"data_path": "data"}, "data/test.char.bmes", prepared=())


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
    check_options(caller, script, arguments, device, inputs)


def test_wrong_arguments_of_an_evaluation_get_one_line(caller):
    check_error(caller, "run_eval_ascend.sh", "0 lost best.ckpt", "DATA_DIR: there is no 'lost'")
