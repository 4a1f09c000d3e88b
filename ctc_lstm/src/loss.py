"""The training loss: connectionist temporal classification."""

from __future__ import annotations

import mindspore as ms
from mindspore import nn, ops

from src.network import CTCNet


class CTCLoss(nn.Cell):
    """Mean over the utterances of a batch of -ln p(labels | frames), in float32; the blank has id 0.

    Graves et al. 2006, eq. 3 and 8. Every utterance must have at least as many output steps as its labels need.
    """

    def __init__(self, network: CTCNet):
        super().__init__(auto_prefix=False)  # the names of the parameters stay the network's own
        self.network = network

    def construct(self, frames, lengths, dropout_keys, labels, label_lengths):
        """Return the scalar loss of frames (B, T, D), lengths (B,), labels (B, L) and label_lengths (B,)."""
        log_probs = self.network(frames, lengths, dropout_keys)  # (T', B, V)
        steps = (lengths + (self.network.subsampling - 1)) // self.network.subsampling
        return ctc_loss(log_probs, labels, steps, label_lengths).mean()


def ctc_loss(log_probs, labels, steps, label_lengths):
    """Return -ln p (B,) of labels (B, L) under log_probs (T, B, V), of which each utterance has `steps` (B,)."""
    return ops.ctc_loss(log_probs.astype(ms.float32), labels, steps, label_lengths, blank=0, reduction="none")[0]
