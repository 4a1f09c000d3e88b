"""The PyTorch side of bilstm_ner/: the network of bilstm_ner/src/network.py written two ways, with the same weights.

packed      what people write: nn.LSTM on a packed sequence, CRF by autograd through a loop over the steps
strongest   the fastest exact form found here: no packing, the backward direction reads reversed sentences, the CRF's
            gradient by one forward-backward pass in the probability domain, as on the MindSpore side

T steps, B sentences, K tags.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import DIRECTIONS, DropColumns, PyTorchSide, Unpacked, join, recurrent, reversal
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Network(nn.Module):
    """What the two have in common: vectors, dropout, scores."""

    def __init__(self, config, weights: dict[str, Tensor]):
        super().__init__()
        self.config = config
        for name in ("embedding.character_table", "embedding.bigram_table", "weight", "bias"):
            self.register_parameter(name.split(".")[-1], nn.Parameter(weights[name]) if name in weights else None)
        for name in ("transitions", "start", "end"):
            self.register_parameter(name, nn.Parameter(weights[name]) if config.crf else None)
        for name in ("forbidden", "forbidden_start", "forbidden_end"):
            self.register_buffer(name, weights[name])
        for name in ("next_weight", "next_bias", "previous_weight", "previous_bias"):
            full = f"language_model.{name}"
            self.register_parameter(name, nn.Parameter(weights[full]) if full in weights else None)
        self.embedding_dropout, self.dropout = DropColumns(config.embedding_dropout), DropColumns(config.dropout)
        self.prefixes = [f"lstm.layers.{layer}." for layer in range(config.num_layers)]

    def embed(self, characters: Tensor, bigrams: Tensor) -> Tensor:
        """Return vectors (T, B, E)."""
        x = F.embedding(characters, self.character_table)
        if self.bigram_table is not None:
            pairs = F.embedding(bigrams, self.bigram_table)  # (T + 1, B, P)
            x = torch.cat((x, pairs[:-1], pairs[1:]), 2)
        return self.embedding_dropout(x)

    def states(self, characters: Tensor, bigrams: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of the LSTM (T, B, 2H)."""
        return self.dropout(self.run(self.embed(characters, bigrams), lengths))

    def emissions(self, states: Tensor) -> Tensor:
        """Return emissions (T, B, K)."""
        return F.linear(states, self.weight, self.bias)

    def loss(self, states: Tensor, lengths: Tensor, tags: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of TaggingLoss in bilstm_ner/src/loss.py."""
        real = torch.arange(len(tags))[:, None] < lengths  # (T, B)
        loss = self.tagging_loss(self.emissions(states), tags, lengths, real)
        if not self.config.language_model:
            return loss
        k, half = 2 if self.bigram_table is not None else 1, states.shape[2] // 2
        after = self.prediction_loss(states[:-k, :, :half], self.next_weight, self.next_bias, targets[k:], real[k:])
        before = self.prediction_loss(
            states[k:, :, half:], self.previous_weight, self.previous_bias, targets[:-k], real[k:]
        )
        return loss + self.config.language_model * (after + before) / tags.shape[1]

    def prediction_loss(self, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, real: Tensor) -> Tensor:
        """Return the summed cross entropy where targets are real and frequent enough."""
        targets = torch.where(real & (targets < len(weight)), targets, -100)  # -100: ignored
        logits = F.linear(states.flatten(0, 1), weight, bias)
        return F.cross_entropy(logits, targets.flatten(), reduction="sum")

    def tagging_loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor, real: Tensor) -> Tensor:
        """Return the negative log likelihood of tags (T, B), averaged over sentences."""
        if not self.config.crf:
            losses = F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none")
            return (losses * real.flatten()).sum() / tags.shape[1]
        start, end = self.start + self.forbidden_start, self.end + self.forbidden_end
        loss = self.crf_loss(emissions, tags, lengths, real, self.transitions + self.forbidden, start, end)
        return loss / tags.shape[1]


class Packed(Network):
    """The usual way to write it."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.lstm = recurrent(nn.LSTM, weights, self.prefixes, DIRECTIONS, config.dropout)

    def run(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of the LSTM (T, B, 2H), zero on padding."""
        packed = pack_padded_sequence(x, lengths.long(), enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], total_length=len(x))[0]

    def crf_loss(self, emissions, tags, lengths, real, transitions, start, end) -> Tensor:
        """Vectorized over batch and tags: a logsumexp over (B, K, K) at every step."""
        alpha = emissions[0] + start  # (B, K)
        for t in range(1, len(tags)):
            arriving = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emissions[t]
            alpha = torch.where(real[t][:, None], arriving, alpha)
        log_partition = torch.logsumexp(alpha + end, 1)
        return (log_partition - _gold_score(emissions, tags, lengths, real, transitions, start, end)).sum()


class Strongest(Network):
    """Exact without packing, by layers of Unpacked.

    Also measured for the CRF: a loop in the log domain with the sum over the former tag as a product with
    exp(transitions), differentiated by autograd.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.layers = nn.ModuleList(Unpacked(weights, prefix) for prefix in self.prefixes)

    def run(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of the LSTM (T, B, 2H), which on padding mean nothing."""
        order = reversal(lengths, len(x))
        for number, layer in enumerate(self.layers):
            x = join(layer(self.dropout(x) if number else x, order), order)
        return x

    def crf_loss(self, emissions, tags, lengths, real, transitions, start, end) -> Tensor:
        """The CRF's loss with its gradient known, so that autograd does not run through the loop."""
        step = torch.arange(len(tags))[:, None]
        first, last = (step == 0).float()[:, :, None], (step == lengths - 1).float()[:, :, None]
        emissions = emissions + first * start + last * end
        with torch.no_grad():
            log_partition, marginals, pairs = _forward_backward(emissions, transitions, real, first, last)
            gold = F.one_hot(tags, emissions.shape[2]).float() * real[:, :, None]
            gold_pairs = gold[:-1].flatten(0, 1).T @ gold[1:].flatten(0, 1)
            score = (gold * emissions).sum() + (gold_pairs * transitions).sum()
            value = log_partition.sum() - score
            marginals, pairs = marginals - gold, pairs - gold_pairs
        product = (marginals * emissions).sum() + (pairs * transitions).sum()
        return product + (value - product).detach()


def _forward_backward(emissions, transitions, real, first, last):
    """Return log_partition (B,), marginals (T, B, K) and expected pairs (K, K); see bilstm_ner/src/crf.py."""
    steps, batch, tags = emissions.shape
    highest = emissions.max(2, keepdim=True)[0]
    psi = (emissions - highest).exp() * real[:, :, None]  # (T, B, K)
    potentials = transitions.exp()
    both = torch.stack((psi, psi.flip(0)), 1)  # (T, 2, B, K)
    starts = torch.stack((first.expand_as(last), last.flip(0)), 1)  # (T, 2, B, 1)
    products = torch.stack((potentials, potentials.T))
    messages = torch.empty_like(both)
    message = torch.zeros_like(both[0])
    for start, potential, out in zip(starts.unbind(), both.unbind(), messages.unbind()):
        torch.mul(torch.baddbmm(start, message, products), potential, out=out)
        out /= out.sum(2, keepdim=True) + 1e-30
        message = out
    alpha, beta = messages[:, 0], messages[:, 1].flip(0)
    before = torch.cat((torch.zeros_like(alpha[:1]), alpha[:-1]))
    arriving = before @ potentials + first
    scale = (arriving * psi).sum(2)
    log_partition = ((torch.where(real, scale, 1.0).log() + highest[:, :, 0]) * real).sum(0)
    joint = arriving * beta
    total = joint.sum(2, keepdim=True) + 1e-30
    pairs = potentials * (before.reshape(-1, tags).T @ (beta / total).reshape(-1, tags))
    return log_partition, joint / total, pairs


def _gold_score(emissions, tags, lengths, real, transitions, start, end):
    score = (emissions.gather(2, tags[:, :, None])[:, :, 0] * real).sum(0)
    score = score + (transitions[tags[:-1], tags[1:]] * real[1:]).sum(0)
    last = tags[lengths.long() - 1, torch.arange(len(lengths))]
    return score + start[tags[0]] + end[last]


class Side(PyTorchSide):
    """Training and inference of one of the networks from given weights."""

    networks = {"packed": Packed, "strongest": Strongest}

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch without the padding that fills up a bucket: PyTorch takes every length."""
        characters, bigrams, lengths, _, *labels = inputs
        longest = lengths.max()
        return characters[:longest], bigrams[: longest + 1], lengths, *(a[:longest].astype(np.int64) for a in labels)

    def loss(self, characters: Tensor, bigrams: Tensor, lengths: Tensor, *labels: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.network.loss(self.network.states(characters, bigrams, lengths), lengths, *labels)

    def outputs(self, characters: Tensor, bigrams: Tensor, lengths: Tensor, *labels: Tensor) -> Tensor:
        """Return the emissions of all characters (N, K)."""
        emissions = self.network.emissions(self.network.states(characters, bigrams, lengths))
        return emissions[torch.arange(len(emissions))[:, None] < lengths]
