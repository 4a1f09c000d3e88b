"""The training loss: connectionist temporal classification."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.network import CTCNet


class CTCLoss(nn.Cell):
    """Mean over the utterances of a batch of -ln p(labels | frames), in float32; the blank has id 0.

    Graves et al. 2006, eq. 3 and 8. Every utterance must have at least as many output steps as its labels need. A share
    `intermediate` of the loss is the mean of that of the layers below the last (Lee & Watanabe 2021, section 3), which
    a deep network of little speech needs.
    """

    def __init__(self, *, network: CTCNet, intermediate: float = 0.0):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network
        self.intermediate = intermediate if len(network.layers) > 1 else 0.0

    def construct(
        self, frames: Tensor, lengths: Tensor, dropout_keys: Tensor, labels: Tensor, label_lengths: Tensor
    ) -> Tensor:
        """Return the scalar loss of frames (B, T, D), lengths (B,), labels (B, L) and label_lengths (B,)."""
        outputs = self.network.layer_outputs(frames, lengths, dropout_keys)
        steps = (lengths + (self.network.subsampling - 1)) // self.network.subsampling
        loss = self._loss(outputs[-1], labels, steps, label_lengths)
        if self.intermediate > 0:
            below = 0.0
            for x in outputs[:-1]:
                below = below + self._loss(x, labels, steps, label_lengths) / (len(outputs) - 1)
            loss = (1 - self.intermediate) * loss + self.intermediate * below
        return loss

    def _loss(self, x, *targets):
        return ctc_loss(self.network.classify(x), *targets).mean()


def ctc_loss(log_probs: Tensor, labels: Tensor, steps: Tensor, label_lengths: Tensor) -> Tensor:
    """Return -ln p (B,) of labels (B, L) under log_probs (T, B, V), of which each utterance has `steps` (B,)."""
    return ops.ctc_loss(log_probs.astype(ms.float32), labels, steps, label_lengths, blank=0, reduction="none")[0]
