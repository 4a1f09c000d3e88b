"""The training loop: what it writes, how it ends, and that a resumed run is the uninterrupted one to the bit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

import train
from src.arguments import parse
from src.config import lstm_cfg, presets
from src.dataset import prepare
from src.inference import load_trained
from src.model_utils import checkpoint, runtime, training
from src.model_utils.checkpoint import (
    load_checkpoint,
    load_into,
    newest_good_checkpoint,
    save_checkpoint,
    training_checkpoints,
)
from src.model_utils.configuration import resolve
from src.model_utils.reporting import MetricsFile
from src.model_utils.runtime import UserError, init_device
from src.model_utils.training import Batch, Trainer, TrainStep, averaged_weights, claim_folder, measure_throughput
from src.sample_data import write_sample_corpus


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


@pytest.fixture
def no_curves(monkeypatch):
    monkeypatch.setattr(training, "draw_curves", lambda *_: None)  # which takes longer than all the rest


# a network small enough to be done again in NumPy


class Line(nn.Cell):
    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.array([0.5, -1.0, 2.0], np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(1, np.float32)), name="bias")

    def construct(self, x):
        return (x * self.weight).sum(1) + self.bias


class SquaredError(nn.Cell):
    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, y):
        return ((self.network(x) - y) ** 2).mean()


def points(count, seed=0):
    source = np.random.default_rng(seed)
    x = source.normal(0, 1, (count, 3)).astype(np.float32)
    return x, (x @ np.array([1, 2, 3]) - 1).astype(np.float32)


def batches(epoch, first_step=0):
    for step in range(first_step, 4):
        yield Batch(points(8, 10 * epoch + step), 8, 24)


def make_step(rate=0.05, momentum=0.0, **options):
    network = Line()
    optimizer = nn.Momentum(network.trainable_params(), learning_rate=rate, momentum=momentum)
    return TrainStep(SquaredError(network), optimizer, **options)


def make_trainer(folder, scores=None, rate=0.05, **options):
    """A trainer of 4 steps an epoch whose validations give the scores one after the other."""
    step = make_step([rate] * 40 if isinstance(rate, float) else rate, 0.9, weight_average=0.9)
    validate = None
    if scores is not None:
        left = iter(scores)

        def validate():
            return {"valid_accuracy": next(left), "valid_loss": 0.5}

    options = {"num_epochs": 3, "print_steps": 2, **options}
    network = step.loss_network.network
    given = "line", Path(folder), network, step, batches, 4, options.pop("num_epochs"), lambda s: 0.05 + s
    return Trainer(*given, validate=validate, metric="valid_accuracy", **options)


def values(parameters):
    return {name: parameter.asnumpy() for name, parameter in parameters.items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def metrics_of(folder):
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def names(folder, pattern="*.ckpt"):
    return sorted(path.name for path in Path(folder).glob(pattern))


# one step


@pytest.mark.parametrize("clip", [0.0, 0.7])
def test_step_clipping_and_weight_average_equal_numpy(clip):
    step = make_step(0.05, weight_average=0.8, gradient_clip=clip)
    weights = np.array([0.5, -1, 2, 0], np.float64)
    average = weights.copy()
    for n in range(1, 9):
        x, y = points(6, n)
        loss, norm = (float(value.asnumpy()) for value in step(Tensor(x), Tensor(y)))
        ones = np.concatenate([x, np.ones((6, 1))], 1)
        error = ones @ weights - y
        gradient = 2 * ones.T @ error / 6
        length = np.linalg.norm(gradient)
        assert loss == pytest.approx((error**2).mean(), rel=1e-4) and norm == pytest.approx(length, rel=1e-4)
        weights -= 0.05 * gradient * (min(1, clip / length) if clip else 1)
        decay = min(0.8, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weights
        found = np.concatenate([weight.asnumpy() for weight in step.weights])
        np.testing.assert_allclose(found, weights, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([a.asnumpy() for a in step.average]), average, atol=1e-5)


def test_weight_average_of_every_few_steps():
    step = make_step(0.05, weight_average=0.8, average_every=3)
    average = np.concatenate([weight.asnumpy() for weight in step.weights])
    for n in range(1, 26):
        step(*[Tensor(array) for array in points(6, n)])
        if n % 3 == 0:
            decay = min(0.8, (1 + n) / (10 + n)) ** 3
            average = decay * average + (1 - decay) * np.concatenate([weight.asnumpy() for weight in step.weights])
        np.testing.assert_allclose(np.concatenate([a.asnumpy() for a in step.average]), average, atol=1e-5)
    assert float(step.updates.asnumpy()) == 25


def test_counting_the_steps_of_such_an_average_runs_no_operator(monkeypatch):
    step = make_step(0.05, weight_average=0.8, average_every=3)
    step(*[Tensor(array) for array in points(6, 1)])
    monkeypatch.setattr(ops.Cast, "__call__", lambda *_: pytest.fail("a cast outside the graph takes milliseconds"))
    step(*[Tensor(array) for array in points(6, 2)])
    assert float(step.updates.asnumpy()) == 2


def test_averaged_weights_are_put_in_and_taken_out():
    step = make_step(weight_average=0.8)
    for n in range(3):
        step(*[Tensor(array) for array in points(6, n)])
    before = [weight.asnumpy().copy() for weight in step.weights]
    with pytest.raises(ZeroDivisionError), averaged_weights(step):
        for weight, average in zip(step.weights, step.average):
            np.testing.assert_array_equal(weight.asnumpy(), average.asnumpy())
        raise ZeroDivisionError
    for weight, kept in zip(step.weights, before):
        np.testing.assert_array_equal(weight.asnumpy(), kept)
    with averaged_weights(make_step()) as nothing:
        assert nothing is None


def test_overflowing_steps_are_left_out_under_loss_scaling():
    scaler = ms.amp.DynamicLossScaler(2.0**66, 2, 1000)
    step = make_step(0.05, loss_scaler=scaler)
    x, y = points(6)
    before = [weight.asnumpy().copy() for weight in step.weights]
    loss, norm = step(Tensor(x), Tensor(y))
    plain = make_step(0.05)
    wanted = plain(Tensor(x), Tensor(y))
    assert float(loss.asnumpy()) == pytest.approx(float(wanted[0].asnumpy()), rel=1e-5)
    assert float(norm.asnumpy()) == pytest.approx(float(wanted[1].asnumpy()), rel=1e-5)
    after = [weight.asnumpy().copy() for weight in step.weights]
    assert not np.array_equal(before[0], after[0])
    loss, norm = step(Tensor(x), Tensor(y + np.float32(1e19)))  # the gradient fits into float32, the scaled one not
    for weight, kept in zip(step.weights, after):
        np.testing.assert_array_equal(weight.asnumpy(), kept)
    assert float(norm.asnumpy()) == 0 and float(scaler.scale_value.asnumpy()) == 2.0**65


def test_throughput_counts_after_the_warm_up():
    every = (batch for epoch in range(1, 9) for batch in batches(epoch))
    result = measure_throughput(make_step(), every, 5, warm_up=3)
    assert result["steps"] == 5 and result["samples_per_second"] > 0
    assert result["tokens_per_second"] == pytest.approx(3 * result["samples_per_second"], rel=0.01)
    with pytest.raises(UserError, match="more than 4 batches, the data gives 4"):
        measure_throughput(make_step(), batches(1), 5, warm_up=4)


# the loop


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


@pytest.mark.parametrize(
    "number,at_step,saved", [(signal.SIGINT, 6, "line-2_2.ckpt"), (signal.SIGTERM, 8, "line-2_4.ckpt")]
)
def test_signals_save_and_leave_and_resume_is_exact(no_curves, tmp_path, number, at_step, saved):
    whole = make_trainer(tmp_path / "whole", [0.1, 0.3, 0.2])
    whole.train()
    trainer = make_trainer(tmp_path / "cut", [0.1, 0.3, 0.2])

    def interrupted(epoch, first_step):
        for batch in batches(epoch, first_step):
            if trainer.global_step + 1 == at_step:
                os.kill(os.getpid(), number)
            yield batch

    trainer.batches = interrupted
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(UserError, match="^interrupted after epoch 2.*--resume"):
        trainer.train()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert names(tmp_path / "cut", "line-*")[-1] == saved

    with open(tmp_path / "cut" / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"global_step": 99, "loss": 1}\n{"global_st')  # what a killed run may leave behind the checkpoint
    again = make_trainer(tmp_path / "cut", [0.2] if at_step == 8 else [0.3, 0.2])
    again.resume()
    assert again.global_step == at_step and again.best == (0.3 if at_step == 8 else 0.1)
    again.train()
    for name in ("line-3_4.ckpt", "line_best.ckpt"):
        first, second = (load_checkpoint(tmp_path / folder / name) for folder in ("whole", "cut"))
        assert first[1] == second[1]
        assert_same(values(first[0]), values(second[0]))
    assert [record["global_step"] for record in metrics_of(tmp_path / "cut")] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    finished = make_trainer(tmp_path / "cut", [])
    finished.resume()
    assert finished.train()["best_valid_accuracy"] == 0.3  # nothing is left to do, and nothing breaks


def test_resume_without_a_checkpoint(tmp_path):
    with pytest.raises(UserError, match="holds no line-.*start without --resume"):
        make_trainer(tmp_path).resume()


# checkpoints


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "line-1_4.ckpt"
    parameters = [Parameter(Tensor(np.arange(60, dtype=np.float32).reshape(4, 15) + k), name=f"p{k}") for k in range(4)]
    save_checkpoint(path, parameters, {"epoch": 2, "best": 0.1 + 0.2})
    return path


def test_checkpoint_comes_back_exactly(good):
    parameters, state = load_checkpoint(good)
    assert state == {"epoch": 2, "best": 0.1 + 0.2} and sorted(parameters) == ["p0", "p1", "p2", "p3"]
    np.testing.assert_array_equal(parameters["p3"].asnumpy(), np.arange(60).reshape(4, 15) + 3)
    assert [path.name for path in good.parent.iterdir()] == [good.name]


def test_truncated_checkpoint_is_never_loaded(good, tmp_path):
    content, path = good.read_bytes(), tmp_path / "cut.ckpt"
    for end in sorted({0, 1, 2, len(content) - 1, *range(0, len(content), max(1, len(content) // 150))}):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"cut\.ckpt: (damaged|truncated)"):
            load_checkpoint(path)


def test_flipped_bits_are_never_loaded_silently(good, tmp_path):
    content, path, source = good.read_bytes(), tmp_path / "flipped.ckpt", random.Random(0)
    wanted = values(load_checkpoint(good)[0])
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[source.randrange(len(content))] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        try:
            parameters, state = load_checkpoint(path)
        except UserError:
            refused += 1
            continue
        assert state == {"epoch": 2, "best": 0.1 + 0.2}
        assert_same(values(parameters), wanted)
    assert refused > 150


def test_other_files_are_no_checkpoints(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "absent.ckpt")
    for name, message in (("weights.h5", r"must end in \.ckpt"), ("other.ckpt", "damaged|truncated")):
        (tmp_path / name).write_bytes(b"not a checkpoint at all")
        with pytest.raises(UserError, match=message):
            load_checkpoint(tmp_path / name)
    foreign = [{"name": "p", "data": Tensor(np.ones(3, np.float32))}]
    ms.save_checkpoint(foreign, str(tmp_path / "foreign.ckpt"), crc_check=True)
    with pytest.raises(UserError, match="not a checkpoint written by this project"):
        load_checkpoint(tmp_path / "foreign.ckpt")


def test_newest_good_checkpoint_skips_damaged_ones(good, tmp_path, capsys):
    ordered = ["line-1_4.ckpt", "line-2_4.ckpt", "line-10_2.ckpt", "line-10_10.ckpt"]
    for name in (*ordered, "line_best.ckpt", "line-x.ckpt"):
        shutil.copy(good, tmp_path / name)
    assert [path.name for path in training_checkpoints(tmp_path, "line")] == ordered
    (tmp_path / "line-10_10.ckpt").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "line-10_2.ckpt").write_bytes(b"")
    assert newest_good_checkpoint(tmp_path, "line")[0].name == "line-2_4.ckpt"
    assert capsys.readouterr().out.count("warning: skipped") == 2
    assert newest_good_checkpoint(tmp_path, "other") is None


def test_load_into_is_strict():
    parameters = {"weight": Parameter(Tensor(np.ones(3, np.float32)), name="weight")}
    with pytest.raises(UserError, match="no parameter 'bias'"):
        load_into(Line().get_parameters(), parameters, "x.ckpt")
    parameters["bias"] = Parameter(Tensor(np.ones(2, np.float32)), name="bias")
    with pytest.raises(UserError, match=r"'bias' has shape \(2,\), the configured network \(1,\)"):
        load_into(Line().get_parameters(), parameters, "x.ckpt")


@pytest.mark.parametrize("error", [OSError("full"), RuntimeError("full\nC++ call stack")])
def test_failed_saving_leaves_the_older_checkpoint(tmp_path, monkeypatch, error):
    path = tmp_path / "line-1_4.ckpt"
    save_checkpoint(path, [], {"epoch": 1})

    def fail(entries, name, **_):
        Path(name).with_suffix(".tmp").write_bytes(b"half")
        raise error

    monkeypatch.setattr(checkpoint.ms, "save_checkpoint", fail)
    with pytest.raises(UserError, match=r"cannot write the checkpoint \(full\)"):
        save_checkpoint(path, [], {"epoch": 2})
    assert load_checkpoint(path)[1] == {"epoch": 1} and [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_metrics_file_starts_anew_without_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"global_step": 5}\n', encoding="utf-8")
    assert MetricsFile(path, 0).records == [] and path.read_text(encoding="utf-8") == ""


def test_claim_folder(tmp_path, good):
    folder = tmp_path / "new" / "outputs"
    lock = claim_folder(folder, "line", False, False)
    with pytest.raises(UserError, match="another training writes here"):
        claim_folder(folder, "line", True, False)
    lock.close()
    (folder / ".unfinished-1-line-9_9.tmp").write_bytes(b"of a killed run")
    claim_folder(folder, "line", False, False).close()
    assert names(folder, ".unfinished*") == []
    for name in ("line-1_4.ckpt", "line_best.ckpt", "mine.ckpt"):
        shutil.copy(good, folder / name)
    with pytest.raises(UserError, match=r"earlier training \(line-1_4\.ckpt\); --resume continues it, --overwrite"):
        claim_folder(folder, "line", False, False)
    claim_folder(folder, "line", True, False).close()
    assert len(names(folder)) == 3
    claim_folder(folder, "line", False, True).close()
    assert names(folder) == ["mine.ckpt"]
    with pytest.raises(OSError):
        claim_folder(folder / "mine.ckpt" / "below a file", "line", False, False)


# train.py itself, on the synthetic corpus

TRAIN = Path(train.__file__).resolve()
SETTINGS = {
    "preset": "tiny",
    "device_target": "CPU",
    "preprocess": "false",
    "num_epochs": 4,
    "batch_size": 8,
    "print_steps": 1,
    "save_checkpoint_steps": 3,
    "dropout": 0.3,
    "embedding_dropout": 0.1,
    "word_dropout": 0.2,
    "pretrain_epochs": 0,
}


@pytest.fixture(scope="module")
def preprocessed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_sample_corpus(folder / "aclImdb", 60)
    config = resolve(lstm_cfg, parse(["--preprocess", "false"], ""), presets["CPU"]["tiny"])
    prepare(folder / "aclImdb", None, folder / "preprocess", config)
    return folder / "preprocess"


def options(preprocessed, folder, *flags, **changes):
    settings = {**SETTINGS, "preprocess_path": preprocessed, "ckpt_path": folder, **changes}
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))] + list(flags)


def start(arguments):
    command = [sys.executable, "-u", str(TRAIN), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TRAIN.parent)


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def interrupt_after(arguments, lines, number):
    """Send the signal after so many steps; returns what `finish` does. The process goes on while the signal travels."""
    process = start(arguments)
    for line in process.stdout:
        lines -= "loss is" in line
        if not lines:
            process.send_signal(number)
            break
    return finish(process)


@pytest.fixture(scope="module")
def uninterrupted(preprocessed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, out, err = finish(start(options(preprocessed, folder)))
    assert code == 0, err
    assert err == "", "a training on the CPU has nothing to warn of"
    assert len(re.findall(r"^epoch: \d+ step: \d+, loss is \d+\.\d{7}$", out, re.MULTILINE)) == 4 * 5
    return folder


def assert_same_run(first, second):
    for name in ("lstm-4_5.ckpt", "lstm_best.ckpt"):
        (a, state_a), (b, state_b) = (load_checkpoint(folder / name) for folder in (first, second))
        assert state_a == state_b
        assert_same(values(a), values(b))
    records = []
    for folder in (first, second):
        lines = [record for record in metrics_of(folder) if "valid_loss" in record]
        records.append([(r["global_step"], r["valid_accuracy"], r["valid_loss"]) for r in lines])
    assert records[0] == records[1] and len(records[0]) == 4


def test_killed_and_resumed_run_is_the_uninterrupted_one(preprocessed, tmp_path):
    """With everything random on; the first kill comes in the pre-training, the second one after it."""
    pretraining = {"pretrain_epochs": 1, "pretrain_batch_size": 24, "pretrain_length": 50}
    whole, cut, flags = tmp_path / "whole", tmp_path / "cut", []
    code, _, err = finish(start(options(preprocessed, whole, **pretraining)))
    assert code == 0, err
    for moment in (4, 12):
        code, _, err = interrupt_after(options(preprocessed, cut, *flags, **pretraining), moment, signal.SIGKILL)
        if code == 0:
            pytest.skip("this machine trained faster than it could be killed")
        assert code == -signal.SIGKILL, err
        flags = ["--resume"]
    code, out, err = finish(start(options(preprocessed, cut, *flags, **pretraining)))
    assert code == 0 and f"resumed from {cut}/lstm-" in out, err
    assert_same_run(whole, cut)
    assert names(cut, ".unfinished*") == [] and len(names(cut, "lstm-*")) == 5


def test_stopped_and_resumed_run_is_the_uninterrupted_one(preprocessed, uninterrupted, tmp_path):
    flags = []
    for number in (signal.SIGTERM, signal.SIGINT):
        arguments = options(preprocessed, tmp_path, *flags, save_checkpoint_steps=0)
        code, _, err = interrupt_after(arguments, 5, number)
        assert code == 2 and err.startswith("error: interrupted after epoch ") and err.count("\n") == 1, err
        flags = ["--resume"]
    code, out, err = finish(start(options(preprocessed, tmp_path, "--resume")))
    assert code == 0 and err == "" and f"resumed from {tmp_path}/lstm-" in out
    assert_same_run(uninterrupted, tmp_path)


def end_with(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        runtime.run(lambda: train.main(arguments))
    return ended.value.code, capsys.readouterr().err


def test_folder_in_use_or_used_is_refused(preprocessed, uninterrupted, tmp_path, capsys):
    lock = claim_folder(tmp_path, "lstm", False, False)
    code, err = end_with(options(preprocessed, tmp_path), capsys)
    assert code == 2 and "another training writes here" in err and err.count("\n") == 1
    lock.close()
    code, err = end_with(options(preprocessed, uninterrupted), capsys)
    assert code == 2 and "--resume continues it, --overwrite deletes it" in err


def test_resume_with_another_setting_is_refused_by_name(preprocessed, uninterrupted, tmp_path, capsys):
    for change in ({"batch_size": 16}, {"seed": 2}, {"num_epochs": 9}):
        code, err = end_with(options(preprocessed, uninterrupted, "--resume", **change), capsys)
        key = next(iter(change))
        assert code == 2 and f"--resume continues with {key} " in err and "cannot be changed on the way" in err
    code, err = end_with(options(preprocessed, tmp_path / "none", "--resume"), capsys)
    assert code == 2 and "config.yaml: no such file" in err


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"preprocess_path": "absent"}, "absent"),
        ({"preprocess": "true", "aclimdb_path": "absent"}, "absent/train/neg: no such folder"),
        ({"embed_size": 100}, "embed_size 100"),
        ({"batch_size": 64}, "do not fill one batch of 64"),
        ({"device_target": "Ascend"}, "no Ascend device"),
        ({"device_target": "GPU"}, "no GPU device"),
        ({"pre_trained": "absent.ckpt"}, "absent.ckpt: no such checkpoint"),
        ({"distributed": "true"}, "needs msrun"),
    ],
)
def test_wrong_input_is_one_line(preprocessed, tmp_path, monkeypatch, capsys, changes, message):
    monkeypatch.chdir(tmp_path)
    code, err = end_with(options(preprocessed, tmp_path / "out", **changes), capsys)
    assert code == 2 and message in err and err.startswith("error: ") and err.count("\n") == 1


def test_output_folder_that_cannot_be_written(preprocessed, tmp_path, capsys):
    (tmp_path / "file").touch()
    code, err = end_with(options(preprocessed, tmp_path / "file" / "out"), capsys)
    assert code == 2 and err.count("\n") == 1 and str(tmp_path / "file") in err
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        return  # the superuser may write anywhere
    code, err = end_with(options(preprocessed, tmp_path / "locked"), capsys)
    assert code == 2 and err.count("\n") == 1 and "ermission denied" in err


def test_pre_trained_weights_are_the_start(preprocessed, uninterrupted, tmp_path, monkeypatch):
    found = {}
    monkeypatch.setattr(Trainer, "train", lambda self: found.update(values(self.network.parameters_dict())) or {})
    checkpoint_path = uninterrupted / "lstm-4_5.ckpt"
    train.main(options(preprocessed, tmp_path, pre_trained=checkpoint_path, seed=5))
    saved = values(load_checkpoint(checkpoint_path)[0])
    for name, value in found.items():
        np.testing.assert_array_equal(value, saved.get(f"average.{name}", saved[name]))
    assert_same(found, values(load_trained(checkpoint_path)[0].parameters_dict()))

    other = tmp_path / "other"
    shutil.copytree(uninterrupted, other)
    words = json.loads((other / "vocab.json").read_text(encoding="utf-8"))
    words[2], words[3] = words[3], words[2]
    (other / "vocab.json").write_text(json.dumps(words), encoding="utf-8")
    with pytest.raises(UserError, match=r"other/vocab\.json: not the vocabulary of "):
        train.main(options(preprocessed, tmp_path, pre_trained=other / "lstm_best.ckpt"))
    with pytest.raises(UserError, match=r"other/vocab\.json: not the vocabulary of "):
        train.main(options(preprocessed, other, "--resume"))


def test_overwrite_starts_anew(preprocessed, uninterrupted, tmp_path, monkeypatch):
    folder = tmp_path / "outputs"
    shutil.copytree(uninterrupted, folder)
    monkeypatch.setattr(Trainer, "train", lambda self: {"global_step": self.global_step})
    assert train.main(options(preprocessed, folder, "--overwrite", num_epochs=2)) == {"global_step": 0}
    assert names(folder) == []
    assert "num_epochs: 2" in (folder / "config.yaml").read_text(encoding="utf-8")


def test_mixed_precision_and_performance_steps(preprocessed, tmp_path, capfd):
    with contextlib.suppress(FileNotFoundError):
        result = train.main(options(preprocessed, tmp_path / "out", amp_level="O2", performance_steps=3))
    assert result["steps"] == 3 and result["tokens_per_second"] > 0
    assert not (tmp_path / "out").exists()
    assert re.search(r"samples_per_second \d+\.\d, tokens_per_second \d+", capfd.readouterr().out)
