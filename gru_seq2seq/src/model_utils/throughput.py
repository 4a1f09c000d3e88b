"""How fast a training is: samples and tokens per second, for its epochs and for --performance_steps."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from mindspore import Tensor, nn

from src.model_utils.batching import Batch, prefetched
from src.model_utils.runtime import log


class Throughput:
    """Samples and tokens per second of the steps after the first `warm_up` ones, which compile."""

    def __init__(self, warm_up: int = 1):
        self.warm_up, self.steps, self.samples, self.tokens, self.seconds = warm_up, 0, 0, 0, 0.0
        self.clock = time.perf_counter()

    def add(self, batch: Batch) -> None:
        """Count a batch whose step has just been done."""
        now = time.perf_counter()
        if self.warm_up:
            self.warm_up -= 1
        else:
            self.steps += 1
            self.samples, self.tokens = self.samples + batch.samples, self.tokens + batch.tokens
            self.seconds += now - self.clock
        self.clock = now

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of what is done inside."""
        start = time.perf_counter()
        yield
        self.clock += time.perf_counter() - start

    def per_second(self) -> dict:
        """Return samples and tokens per second; nothing before the end of the warm-up."""
        if not self.steps:
            return {}
        seconds = max(self.seconds, 1e-9)
        counts = {"samples_per_second": round(self.samples / seconds, 1)}
        return {**counts, "tokens_per_second": round(self.tokens / seconds)}


def measure_throughput(
    step: nn.Cell, batches: Callable, steps: int, warm_up: int = 10, shapes: Sequence[Batch] = ()
) -> dict:
    """Time `steps` training steps after `warm_up` ones; print and return samples and tokens per second, and more.

    `batches` is that of a Trainer. `shapes`, a batch of each shape, take the place of the warm-up, so that all are
    compiled before.
    """
    step.set_train(True)
    every = (batch for epoch in itertools.count(1) for batch in batches(epoch, 0))
    throughput, start, compiled = Throughput(len(shapes) or warm_up), time.perf_counter(), None
    timed = prefetched(itertools.islice(itertools.chain(shapes, every), throughput.warm_up + steps))
    with contextlib.closing(timed):
        for batch in timed:
            step(*map(Tensor, batch.inputs))[0].asnumpy()
            compiled = compiled or time.perf_counter() - start
            throughput.add(batch)
    result = {"steps": throughput.steps, "first_step_seconds": round(compiled, 2)}
    result.update(seconds=round(throughput.seconds, 3), **throughput.per_second())
    log(", ".join(f"{key} {value}" for key, value in result.items()))
    return result
