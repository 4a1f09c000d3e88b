"""Configuration: precedence, mistakes and their messages, learning rates, presets; and how an entry point ends."""

from __future__ import annotations

import errno
import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import train
from src import arguments
from src import config as config_module
from src.config import lstm_cfg, lstm_cfg_ascend, presets
from src.lr_schedule import warmup_decay
from src.model_utils import runtime
from src.model_utils.configuration import Parser, read_yaml, write_yaml
from src.model_utils.runtime import UserError, atomic_write
from src.train_step import learning_rates


def configure(*arguments, target="CPU"):
    return arguments.configure(arguments.parse(["--aclimdb_path", "aclImdb", *arguments], ""), target)


# where values come from


def test_precedence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 24\nlearning_rate: 1e-3\nbidirectional: false\n", encoding="utf-8")
    assert configure().batch_size == lstm_cfg.batch_size
    assert configure("--preset", "tiny").batch_size == presets["CPU"]["tiny"].batch_size != lstm_cfg.batch_size
    config = configure("--preset", "tiny", "--config_path", str(path))
    assert (config.batch_size, config.learning_rate, config.bidirectional) == (24, 0.001, False)
    assert config.embed_size == presets["CPU"]["tiny"].embed_size
    config = configure("--config_path", str(path), "--batch_size", "32", "--bidirectional", "TRUE")
    assert (config.batch_size, config.bidirectional) == (32, True)
    assert lstm_cfg.batch_size == configure().batch_size  # the defaults themselves are never changed


def test_values_keep_their_types():
    config = configure("--learning_rate", "1", "--num_epochs", "3", "--pooling", "max", "--dynamic_lr", "false")
    assert config.learning_rate == 1.0 and isinstance(config.learning_rate, float)
    assert (config.num_epochs, config.pooling, config.dynamic_lr) == (3, "max", False)
    for key, value in config.items():
        assert type(value) is type(lstm_cfg[key]), key


def test_written_configuration_reads_back_the_same(tmp_path):
    config = configure("--learning_rate", "1e-07", "--weight_decay", "1e-5")
    write_yaml(tmp_path / "config.yaml", config)
    assert read_yaml(tmp_path / "config.yaml") == dict(config)
    assert configure("--config_path", str(tmp_path / "config.yaml")) == config


# mistakes


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--batch_sze", "64"], "--batch_sze.*did you mean '--batch_size'"),
        (["--batch_sze=64"], "did you mean '--batch_size'"),
        (["--batch", "64"], "--batch"),
        (["--batch_size", "many"], "command line: batch_size must be of type int, not 'many'"),
        (["--batch_size", "1.5"], "batch_size must be of type int"),
        (["--learning_rate", "nan"], "learning_rate must be of type float"),
        (["--learning_rate", "inf"], "learning_rate must be of type float"),
        (["--bidirectional", "yes"], "bidirectional must be of type bool"),
        (["--preprocess", "maybe"], "expected true or false, not 'maybe'"),
        (["--preset", "huge"], "invalid choice: 'huge'"),
        (["--device_target", "TPU"], "invalid choice: 'TPU'"),
        (["--batch_size", "0"], "batch_size is 0 but must be positive"),
        (["--num_classes", "1"], "num_classes is 1 but must be 2 or more"),
        (["--dropout", "1"], "dropout is 1.0 but must be at least 0 and below 1"),
        (["--pooling", "best"], "pooling is 'best' but must be one of ends, mean"),
        (["--optimizer", "sgd"], "optimizer is 'sgd' but must be adam or momentum"),
        (["--on_bad_file", "eat"], "on_bad_file is 'eat' but must be error or skip"),
        (["--seed", "-1"], "seed is -1 but must be 0 or more"),
        (["--keep_checkpoint_max", "-1"], "keep_checkpoint_max is -1 but must be 0 or more"),
        (["--performance_steps", "-1"], "--performance_steps -1"),
        (["--lr_max", "0.1"], "--lr_max belongs to lstm_cfg_ascend and has no effect on CPU"),
        (["--resume", "--overwrite"], "--resume goes neither with --overwrite"),
        (["--resume", "--ckpt_path", "/no/such/folder"], "/no/such/folder/config.yaml: no such file"),
        (["--config_path", "absent.yaml"], "absent.yaml: no such file"),
    ],
)
def test_mistakes_on_the_command_line(arguments, message):
    with pytest.raises(UserError, match=message):
        configure(*arguments)


