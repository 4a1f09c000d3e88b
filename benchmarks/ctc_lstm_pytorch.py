"""The PyTorch side of ctc_lstm/: the network of ctc_lstm/src/network.py written two ways, same weights and arithmetic.

packed      what people write: nn.LSTM on packed sequences, batch normalisation on their data; exact
strongest   the fastest exact form found here: no packing, the backward direction reads reversed utterances; exact

Time-major throughout: T output steps, B utterances. Front ends that stack frames only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import PyTorchSide, Reorder, TrainStep, load_lstm
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

MOMENTUM, EPSILON = 0.95, 1e-5  # of the running statistics: MaskedBatchNorm of ctc_lstm/src/network.py


class Network(nn.Module):
    """What the two have in common: stacked frames, normalisation parameters, the output layer."""

    def __init__(self, config, weights: dict[str, torch.Tensor]):
        super().__init__()
        if not config.front_end.startswith("stack-"):
            raise NotImplementedError(f"front_end {config.front_end}")
        self.config = config
        self.count = int(config.front_end[6:])
        self.output = nn.Linear(*weights["weight"].shape[::-1])
        self.norms = nn.ModuleList()
        with torch.no_grad():
            self.output.weight.copy_(weights["weight"])
            self.output.bias.copy_(weights["bias"])
            for k in range(config.num_layers if config.batch_norm else 0):
                norm = nn.BatchNorm1d(weights["weight"].shape[1], EPSILON, 1 - MOMENTUM)
                own = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
                for here, there in own.items():
                    getattr(norm, here).copy_(weights[f"norms.{k}.{there}"])
                self.norms.append(norm)

    def stacked(self, frames):
        """Lay neighbouring frames of (B, T * count, D) side by side: (T, B, count * D)."""
        return frames.reshape(len(frames), -1, self.count * frames.shape[2]).transpose(0, 1).contiguous()

    def is_heard(self, layer: int) -> bool:
        """Whether the loss or the result wants the log-probabilities of a layer."""
        return layer == self.config.num_layers - 1 or (self.training and self.config.intermediate_ctc > 0)

    def dropped(self, batch: int, size: int):
        """Return the dropout factors of each utterance and column, (B, C), or None."""
        p = self.config.dropout
        return F.dropout(torch.ones(batch, size), p) if self.training and p else None


class Packed(Network):
    """nn.LSTM layers on one packed sequence."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.layers = nn.ModuleList()
        for k in range(config.num_layers):
            size = weights[f"layers.{k}.weight_ih"].shape[1]
            self.layers.append(nn.LSTM(size, config.hidden_size, bidirectional=config.bidirectional))
            for suffix in ("", "_reverse")[: 1 + config.bidirectional]:
                load_lstm(self.layers[-1], f"l0{suffix}", weights, f"layers.{k}.", suffix)

    def forward(self, frames, steps):
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
    """One-direction LSTMs without packing, as PyTorch's LSTM is one fused oneDNN operator on plain tensors only.

    On utterances reversed within their lengths the backward direction meets the padding last, so it changes no real
    output. The sums of batch normalisation are products with a row of ones and zeros; normalisation and dropout are one
    factor and one summand for each utterance and column.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.layers = nn.ModuleList()
        for k in range(config.num_layers):
            size = weights[f"layers.{k}.weight_ih"].shape[1]
            suffixes = ("", "_reverse")[: 1 + config.bidirectional]
            self.layers.append(nn.ModuleList(nn.LSTM(size, config.hidden_size) for _ in suffixes))
            for lstm, suffix in zip(self.layers[-1], suffixes):
                load_lstm(lstm, "l0", weights, f"layers.{k}.", suffix)

    def forward(self, frames, steps):
        """Map frames (B, T * count, D) and steps (B,) to log-probabilities (T, B, V) of each layer that is heard."""
        x = self.stacked(frames)
        found = []
        length, batch, _ = x.shape
        step, row = torch.arange(length)[:, None], torch.arange(batch)
        padding = step >= steps  # (T, B)
        order = (torch.where(padding, step, steps - 1 - step) * batch + row).flatten()  # (T * B,)
        shares = (~padding / steps.sum()).reshape(1, -1)  # (1, T * B)
        for k, (forward, *backward) in enumerate(self.layers):
            parts = [forward(x)[0]] + [Reorder.apply(lstm(Reorder.apply(x, order))[0], order) for lstm in backward]
            x = torch.cat(parts, 2) if backward else parts[0]
            factors = self.dropped(batch, x.shape[2])
            if len(self.norms):
                scale, shift = self.scale_and_shift(self.norms[k], x, shares)
                x = torch.addcmul(*((shift, x, scale) if factors is None else (shift * factors, x, scale * factors)))
            elif factors is not None:
                x = x * factors
            if self.is_heard(k):
                found.append(self.output(x).log_softmax(2))
        return found

    def scale_and_shift(self, norm, x, shares):
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


NETWORKS = {"packed": Packed, "strongest": Strongest}


class Side(PyTorchSide):
    """Training and inference of one of NETWORKS from given weights."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(NETWORKS[variant], config, weights)
        config.optimizer, config.momentum = "adam", 0.9  # what the model's own training step has
        self.step = TrainStep(self.network.parameters(), self.loss, config, rates)

    def loss(self, frames, steps, labels, label_lengths):
        """Return the loss of a batch and leave the gradients in the parameters."""
        found = self.network(frames, steps)
        losses = [F.ctc_loss(each, labels, steps, label_lengths, reduction="none").mean() for each in found]
        loss, share = losses[-1], self.network.config.intermediate_ctc
        if len(losses) > 1:
            loss = (1 - share) * loss + share * sum(losses[:-1]) / (len(losses) - 1)
        loss.backward()
        return loss.detach()

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them, cut to its longest utterance; not timed."""
        frames, lengths, _, labels, label_lengths = inputs
        steps = -(-lengths // self.network.count)
        longest = np.ascontiguousarray(frames[:, : steps.max() * self.network.count])
        return longest, steps.astype(np.int64), labels.astype(np.int64), label_lengths.astype(np.int64)

    @torch.inference_mode()
    def logits(self, batch: tuple) -> np.ndarray:
        """Return the log-probabilities of the real output steps without dropout, by time."""
        self.network.eval()
        frames, steps = (torch.from_numpy(array) for array in batch[:2])
        found = self.network(frames, steps)[-1].numpy()
        return found[np.arange(len(found))[:, None] < batch[1]]
