"""The PyTorch side of bilstm_ner/: the network of bilstm_ner/src/network.py written two ways, with the same weights.

packed      what people write: nn.LSTM on a packed sequence, CRF by autograd through a loop over the steps
strongest   the fastest exact form found here: no packing, the backward direction reads reversed sentences, the CRF's
            gradient by one forward-backward pass in the probability domain, as on the MindSpore side

Time-major throughout: T steps, B sentences, K tags.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import PyTorchSide, Reorder, TrainStep, load_lstm
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Network(nn.Module):
    """What the two have in common: vectors, dropout, scores."""

    def __init__(self, config, weights: dict[str, torch.Tensor]):
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
        self.input_size = config.character_size + 2 * config.bigram_size

    def drop_columns(self, x, p: float):
        """Drop columns of x (T, B, E), the same at every step of a sentence."""
        return x * F.dropout(x.new_ones(1, *x.shape[1:]), p) if self.training and p else x

    def embed(self, characters, bigrams):
        """Return vectors (T, B, E)."""
        x = F.embedding(characters, self.character_table)
        if self.bigram_table is not None:
            pairs = F.embedding(bigrams, self.bigram_table)  # (T + 1, B, P)
            x = torch.cat((x, pairs[:-1], pairs[1:]), 2)
        return self.drop_columns(x, self.config.embedding_dropout)

    def states(self, characters, bigrams, lengths):
        """Return the outputs of the LSTM (T, B, 2H)."""
        return self.drop_columns(self.run(self.embed(characters, bigrams), lengths), self.config.dropout)

    def emissions(self, states):
        """Return emissions (T, B, K)."""
        return F.linear(states, self.weight, self.bias)

    def potentials(self):
        """Return transitions (K, K), start (K,) and end (K,) with what the scheme forbids."""
        learned = (self.transitions, self.start, self.end)
        return tuple(a + b for a, b in zip(learned, (self.forbidden, self.forbidden_start, self.forbidden_end)))

    def loss(self, states, lengths, tags, targets):
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

    def prediction_loss(self, states, weight, bias, targets, real):
        """Return the summed cross entropy where targets are real and frequent enough."""
        targets = torch.where(real & (targets < len(weight)), targets, -100)  # -100: ignored
        logits = F.linear(states.flatten(0, 1), weight, bias)
        return F.cross_entropy(logits, targets.flatten(), reduction="sum")

    def tagging_loss(self, emissions, tags, lengths, real):
        """Return the negative log likelihood of tags (T, B), averaged over sentences."""
        if not self.config.crf:
            losses = F.cross_entropy(emissions.flatten(0, 1), tags.flatten(), reduction="none")
            return (losses * real.flatten()).sum() / tags.shape[1]
        return self.crf_loss(emissions, tags, lengths, real, *self.potentials()) / tags.shape[1]


class Packed(Network):
    """The usual way to write it."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.lstm = nn.LSTM(
            self.input_size, config.num_hiddens, config.num_layers, dropout=config.dropout, bidirectional=True
        )
        for layer in range(config.num_layers):
            for suffix in ("", "_reverse"):
                load_lstm(self.lstm, f"l{layer}{suffix}", weights, f"lstm.layers.{layer}.", suffix)

    def run(self, x, lengths):
        """Return the outputs of the LSTM (T, B, 2H), zero on padding."""
        packed = pack_padded_sequence(x, lengths.long(), enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], total_length=len(x))[0]

    def crf_loss(self, emissions, tags, lengths, real, transitions, start, end):
        """Vectorized over batch and tags: a logsumexp over (B, K, K) at every step."""
        alpha = emissions[0] + start  # (B, K)
        for t in range(1, len(tags)):
            arriving = torch.logsumexp(alpha[:, :, None] + transitions, 1) + emissions[t]
            alpha = torch.where(real[t][:, None], arriving, alpha)
        log_partition = torch.logsumexp(alpha + end, 1)
        return (log_partition - _gold_score(emissions, tags, lengths, real, transitions, start, end)).sum()


class Strongest(Network):
    """Exact without packing or reversal by a kernel: both directions meet the padding last.

    PyTorch's LSTM runs as one fused oneDNN operator on plain tensors only. Also measured for the CRF: a loop in the log
    domain with the sum over the former tag as a product with exp(transitions), differentiated by autograd.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.layers = nn.ModuleList()
        for layer in range(config.num_layers):
            size = self.input_size if layer == 0 else 2 * config.num_hiddens
            self.layers.append(nn.ModuleList(nn.LSTM(size, config.num_hiddens) for _ in range(2)))
            for lstm, suffix in zip(self.layers[-1], ("", "_reverse")):
                load_lstm(lstm, "l0", weights, f"lstm.layers.{layer}.", suffix)

    def run(self, x, lengths):
        """Return the outputs of the LSTM (T, B, 2H), which on padding mean nothing."""
        steps, batch, _ = x.shape
        step = torch.arange(steps)[:, None]
        order = (torch.where(step >= lengths, step, lengths - 1 - step) * batch + torch.arange(batch)).flatten()
        for number, (forward, backward) in enumerate(self.layers):
            if number:
                x = self.drop_columns(x, self.config.dropout)
            reverse = Reorder.apply(backward(Reorder.apply(x, order))[0], order)
            x = torch.cat((forward(x)[0], reverse), 2)
        return x

    def crf_loss(self, emissions, tags, lengths, real, transitions, start, end):
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


NETWORKS = {"packed": Packed, "strongest": Strongest}


class Side(PyTorchSide):
    """Training and inference of one of NETWORKS from given weights."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        config.optimizer, config.momentum = "adam", 0.9  # what the model's own training step has
        super().__init__(NETWORKS[variant], config, weights)
        self.step = TrainStep(self.network.parameters(), self.backward, config, rates)

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch without the padding that fills up a bucket: PyTorch takes every length."""
        characters, bigrams, lengths, _, *labels = inputs
        longest = lengths.max()
        return characters[:longest], bigrams[: longest + 1], lengths, *(a[:longest].astype(np.int64) for a in labels)

    def backward(self, characters, bigrams, lengths, *labels):
        """Return the loss of a batch and leave the gradients in the parameters."""
        loss = self.network.loss(self.network.states(characters, bigrams, lengths), lengths, *labels)
        loss.backward()
        return loss.detach()

    @torch.inference_mode()
    def logits(self, batch: tuple) -> np.ndarray:
        """Return the emissions of all characters without dropout (N, K)."""
        self.network.eval()
        inputs = [torch.from_numpy(array) for array in batch[:3]]
        emissions = self.network.emissions(self.network.states(*inputs))
        return emissions[torch.arange(len(emissions))[:, None] < inputs[2]].numpy()
