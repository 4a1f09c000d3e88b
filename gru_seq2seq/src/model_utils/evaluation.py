"""A trained network on any number of samples: compiled once for all batch sizes and lengths, with a progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.model_utils import ranks
from src.model_utils.layers import RunInThreadPool
from src.model_utils.progress import progress_bar

Answer = TypeVar("Answer")
Inputs = TypeVar("Inputs", bound=tuple)  # a NamedTuple of arrays


class Forward(nn.Cell):
    """The float32 outputs of a network under a compilation of its own, so that training and evaluation stay apart.

    `inputs` are the network's inputs but `forward_only`, as tensors without data. The last are the dropout keys, which
    nothing reads outside training; without `has_keys` they are left out, and the lengths before them stand for them.
    `in_thread_pool` is for graphs whose time goes to MindSpore's own kernels (see RunInThreadPool).
    """

    def __init__(self, network: nn.Cell, inputs: Sequence[Tensor], has_keys: bool = True, in_thread_pool: bool = True):
        super().__init__(auto_prefix=False)
        self.network, self.has_keys = network, has_keys
        self.run_in_thread_pool = RunInThreadPool() if in_thread_pool else None
        self.set_train(False)
        self.set_inputs(*inputs)

    def construct(self, *inputs: Tensor) -> Tensor:
        """Return the outputs, which have the shape of the network's."""
        if not self.has_keys:
            inputs += (inputs[-1],)
        outputs = self.network(*inputs, True).astype(ms.float32)
        return outputs if self.run_in_thread_pool is None else self.run_in_thread_pool(outputs, inputs[-1])

    def outputs(
        self, batches: Iterable[tuple[np.ndarray, Inputs]], total: int, progress: str = ""
    ) -> Iterator[tuple[np.ndarray, Inputs, np.ndarray]]:
        """Yield (indices, inputs, outputs) of batches (indices, inputs) that hold `total` samples together.

        In a distributed training each rank has its share of the batches: put the answers together with `everyones`.
        `progress` names a bar on a terminal.
        """
        with progress_bar(total, progress) as bar:
            for indices, inputs in ranks.share(batches):
                yield indices, inputs, self(*map(Tensor, inputs)).asnumpy()
                bar.update(len(indices))


def everyones(answers: dict[int, Answer]) -> list[Answer]:
    """Return the answers of all samples in their order, from those that each rank has by their index."""
    together = {index: answer for part in ranks.gather(answers) for index, answer in part.items()}
    return [together[index] for index in sorted(together)]
