"""Configuration: mistakes and their messages, learning rates, presets."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from src import config as config_module
from src.arguments import parse_arguments, resolve_configuration
from src.config import lstm_cfg, lstm_cfg_ascend
from src.lr_schedule import warmup_decay
from src.model_utils.configuration import allowed_ranges
from src.model_utils.runtime import UserError
from src.network import POOLINGS
from src.train_step import learning_rates


def configure(*words, target="CPU"):
    return resolve_configuration(parse_arguments(["--aclimdb_path", "aclImdb", *words], ""), target)


# mistakes


@pytest.mark.parametrize(
    "words,message",
    [
        (["--num_classes", "3"], "num_classes is 3 but must be 2, for the labels neg and pos"),
        (["--dropout", "1"], "--dropout is 1.0 but must be at least 0 and below 1"),
        (["--pooling", "best"], "--pooling is 'best' but must be ends, mean, max, mean_max or attention"),
        (["--optimizer", "sgd"], "--optimizer is 'sgd' but must be adam or momentum"),
        (["--on_bad_file", "eat"], "--on_bad_file is 'eat' but must be error or skip"),
        (["--seed", "-1"], "--seed is -1 but must be at least 0"),
        (["--keep_checkpoint_max", "-1"], "--keep_checkpoint_max is -1 but must be at least 0"),
        (["--lr_max", "0.1"], "--lr_max has no effect on CPU"),
        (["--amp"], "amp_level O1: mixed precision is for GPU and Ascend"),
    ],
)
def test_mistakes_on_the_command_line(words, message):
    with pytest.raises(UserError, match=message):
        configure(*words)


def test_missing_corpus_is_named():
    with pytest.raises(UserError, match="--aclimdb_path is missing"):
        parse_arguments([], "")
    assert parse_arguments(["--preprocess", "false"], "").preprocess is False


def test_words_of_the_other_models_are_known(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("on_bad_file: skip\nepochs: 4\n", encoding="utf-8")
    config = configure("--lr", "0.5", "--hidden-size", "9", "--workers", "3", "--config_path", str(path))
    assert (config.learning_rate, config.num_hiddens, config.vector_workers) == (0.5, 9, 3)
    assert (config.on_bad_input, config.num_epochs) == ("skip", 4)
    assert parse_arguments(["--data_path", "here"], "").aclimdb_path == "here"


def test_adversarial_training_needs_float32():
    with pytest.raises(UserError, match="adversarial_epsilon needs float32"):
        configure("--adversarial_epsilon", "0.1", "--amp_level", "O2", target="GPU")


# ranges, help and presets


def test_every_number_has_a_range():
    ranges = allowed_ranges(config_module)
    numbers = {key for key, value in lstm_cfg_ascend.items() if type(value) in (int, float)}
    assert numbers <= ranges.keys()
    assert ranges["pooling"].choices == list(POOLINGS) and ranges["on_bad_input"].choices == ["error", "skip"]


def test_help_explains_every_key(capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--help"], "")
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    comments = dict(re.findall(r"^    (\w+)=.*?  # (.+)$", inspect.getsource(config_module), re.MULTILINE))
    for key in lstm_cfg_ascend:
        assert re.search(rf"--{key} [A-Z]+ {re.escape(' '.join(comments[key].split()))} \(default: ", shown), key


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
    words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    return learning_rates(configure("--preset", "zoo", *words, target="Ascend"), 10)


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


@pytest.mark.parametrize("preset", ["default", "zoo", "tiny"])
def test_learning_rate_is_the_peak_on_ascend(preset, tmp_path):
    """Also where it comes from a file, and where config.py names another peak."""
    path = tmp_path / "mine.yaml"
    path.write_text("learning_rate: 0.5\n", encoding="utf-8")
    for words in (["--learning_rate", "0.5"], ["--lr", "0.5"], ["--config_path", str(path)]):
        assert max(learning_rates(configure("--preset", preset, *words, target="Ascend"), 10)) == 0.5
    assert max(learning_rates(configure("--preset", preset, "--lr_max", "0.25", target="Ascend"), 10)) == 0.25
    path.write_text("lr_max: 0.3\n", encoding="utf-8")
    edited = ["--preset", preset, "--config_path", str(path)]
    assert max(learning_rates(configure(*edited, target="Ascend"), 10)) == 0.3
    assert max(learning_rates(configure(*edited, "--learning_rate", "0.5", target="Ascend"), 10)) == 0.5
    both = ["--learning_rate", "0.5", "--lr_max", "0.4"]
    assert max(learning_rates(configure("--preset", preset, *both, target="Ascend"), 10)) == 0.4


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
