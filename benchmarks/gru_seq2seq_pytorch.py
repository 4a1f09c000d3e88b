"""The PyTorch side of gru_seq2seq/: the network of gru_seq2seq/src/network.py, same weights and arithmetic.

packed      what people write: nn.GRU on packed sources, a loss over the padded logits; exact
strongest   the fastest exact form found here: no packing, the encoder's backward direction reads reversed sentences,
            logits of the real target tokens only; exact

Time-major throughout: S source steps, T target steps, B pairs. Attention "luong" without layer normalisation only.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import PyTorchSide, TrainStep
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD = 0


class Network(nn.Module):
    """What the two have in common: embeddings, the decoder, attention and output."""

    def __init__(self, config, weights: dict[str, torch.Tensor]):
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
        self.decoder = nn.ModuleList(gru(weights, f"decoder.{k}.") for k in range(config.decoder_layers))
        self.bridge = nn.ModuleList(linear(weights, f"bridge.{k}.") for k in range(config.decoder_layers))
        self.memory_key = linear(weights, "attention.memory_key.")
        self.joint = linear(weights, "joint.")

    def dropped(self, x):
        """Drop columns of x (T, B, E), each sentence's own at all steps."""
        p = self.config.dropout
        return x * F.dropout(torch.ones(x.shape[1:]), p) if self.training and p else x

    def states_of(self, source, lengths, target_input):
        """Return what the output layer reads (T, B, E)."""
        x = self.dropped(F.embedding(source, self.source_embedding))
        memory, last = self.encode(x, lengths)  # (S, B, H), (B, H)
        memory = self.dropped(memory).transpose(0, 1)  # (B, S, H)
        padding = torch.arange(len(source)) >= lengths[:, None]  # (B, S)
        states = [torch.tanh(bridge(last)).unsqueeze(0) for bridge in self.bridge]
        x = self.dropped(F.embedding(target_input, self.target_embedding))
        x = self.decoder[0](x, states[0])[0]  # (T, B, H)
        scores = torch.baddbmm(
            (padding * -1e4).unsqueeze(1), x.transpose(0, 1), self.memory_key(memory).transpose(1, 2)
        )  # (B, T, S)
        contexts = torch.bmm(scores.softmax(-1), memory).transpose(0, 1)  # (T, B, H)
        for k in range(1, len(self.decoder)):
            x = x + self.decoder[k](torch.cat((self.dropped(x), contexts), 2), states[k])[0]
        return self.dropped(torch.tanh(self.joint(self.dropped(torch.cat((x, contexts), 2)))))

    def logits_of(self, states):
        """Return logits (..., V) of states (..., E)."""
        return F.linear(states, self.output_embedding, self.output_bias)


class Packed(Network):
    """One bidirectional nn.GRU on a packed sequence for each layer of the encoder."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.encoder = nn.ModuleList(
            gru(weights, f"encoder.{k}.", ("", "_reverse")) for k in range(config.encoder_layers)
        )

    def encode(self, x, lengths):
        """Map x (S, B, E) to outputs (S, B, H) and last states (B, H)."""
        for k, layer in enumerate(self.encoder):
            packed = pack_padded_sequence(self.dropped(x) if k else x, lengths, enforce_sorted=False)
            outputs, last = layer(packed)
            outputs = pad_packed_sequence(outputs, total_length=len(x))[0]
            x = x + outputs if k else outputs
        return x, torch.cat((last[0], last[1]), 1)

    def forward(self, source, lengths, target_input, targets):
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
            nn.ModuleList(gru(weights, f"encoder.{k}.", (suffix,)) for suffix in ("", "_reverse"))
            for k in range(config.encoder_layers)
        )

    def encode(self, x, lengths):
        """Map x (S, B, E) to outputs (S, B, H) and last states (B, H).

        On sentences reversed within their lengths the backward direction meets the padding last.
        """
        steps, batch, _ = x.shape
        step, row = torch.arange(steps)[:, None], torch.arange(batch)
        order = (torch.where(step >= lengths, step, lengths - 1 - step) * batch + row).flatten()  # (S * B,)
        ends = (lengths - 1) * batch + row
        for k, (forward, backward) in enumerate(self.encoder):
            below = self.dropped(x) if k else x
            one = forward(below)[0]
            reversed_ = backward(below.flatten(0, 1).index_select(0, order).view_as(below))[0].flatten(0, 1)
            last = torch.cat((one.flatten(0, 1).index_select(0, ends), reversed_.index_select(0, ends)), 1)
            outputs = torch.cat((one, reversed_.index_select(0, order).view_as(one)), 2)
            x = x + outputs if k else outputs
        return x, last

    def forward(self, source, lengths, target_input, targets):
        """Return the smoothed cross entropy, a mean over target tokens."""
        states = self.states_of(source, lengths, target_input)
        real = (targets.flatten() != PAD).nonzero().squeeze(1)
        logits = self.logits_of(states.flatten(0, 1).index_select(0, real))
        return F.cross_entropy(logits, targets.flatten()[real], label_smoothing=self.config.label_smoothing)


def linear(weights, prefix: str) -> nn.Linear:
    """Build a layer from its weights."""
    weight = weights[f"{prefix}weight"]
    bias = weights.get(f"{prefix}bias")
    layer = nn.Linear(*weight.shape[::-1], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def gru(weights, prefix: str, suffixes=("",)) -> nn.GRU:
    """Build an nn.GRU with a direction for each suffix of the weights."""
    hidden, inputs = weights[f"{prefix}weight_hh"].shape[1], weights[f"{prefix}weight_ih"].shape[1]
    layer = nn.GRU(inputs, hidden, bidirectional=len(suffixes) == 2)
    with torch.no_grad():
        for k, suffix in enumerate(suffixes):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(layer, f"{name}_l0{'_reverse' * k}").copy_(weights[f"{prefix}{name}{suffix}"])
    return layer


NETWORKS = {"packed": Packed, "strongest": Strongest}


class Side(PyTorchSide):
    """Training and inference of one of NETWORKS from given weights."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(NETWORKS[variant], config, weights)
        config.optimizer, config.momentum = "adam", 0.9  # what the model's own training step has
        self.step = TrainStep(self.network.parameters(), self.loss, config, rates)

    def loss(self, *batch):
        """Return the loss of a batch and leave the gradients in the parameters."""
        loss = self.network(*batch)
        loss.backward()
        return loss.detach()

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this side wants them, cut to its longest sentences; not timed."""
        source, lengths, target_input, target_output, _ = inputs
        steps = int((target_output != PAD).sum(0).max())
        arrays = (source[: lengths.max()], lengths, target_input[:steps], target_output[:steps])
        return tuple(np.ascontiguousarray(array).astype(np.int64) for array in arrays)

    @torch.inference_mode()
    def logits(self, batch: tuple) -> np.ndarray:
        """Return the logits of the target tokens without dropout, by time."""
        self.network.eval()
        source, lengths, target_input, targets = (torch.from_numpy(array) for array in batch)
        states = self.network.states_of(source, lengths, target_input)
        return self.network.logits_of(states).flatten(0, 1).numpy()[batch[3].reshape(-1) != PAD]