def test_missing_corpus_is_named():
    with pytest.raises(UserError, match="--aclimdb_path is missing"):
        arguments.parse([], "")
    assert arguments.parse(["--preprocess", "false"], "").preprocess is False


@pytest.mark.parametrize(
    "content,message",
    [
        ("num_epoch: 3\n", "mine.yaml: unknown key 'num_epoch'; did you mean 'num_epochs'?"),
        ("lr_max: 0.1\n", "mine.yaml: unknown key 'lr_max'"),
        ("num_epochs: 3.5\n", "mine.yaml: num_epochs must be of type int, not 3.5"),
        ("num_epochs: true\n", "mine.yaml: num_epochs must be of type int, not true"),
        ("num_epochs: [1]\n", "mine.yaml: num_epochs must be of type int"),
        ("num_epochs:\n", "mine.yaml: num_epochs must be of type int, not None"),
        ("pooling: 7\n", "mine.yaml: pooling must be of type str, not 7"),
        ("bidirectional: 1\n", "mine.yaml: bidirectional must be of type bool, not 1"),
        ("batch_size: 64\nseed: [1\nx: 2\n", "mine.yaml:3: not valid YAML"),
        ("batch_size: 64\n\tseed: 1\n", "mine.yaml:2: not valid YAML"),
        ("just words\n", "mine.yaml: expected lines of the form `key: value`"),
        ("", "mine.yaml: expected lines of the form `key: value`"),
        ("a: !!python/object/apply:os.getcwd []\n", "mine.yaml:1: not valid YAML"),
    ],
)
def test_mistakes_in_a_yaml_file(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        configure("--config_path", str(path))
    assert message in str(error.value) and str(path) in str(error.value)


def test_yaml_file_that_is_no_text(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        configure("--config_path", str(path))
    with pytest.raises(IsADirectoryError):  # an OSError, which runtime.run reports in one line
        configure("--config_path", str(tmp_path))


# help and presets


def test_help_explains_every_key(capsys):
    with pytest.raises(SystemExit) as ended:
        arguments.parse(["--help"], "")
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    comments = dict(re.findall(r"^    (\w+)=.*?  # (.+)$", inspect.getsource(config_module), re.MULTILINE))
    for key in lstm_cfg_ascend:
        assert re.search(rf"--{key} [A-Z]+ {re.escape(' '.join(comments[key].split()))} \(default: ", shown), key


def test_a_percent_sign_in_a_comment_is_no_format(monkeypatch, capsys):
    monkeypatch.setattr(inspect, "getsource", lambda _: "    share=5,  # 5 % of all\n")
    parser = Parser("test")
    parser.add_config_options(config_module, {"share": 5})
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "5 % of all (default: 5)" in capsys.readouterr().out


def test_keys_that_the_model_zoo_knows():
    common = "num_classes dynamic_lr learning_rate momentum num_epochs batch_size embed_size num_hiddens num_layers"
    common = [*common.split(), "bidirectional", "save_checkpoint_steps"]
    ascend = ["keep_checkpoint_max", "lr_init", "lr_end", "lr_max", "lr_adjust_epoch", "warmup_epochs", "global_step"]
    assert set(common) <= set(lstm_cfg) and set(common + ascend) <= set(lstm_cfg_ascend)


@pytest.mark.parametrize("target", ["CPU", "GPU", "Ascend"])
def test_zoo_preset_is_the_original_recipe(target):
    config = configure("--preset", "zoo", target=target)
    original = {
        "num_classes": 2,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "num_epochs": 20,
        "batch_size": 64,
        "embed_size": 300,
        "num_hiddens": 100,
        "num_layers": 2,
        "bidirectional": True,
        "optimizer": "momentum",
        "max_length": 500,
        "pooling": "ends",
        "validation_fraction": 0.0,
    }
    assert {key: config[key] for key in original} == original
    assert config.dynamic_lr == (target == "Ascend")
    assert 25000 // config.batch_size == 390  # hence lstm-20_390.ckpt


@pytest.mark.parametrize("target", ["CPU", "GPU", "Ascend"])
@pytest.mark.parametrize("preset", ["default", "zoo", "tiny"])
def test_every_preset_resolves_on_every_device(target, preset):
    config = configure("--preset", preset, target=target)
    assert set(config) == set(lstm_cfg_ascend if target == "Ascend" else lstm_cfg)
    rates = learning_rates(config, 10)
    assert np.all(np.array(rates) >= 0) and np.max(rates) > 0
    if config.dynamic_lr:
        assert len(rates) == 10 * config.num_epochs


def test_ascend_configuration_takes_its_own_keys():
    config = configure("--lr_max", "0.5", "--lr_adjust_epoch", "2", target="Ascend")
    assert (config.lr_max, config.lr_adjust_epoch, config.keep_checkpoint_max) == (0.5, 2, 10)


# learning rates


def ascend_rates(**changes):
    arguments = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    return learning_rates(configure("--preset", "zoo", *arguments, target="Ascend"), 10)


@pytest.mark.parametrize(
    "change",
    [
        {"lr_init": 0.01},
        {"lr_max": 0.2},
        {"lr_end": 0.0},
        {"lr_adjust_epoch": 3},
        {"warmup_epochs": 2.0},
        {"global_step": 15},
        {"lr_shape": "cosine"},
    ],
)
def test_every_key_of_the_schedule_changes_the_rates(change):
    assert ascend_rates() != ascend_rates(**change)


def test_schedule_values():
    rates = ascend_rates()  # one warm-up epoch from 0.05 to 0.1, a straight line to 0.01 at epoch 6, then flat
    assert len(rates) == 200
    assert rates[0] == pytest.approx(0.055) and rates[9] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(0.1) and rates[35] == pytest.approx(0.055)
    assert rates[60:] == pytest.approx([0.01] * 140) and rates[59] > 0.01
    assert ascend_rates(global_step=15)[:185] == rates[15:]
    assert len(ascend_rates(global_step=15)) == 200


def test_cosine_is_half_a_cosine():
    rates = warmup_decay(100, 0, 100, 0.0, 1.0, 0.0)
    assert rates == pytest.approx([0.5 * (1 + np.cos(np.pi * step / 100)) for step in range(100)])
    assert warmup_decay(4, 8, 8, 0.0, 1.0, 0.0) == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])
    assert warmup_decay(3, 0, 0, 0.0, 1.0, 0.2) == pytest.approx([1.0, 0.2, 0.2])  # no decay longer than nothing


