"""The training loop that every model shares: steps, validation, checkpoints, resume, early stopping, clean endings."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from tqdm import tqdm

from src.model_utils.checkpoint import (
    AVERAGE_PREFIX,
    UNFINISHED_PREFIX,
    keep_newest,
    load_into,
    newest_good_checkpoint,
    save_checkpoint,
    training_checkpoints,
)
from src.model_utils.reporting import MetricsFile, draw_curves
from src.model_utils.runtime import UserError, log, rank_and_size


@dataclass
class Batch:
    """Arrays in the order of the training network's inputs, and what they count for in the throughput."""

    inputs: tuple
    samples: int
    tokens: int


class TrainStep(nn.Cell):
    """One optimizer step: gradients, all-reduce, clipping by global norm, update, weight average.

    `construct(*batch)` returns the loss and the global gradient norm before clipping. `value_and_grad(*batch)`, where
    given, replaces the plain gradient of `loss_network` and returns (loss, gradients of its trainable parameters).
    `weight_average` in (0, 1) keeps an exponential moving average of the weights with that decay, bias-free from the
    start by the warm-up decay min(decay, (1 + n) / (10 + n)); with `average_every` > 1 it moves after so many steps
    only, as far as in that number of steps, because on a CPU the average can take longer than the optimizer.
    `loss_scaler` is for mixed precision: a step whose gradients overflow is left out.
    """

    def __init__(
        self,
        loss_network: nn.Cell,
        optimizer: nn.Optimizer,
        gradient_clip: float = 0.0,
        weight_average: float = 0.0,
        value_and_grad: Callable | None = None,
        loss_scaler: ms.amp.DynamicLossScaler | None = None,
        average_every: int = 1,
    ):
        super().__init__(auto_prefix=False)  # a checkpoint names the parameters as the network alone does
        self.loss_network = loss_network
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.gradient_clip = gradient_clip
        self.loss_scaler = loss_scaler
        self.gradients = value_and_grad or ms.value_and_grad(self._scaled_loss, None, self.weights)
        size = rank_and_size()[1]
        self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=size) if size > 1 else None
        self.sum_over_ranks = ops.AllReduce() if size > 1 else None
        self.ranks = size
        averaged = self.weights if weight_average else []
        copies = [Parameter(w.asnumpy(), name=AVERAGE_PREFIX + w.name, requires_grad=False) for w in averaged]
        self.average = ms.ParameterTuple(copies)
        self.updates = Parameter(Tensor(0.0, ms.float32), name="updates", requires_grad=False)
        self.move_average = _MoveAverage(self, weight_average, average_every) if weight_average else None
        self.average_every = average_every
        self.map = ops.HyperMap()

    def __call__(self, *batch):
        result = super().__call__(*batch)
        if self.move_average is not None and self.average_every > 1:  # a graph of its own
            updates = self.updates.asnumpy() + np.float32(1)  # another type would be cast by an operator, in 3 ms
            self.updates.set_data(Tensor(updates))
            if updates % self.average_every == 0:
                self.move_average(Tensor(updates))
        return result

    def _scaled_loss(self, *batch):
        loss = self.loss_network(*batch)
        return loss if self.loss_scaler is None else self.loss_scaler.scale(loss)

    def construct(self, *batch):
        loss, gradients = self.gradients(*batch)
        if self.reduce is not None:
            gradients = self.reduce(gradients)
            loss = self.sum_over_ranks(loss) / self.ranks
        finite = None
        if self.loss_scaler is not None:
            loss = self.loss_scaler.unscale(loss)
            gradients = self.loss_scaler.unscale(gradients)
            finite = ms.amp.all_finite(gradients)
            loss = ops.depend(loss, self.loss_scaler.adjust(finite))
        norm = ops.sqrt(ops.addn(self.map(squared_sum, gradients)))
        if self.gradient_clip > 0:
            scale = ops.minimum(self.gradient_clip / (norm + 1e-12), 1.0)
            gradients = self.map(ops.partial(scaled, scale), gradients)
        if self.loss_scaler is None or finite:
            loss = ops.depend(loss, self._update(gradients))
        else:
            norm = ops.zeros_like(norm)
        return loss, norm

    def _update(self, gradients):
        done = self.optimizer(gradients)
        if self.move_average is not None and self.average_every == 1:
            updates = ops.depend(self.updates, done) + 1
            done = ops.depend(ops.assign(self.updates, updates), self.move_average(updates))
        return done


