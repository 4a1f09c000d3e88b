"""The PyTorch side of gru_seq2seq/: the network of gru_seq2seq/src/network.py, same weights and arithmetic.

packed      what people write: nn.GRU on packed sources, a loss over the padded logits; exact
strongest   the fastest exact form found here: no packing, the encoder's backward direction reads reversed sentences,
            logits of the real target tokens only; exact

S source steps, T target steps, B pairs. Attention "luong" without layer normalisation only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import DIRECTIONS, DropColumns, PyTorchSide, Reorder, linear, recurrent, reversal
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD = 0


class Network(nn.Module):
    """What the two have in common: embeddings, the decoder, attention and output."""

    def __init__(self, config, weights: dict[str, Tensor]):
        super().__init__()
        if config.attention != "luong" or config.layer_norm:
            raise NotImplementedError("attention other than luong, or layer_norm")
        self.config = config
        tables = {name: nn.Parameter(weights[name].clone()) for name in weights if name.endswith("_embedding")}
        target = tables["target_embedding"]
        self.target_embedding = target
        self.source_embedding = tables.get("source_embedding", target)
        self.output_embedding = tables.get("output_embedding", target)
        self.output_bias = nn.Parameter(weights["output_bias"].clone())
        layers = range(config.decoder_layers)
        self.decoder = nn.ModuleList(recurrent(nn.GRU, weights, [f"decoder.{k}."]) for k in layers)
        self.bridge = nn.ModuleList(linear(weights, f"bridge.{k}.") for k in layers)
        self.memory_key = linear(weights, "attention.memory_key.")
        self.joint = linear(weights, "joint.")
        self.dropout = DropColumns(config.dropout)

    def states_of(self, source: Tensor, lengths: Tensor, target_input: Tensor) -> Tensor:
        """Return what the output layer reads (T, B, E)."""
        x = self.dropout(F.embedding(source, self.source_embedding))
        memory, last = self.encode(x, lengths)  # (S, B, H), (B, H)
        memory = self.dropout(memory).transpose(0, 1)  # (B, S, H)
        padding = torch.arange(len(source)) >= lengths[:, None]  # (B, S)
        states = [torch.tanh(bridge(last)).unsqueeze(0) for bridge in self.bridge]
        x = self.dropout(F.embedding(target_input, self.target_embedding))
        x = self.decoder[0](x, states[0])[0]  # (T, B, H)
        scores = torch.baddbmm(
            (padding * -1e4).unsqueeze(1), x.transpose(0, 1), self.memory_key(memory).transpose(1, 2)
        )  # (B, T, S)
        contexts = torch.bmm(scores.softmax(-1), memory).transpose(0, 1)  # (T, B, H)
        for k in range(1, len(self.decoder)):
            x = x + self.decoder[k](torch.cat((self.dropout(x), contexts), 2), states[k])[0]
        return self.dropout(torch.tanh(self.joint(self.dropout(torch.cat((x, contexts), 2)))))

    def logits_of(self, states: Tensor) -> Tensor:
        """Return logits (..., V) of states (..., E)."""
        return F.linear(states, self.output_embedding, self.output_bias)


class Packed(Network):
    """One bidirectional nn.GRU on a packed sequence for each layer of the encoder."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        layers = range(config.encoder_layers)
        self.encoder = nn.ModuleList(recurrent(nn.GRU, weights, [f"encoder.{k}."], DIRECTIONS) for k in layers)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (S, B, E) to outputs (S, B, H) and last states (B, H)."""
        for k, layer in enumerate(self.encoder):
            packed = pack_padded_sequence(self.dropout(x) if k else x, lengths, enforce_sorted=False)
            outputs, last = layer(packed)
            outputs = pad_packed_sequence(outputs, total_length=len(x))[0]
            x = x + outputs if k else outputs
        return x, torch.cat((last[0], last[1]), 1)

    def forward(self, source: Tensor, lengths: Tensor, target_input: Tensor, targets: Tensor) -> Tensor:
        """Return the smoothed cross entropy, a mean over target tokens."""
        logits = self.logits_of(self.states_of(source, lengths, target_input))
        return F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.config.label_smoothing
        )


class Strongest(Network):
    """One-direction GRUs without packing, and the output layer and its softmax on real target tokens alone."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.encoder = nn.ModuleList(
            nn.ModuleList(recurrent(nn.GRU, weights, [f"encoder.{k}."], (suffix,)) for suffix in DIRECTIONS)
            for k in range(config.encoder_layers)
        )

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (S, B, E) to outputs (S, B, H) and last states (B, H).

        On sentences reversed within their lengths the backward direction meets the padding last.
        """
        order = reversal(lengths, len(x))
        ends = lengths - 1, torch.arange(len(lengths))
        for k, (forward, backward) in enumerate(self.encoder):
            below = self.dropout(x) if k else x
            one = forward(below)[0]
            reversed_ = backward(Reorder.apply(below, order))[0]
            last = torch.cat((one[ends], reversed_[ends]), 1)
            outputs = torch.cat((one, Reorder.apply(reversed_, order)), 2)
            x = x + outputs if k else outputs
        return x, last

    def forward(self, source: Tensor, lengths: Tensor, target_input: Tensor, targets: Tensor) -> Tensor:
        """Return the smoothed cross entropy, a mean over target tokens."""
        states = self.states_of(source, lengths, target_input)
        real = (targets.flatten() != PAD).nonzero().squeeze(1)
        logits = self.logits_of(states.flatten(0, 1).index_select(0, real))
        return F.cross_entropy(logits, targets.flatten()[real], label_smoothing=self.config.label_smoothing)


class Side(PyTorchSide):
    """Training and inference of one of the networks from given weights."""

    networks = {"packed": Packed, "strongest": Strongest}

    def loss(self, *batch: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.network(*batch)

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them, cut to its longest sentences; not timed."""
        source, lengths, target_input, target_output, _ = inputs
        steps = int((target_output != PAD).sum(0).max())
        arrays = (source[: lengths.max()], lengths, target_input[:steps], target_output[:steps])
        return tuple(np.ascontiguousarray(array).astype(np.int64) for array in arrays)

    def outputs(self, source: Tensor, lengths: Tensor, target_input: Tensor, targets: Tensor) -> Tensor:
        """Return the logits of the target tokens, by time."""
        states = self.network.states_of(source, lengths, target_input)
        return self.network.logits_of(states)[targets != PAD]
