"""The options of every train.py, and what --resume makes of the configuration."""

from __future__ import annotations

import example_config
import pytest
from example_config import added_later, example_cfg, example_cfg_ascend, presets

from src.model_utils.configuration import Parser
from src.model_utils.files import write_yaml
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments, resolve_training_config


def parse(*words, output="ckpt_path"):
    parser = Parser("a test")
    defaults = {**example_cfg_ascend, **example_cfg}
    return parse_training_arguments(parser, words, example_config, defaults, presets, output)


def resolved(*words, target="CPU"):
    defaults = example_cfg_ascend if target == "Ascend" else example_cfg
    return resolve_training_config(parse(*words), target, example_config, defaults, presets, ("print_steps",))


def test_options_have_their_defaults():
    args = parse()
    assert (args.preset, args.ckpt_path, args.pre_trained, args.performance_steps) == ("default", "./outputs", None, 0)
    assert not (args.resume or args.overwrite or args.distributed)
    assert parse("--distributed", "TRUE").distributed is True


@pytest.mark.parametrize("output", ["ckpt_path", "train_url"])
def test_the_output_folder_has_two_words(output, capsys):
    assert parse("--train_url", "a", output=output).ckpt_path == "a"
    assert parse("--ckpt-path", "a", output=output).ckpt_path == "a"
    with pytest.raises(SystemExit):
        parse("--help", output=output)
    assert f"newest checkpoint in --{output}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("target", ["CPU", "GPU", "Ascend"])
@pytest.mark.parametrize("preset", presets)
def test_every_preset_resolves_on_every_device(target, preset):
    config = resolved("--preset", preset, target=target)
    assert config == {**(example_cfg_ascend if target == "Ascend" else example_cfg), **presets[preset]}


def test_a_key_of_another_device_has_no_effect():
    assert resolved("--lr_end", "0.1", target="Ascend").lr_end == 0.1
    with pytest.raises(UserError, match="--lr-end has no effect on CPU; leave it out there"):
        resolved("--lr-end", "0.1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--resume --overwrite", "--resume goes neither with --overwrite"),
        ("--resume --pre_trained a.ckpt", "--resume goes neither with --overwrite nor with --pre_trained"),
        ("--performance_steps -1", "--performance_steps -1: must be 1 or more"),
        ("--preset huge", "invalid choice: 'huge'"),
        ("--amp --opt_level O0", "--amp and --opt_level O0 contradict each other"),
        ("--amp", "amp_level O1: mixed precision is for GPU and Ascend"),
        ("--opt-level O2", "--opt-level O2: mixed precision is for GPU and Ascend"),
        ("--resume --ckpt_path /no/such/folder", "/no/such/folder/config.yaml: no such file"),
    ],
)
def test_what_makes_no_sense_is_refused(words, message):
    with pytest.raises(UserError, match=message):
        resolved(*words.split())


def test_mixed_precision_by_its_other_names():
    assert resolved("--amp", target="GPU").amp_level == "O1"
    assert resolved("--amp", "--opt_level", "O2", target="Ascend").amp_level == "O2"
    assert resolved("--amp_opt_level", "O0").amp_level == "O0"


def test_resume_continues_with_the_configuration_of_the_training(tmp_path):
    write_yaml(tmp_path / "config.yaml", {**example_cfg, "learning_rate": 0.3})
    resume = "--resume", "--ckpt_path", str(tmp_path)
    assert resolved(*resume).learning_rate == resolved(*resume, "--lr", "0.3").learning_rate == 0.3
    assert resolved(*resume, "--preset", "tiny").batch_size == example_cfg.batch_size
    assert resolved(*resume, "--print_freq", "7").print_steps == 7
    with pytest.raises(UserError) as error:
        resolved("--resume", "--train_url", str(tmp_path), "--lr", "0.5")
    assert str(error.value) == (
        f"--resume continues with learning_rate 0.3 from {tmp_path}/config.yaml, which cannot be changed on the way by"
        " --lr; start a new training with another --train_url"
    )
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 9\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"batch_size 4 .* on the way by {path}; start"):
        resolved(*resume, "--config_path", str(path))


def test_resume_continues_a_training_from_before_a_key(tmp_path):
    older = {key: value for key, value in example_cfg.items() if key not in added_later}
    write_yaml(tmp_path / "config.yaml", {**older, "on_bad_file": "skip"})
    resume = "--resume", "--ckpt_path", str(tmp_path)
    config = resolved(*resume)
    assert (config.speed, config.on_bad_input) == (2.0, "skip") and list(config) == list(example_cfg)
    with pytest.raises(UserError, match="--resume continues with speed 2.0"):
        resolved(*resume, "--speed", "1")
    with pytest.raises(UserError, match="unknown key 'lr_end'"):
        write_yaml(tmp_path / "config.yaml", example_cfg_ascend)
        resolved(*resume)