class _MoveAverage(nn.Cell):
    """Moves the weight average of a TrainStep after `updates` steps, as far as in `every` steps."""

    def __init__(self, step: TrainStep, decay: float, every: int):
        super().__init__(auto_prefix=False)
        self.average, self.weights, self.decay, self.every = step.average, step.weights, decay, every
        self.map = ops.HyperMap()

    def construct(self, updates):
        decay = ops.minimum((1 + updates) / (10 + updates), self.decay) ** self.every
        return self.map(ops.partial(_blend, decay), self.average, self.weights)


def _shown(record: dict) -> str:
    return ", ".join(f"{key} {value:.6g}" for key, value in record.items())


def squared_sum(gradient):
    """Return the squared norm of a gradient of any shape, a float32 scalar."""
    squares = ops.square(gradient.astype(ms.float32))
    if squares.ndim > 1:  # the CPU kernel adds up rows on all cores, but everything at once on one
        squares = squares.reshape(-1, squares.shape[-1]).sum(-1)
    return squares.sum()


def scaled(scale, gradient):
    """Return a gradient times a scalar, in the gradient's type."""
    return gradient * scale.astype(gradient.dtype)


def _blend(decay, average, weight):
    return ops.assign(average, average * decay + weight * (1 - decay))


@contextlib.contextmanager
def averaged_weights(step: TrainStep):
    """Put the weight average into the network, and the weights back afterwards, to the bit."""
    weights = [w.asnumpy().copy() for w in step.weights] if len(step.average) else []
    try:
        for weight, average in zip(step.weights, step.average):
            weight.set_data(Tensor(average.asnumpy()))
        yield
    finally:
        for weight, value in zip(step.weights, weights):
            weight.set_data(Tensor(value))


