"""The training loop: what it writes, how it ends, and that a resumed run is the uninterrupted one to the bit."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import threading
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from toy_training import Line, assert_same, batches, make_step, values

from src.model_utils import trainer as trainer_module
from src.model_utils.batching import Batch
from src.model_utils.checkpoint import initial_weights, load_checkpoint, load_into
from src.model_utils.runtime import UserError
from src.model_utils.trainer import Cadence, Trainer

CADENCE = [each.name for each in fields(Cadence)]


@pytest.fixture
def no_curves(monkeypatch):
    monkeypatch.setattr(trainer_module, "draw_curves", lambda *_: None)  # which takes longer than all the rest


def make_trainer(folder, scores=None, rate=0.05, **options):
    """A trainer of 4 steps an epoch whose validations give the scores one after the other."""
    step = make_step([rate] * 40 if isinstance(rate, float) else rate, 0.9, weight_average=0.9)
    validate = None
    if scores is not None:
        left = iter(scores)

        def validate():
            return {"valid_accuracy": next(left), "valid_loss": 0.5}

    cadence = {key: options.pop(key) for key in CADENCE if key in options}
    return Trainer(
        name="line",
        folder=Path(folder),
        network=step.loss_network.network,
        step=step,
        batches=batches,
        steps_per_epoch=4,
        num_epochs=options.pop("num_epochs", 3),
        learning_rate=lambda step: 0.05 + step,
        validate=validate,
        metric="valid_accuracy",
        cadence=Cadence(**{"print_steps": 2, **cadence}),
        **options,
    )


def metrics_of(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def names(folder, pattern="*.ckpt"):
    return sorted(path.name for path in Path(folder).glob(pattern))


def test_lines_metrics_and_checkpoints(tmp_path, capsys):
    trainer = make_trainer(tmp_path, [0.5, 0.8, 0.7])
    result = trainer.train()
    lines = capsys.readouterr().out.splitlines()
    steps = [line for line in lines if "loss is" in line]
    assert [line.split(",")[0] for line in steps] == [f"epoch: {e} step: {s}" for e in (1, 2, 3) for s in (2, 4)]
    assert all(re.fullmatch(r"epoch: \d+ step: \d+, loss is \d+\.\d{7}", line) for line in steps)
    done = [line for line in lines if line.startswith("epoch 2 done: ")]
    assert len(done) == 1 and "valid_accuracy 0.8" in done[0] and "samples_per_second" in done[0]
    assert "best valid_accuracy 0.8 at epoch 2 step 4" in lines
    assert result["best_valid_accuracy"] == 0.8 and result["valid_accuracy"] == 0.7

    records = metrics_of(tmp_path)
    printed = [record for record in records if "loss" in record]
    assert [record["global_step"] for record in printed] == [2, 4, 6, 8, 10, 12]
    assert [record["learning_rate"] for record in printed] == [0.05 + step for step in (1, 3, 5, 7, 9, 11)]
    epochs = [record for record in records if "train_loss" in record]
    assert [record["valid_accuracy"] for record in epochs] == [0.5, 0.8, 0.7]
    assert {"global_step", "epoch", "seconds", "samples_per_second", "tokens_per_second"} <= set(epochs[1])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path) == ["line-1_4.ckpt", "line-2_4.ckpt", "line-3_4.ckpt", "line_best.ckpt"]

    best, state = load_checkpoint(tmp_path / "line_best.ckpt")
    assert state["global_step"] == 8 and set(best) == {"weight", "bias"}
    second = values(load_checkpoint(tmp_path / "line-2_4.ckpt")[0])
    np.testing.assert_array_equal(best["weight"].asnumpy(), second["average.weight"])  # the best is the average
    assert not np.array_equal(second["weight"], second["average.weight"])
    target = Line()
    load_into(target.get_parameters(), load_checkpoint(tmp_path / "line-2_4.ckpt")[0], "line", averaged=True)
    np.testing.assert_array_equal(target.weight.asnumpy(), second["average.weight"])


def test_validation_and_checkpoints_between_the_ends_of_epochs(no_curves, tmp_path, capsys):
    scores = [0.1, 0.9, 0.3, 0.4]
    options = {"num_epochs": 2, "validate_steps": 3, "save_checkpoint_steps": 3, "keep_checkpoint_max": 3}
    make_trainer(tmp_path, scores, **options).train()
    assert "epoch 1 step 3: valid_accuracy 0.1, valid_loss 0.5" in capsys.readouterr().out
    found = [(r["global_step"], r["valid_accuracy"]) for r in metrics_of(tmp_path) if "valid_accuracy" in r]
    assert found == [(3, 0.1), (4, 0.9), (7, 0.3), (8, 0.4)]
    assert names(tmp_path, "line-*") == ["line-1_4.ckpt", "line-2_2.ckpt", "line-2_4.ckpt"]  # the newest three


def test_early_stop_and_lower_is_better(no_curves, tmp_path, capsys):
    trainer = make_trainer(tmp_path, [0.5, 0.4, 0.6, 0.4, 0.7], num_epochs=9, patience=2, higher_is_better=False)
    result = trainer.train()
    assert result["best_valid_accuracy"] == 0.4 and result["best_at"] == "epoch 2 step 4"
    assert "early stop: valid_accuracy has not improved in 2 validations" in capsys.readouterr().out
    assert names(tmp_path, "line-*")[-1] == "line-4_4.ckpt"


def test_without_validation_the_last_checkpoint_counts(no_curves, tmp_path):
    assert make_trainer(tmp_path, print_steps=0).train()["best_valid_accuracy"] is None
    assert names(tmp_path) == ["line-1_4.ckpt", "line-2_4.ckpt", "line-3_4.ckpt"]


@pytest.mark.parametrize(
    "poisoned,scores,place",
    [(5, None, "epoch 2 step 3"), (7, None, "epoch 2 step 4"), (7, [0.5, 0.6], "epoch 2 step 4")],
)
def test_nan_guard_keeps_the_last_good_checkpoint(no_curves, tmp_path, poisoned, scores, place):
    """One rate is so high that its update leaves no finite weights, also where no step of its epoch follows."""
    rates = [0.05] * 12
    rates[poisoned] = float(np.finfo(np.float32).max)
    with pytest.raises(UserError, match="no longer finite|loss is nan|loss is inf") as error:
        make_trainer(tmp_path, scores, rate=rates).train()
    for part in (place, f"batch {place[-1]} of the epoch", str(tmp_path / "line-1_4.ckpt"), "lower --learning_rate"):
        assert part in str(error.value)
    assert names(tmp_path, "line-*") == ["line-1_4.ckpt"]
    for path in tmp_path.glob("*.ckpt"):
        assert all(np.isfinite(value).all() for value in values(load_checkpoint(path)[0]).values())


def test_the_next_batch_is_made_while_a_step_runs(no_curves, tmp_path):
    trainer, made = make_trainer(tmp_path, [0.1, 0.3, 0.2]), queue.SimpleQueue()
    take_step = trainer._take_step

    def announced(epoch, first_step):
        for batch in batches(epoch, first_step):
            made.put((epoch, batch))
            yield batch

    def waiting_for_the_next(batch):
        if trainer.state.step_in_epoch == 0:
            made.get(timeout=10)
        if trainer.state.step_in_epoch < 3:
            made.get(timeout=10)
        return take_step(batch)

    trainer.batches, trainer._take_step = announced, waiting_for_the_next
    trainer.train()
    assert trainer.global_step == 12 and made.empty()


@pytest.mark.parametrize(
    "number,at_step,saved", [(signal.SIGINT, 6, "line-2_2.ckpt"), (signal.SIGTERM, 8, "line-2_4.ckpt")]
)
def test_signals_save_and_leave_and_resume_is_exact(no_curves, tmp_path, number, at_step, saved):
    whole = make_trainer(tmp_path / "whole", [0.1, 0.3, 0.2])
    whole.train()
    trainer = make_trainer(tmp_path / "cut", [0.1, 0.3, 0.2])

    take_step = trainer._take_step

    def interrupted(batch):
        if trainer.global_step + 1 == at_step:
            os.kill(os.getpid(), number)
        return take_step(batch)

    trainer._take_step = interrupted
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="^interrupted after epoch 2.*--resume"):
        trainer.train()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert names(tmp_path / "cut", "line-*")[-1] == saved

    with open(tmp_path / "cut" / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"global_step": 99, "loss": 1}\n{"global_st')  # what a killed run may leave behind the checkpoint
    again = make_trainer(tmp_path / "cut", [0.2] if at_step == 8 else [0.3, 0.2])
    again.resume(initial_weights(tmp_path / "cut", "line", resume=True))
    assert again.global_step == at_step and again.state.best == (0.3 if at_step == 8 else 0.1)
    again.train()
    for name in ("line-3_4.ckpt", "line_best.ckpt"):
        first, second = (load_checkpoint(tmp_path / folder / name) for folder in ("whole", "cut"))
        assert first[1] == second[1]
        assert_same(values(first[0]), values(second[0]))
    assert [record["global_step"] for record in metrics_of(tmp_path / "cut")] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    finished = make_trainer(tmp_path / "cut", [])
    finished.resume(initial_weights(tmp_path / "cut", "line", resume=True))
    assert finished.train()["best_valid_accuracy"] == 0.3  # nothing is left to do, and nothing breaks


def test_resuming_from_fresh_or_pre_trained_weights_starts_at_the_first_step(no_curves, tmp_path):
    make_trainer(tmp_path / "first", num_epochs=1).train()
    trainer = make_trainer(tmp_path / "second")
    for pre_trained in (None, tmp_path / "first" / "line-1_4.ckpt"):
        trainer.resume(initial_weights(tmp_path / "second", "line", pre_trained))
        assert trainer.global_step == 0
        np.testing.assert_array_equal(trainer.network.weight.asnumpy(), Line().weight.asnumpy())


def test_a_checkpoint_keeps_the_state_under_the_names_of_its_fields(no_curves, tmp_path):
    make_trainer(tmp_path, [0.5], num_epochs=1).train()
    assert load_checkpoint(tmp_path / "line-1_4.ckpt")[1] == {
        "epoch": 2,
        "step_in_epoch": 0,
        "best": 0.5,
        "best_at": "epoch 1 step 4",
        "validations_without_gain": 0,
    }


class PlainStep(nn.Cell):
    """A step of its own, as elmo has one: its weights, and no average."""

    def __init__(self, step):
        super().__init__(auto_prefix=False)
        self.step, self.weights = step, step.weights

    def construct(self, x, y):
        return self.step(x, y)


def test_a_step_needs_no_weight_average(no_curves, tmp_path):
    trainer = make_trainer(tmp_path, [0.1, 0.2, 0.3])
    trainer.step = PlainStep(make_step())
    trainer.network = trainer.step.step.loss_network.network
    assert trainer.train()["best_valid_accuracy"] == 0.3
    best, last = (load_checkpoint(tmp_path / name)[0] for name in ("line_best.ckpt", "line-3_4.ckpt"))
    assert_same(values(best), {name: values(last)[name] for name in ("weight", "bias")})


def test_the_cadence_is_that_of_the_configuration():
    config = {"print_steps": 1, "validate_steps": 2, "save_checkpoint_steps": 3, "keep_checkpoint_max": 4}
    assert Cadence.of({**config, "early_stop_patience": 5, "seed": 6}) == Cadence(1, 2, 3, 4, 5)


def test_inputs_with_names_are_given_in_their_order(no_curves, tmp_path):
    class Inputs(NamedTuple):
        x: np.ndarray
        y: np.ndarray

    plain, named = make_trainer(tmp_path / "plain", num_epochs=1), make_trainer(tmp_path / "named", num_epochs=1)
    named.batches = lambda *given: (Batch(Inputs(*b.inputs), b.samples, b.tokens) for b in batches(*given))
    plain.train()
    named.train()
    assert_same(*(values(load_checkpoint(tmp_path / name / "line-1_4.ckpt")[0]) for name in ("plain", "named")))


def test_a_fixed_parameter_is_in_the_folder_once_and_in_resumed_weights(no_curves, tmp_path):
    trainer = make_trainer(tmp_path, [0.1, 0.3, 0.2])
    bias = trainer.network.bias  # stands for one that no step changes
    trainer.fixed = {"bias.npy": bias}
    trainer.train()
    assert names(tmp_path, "bias*") == ["bias.npy"]
    for name in ("line_best.ckpt", "line-3_4.ckpt"):
        inside = ms.load_checkpoint(str(tmp_path / name))
        assert "bias" not in inside and "weight" in inside
    again = make_trainer(tmp_path, [])
    again.network.bias.set_data(Tensor(np.ones(1, np.float32)))
    again.resume(initial_weights(tmp_path, "line", resume=True))
    np.testing.assert_array_equal(again.network.bias.asnumpy(), np.load(tmp_path / "bias.npy"))
