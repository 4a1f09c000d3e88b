"""Training loss of the translator."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.model_utils.softmax_loss import SoftmaxLoss
from src.tokenization import PAD


class TranslationLoss(nn.Cell):
    """Cross entropy with label smoothing, a mean over the target tokens of all data-parallel `processes`."""

    def __init__(self, *, network: nn.Cell, smoothing: float, processes: int = 1):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.loss = SoftmaxLoss(smoothing)
        self.processes = processes
        self.sum_over_processes = ops.AllReduce() if processes > 1 else None
        self.not_equal, self.cast, self.sum, self.maximum = ops.NotEqual(), ops.Cast(), ops.ReduceSum(), ops.Maximum()
        self.pad, self.one = Tensor(PAD, ms.int32), Tensor(1.0, ms.float32)

    def construct(self, source, source_lengths, target_input, target_output, dropout_keys) -> Tensor:
        """Map the arrays of a TranslationInputs to the scalar loss."""
        network = self.network
        hidden = network.hidden(source, source_lengths, target_input, dropout_keys)
        real = self.cast(self.not_equal(target_output, self.pad), ms.float32)  # (T, B)
        tokens = self.sum(real)
        if self.sum_over_processes is not None:  # a process may have more tokens than another
            tokens = self.sum_over_processes(tokens) / self.processes
        shares = real / self.maximum(tokens, self.one)
        return self.loss(hidden, network.output_embedding, network.output_bias, target_output, shares)