@dataclass
class Trainer:
    """Trains `step` over epochs of `batches` and leaves checkpoints, metrics and curves in `folder`.

    `batches(epoch, first_step)` yields the Batches of an epoch (counted from 1) after the first `first_step` ones; it
    must be a pure function of its arguments, which is what makes a resumed run equal the uninterrupted one.
    `validate()` returns a dict of metrics, `metric` among them, or `validate` is None: then the last checkpoint counts.
    """

    name: str
    folder: Path
    network: nn.Cell
    step: TrainStep
    batches: Callable[[int, int], Iterator[Batch]]
    steps_per_epoch: int
    num_epochs: int
    learning_rate: Callable[[int], float]
    validate: Callable[[], dict] | None
    metric: str
    higher_is_better: bool = True
    print_steps: int = 50
    validate_steps: int = 0
    save_checkpoint_steps: int = 0
    keep_checkpoint_max: int = 5
    patience: int = 0

    def __post_init__(self):
        self.is_main = rank_and_size()[0] == 0
        self.best: float | None = None
        self.best_at = ""
        self.validations_without_gain = 0
        self.epoch = 1
        self.step_in_epoch = 0
        self.stop_requested = False

    @property
    def global_step(self) -> int:
        """Optimizer steps done so far."""
        return (self.epoch - 1) * self.steps_per_epoch + self.step_in_epoch

    def resume(self) -> None:
        """Continue from the newest good checkpoint in the folder; UserError where there is none."""
        found = newest_good_checkpoint(self.folder, self.name)
        if found is None:
            raise UserError(f"{self.folder}: holds no {self.name}-*.ckpt to resume from; start without --resume")
        path, parameters, state = found
        load_into(self._saved_parameters(), parameters, path)
        for key in ("best", "best_at", "validations_without_gain", "epoch", "step_in_epoch"):
            setattr(self, key, state[key])
        log(f"resumed from {path} at epoch {self.epoch} step {self.step_in_epoch}")

    def train(self) -> dict:
        """Train to the end and return the last record of metrics, with the best value of `metric`."""
        metrics = MetricsFile(self.folder / "metrics.jsonl", self.global_step) if self.is_main else None
        self.step.set_train(True)
        summary = {}
        with self._signals():
            while self.epoch <= self.num_epochs and not self._is_stale():
                summary = self._train_epoch(metrics)
        if self.best is not None:
            log(f"best {self.metric} {self.best:.6g} at {self.best_at}")
        return {**summary, f"best_{self.metric}": self.best, "best_at": self.best_at}

    def _train_epoch(self, metrics) -> dict:
        started, steady, losses, samples, tokens = time.perf_counter(), None, [], 0, 0
        bar = tqdm(
            total=self.steps_per_epoch,
            initial=self.step_in_epoch,
            desc=f"epoch {self.epoch}/{self.num_epochs}",
            disable=not (self.is_main and sys.stderr.isatty()),
            leave=False,
        )
        record = {}
        left = self.steps_per_epoch - self.step_in_epoch  # what batches() yields need not have an end
        for batch in itertools.islice(self.batches(self.epoch, self.step_in_epoch), left):
            loss, norm = self.step(*[Tensor(array) for array in batch.inputs])
            loss, norm = float(loss.asnumpy()), float(norm.asnumpy())
            self.step_in_epoch += 1
            self._check_finite(loss, norm, batch)
            losses.append(loss)
            if steady is None:  # the first step of a process compiles: it does not count as throughput
                steady = time.perf_counter()
            else:
                samples, tokens = samples + batch.samples, tokens + batch.tokens
            seconds = max(time.perf_counter() - steady, 1e-9)
            bar.set_postfix(loss=f"{loss:.4f}", samples_per_s=f"{samples / seconds:.0f}", refresh=False)
            bar.update()
            last = self.step_in_epoch == self.steps_per_epoch
            if last or (self.print_steps and self.step_in_epoch % self.print_steps == 0):
                bar.clear()
                log(f"epoch: {self.epoch} step: {self.step_in_epoch}, loss is {loss:.7f}")
                if metrics:
                    recent = losses[-self.print_steps :] if self.print_steps else losses
                    metrics.add(
                        global_step=self.global_step,
                        epoch=self.epoch,
                        loss=float(np.mean(recent)),
                        learning_rate=self.learning_rate(self.global_step - 1),
                    )
            if last:
                record = {"train_loss": float(np.mean(losses)), "seconds": round(time.perf_counter() - started, 2)}
                if samples:
                    record["samples_per_second"] = round(samples / seconds, 1)
                    record["tokens_per_second"] = round(tokens / seconds)
            pause = time.perf_counter()
            if self.validate and (last or (self.validate_steps and self.step_in_epoch % self.validate_steps == 0)):
                result = self._validate()
                record.update(result)
                if not last:
                    log(f"epoch {self.epoch} step {self.step_in_epoch}: {_shown(result)}")
                    if metrics:
                        metrics.add(global_step=self.global_step, epoch=self.epoch, **result)
            if last:
                self._report(record, metrics)
            elif self.save_checkpoint_steps and self.global_step % self.save_checkpoint_steps == 0:
                self._save()
            steady += time.perf_counter() - pause  # validating and saving are not throughput
            if self.stop_requested and not last:
                self._save()
            if self.stop_requested:
                bar.close()
                done = f"epoch {self.epoch - 1}" if last else f"epoch {self.epoch} step {self.step_in_epoch}"
                raise UserError(
                    f"interrupted after {done}; everything is saved in {self.folder}, continue with --resume"
                )
        bar.close()
        return record

    def _validate(self) -> dict:
        self._check_weights()
        self.step.set_train(False)
        with averaged_weights(self.step):
            result = self.validate()
            value = result[self.metric]
            better = self.best is None or (value > self.best if self.higher_is_better else value < self.best)
            self.validations_without_gain = 0 if better else self.validations_without_gain + 1
            if better:
                self.best, self.best_at = value, f"epoch {self.epoch} step {self.step_in_epoch}"
                if self.is_main:
                    weights = self.network.get_parameters()
                    save_checkpoint(self.folder / f"{self.name}_best.ckpt", weights, {"global_step": self.global_step})
        self.step.set_train(True)
        return result

    def _report(self, record: dict, metrics) -> None:
        """Close an epoch: its line, its metrics, curves and checkpoint."""
        log(f"epoch {self.epoch} done: {_shown(record)}")
        if metrics:
            metrics.add(global_step=self.global_step, epoch=self.epoch, **record)
            draw_curves(metrics.records, self.folder / "curves.png", self.metric)
        self._save()

    def _save(self) -> None:
        """Save under the step just done; after the last one of an epoch, training continues with the next epoch."""
        self._check_weights()
        path = self.folder / f"{self.name}-{self.epoch}_{self.step_in_epoch}.ckpt"
        if self.step_in_epoch == self.steps_per_epoch:
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
        if not self.is_main:
            return
        state = {
            key: getattr(self, key) for key in ("best", "best_at", "validations_without_gain", "epoch", "step_in_epoch")
        }
        save_checkpoint(path, self._saved_parameters(), state)
        keep_newest(self.folder, self.name, self.keep_checkpoint_max)

    def _saved_parameters(self) -> list[Parameter]:
        own = {parameter.name: parameter for parameter in self.network.get_parameters()}
        return list({**own, **{p.name: p for p in self.step.get_parameters()}}.values())

    def _is_stale(self) -> bool:
        stale = bool(self.patience) and self.validations_without_gain >= self.patience
        if stale:
            log(f"early stop: {self.metric} has not improved in {self.validations_without_gain} validations")
        return stale

    def _check_finite(self, loss: float, norm: float, batch: Batch) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        shapes = ", ".join(str(array.shape) for array in batch.inputs)
        self._diverged(f"loss is {loss} and the gradient norm {norm}", f", input shapes {shapes}")

    def _check_weights(self) -> None:
        """Refuse to validate or save what the last update has spoilt: no later loss would tell before it is on disk."""
        for weight in self.step.weights:
            if not np.isfinite(weight.asnumpy()).all():
                self._diverged(f"the weights '{weight.name}' are no longer finite")

    def _diverged(self, what: str, where: str = ""):
        saved = training_checkpoints(self.folder, self.name)
        raise UserError(
            f"{what} at epoch {self.epoch} step {self.step_in_epoch} (batch {self.step_in_epoch} of the epoch{where});"
            f" the last good checkpoint is {saved[-1] if saved else 'none yet'}; lower --learning_rate or"
            " --gradient_clip"
        )

    @contextlib.contextmanager
    def _signals(self):
        """Let the first Ctrl-C or SIGTERM ask to save and leave after the step, and a second one leave at once."""

        def request(number, _):
            self.stop_requested = True
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

        older = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in older.items():
                signal.signal(number, handler)


