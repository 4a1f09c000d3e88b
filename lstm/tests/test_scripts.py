"""The shell scripts, with a stand-in for Python that writes down how it was called."""

from __future__ import annotations

from script_contract import ScriptContract


class TestScripts(ScriptContract):
    inputs = {"aclimdb_path": "aclImdb", "glove_path": "glove"}
    files = ("aclImdb/test/pos/0_10.txt", "glove/glove.txt", "prepared/fingerprint.json")
    options = [
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
    ]
    mistakes = [
        ("run_train_gpu.sh", "0 aclImdb lost", "GLOVE_DIR: there is no 'lost'"),
        ("run_eval_ascend.sh", "0 lost best.ckpt", "ACLIMDB_DIR: there is no folder 'lost'"),
    ]
