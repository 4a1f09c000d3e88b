"""The shell scripts, with a stand-in for Python that writes down how it was called."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("scripts")
from script_contract import *  # noqa: E402, F403  the tests that all models share
from script_contract import Caller, check_error, check_options  # noqa: E402


@pytest.fixture
def caller(tmp_path):
    """A caller with a corpus, word vectors and prepared data."""
    return Caller(
        tmp_path,
        {"aclimdb_path": "aclImdb", "glove_path": "glove"},
        "aclImdb/test/pos/0_10.txt",
        "glove/glove.txt",
        "prepared/test.mindrecord",
    )


@pytest.mark.parametrize(
    ("script", "arguments", "device", "inputs"),
    [
        ("run_train_gpu.sh", "3 aclImdb glove", "GPU", "device_id aclimdb_path glove_path"),
        ("run_train_gpu.sh", "3 ./aclImdb", "GPU", "device_id aclimdb_path"),
        ("run_train_ascend.sh", "3 aclImdb glove", "Ascend", "device_id aclimdb_path glove_path"),
        ("run_train_cpu.sh", "aclImdb glove", "CPU", "aclimdb_path glove_path"),
        ("run_train_cpu.sh", "3 aclImdb glove", "CPU", "device_id aclimdb_path glove_path"),
        ("run_train_cpu.sh", "3 aclImdb", "CPU", "device_id aclimdb_path"),
        ("run_train_cpu.sh", "aclImdb glove/glove.txt", "CPU", "aclimdb_path glove_path"),
        ("run_performance_gpu.sh", "3 aclImdb", "GPU", "device_id aclimdb_path"),
        ("run_performance_ascend.sh", "3 aclImdb", "Ascend", "device_id aclimdb_path"),
        ("run_performance_cpu.sh", "aclImdb glove", "CPU", "aclimdb_path glove_path"),
        ("run_eval_gpu.sh", "3 aclImdb glove best.ckpt", "GPU", "device_id aclimdb_path glove_path ckpt_path"),
        ("run_eval_gpu.sh", "3 aclImdb best.ckpt", "GPU", "device_id aclimdb_path ckpt_path"),
        ("run_eval_cpu.sh", "aclImdb glove best.ckpt", "CPU", "aclimdb_path glove_path ckpt_path"),
        ("run_eval_cpu.sh", "3 aclImdb glove best.ckpt", "CPU", "device_id aclimdb_path glove_path ckpt_path"),
        ("run_eval_ascend.sh", "3 prepared best.ckpt", "Ascend", "device_id preprocess_path ckpt_path"),
        ("run_eval_ascend.sh", "3 aclImdb best.ckpt", "Ascend", "device_id aclimdb_path ckpt_path"),
    ],
)
def test_arguments_become_options(caller, script, arguments, device, inputs):
    check_options(caller, script, arguments, device, inputs)


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("run_train_gpu.sh", "0 aclImdb lost", "GLOVE_DIR: there is no 'lost'"),
        ("run_eval_ascend.sh", "0 lost best.ckpt", "PREPROCESS_DIR: there is no folder 'lost'"),
    ],
)
def test_wrong_arguments_of_this_model_get_one_line(caller, script, arguments, words):
    check_error(caller, script, arguments, words)