def claim_folder(folder, name: str, resume: bool, overwrite: bool):
    """Create the output folder and keep other runs out of it; returns the lock, to be held open while training.

    Raises UserError where another run writes there, or where an earlier training would be overwritten unasked.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if rank_and_size()[0] != 0:
        return None
    lock = open(folder / ".lock", "w")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"{folder}: another training writes here; wait for it or choose another --ckpt_path") from None
    for path in folder.glob(f"{UNFINISHED_PREFIX}*"):
        path.unlink()  # left by a run that was killed while it was saving
    older = training_checkpoints(folder, name)
    if older and not resume and not overwrite:
        raise UserError(
            f"{folder}: holds an earlier training ({older[-1].name}); --resume continues it, --overwrite deletes it,"
            " another --ckpt_path keeps both"
        )
    if overwrite and not resume:
        for path in [*older, folder / f"{name}_best.ckpt"]:
            path.unlink(missing_ok=True)
    return lock


def measure_throughput(step: TrainStep, batches: Iterator[Batch], steps: int, warm_up: int = 10) -> dict:
    """Time `steps` training steps after `warm_up` ones; returns samples and tokens per second and compile seconds."""
    step.set_train(True)
    samples = tokens = done = 0
    begin = time.perf_counter()
    compiled = None
    for batch in batches:
        step(*[Tensor(array) for array in batch.inputs])[0].asnumpy()
        done += 1
        if compiled is None:
            compiled = time.perf_counter() - begin
        if done == warm_up:
            begin = time.perf_counter()
        elif done > warm_up:
            samples, tokens = samples + batch.samples, tokens + batch.tokens
        if done == warm_up + steps:
            break
    if done <= warm_up:
        raise UserError(f"--performance_steps needs more than {warm_up} batches, the data gives {done}")
    seconds = time.perf_counter() - begin
    result = {"steps": done - warm_up, "first_step_seconds": round(compiled, 2), "seconds": round(seconds, 3)}
    return {**result, "samples_per_second": round(samples / seconds, 1), "tokens_per_second": round(tokens / seconds)}
