"""The configuration of train.py, the presets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from src import arguments
from src import config as config_module
from src.arguments import parse_arguments, resolve_configuration
from src.config import ctc_cfg, ctc_cfg_ascend, presets
from src.lr_schedule import warmup_decay
from src.model_utils.configuration import allowed_ranges
from src.model_utils.runtime import UserError

FOLDER = Path(arguments.__file__).resolve().parents[1]


def configured(*arguments, target="CPU"):
    return resolve_configuration(parse_arguments(["--data_path", "x", *arguments], ""), target)


def test_presets_change_known_keys_only():
    for name, preset in presets.items():
        assert set(preset) <= set(ctc_cfg), name
        assert configured("--preset", name).num_layers >= 2


def test_the_example_configuration_is_complete_and_is_the_default():
    content = yaml.safe_load((FOLDER / "ctc_config.yaml").read_text(encoding="utf-8"))
    assert content == dict(ctc_cfg)
    assert configured("--config_path", str(FOLDER / "ctc_config.yaml"), "--preset", "tiny") == configured()


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--hidden_size", "0"], "--hidden_size is 0 but must be at least 1"),
        (["--front_end", "stack-1"], "front_end is 'stack-1' but must be none, stack-2 to stack-9, or conv"),
        (["--phone_set", "40"], "must be 61, 48, 39 or none"),
        (["--speed_perturbation", "0.9,1.1"], "with 1.0 among them"),
        (["--speed_perturbation", "fast"], "with 1.0 among them"),
        (["--features", "mfcc", "--num_ceps", "41"], "at most num_mels"),
        (["--decoder", "best"], "greedy or beam"),
        (["--lr_shape", "flat"], "cosine, linear or step"),
        (["--on_bad_file", "keep"], "--on_bad_file is 'keep' but must be error or skip"),
        (["--amp"], "mixed precision is for GPU and Ascend"),
    ],
)
def test_invalid_values_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        configured(*arguments)


def test_every_number_has_a_range():
    numbers = [key for key, value in {**ctc_cfg_ascend, **ctc_cfg}.items() if type(value) in (int, float)]
    assert set(numbers) <= set(allowed_ranges(config_module))


def test_words_of_other_programs_for_the_same_keys(tmp_path):
    config = configured("--lr", "0.1", "--num-epochs", "3", "--on_bad_file", "skip", "--batch-size", "2")
    assert (config.learning_rate, config.num_epoches, config.on_bad_input, config.batch_size) == (0.1, 3, "skip", 2)
    (tmp_path / "a.yaml").write_text("epochs: 4\nlr: 0.2\nworkers: 3\n")
    config = configured("--config_path", str(tmp_path / "a.yaml"))
    assert (config.learning_rate, config.num_epoches, config.num_workers) == (0.2, 4, 3)
    assert configured("--opt_level", "O2", target="GPU").amp_level == "O2"


def test_data_path_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--data_path is missing"):
        parse_arguments([], "")


def test_learning_rates():
    cosine = warmup_decay(10, 2, 1.0, "cosine", 0.5, 3)
    assert cosine[:3] == [0.5, 1.0, 1.0] and cosine[6] == pytest.approx(0.5) and 0 < cosine[-1] < 0.05
    assert warmup_decay(6, 0, 2.0, "linear", 0.5, 3) == pytest.approx([2 * (1 - i / 6) for i in range(6)])
    assert warmup_decay(8, 1, 1.0, "step", 0.5, 3) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
