"""The configuration of train.py, and how it answers what makes no sense."""

from __future__ import annotations

import pytest

from src import config as config_module
from src.arguments import parse_arguments, resolve_configuration
from src.config import gru_seq2seq_cfg, gru_seq2seq_cfg_ascend, presets
from src.model_utils.configuration import allowed_ranges
from src.model_utils.runtime import UserError


def configured(*arguments, target="CPU"):
    return resolve_configuration(parse_arguments(["--data_dir", "x", *arguments], ""), target)


def test_presets_change_known_keys_only():
    for name, preset in presets.items():
        assert set(preset) <= set(gru_seq2seq_cfg), name
        assert configured("--preset", name).source == "de"
    assert configured(target="Ascend").keep_checkpoint_max == 10


def test_every_number_has_a_range():
    ranges, keys = allowed_ranges(config_module), {**gru_seq2seq_cfg_ascend, **gru_seq2seq_cfg}
    assert [key for key, value in keys.items() if type(value) in (int, float) and key not in ranges] == []


def test_options_as_users_of_such_scripts_know_them(monkeypatch):
    arguments = ["--epoch", "3", "--batch-size=16", "--workers", "4", "--lr", "0.002", "--print-freq", "7"]
    config = configured(*arguments, "--tied-embeddings", "none")
    assert (config.num_epochs, config.batch_size, config.workers, config.learning_rate) == (3, 16, 4, 0.002)
    assert (config.print_steps, config.tied_embeddings) == (7, "none")
    assert parse_arguments(["--data-path", "d"], "").data_dir == "d"
    assert configured("--amp", target="GPU").amp_level == "O1"
    assert configured("--amp", "--opt-level", "O2", target="Ascend").amp_level == "O2"
    assert configured("--opt_level", "O0").amp_level == "O0"


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--hidden_size", "0"], "hidden_size is 0 but must be above 0"),
        (["--attention", "dot"], "attention is 'dot' but must be luong or bahdanau"),
        (["--tied_embeddings", "true"], "must be none, decoder or all"),
        (["--tokenizer", "bpe"], "must be sentencepiece or spacy"),
        (["--tokenizer", "spacy"], "tied_embeddings all needs one vocabulary"),
        (["--tokenizer", "spacy", "--tied_embeddings", "none", "--subword_sampling", "0.1"], "leave it at 0"),
        (["--target", "de"], "target is 'de' but must be another language than source, de"),
        (["--unknown_words", "drop"], "must be keep, forbid or copy"),
        (["--max_length", "1"], "at least 2"),
        (["--dropout", "1"], "at least 0 and below 1"),
        (["--lr_shape", "flat"], "cosine or linear"),
        (["--hidden_size", "5"], "hidden_size is 5 but must be even"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        configured(*arguments)


def test_data_dir_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--data_dir is missing"):
        parse_arguments([], "")
