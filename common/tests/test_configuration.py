"""Where the values of a configuration come from, what they may be, and the words for its keys."""

from __future__ import annotations

import inspect

import example_config
import pytest
from example_config import example_cfg, presets

from src.model_utils.aliases import ALIASES, REFUSED, own_name
from src.model_utils.configuration import (
    Parser,
    Range,
    allowed_ranges,
    apply_settings,
    at_least,
    boolean,
    load_config,
    require,
    resolve,
)
from src.model_utils.files import write_yaml
from src.model_utils.runtime import UserError


def parse(*words):
    parser = Parser("a test")
    parser.add_argument("--steps", type=int)
    parser.add_config_options(example_config, example_cfg)
    return parser.parse_args([*words])


def resolved(*words, preset=None):
    return resolve(example_cfg, parse(*words), example_config, preset, "preset tiny")


# where values come from


def test_precedence(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 24\nlearning_rate: 1e-3\nbidirectional: false\n", encoding="utf-8")
    assert resolved() == example_cfg
    assert resolved(preset=presets["tiny"]).batch_size == 2
    config = resolved("--config_path", str(path), preset=presets["tiny"])
    assert (config.batch_size, config.learning_rate, config.bidirectional, config.num_hiddens) == (24, 0.001, False, 2)
    config = resolved("--config_path", str(path), "--batch_size", "32", "--bidirectional", "TRUE")
    assert (config.batch_size, config.bidirectional) == (32, True)
    assert example_cfg.batch_size == 4, "the defaults themselves are never changed"


def test_values_keep_their_types():
    config = resolved("--learning_rate", "1", "--num_epochs", "7", "--pooling", "max", "--bidirectional", "false")
    assert (config.learning_rate, config.num_epochs, config.pooling, config.bidirectional) == (1.0, 7, "max", False)
    assert all(type(value) is type(example_cfg[key]) for key, value in config.items())


def test_written_configuration_reads_back_the_same(tmp_path):
    config = resolved("--learning_rate", "1e-07", "--name", "größe")
    write_yaml(tmp_path / "config.yaml", config)
    assert resolved("--config_path", str(tmp_path / "config.yaml")) == config


# mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--batch_sze 64", "unrecognized arguments: --batch_sze 64; did you mean '--batch_size'? (see --help)"),
        ("--batch-sze=64", "did you mean '--batch_size'?"),
        ("--batch 64", "unrecognized arguments: --batch"),
        ("--batch_size", "argument --batch_size: expected one argument"),
        ("--steps many", "argument --steps: invalid int value: 'many'"),
        ("--batch_size many", "the command line: --batch_size must be of type int, not 'many'"),
        ("--batch-size 1.5", "the command line: --batch-size must be of type int, not '1.5'"),
        ("--learning_rate nan", "--learning_rate must be of type float"),
        ("--learning_rate inf", "--learning_rate must be of type float"),
        ("--bidirectional yes", "--bidirectional must be of type bool"),
        ("--device_target TPU", "invalid choice: 'TPU'"),
        ("--batch_size 0", "the command line: --batch_size is 0 but must be at least 1"),
        ("--dropout 1", "--dropout is 1.0 but must be at least 0 and below 1"),
        ("--lr 0", "the command line: --lr is 0.0 but must be above 0"),
        ("--pooling best", "--pooling is 'best' but must be mean or max"),
        ("--deltas 3", "--deltas is 3 but must be 0, 1 or 2"),
        ("--config_path absent.yaml", "absent.yaml: no such file"),
    ],
)
def test_mistakes_on_the_command_line(words, message):
    with pytest.raises(UserError) as error:
        resolved(*words.split())
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("num_epoch: 3\n", "unknown key 'num_epoch'; did you mean 'num_epochs'?"),
        ("num_epochs: 3.5\n", "num_epochs must be of type int, not 3.5"),
        ("num_epochs: true\n", "num_epochs must be of type int, not true"),
        ("num_epochs: [1]\n", "num_epochs must be of type int"),
        ("num_epochs:\n", "num_epochs must be of type int, not None"),
        ("pooling: 7\n", "pooling must be of type str, not 7"),
        ("bidirectional: 1\n", "bidirectional must be of type bool, not 1"),
        ("epochs: 0\n", "epochs is 0 but must be at least 1"),
        ("epochs: 3\nnum_epochs: 3\n", "epochs and num_epochs are two words for one key; leave one out"),
        ("batch_size: 64\nseed: [1\nx: 2\n", "not valid YAML"),
    ],
)
def test_mistakes_in_a_yaml_file(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        resolved("--config_path", str(path))
    assert str(error.value).startswith(str(path)) and message in str(error.value)


def test_what_a_range_cannot_say_is_required():
    require({"a": 1, "b": 2}, a=(lambda value: value < 2, "below b"))
    with pytest.raises(UserError, match="a is 1 but must be above b; set it by --a or in the YAML file"):
        require({"a": 1, "b": 2}, a=(lambda value: value > 2, "above b"))


# ranges


@pytest.mark.parametrize(
    ("text", "inside", "outside", "said"),
    [
        ("> 0", [0.1, 5], [0, -1], "above 0"),
        (">= 2", [2, 3], [1.9], "at least 2"),
        ("<= 3", [3, -3], [3.1], "at most 3"),
        ("< 3", [2.9], [3], "below 3"),
        ("0 <= x < 1", [0, 0.99], [1, -0.1], "at least 0 and below 1"),
        ("0 < x <= 1", [1, 0.01], [0, 1.1], "above 0 and at most 1"),
        ("a | b-2 | c", ["a", "b-2"], ["b", "a | b-2"], "a, b-2 or c"),
        ("0 | 1", [0, 1], [2], "0 or 1"),
        ("any", [-5.0, 5.0], [], ""),
    ],
)
def test_a_range_holds_what_it_says(text, inside, outside, said):
    allowed = Range(text)
    assert all(value in allowed for value in inside) and not any(value in allowed for value in outside)
    assert str(allowed) == said


def test_ranges_stand_behind_the_keys_and_cover_every_number():
    ranges = allowed_ranges(example_config)
    assert {key for key, value in example_cfg.items() if type(value) in (int, float)} <= set(ranges)
    assert "name" not in ranges and str(ranges["lr_end"]) == "at least 0"


def test_defaults_that_somebody_edited_are_checked(monkeypatch):
    monkeypatch.setitem(example_cfg, "dropout", 1.5)
    with pytest.raises(UserError, match="src/config.py: dropout is 1.5 but must be at least 0 and below 1"):
        resolved()


@pytest.mark.parametrize("text", ["0 to 1", "x < 1", "=> 0", ""])
def test_a_range_that_is_none_is_named(monkeypatch, text):
    monkeypatch.setattr(inspect, "getsource", lambda _: f"    share=5,  # of all [{text} ]\n")
    with pytest.raises(UserError, match="src/config.py: share: .* is no range"):
        allowed_ranges(example_config)


# words


def test_the_command_line_takes_hyphens_and_the_words_of_other_programs():
    words = "--epochs 5 --lr=0.5 --hidden-size 3 --batch-size=7 --opt_level O1 --steps 2"
    args = parse(*words.split())
    config = resolve(example_cfg, args, example_config)
    values = config.num_epochs, config.learning_rate, config.num_hiddens, config.batch_size, config.amp_level
    assert values == (5, 0.5, 3, 7, "O1")
    assert args.typed["learning_rate"] == "--lr" and args.typed["batch_size"] == "--batch-size"
    assert args.argv[:3] == ["--num_epochs", "5", "--learning_rate=0.5"] and args.argv[-2:] == ["--steps", "2"]


def test_a_yaml_file_takes_the_same_words(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 5\nlr: 0.5\nhidden-size: 3\non_bad_file: skip\n", encoding="utf-8")
    config = resolved("--config_path", str(path))
    assert (config.num_epochs, config.learning_rate, config.num_hiddens, config.on_bad_input) == (5, 0.5, 3, "skip")


def test_what_follows_two_hyphens_is_text():
    parser = Parser("a test")
    parser.add_argument("texts", nargs="*")
    assert parser.parse_args(["--", "--lr", "--no-cuda"]).texts == ["--lr", "--no-cuda"]


def test_a_name_of_the_program_itself_comes_first():
    assert own_name("lr", {"lr", "learning_rate"}) == "lr"
    assert own_name("epoch", {"num_epoches"}) == "num_epoches"
    assert own_name("epoch", {"steps"}) == "epoch" and own_name("no-such-word", {"a"}) == "no-such-word"
    words = [word for group in ALIASES for word in group]
    assert len(words) == len(set(words)) and not set(words) & set(REFUSED)


def test_an_error_names_the_word_that_was_typed():
    with pytest.raises(UserError, match="argument --print-freq: expected one argument"):
        parse("--print-freq")


@pytest.mark.parametrize("typed", ["--dist_url", "--dist-backend=nccl", "--gpu", "--no-cuda"])
def test_options_without_use_here_say_what_to_use(typed):
    name = typed.split("=")[0]
    with pytest.raises(UserError, match=f"{name} has no meaning here: (leave it out|use --device_target)"):
        parse(typed, "0")


def test_booleans_are_true_or_false():
    assert (boolean("True"), boolean("false")) == (True, False)
    parser = Parser("a test")
    parser.add_argument("--preprocess", type=boolean)
    with pytest.raises(UserError, match="expected true or false, not 'maybe'"):
        parser.parse_args(["--preprocess", "maybe"])


def test_the_least_value_of_an_option_is_checked():
    parser = Parser("", config_file=False, device=False)
    parser.add_argument("--count", type=at_least(1))
    assert parser.parse_args(["--count", "1"]).count == 1
    with pytest.raises(UserError, match="argument --count: must be 1 or more, not 0"):
        parser.parse_args(["--count", "0"])


# help


def test_help_explains_every_key_with_its_range(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "--learning_rate FLOAT peak rate, 5 % of all [> 0] (default: 0.1)" in shown
    assert "--pooling STR over time [mean | max] (default: 'mean')" in shown
    assert "--bidirectional BOOL read in both directions (default: true)" in shown


# the configuration of a checkpoint


def saved(folder, **changes):
    content = {**example_cfg, "learning_rate": 0.3, **changes}
    write_yaml(folder / "config.yaml", {key: value for key, value in content.items() if value is not None})


def load(folder):
    return load_config(folder, example_config, example_cfg)


def test_the_configuration_of_a_training_is_read_back(tmp_path):
    saved(tmp_path, learning_rate=1e-5)
    assert load(tmp_path) == {**example_cfg, "learning_rate": 1e-5}


def test_a_key_that_came_later_means_what_it_meant_before(tmp_path):
    saved(tmp_path, speed=None)
    assert load(tmp_path).speed == 2.0
    saved(tmp_path, on_bad_input=None, on_bad_file="skip")
    config = load(tmp_path)
    assert config.on_bad_input == "skip" and "on_bad_file" not in config and "lr_end" not in config
    saved(tmp_path, dropout=None)
    with pytest.raises(UserError, match="config.yaml: has no 'dropout'; it was written for another model or version"):
        load(tmp_path)


def test_what_a_training_on_another_device_knew_besides_is_kept(tmp_path):
    saved(tmp_path, lr_end=0.25)
    assert load(tmp_path).lr_end == 0.25


def test_a_damaged_configuration_is_named(tmp_path):
    saved(tmp_path, num_hiddens="many")
    with pytest.raises(UserError, match="config.yaml: num_hiddens must be of type int, not 'many'"):
        load(tmp_path)
    saved(tmp_path, num_hiddens=-1)
    with pytest.raises(UserError, match="config.yaml: num_hiddens is -1 but must be at least 1"):
        load(tmp_path)
    with pytest.raises(UserError, match="lost/config.yaml: no such file"):
        load(tmp_path / "lost")


def test_settings_may_change_but_not_the_network(tmp_path, capsys):
    parser = Parser("a test")
    parser.add_checkpoint_options(example_config, example_cfg, ("eval_batch_size", "on_bad_input"))

    def change(*words):
        args = parser.parse_args(["--ckpt_path", "x.ckpt", *words])
        return apply_settings(load(tmp_path), args, example_config, ("eval_batch_size", "on_bad_input"))

    saved(tmp_path)
    assert change("--eval-batch-size", "9", "--on_bad_pair", "skip") == {
        **load(tmp_path),
        "eval_batch_size": 9,
        "on_bad_input": "skip",
    }
    with pytest.raises(UserError, match="--eval_batch_size is 0 but must be at least 1"):
        change("--eval_batch_size", "0")
    path = tmp_path / "mine.yaml"
    path.write_text("learning_rate: 0.3\neval_batch_size: 3\n", encoding="utf-8")
    assert change("--config_path", str(path)).eval_batch_size == 3
    path.write_text("units: 9\nhidden_size: 9\n", encoding="utf-8")
    with pytest.raises(UserError, match="unknown key 'units'"):
        change("--config_path", str(path))
    path.write_text("hidden_size: 9\n", encoding="utf-8")
    with pytest.raises(
        UserError, match="num_hiddens is 9, but the checkpoint was trained with 8; only eval_batch_size, "
    ):
        change("--config_path", str(path))
    with pytest.raises(SystemExit):
        change("--help")
    assert "[>= 1] (default: as in training)" in " ".join(capsys.readouterr().out.split())
