"""The PyTorch side of ctc_lstm/: the network of ctc_lstm/src/network.py written two ways, same weights and arithmetic.

packed      what people write: nn.LSTM on packed sequences, batch normalisation on their data; exact
strongest   the fastest exact form found here: no packing, the backward direction reads reversed utterances; exact

T output steps, B utterances. Front ends that stack frames only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import DIRECTIONS, PyTorchSide, Unpacked, join, linear, recurrent, reversal
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

MOMENTUM, EPSILON = 0.95, 1e-5  # of the running statistics: MaskedBatchNorm of ctc_lstm/src/network.py


class Network(nn.Module):
    """What the two have in common: stacked frames, normalisation parameters, the output layer."""

    def __init__(self, config, weights: dict[str, Tensor]):
        super().__init__()
        if not config.front_end.startswith("stack-"):
            raise NotImplementedError(f"front_end {config.front_end}")
        self.config = config
        self.count = int(config.front_end[6:])
        self.output = linear(weights, "")
        self.norms = nn.ModuleList()
        own = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
        for k in range(config.num_layers if config.batch_norm else 0):
            norm = nn.BatchNorm1d(weights["weight"].shape[1], EPSILON, 1 - MOMENTUM)
            norm.load_state_dict({here: weights[f"norms.{k}.{there}"] for here, there in own.items()}, strict=False)
            self.norms.append(norm)

    def stacked(self, frames: Tensor) -> Tensor:
        """Lay neighbouring frames of (B, T * count, D) side by side: (T, B, count * D)."""
        return frames.reshape(len(frames), -1, self.count * frames.shape[2]).transpose(0, 1).contiguous()

    def is_heard(self, layer: int) -> bool:
        """Whether the loss or the result wants the log-probabilities of a layer."""
        return layer == self.config.num_layers - 1 or (self.training and self.config.intermediate_ctc > 0)

    def dropped(self, batch: int, size: int) -> Tensor | None:
        """Return the dropout factors of each utterance and column, (B, C), or None."""
        p = self.config.dropout
        return F.dropout(torch.ones(batch, size), p) if self.training and p else None


class Packed(Network):
    """nn.LSTM layers on one packed sequence."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        layers, suffixes = range(config.num_layers), DIRECTIONS[: 1 + config.bidirectional]
        self.layers = nn.ModuleList(recurrent(nn.LSTM, weights, [f"layers.{k}."], suffixes) for k in layers)

    def forward(self, frames: Tensor, steps: Tensor) -> list[Tensor]:
        """Map frames (B, T * count, D) and steps (B,) to log-probabilities (T, B, V) of each layer that is heard."""
        x = pack_padded_sequence(self.stacked(frames), steps, enforce_sorted=False)
        rows = torch.cat([torch.arange(count) for count in x.batch_sizes.tolist()])  # of each packed step
        found = []
        for k, layer in enumerate(self.layers):
            x = layer(x)[0]
            data = x.data
            if len(self.norms):
                data = self.norms[k](data)
            factors = self.dropped(len(frames), data.shape[1])
            if factors is not None:
                data = data * factors.index_select(0, rows)
            about = x.batch_sizes, x.sorted_indices, x.unsorted_indices
            x = PackedSequence(data, *about)
            if self.is_heard(k):
                heard = PackedSequence(self.output(data).log_softmax(1), *about)
                found.append(pad_packed_sequence(heard)[0])
        return found


class Strongest(Network):
    """Exact without packing, by layers of Unpacked.

    The sums of batch normalisation are products with a row of ones and zeros; normalisation and dropout are one factor
    and one summand for each utterance and column.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        layers, suffixes = range(config.num_layers), DIRECTIONS[: 1 + config.bidirectional]
        self.layers = nn.ModuleList(Unpacked(weights, f"layers.{k}.", suffixes) for k in layers)

    def forward(self, frames: Tensor, steps: Tensor) -> list[Tensor]:
        """Map frames (B, T * count, D) and steps (B,) to log-probabilities (T, B, V) of each layer that is heard."""
        x = self.stacked(frames)
        found = []
        order = reversal(steps, len(x))
        shares = ((torch.arange(len(x))[:, None] < steps) / steps.sum()).reshape(1, -1)  # (1, T * B)
        for k, layer in enumerate(self.layers):
            x = join(layer(x, order), order)
            factors = self.dropped(len(steps), x.shape[2])
            if len(self.norms):
                scale, shift = self.scale_and_shift(self.norms[k], x, shares)
                x = torch.addcmul(*((shift, x, scale) if factors is None else (shift * factors, x, scale * factors)))
            elif factors is not None:
                x = x * factors
            if self.is_heard(k):
                found.append(self.output(x).log_softmax(2))
        return found

    def scale_and_shift(self, norm: nn.BatchNorm1d, x: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Return factor and summand (C,) of the batch normalisation of x (T, B, C)."""
        if self.training:
            flat = x.flatten(0, 1)
            mean = (shares @ flat)[0]
            variance = ((shares @ flat.square())[0] - mean.square()).clamp(min=0)
            with torch.no_grad():
                norm.running_mean.lerp_(mean, 1 - MOMENTUM)
                norm.running_var.lerp_(variance, 1 - MOMENTUM)
        else:
            mean, variance = norm.running_mean, norm.running_var
        scale = norm.weight * (variance + EPSILON).rsqrt()
        return scale, norm.bias - mean * scale


class Side(PyTorchSide):
    """Training and inference of one of the networks from given weights."""

    networks = {"packed": Packed, "strongest": Strongest}

    def loss(self, frames: Tensor, steps: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Return the loss of a batch."""
        log_probs = self.network(frames, steps)
        losses = [F.ctc_loss(each, labels, steps, label_lengths, reduction="none").mean() for each in log_probs]
        loss, share = losses[-1], self.config.intermediate_ctc
        if len(losses) > 1:
            loss = (1 - share) * loss + share * sum(losses[:-1]) / (len(losses) - 1)
        return loss

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them, cut to its longest utterance; not timed."""
        frames, lengths, _, labels, label_lengths = inputs
        steps = -(-lengths // self.network.count)
        longest = np.ascontiguousarray(frames[:, : steps.max() * self.network.count])
        return longest, steps.astype(np.int64), labels.astype(np.int64), label_lengths.astype(np.int64)

    def outputs(self, frames: Tensor, steps: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Return the log-probabilities of the real output steps, by time."""
        log_probs = self.network(frames, steps)[-1]
        return log_probs[torch.arange(len(log_probs))[:, None] < steps]