def test_constant_rate_without_dynamic_lr():
    assert learning_rates(configure("--dynamic_lr", "false", "--learning_rate", "0.3"), 10) == 0.3


# how an entry point ends


def end_with(error, capsys):
    def main():
        if error:
            raise error

    with pytest.raises(SystemExit) as ended:
        runtime.run(main)
    return ended.value.code, capsys.readouterr().err


def test_exit_codes(capsys):
    assert end_with(None, capsys) == (0, "")
    assert end_with(UserError("a: b\nc"), capsys) == (2, "error: a: b c\n")
    assert end_with(KeyboardInterrupt(), capsys) == (130, "interrupted\n")
    code, text = end_with(ValueError("bug"), capsys)
    assert code == 1 and "Traceback" in text and "bug" in text
    assert end_with(FileNotFoundError(errno.ENOENT, "No such file", "x/y"), capsys) == (2, "error: x/y: No such file\n")
    code, text = end_with(OSError(errno.ENOSPC, "full", "x"), capsys)
    assert code == 2 and text.startswith("error: x: no space left on the disk")


def test_a_reader_that_leaves_is_no_error():
    program = (
        "from src.model_utils.runtime import run\ndef main():\n    for _ in range(100000): print('x' * 50)\nrun(main)"
    )
    folder = os.path.dirname(os.path.abspath(train.__file__))
    command = f'"{sys.executable}" -c "$PROGRAM" | head -n 1; echo "${{PIPESTATUS[0]}}"'
    result = subprocess.run(
        ["bash", "-c", command], cwd=folder, env={**os.environ, "PROGRAM": program}, capture_output=True, text=True
    )
    assert result.stdout.split() == ["x" * 50, "0"] and not result.stderr


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("first ä")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("second")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "first ä"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    with pytest.raises(OSError) as error, atomic_write(path / "below a file"):
        pass
    assert str(path) in str(error.value.filename)
