"""The training loop that every model shares: steps, validation, checkpoints, resume, early stopping, clean endings."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn
from tqdm import tqdm

from src.model_utils import ranks
from src.model_utils.agreement import check_weights
from src.model_utils.batching import Batch, prefetched
from src.model_utils.checkpoint import (
    InitialWeights,
    keep_newest,
    load_into,
    save_checkpoint,
    save_fixed,
    training_checkpoints,
)
from src.model_utils.reporting import MetricsFile, draw_curves
from src.model_utils.runtime import UserError, log, rank_and_size
from src.model_utils.throughput import Throughput
from src.model_utils.weight_average import averaged_weights


@dataclass
class TrainingState:
    """Where a training stands; a checkpoint keeps it under the names of these fields."""

    epoch: int = 1
    step_in_epoch: int = 0  # steps done of this epoch
    best: float | None = None  # value of the metric
    best_at: str = ""
    validations_without_gain: int = 0


@dataclass
class Cadence:
    """How often a training prints and validates, in steps of an epoch, and saves, in steps of the whole training.

    0 disables each; the end of an epoch has all three in any case. The newest `keep_checkpoint_max` checkpoints are
    kept (0: all), and after `patience` validations without a better value the training stops (0: never).
    """

    print_steps: int = 50
    validate_steps: int = 0
    save_checkpoint_steps: int = 0
    keep_checkpoint_max: int = 5
    patience: int = 0

    @classmethod
    def of(cls, config) -> Cadence:
        """Return the cadence of a configuration."""
        keys = ("print_steps", "validate_steps", "save_checkpoint_steps", "keep_checkpoint_max", "early_stop_patience")
        return cls(*(config[key] for key in keys))


@dataclass
class Trainer:
    """Trains `step` over epochs of `batches` and leaves checkpoints, metrics and curves in `folder`.

    `step(*batch.inputs)` returns the loss and the gradient norm; its `weights` must stay finite, and its WeightAverage
    `average`, if it has one, is validated and kept as the best. `batches(epoch, first_step)` yields the Batches of an
    epoch (counted from 1) after the first `first_step` ones; it must be a pure function of its arguments, which is what
    makes a resumed run equal the uninterrupted one. `learning_rate(step)` is for the metrics. `validate()` returns a
    dict of metrics, `metric` among them, or `validate` is None: then the last checkpoint counts. `fixed` parameters,
    which no step changes, stand once in the folder, in files of these names, instead of in each checkpoint. The metrics
    become event files in the folder `tensorboard` too, if there is one.
    """

    name: str
    folder: Path
    network: nn.Cell
    step: nn.Cell
    batches: Callable[[int, int], Iterator[Batch]]
    steps_per_epoch: int
    num_epochs: int
    learning_rate: Callable[[int], float]
    validate: Callable[[], dict] | None
    metric: str
    higher_is_better: bool = True
    cadence: Cadence = field(default_factory=Cadence)
    fixed: dict[str, Parameter] = field(default_factory=dict)
    tensorboard: str | Path | None = None

    def __post_init__(self):
        self._fixed_note: dict = {}
        self.is_main = rank_and_size()[0] == 0
        self.state = TrainingState()
        self.stop_requested = False

    @property
    def global_step(self) -> int:
        """Optimizer steps done so far."""
        return (self.state.epoch - 1) * self.steps_per_epoch + self.state.step_in_epoch

    def resume(self, weights: InitialWeights) -> None:
        """Continue the training that the weights come from; fresh and pre-trained ones change nothing here."""
        if weights.state is None:
            return
        load_into(self._saved_parameters(), weights.parameters, weights.path)
        weights.parameters.clear()  # as large as the training itself
        self.state = TrainingState(**{each.name: weights.state[each.name] for each in fields(TrainingState)})
        log(f"resumed from {weights.path} at epoch {self.state.epoch} step {self.state.step_in_epoch}")

    def train(self) -> dict:
        """Train to the end and return the last record of metrics, with the best value of `metric`."""
        path = self.folder / "metrics.jsonl"
        metrics = MetricsFile(path, self.global_step, self.tensorboard) if self.is_main else None
        self._fixed_note = save_fixed(self.folder, self.fixed) if self.is_main else {}
        self.step.set_train(True)
        summary = {}
        with self._signals():
            while self.state.epoch <= self.num_epochs and not self._is_stale():
                summary = self._train_epoch(metrics)
        check_weights(self.network)
        if self.state.best is not None:
            log(f"best {self.metric} {self.state.best:.6g} at {self.state.best_at}")
        return {**summary, f"best_{self.metric}": self.state.best, "best_at": self.state.best_at}

    def _train_epoch(self, metrics) -> dict:
        start, throughput, losses, record = time.perf_counter(), Throughput(), [], {}
        epoch, first = self.state.epoch, self.state.step_in_epoch
        bar = tqdm(
            total=self.steps_per_epoch,
            initial=first,
            desc=f"epoch {epoch}/{self.num_epochs}",
            disable=not (self.is_main and sys.stderr.isatty()),
            leave=False,
        )
        # what batches() yields need not have an end
        batches = prefetched(itertools.islice(self.batches(epoch, first), self.steps_per_epoch - first))
        with contextlib.closing(batches):
            for batch in batches:
                losses.append(self._take_step(batch))
                throughput.add(batch)
                speed = throughput.per_second().get("samples_per_second", 0)
                bar.set_postfix(loss=f"{losses[-1]:.4f}", samples_per_s=f"{speed:.0f}", refresh=False)
                bar.update()
                last = self.state.step_in_epoch == self.steps_per_epoch
                if last or _is_due(self.cadence.print_steps, self.state.step_in_epoch):
                    bar.clear()
                    self._print(losses, metrics)
                if last:
                    seconds = round(time.perf_counter() - start, 2)
                    record = {"train_loss": float(np.mean(losses)), "seconds": seconds, **throughput.per_second()}
                stopping = self.stop_requested if ranks.count() == 1 else ranks.stops_after(self.global_step)
                with throughput.paused():
                    due = last or _is_due(self.cadence.validate_steps, self.state.step_in_epoch)
                    result = self._validate() if self.validate and due else {}
                    if last:
                        record.update(result)
                        self._close_epoch(record, metrics)
                    else:
                        self._close_step(result, metrics, stopping)
                if stopping:
                    bar.close()
                    done = f"epoch {epoch}" if last else f"epoch {epoch} step {self.state.step_in_epoch}"
                    raise UserError(f"interrupted after {done}; all is saved in {self.folder}, continue with --resume")
        bar.close()
        return record

    def _take_step(self, batch: Batch) -> float:
        """Train on a batch and return the loss; UserError where it or the gradient is not finite."""
        loss, norm = (float(value.asnumpy()) for value in self.step(*map(Tensor, batch.inputs)))
        self.state.step_in_epoch += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            shapes = ", ".join(str(array.shape) for array in batch.inputs)
            self._diverged(f"loss is {loss} and the gradient norm {norm}", f", input shapes {shapes}")
        return loss

    def _print(self, losses: list[float], metrics) -> None:
        log(f"epoch: {self.state.epoch} step: {self.state.step_in_epoch}, loss is {losses[-1]:.7f}")
        if metrics:
            metrics.add(
                global_step=self.global_step,
                epoch=self.state.epoch,
                loss=float(np.mean(losses[-self.cadence.print_steps :])),  # all of them where it is 0
                learning_rate=self.learning_rate(self.global_step - 1),
            )

    def _validate(self) -> dict:
        self._check_weights()
        self.step.set_train(False)
        with averaged_weights(getattr(self.step, "average", None)):
            result, state = self.validate(), self.state
            value = result[self.metric]
            better = state.best is None or (value > state.best if self.higher_is_better else value < state.best)
            state.validations_without_gain = 0 if better else state.validations_without_gain + 1
            if better:
                state.best, state.best_at = value, f"epoch {state.epoch} step {state.step_in_epoch}"
                if self.is_main:
                    path, step = self.folder / f"{self.name}_best.ckpt", {"global_step": self.global_step}
                    save_checkpoint(path, self.network.get_parameters(), step, self._fixed_note)
        ranks.barrier()
        self.step.set_train(True)
        return result

    def _close_step(self, result: dict, metrics, stopping: bool) -> None:
        """Print what a validation within an epoch gave, and save when it is time to."""
        if result:
            log(f"epoch {self.state.epoch} step {self.state.step_in_epoch}: {_shown(result)}")
            if metrics:
                metrics.add(global_step=self.global_step, epoch=self.state.epoch, **result)
        if stopping or _is_due(self.cadence.save_checkpoint_steps, self.global_step):
            self._save()

    def _close_epoch(self, record: dict, metrics) -> None:
        """Print the epoch's line, and save its metrics, curves and checkpoint."""
        log(f"epoch {self.state.epoch} done: {_shown(record)}")
        if metrics:
            metrics.add(global_step=self.global_step, epoch=self.state.epoch, **record)
            draw_curves(metrics.records, self.folder / "curves.png", self.metric)
        self._save()

    def _save(self) -> None:
        """Save under the step just done; after the last one of an epoch, training continues with the next epoch."""
        self._check_weights()
        state = self.state
        path = self.folder / f"{self.name}-{state.epoch}_{state.step_in_epoch}.ckpt"
        if state.step_in_epoch == self.steps_per_epoch:
            state.epoch, state.step_in_epoch = state.epoch + 1, 0
        if self.is_main:
            save_checkpoint(path, self._saved_parameters(), asdict(state), self._fixed_note)
            keep_newest(self.folder, self.name, self.cadence.keep_checkpoint_max)
        ranks.barrier()  # a collective would not wait longer than its limit for rank 0, and a rank may be about to end

    def _saved_parameters(self) -> list[Parameter]:
        both = (*self.network.get_parameters(), *self.step.get_parameters())
        return list({parameter.name: parameter for parameter in both}.values())

    def _is_stale(self) -> bool:
        without_gain = self.state.validations_without_gain
        stale = bool(self.cadence.patience) and without_gain >= self.cadence.patience
        if stale:
            log(f"early stop: {self.metric} has not improved in {without_gain} validations")
        return stale

    def _check_weights(self) -> None:
        """Refuse to validate or save weights that the last update has spoilt: no loss has shown it yet."""
        for weight in self.step.weights:
            if not np.isfinite(weight.asnumpy()).all():
                self._diverged(f"the weights '{weight.name}' are no longer finite")

    def _diverged(self, what: str, where: str = ""):
        saved, step = training_checkpoints(self.folder, self.name), self.state.step_in_epoch
        raise UserError(
            f"{what} at epoch {self.state.epoch} step {step} (batch {step} of the epoch{where}); the last good"
            f" checkpoint is {saved[-1] if saved else 'none yet'}; lower --learning_rate or --gradient_clip"
        )

    @contextlib.contextmanager
    def _signals(self):
        """Let the first Ctrl-C or SIGTERM ask to save and leave after the step, and a second one leave at once."""

        def request(number, _):
            self.stop_requested = True
            ranks.request_stop()
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

        older = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in older.items():
                signal.signal(number, handler)


def _is_due(every: int, step: int) -> bool:
    return bool(every) and step % every == 0


def _shown(record: dict) -> str:
    return ", ".join(f"{key} {value:.6g}" for key, value in record.items())
