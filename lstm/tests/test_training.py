"""train.py on the synthetic corpus: a resumed run is the uninterrupted one to the bit, wrong input is one line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from src.arguments import parse_arguments, resolve_configuration
from src.inference import load_trained
from src.model_utils import runtime
from src.model_utils.checkpoint import load_checkpoint, output_folder
from src.model_utils.runtime import UserError, init_device
from src.model_utils.trainer import Trainer
from src.preparation import prepare
from src.sample_data import write_sample_corpus


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


def values(parameters):
    return {name: parameter.asnumpy() for name, parameter in parameters.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def metrics_of(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def names(folder, pattern="*.ckpt"):
    return sorted(path.name for path in Path(folder).glob(pattern))


TRAIN = Path(train.__file__).resolve()
SETTINGS = {
    "preset": "tiny",
    "device_target": "CPU",
    "preprocess": "false",
    "num_epochs": 4,
    "batch_size": 8,
    "print_steps": 1,
    "save_checkpoint_steps": 3,
    "dropout": 0.3,
    "embedding_dropout": 0.1,
    "word_dropout": 0.2,
    "pretrain_epochs": 0,
}


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_sample_corpus(folder / "aclImdb", 60)
    config = resolve_configuration(parse_arguments(["--preprocess", "false", "--preset", "tiny"], ""), "CPU")
    prepare(folder / "aclImdb", None, folder / "preprocess", config)
    return folder / "preprocess"


def options(preprocessed, folder, *flags, **changes):
    settings = {**SETTINGS, "preprocess_path": preprocessed, "ckpt_path": folder, **changes}
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))] + list(flags)


def start(arguments):
    command = [sys.executable, "-u", str(TRAIN), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TRAIN.parent)


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def interrupt_after(arguments, lines, number):
    """Send the signal after so many steps; returns what `finish` does. The process goes on while the signal travels."""
    process = start(arguments)
    for line in process.stdout:
        lines -= "loss is" in line
        if not lines:
            process.send_signal(number)
            break
    return finish(process)


@pytest.fixture(scope="module")
def uninterrupted(preprocessed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, out, err = finish(start(options(preprocessed, folder)))
    assert code == 0, err
    assert err == "", "a training on the CPU has nothing to warn of"
    assert len(re.findall(r"^epoch: \d+ step: \d+, loss is \d+\.\d{7}$", out, re.MULTILINE)) == 4 * 5
    return folder


def assert_same_run(first, second):
    for name in ("lstm-4_5.ckpt", "lstm_best.ckpt"):
        (a, state_a), (b, state_b) = (load_checkpoint(folder / name) for folder in (first, second))
        assert state_a == state_b
        assert_same(values(a), values(b))
    records = []
    for folder in (first, second):
        lines = [record for record in metrics_of(folder) if "valid_loss" in record]
        records.append([(r["global_step"], r["valid_accuracy"], r["valid_loss"]) for r in lines])
    assert records[0] == records[1] and len(records[0]) == 4


def test_killed_and_resumed_run_is_the_uninterrupted_one(preprocessed, tmp_path, capsys):
    """With everything random on; the first kill comes in the pre-training, the second one after it."""
    pretraining = {"pretrain_epochs": 1, "pretrain_batch_size": 24, "pretrain_length": 50}
    whole, cut, flags = tmp_path / "whole", tmp_path / "cut", []
    train.main(options(preprocessed, whole, **pretraining))
    for moment in (4, 12):
        code, _, err = interrupt_after(options(preprocessed, cut, *flags, **pretraining), moment, signal.SIGKILL)
        if code == 0:
            pytest.skip("this machine trained faster than it could be killed")
        assert code == -signal.SIGKILL, err
        flags = ["--resume"]
    train.main(options(preprocessed, cut, *flags, **pretraining))
    assert f"resumed from {cut}/lstm-" in capsys.readouterr().out
    assert_same_run(whole, cut)
    assert names(cut, ".unfinished*") == [] and len(names(cut, "lstm-*")) == 5


def test_stopped_and_resumed_run_is_the_uninterrupted_one(preprocessed, uninterrupted, tmp_path, capsys):
    flags = []
    for number in (signal.SIGTERM, signal.SIGINT):
        arguments = options(preprocessed, tmp_path, *flags, save_checkpoint_steps=0)
        code, _, err = interrupt_after(arguments, 5, number)
        assert code == 2 and err.startswith("error: interrupted after epoch ") and err.count("\n") == 1, err
        flags = ["--resume"]
    train.main(options(preprocessed, tmp_path, "--resume"))
    out, err = capsys.readouterr()
    assert err == "" and f"resumed from {tmp_path}/lstm-" in out
    assert_same_run(uninterrupted, tmp_path)


def end_with(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        runtime.run(lambda: train.main(arguments))
    return ended.value.code, capsys.readouterr().err


def test_folder_in_use_or_used_is_refused(preprocessed, uninterrupted, tmp_path, capsys):
    with output_folder(tmp_path, "lstm", False, False):
        code, err = end_with(options(preprocessed, tmp_path), capsys)
        assert code == 2 and "another training writes here" in err and err.count("\n") == 1
    code, err = end_with(options(preprocessed, uninterrupted), capsys)
    assert code == 2 and "--resume continues it, --overwrite deletes it" in err


def test_resume_with_another_setting_is_refused_by_name(preprocessed, uninterrupted, tmp_path, capsys):
    for change in ({"batch_size": 16}, {"seed": 2}, {"num_epochs": 9}):
        code, err = end_with(options(preprocessed, uninterrupted, "--resume", **change), capsys)
        key = next(iter(change))
        assert code == 2 and f"--resume continues with {key} " in err and "cannot be changed on the way" in err
    code, err = end_with(options(preprocessed, tmp_path / "none", "--resume"), capsys)
    assert code == 2 and "config.yaml: no such file" in err


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"preprocess_path": "absent"}, "absent"),
        ({"preprocess": "true", "aclimdb_path": "absent"}, "absent/train/neg: no such folder"),
        ({"embed_size": 100}, "embed_size 100"),
        ({"pretrain_epochs": 1, "pretrain_batch_size": 5000}, "do not fill a batch of pre-training"),
        ({"batch_size": 64}, "do not fill one batch of 64"),
        ({"device_target": "Ascend"}, "no Ascend device"),
        ({"device_target": "GPU"}, "no GPU device"),
        ({"pre_trained": "absent.ckpt"}, "absent.ckpt: no such checkpoint"),
        ({"distributed": "true"}, "needs msrun"),
    ],
)
def test_wrong_input_is_one_line(preprocessed, tmp_path, monkeypatch, capsys, changes, message):
    monkeypatch.chdir(tmp_path)
    code, err = end_with(options(preprocessed, tmp_path / "out", **changes), capsys)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1


def test_output_folder_that_cannot_be_written(preprocessed, tmp_path, capsys):
    (tmp_path / "file").touch()
    code, err = end_with(options(preprocessed, tmp_path / "file" / "out"), capsys)
    assert code == 2 and err.count("\n") == 1 and str(tmp_path / "file") in err
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        return  # the superuser may write anywhere
    code, err = end_with(options(preprocessed, tmp_path / "locked"), capsys)
    assert code == 2 and err.count("\n") == 1 and "ermission denied" in err


def test_pre_trained_weights_are_the_start(preprocessed, uninterrupted, tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr(Trainer, "train", lambda self: found.update(values(self.network.parameters_dict())) or {})
    checkpoint_path = uninterrupted / "lstm-4_5.ckpt"
    train.main(options(preprocessed, tmp_path, pre_trained=checkpoint_path, seed=5))
    saved = values(load_checkpoint(checkpoint_path)[0])
    for name, value in found.items():
        np.testing.assert_array_equal(value, saved.get(f"average.{name}", saved[name]))
    assert_same(found, values(load_trained(checkpoint_path)[0].parameters_dict()))

    other = tmp_path / "other"
    shutil.copytree(uninterrupted, other)
    words = json.loads((other / "vocab.json").read_text(encoding="utf-8"))
    words[2], words[3] = words[3], words[2]
    (other / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    with pytest.raises(UserError, match=r"other/vocab\.json: not the vocabulary of "):
        train.main(options(preprocessed, tmp_path, pre_trained=other / "lstm_best.ckpt"))
    with pytest.raises(UserError, match=r"other/vocab\.json: not the vocabulary of "):
        train.main(options(preprocessed, other, "--resume"))


@pytest.mark.parametrize(
    "mistake",
    [
        {"preprocess": "true", "aclimdb_path": "absent"},
        {"preprocess_path": "absent"},
        {"pre_trained": "absent.ckpt"},
        {"batch_size": 64},
        {"pretrain_epochs": 1, "pretrain_batch_size": 5000},
        {"learning_rate": 0},
    ],
)
def test_overwrite_deletes_nothing_before_all_is_checked(preprocessed, uninterrupted, tmp_path, capsys, mistake):
    folder = tmp_path / "outputs"
    shutil.copytree(uninterrupted, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, err = end_with(options(preprocessed, folder, "--overwrite", **mistake), capsys)
    assert code == 2 and err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_overwrite_starts_anew(preprocessed, uninterrupted, tmp_path, monkeypatch):
    folder = tmp_path / "outputs"
    shutil.copytree(uninterrupted, folder)
    monkeypatch.setattr(Trainer, "train", lambda self: {"global_step": self.global_step})
    assert train.main(options(preprocessed, folder, "--overwrite", num_epochs=2)) == {"global_step": 0}
    assert names(folder) == []
    assert "num_epochs: 2" in (folder / "config.yaml").read_text(encoding="utf-8")


def test_performance_steps_are_timed_and_nothing_is_written(preprocessed, tmp_path, capfd):
    result = train.main(options(preprocessed, tmp_path / "out", performance_steps=3))
    assert result["steps"] == 3 and result["tokens_per_second"] > 0
    assert not (tmp_path / "out").exists()
    assert re.search(r"samples_per_second \d+\.\d, tokens_per_second \d+", capfd.readouterr().out)
