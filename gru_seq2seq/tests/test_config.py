"""What train.py may be told, and how it answers what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.arguments import configure, parse, usual_spelling
from src.config import gru_seq2seq_cfg, presets
from src.model_utils.launch import msrun_command
from src.model_utils.runtime import UserError


def configured(*arguments, target="CPU"):
    return configure(parse(["--data_dir", "x", *arguments], ""), target)


def test_presets_change_known_keys_only():
    for name, preset in presets.items():
        assert set(preset) <= set(gru_seq2seq_cfg), name
        assert configured("--preset", name).source == "de"
    assert configured(target="Ascend").keep_checkpoint_max == 10


def test_order_of_precedence(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("num_epochs: 7\nbatch_size: 9\nweight_decay: 1e-5\n")
    config = configured("--preset", "tiny", "--config_path", str(path), "--batch_size", "5")
    assert (config.num_epochs, config.batch_size, config.hidden_size) == (7, 5, presets["tiny"].hidden_size)
    assert config.weight_decay == 1e-5


def test_options_as_users_of_such_scripts_know_them(monkeypatch):
    given = ["--epoch", "3", "--batch-size=16", "--workers", "4", "--lr", "0.002", "--print-freq", "7"]
    config = configured(*given, "--tied-embeddings", "none")
    assert (config.num_epochs, config.batch_size, config.workers, config.learning_rate) == (3, 16, 4, 0.002)
    assert (config.print_steps, config.tied_embeddings) == (7, "none")
    assert parse(["--data-path", "d"], "").data_dir == "d"
    assert configured("--amp", target="GPU").amp_level == "O1"
    assert configured("--amp", "--opt-level", "O2", target="Ascend").amp_level == "O2"
    assert configured("--opt_level", "O0").amp_level == "O0"


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--num_epoch", "3"], "did you mean '--num_epochs'"),
        (["--hidden_size", "x"], "hidden_size must be of type int"),
        (["--hidden_size", "0"], "hidden_size is 0 but must be positive"),
        (["--attention", "dot"], "attention is 'dot' but must be luong or bahdanau"),
        (["--tied_embeddings", "true"], "must be none, decoder or all"),
        (["--tokenizer", "bpe"], "must be sentencepiece or spacy"),
        (["--tokenizer", "spacy"], "tied_embeddings all needs one vocabulary"),
        (["--tokenizer", "spacy", "--tied_embeddings", "none", "--subword_sampling", "0.1"], "leave it at 0"),
        (["--target", "de"], "target is 'de' but must be another language than source, de"),
        (["--unknown_words", "drop"], "must be keep, forbid or copy"),
        (["--max_length", "1"], "2 or more"),
        (["--dropout", "1"], "at least 0, below 1"),
        (["--lr_shape", "flat"], "cosine or linear"),
        (["--resume", "--overwrite"], "--resume goes neither"),
        (["--performance_steps", "-1"], "must be 1 or more"),
        (["--amp"], "mixed precision is for GPU and Ascend"),
        (["--amp", "--amp_level", "O0"], "contradict each other"),
        (["--dist_url", "tcp://x"], "--dist_url has no meaning here: --addr"),
        (["--dist-backend=nccl"], "--dist_backend has no meaning here: leave it out"),
        (["--gpu", "0"], "--device_target GPU"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        configured(*arguments)


def test_data_dir_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--data_dir is missing"):
        parse([], "")


def launch(*arguments):
    return msrun_command(
        parse(["--data_dir", "x", *arguments], ""), usual_spelling(["--data_dir", "x", *arguments]), "train.py"
    )


def test_processes_are_started_by_msrun(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.delenv("MS_ROLE", raising=False)
    assert launch() is None
    given = ["--multiprocessing-distributed", "--device-list", "1,3", "--addr=10.0.0.1:9000", "--epoch", "4"]
    command, environment = launch(*given)
    assert Path(command[0]).name == "msrun"
    assert {"--worker_num=2", "--local_worker_num=2", "--master_addr=10.0.0.1", "--master_port=9000"} <= set(command)
    assert command[-7:] == ["train.py", "--distributed", "true", "--data_dir", "x", "--num_epochs", "4"]
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["ASCEND_RT_VISIBLE_DEVICES"] == "1,3"
    command, environment = launch("--world_size", "3", "--multiprocessing_distributed")
    assert "--worker_num=3" in command and "CUDA_VISIBLE_DEVICES" not in environment

    for arguments, message in (
        (["--world_size", "2"], "--world_size needs --multiprocessing_distributed"),
        (["--addr", "h"], "--addr needs --multiprocessing_distributed"),
        (["--multiprocessing_distributed"], "give the number of processes"),
        (["--multiprocessing_distributed", "--world_size", "2", "--device_list", "0"], "one device for each"),
        (["--multiprocessing_distributed", "--device_list", "0,0"], "expected different numbers"),
    ):
        with pytest.raises(UserError, match=message):
            launch(*arguments)
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    with pytest.raises(UserError, match="starts msrun itself"):
        launch("--multiprocessing_distributed", "--world_size", "2")
