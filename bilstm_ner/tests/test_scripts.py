"""The shell scripts, with a stand-in for Python that writes down how it was called."""

from __future__ import annotations

from script_contract import ScriptContract


class TestScripts(ScriptContract):
    inputs = {"data_path": "data"}
    files = ("data/test.char.bmes",)
    prepared = ("train.py",)  # eval.py reads the file as it is
    options = [
        ("run_train_gpu.sh", "3 data", "GPU", "device_id data_path"),
        ("run_train_cpu.sh", "data", "CPU", "data_path"),
        ("run_train_cpu.sh", "3 data", "CPU", "device_id data_path"),
        ("run_eval_gpu.sh", "3 data best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_cpu.sh", "data/test.char.bmes best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_cpu.sh", "3 data best.ckpt", "CPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 data best.ckpt", "Ascend", "device_id data_path ckpt_path"),
    ]
    mistakes = [("run_eval_ascend.sh", "0 lost best.ckpt", "NAME: there is no 'lost'")]
