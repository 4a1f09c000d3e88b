"""Configuration and options of train.py."""

import dataclasses

import pytest
from mindspore import Parameter, Tensor

from src import config as config_module
from src.arguments import parse_arguments, resolve_configuration, resolve_options
from src.model_options import load_options, save_options
from src.model_utils.checkpoint import InitialWeights, initial_weights, save_checkpoint
from src.model_utils.configuration import allowed_ranges
from src.model_utils.runtime import UserError


def test_every_number_and_choice_has_a_range_beside_it():
    ranges = allowed_ranges(config_module)
    assert set(config_module.elmo_cfg) - set(ranges) == {"options_path"}


@pytest.mark.parametrize("target", ["CPU", "Ascend"])
@pytest.mark.parametrize("preset", list(config_module.presets))
def test_presets_are_valid(preset, target):
    args = parse_arguments(["--data_url", "text", "--preset", preset], "")
    config = resolve_configuration(args, target)
    assert load_options(config.options_path)
    assert config.keep_checkpoint_max == (5 if target == "Ascend" else 2)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("--lr 0.3", "lr", 0.3),
        ("--learning_rate 0.3", "lr", 0.3),
        ("--num-epochs 3", "epoch_num", 3),
        ("--print_freq 7", "print_steps", 7),
        ("--batch-size 8", "batch_size", 8),
    ],
)
def test_words_of_other_programs_are_understood(words, key, value):
    args = parse_arguments(["--data_path", "text", "--ckpt_path", "out", *words.split()], "")
    assert (args.data_url, args.ckpt_path) == ("text", "out")
    assert resolve_configuration(args, "CPU")[key] == value


@pytest.fixture
def resolved(tmp_path):
    """A function from options of train.py to the options of a biLM for a vocabulary of 81 words."""

    def resolve(*words, weights=None):
        args = parse_arguments(["--data_url", "text", "--train_url", str(tmp_path / "out"), *map(str, words)], "")
        config = resolve_configuration(args, "CPU")
        return resolve_options(args, config, 81, 1000, weights or InitialWeights())

    return resolve


def test_configuration_and_data_complete_the_options(resolved):
    tiny = load_options("tiny")
    assert resolved("--options_path", "tiny") == dataclasses.replace(tiny, n_tokens_vocab=81, n_train_tokens=1000)
    changed = resolved("--options_path", "tiny", "--batch_size", 6, "--epoch_num", 2)
    assert (changed.batch_size, changed.n_epochs) == (6, 2)


def test_options_for_another_vocabulary_are_refused(resolved, tmp_path):
    save_options(tmp_path / "o.json", dataclasses.replace(load_options("tiny"), n_tokens_vocab=80))
    with pytest.raises(UserError, match="o.json: n_tokens_vocab is 80, but the vocabulary of the text has 81"):
        resolved("--options_path", tmp_path / "o.json")


def test_options_of_other_weights_in_the_output_folder_are_kept(resolved, tmp_path):
    (tmp_path / "out").mkdir()
    save_options(tmp_path / "out/options.json", load_options("small"))
    with pytest.raises(UserError, match="out/options.json: the options of other weights"):
        resolved("--options_path", "tiny")
    assert resolved("--options_path", "tiny", "--overwrite")
    assert resolved("--options_path", "tiny", "--performance_steps", "3"), "nothing is written then"


def test_pre_trained_weights_of_another_network_are_refused(resolved, tmp_path):
    """Of the same shapes, but another activation: the weights alone would not tell."""
    path = tmp_path / "first" / "elmo_best.ckpt"
    save_checkpoint(path, [Parameter(Tensor([0.0]), name="x")])
    weights = initial_weights(tmp_path / "out", "elmo", str(path))
    save_options(path.with_name("options.json"), dataclasses.replace(load_options("tiny"), dropout=0.5))
    assert resolved("--options_path", "tiny", "--pre_trained", path, weights=weights)
    save_options(path.with_name("options.json"), dataclasses.replace(load_options("tiny"), activation="tanh"))
    with pytest.raises(UserError, match="the weights of --pre_trained have activation tanh"):
        resolved("--options_path", "tiny", "--pre_trained", path, weights=weights)
