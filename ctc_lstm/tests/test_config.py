"""What train.py may be told, and how it answers what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from src import arguments
from src.arguments import configure, parse
from src.config import ctc_cfg, presets
from src.lr_schedule import warmup_decay
from src.model_utils.launch import msrun_command
from src.model_utils.runtime import UserError

FOLDER = Path(arguments.__file__).resolve().parents[1]


def configured(*arguments, target="CPU"):
    return configure(parse(["--data_path", "x", *arguments], ""), target)


def test_presets_change_known_keys_only():
    for name, preset in presets.items():
        assert set(preset) <= set(ctc_cfg), name
        assert configured("--preset", name).num_layers >= 2


def test_the_example_configuration_is_complete_and_is_the_default():
    content = yaml.safe_load((FOLDER / "ctc_config.yaml").read_text(encoding="utf-8"))
    assert content == dict(ctc_cfg)
    assert configured("--config_path", str(FOLDER / "ctc_config.yaml"), "--preset", "tiny") == configured()


def test_order_of_precedence(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("num_epoches: 7\nbatch_size: 9\nlr_decay: 0.3\nweight_decay: 1e-5\n")
    config = configured("--preset", "tiny", "--config_path", str(path), "--batch_size", "5")
    assert (config.num_epoches, config.batch_size, config.hidden_size) == (7, 5, 32)
    assert (config.lr_decay, config.weight_decay) == (0.3, 1e-5)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--num_epoch", "3"], "did you mean '--num_epoches'"),
        (["--hidden_size", "x"], "hidden_size must be of type int"),
        (["--hidden_size", "0"], "hidden_size is 0 but must be positive"),
        (["--front_end", "stack-1"], "front_end is 'stack-1' but must be none, stack-2 to stack-9, or conv"),
        (["--phone_set", "40"], "phone_set"),
        (["--speed_perturbation", "0.9,1.1"], "with 1.0 among them"),
        (["--speed_perturbation", "fast"], "with 1.0 among them"),
        (["--features", "mfcc", "--num_ceps", "41"], "1 to num_mels"),
        (["--decoder", "best"], "greedy or beam"),
        (["--lr_shape", "flat"], "cosine, linear or step"),
        (["--resume", "--overwrite"], "--resume goes neither"),
        (["--performance_steps", "-1"], "must be 1 or more"),
        (["--amp"], "mixed precision is for GPU and Ascend"),
        (["--opt_level", "O2", "--amp_level", "O1"], "contradict each other"),
        (["--dist_url", "tcp://x"], "--dist_url has no meaning here: --addr"),
        (["--dist-backend=nccl"], "--dist_backend has no meaning here: leave it out"),
        (["--lr", "0.1"], "--learning_rate"),
        (["--num_epochs", "3"], "--num_epoches"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        configured(*arguments)


def test_mixed_precision_by_its_other_names():
    assert configured("--amp", target="GPU").amp_level == "O1"
    assert configured("--amp", "--opt_level", "O2", target="Ascend").amp_level == "O2"
    assert configured("--opt_level", "O0").amp_level == "O0"


def test_data_path_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--data_path is missing"):
        parse([], "")


def launch(*arguments):
    return msrun_command(parse(["--data_path", "x", *arguments], ""), ["--data_path", "x", *arguments], "train.py")


def test_processes_are_started_by_msrun(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.delenv("MS_ROLE", raising=False)
    assert launch() is None
    options_given = ["--multiprocessing_distributed", "--device_list", "1,3", "--addr", "10.0.0.1:9000", "--seed", "4"]
    command, environment = launch(*options_given)
    assert Path(command[0]).name == "msrun"
    assert {"--worker_num=2", "--local_worker_num=2", "--master_addr=10.0.0.1", "--master_port=9000"} <= set(command)
    assert command[-7:] == ["train.py", "--distributed", "true", "--data_path", "x", "--seed", "4"]
    assert environment["CUDA_VISIBLE_DEVICES"] == environment["ASCEND_RT_VISIBLE_DEVICES"] == "1,3"
    command, environment = launch("--world_size", "3", "--multiprocessing_distributed")
    assert "--worker_num=3" in command and "CUDA_VISIBLE_DEVICES" not in environment

    for words, message in (
        (["--world_size", "2"], "--world_size needs --multiprocessing_distributed"),
        (["--multiprocessing_distributed"], "give the number of processes"),
        (["--multiprocessing_distributed", "--world_size", "2", "--device_list", "0"], "one device for each"),
        (["--multiprocessing_distributed", "--device_list", "0,0"], "expected different numbers"),
    ):
        with pytest.raises(UserError, match=message):
            launch(*words)
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    with pytest.raises(UserError, match="starts msrun itself"):
        launch("--multiprocessing_distributed", "--world_size", "2")


def test_learning_rates():
    cosine = warmup_decay(10, 2, 1.0, "cosine", 0.5, 3)
    assert cosine[:3] == [0.5, 1.0, 1.0] and cosine[6] == pytest.approx(0.5) and 0 < cosine[-1] < 0.05
    assert warmup_decay(6, 0, 2.0, "linear", 0.5, 3) == pytest.approx([2 * (1 - i / 6) for i in range(6)])
    assert warmup_decay(8, 1, 1.0, "step", 0.5, 3) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]
