"""The PyTorch side of lstm/: the network of lstm/src/lstm.py written three ways, with the same weights and arithmetic.

packed      what people write: every token embedded, nn.LSTM on a packed sequence; exact
strongest   the fastest exact form found here: no packing, the backward direction reads reversed reviews; exact
padded500   what the model zoo's network does: all reviews padded to max_length, padding read as text; not exact

Time-major throughout: T steps, B reviews, U distinct words of a batch.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import PyTorchSide, Reorder, TrainStep, load_lstm
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Network(nn.Module):
    """What the three have in common: word vectors, dropout, pooling, classifier."""

    def __init__(self, config, weights: dict[str, torch.Tensor]):
        super().__init__()
        self.config = config
        self.register_buffer("vectors", weights["embedding.vectors"])
        for name in ("embedding.projection", "embedding.offsets", "pooling.score", "weight", "bias"):
            here = name.split(".")[-1]
            self.register_parameter(here, nn.Parameter(weights[name]) if name in weights else None)
        self.input_size = config.projection_size or config.embed_size

    def table(self, words):
        """Map ids (...) to their vectors (..., D)."""
        vectors = F.embedding(words, self.vectors)
        if self.projection is not None:
            vectors = F.linear(vectors, self.projection)
        if self.offsets is not None:
            rows = words.clamp(max=len(self.offsets) - 1)
            vectors = vectors + F.embedding(rows, self.offsets) * (words == rows).unsqueeze(-1)
        return vectors

    def drop_columns(self, x, p: float):
        """Drop columns of x (T, B, E), the same at every step of a review."""
        return x * F.dropout(x.new_ones(1, *x.shape[1:]), p) if self.training and p else x

    def pool(self, parts, padding, lengths):
        """Summarize outputs over time, except by "ends": each of parts (T, B, H), padding (T, B), lengths (B,)."""
        kind = self.config.pooling
        if kind == "attention":
            (outputs,) = parts
            scores = (outputs * self.score).sum(2).masked_fill(padding, -1e4)  # (T, B)
            return torch.einsum("tb,tbh->bh", scores.softmax(0), outputs)
        shares = ~padding / lengths  # (T, B), a weighted sum is faster than masking the outputs
        means = [torch.einsum("tb,tbh->bh", shares, part) for part in parts] if "mean" in kind else []
        low = -2.0 * padding[:, :, None]  # outputs lie in (-1, 1)
        highest = [(part + low).max(0)[0] for part in parts] if "max" in kind else []
        return torch.cat(means + highest, 1)  # (B, P)

    def output(self, pooled):
        """Map pooled features (B, P) to logits (B, C)."""
        return F.linear(F.dropout(pooled, self.config.dropout, self.training), self.weight, self.bias)


class Packed(Network):
    """The usual way to write it."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        between = config.dropout if config.num_layers > 1 else 0.0
        self.lstm = nn.LSTM(
            self.input_size, config.num_hiddens, config.num_layers, dropout=between, bidirectional=config.bidirectional
        )
        for layer in range(config.num_layers):
            for suffix in ("", "_reverse")[: 1 + config.bidirectional]:
                load_lstm(self.lstm, f"l{layer}{suffix}", weights, f"lstm.layers.{layer}.", suffix)

    def collate(self, words, tokens, lengths):
        """Return ids (T, B) and lengths (B,)."""
        return words[tokens], lengths

    def embed(self, ids, lengths):
        """Return word vectors (T, B, D)."""
        return self.table(ids)

    def classify(self, x, ids, lengths):
        """Map word vectors (T, B, D) to logits (B, C)."""
        x = self.drop_columns(x, self.config.embedding_dropout)
        outputs = self.run(x, lengths)
        if self.config.pooling == "ends":
            return self.output(torch.cat((outputs[0], outputs[lengths.long() - 1, torch.arange(len(lengths))]), 1))
        return self.output(self.pool([outputs], _padding(lengths, len(x)), lengths))

    def run(self, x, lengths):
        """Return the outputs of the LSTM (T, B, H), zero on padding."""
        packed = pack_padded_sequence(x, lengths.long(), enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0])[0]


class Padded(Packed):
    """The model zoo's network: all reviews of one length, padding read as text."""

    def collate(self, words, tokens, lengths):
        """Return ids (max_length, B), and max_length as the length of every review."""
        ids = words[tokens]
        width = self.config.max_length
        return np.pad(ids, ((0, width - len(ids)), (0, 0))), np.full_like(lengths, width)

    def run(self, x, lengths):
        """Return the outputs of the LSTM (T, B, H) on text and padding alike."""
        return self.lstm(x)[0]


class Strongest(Network):
    """Exact without packing, since PyTorch's LSTM runs as one fused oneDNN operator on plain tensors only.

    On reviews reversed within their lengths both directions meet the padding last, so it changes no real output. What
    the last layer's backward direction returns stays reversed: mean and maximum do not mind, and the ends are known.

    Also tried, by CPU time of a step on one thread. All lay within a few per cent, as the LSTMs take four fifths of it.
    Slower: lookup and projection of every token instead of every distinct word; reversed tokens looked up instead of
    vectors reversed; reversal differentiated by autograd, which adds to rows where another gather does; one
    bidirectional LSTM with the padding column of MindSpore's layer; outputs masked before the mean; masked_fill for the
    maximum; amax or argmax with gather for it. As fast: index_select for F.embedding. A sparse gradient of the offsets
    does not fit: Adam with decaying moments of every word, as on the MindSpore side, needs a dense one.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.directions = ("", "_reverse")[: 1 + config.bidirectional]
        self.layers = nn.ModuleList()
        for layer in range(config.num_layers):
            size = self.input_size if layer == 0 else config.num_hiddens * len(self.directions)
            self.layers.append(nn.ModuleList(nn.LSTM(size, config.num_hiddens) for _ in self.directions))
            for lstm, suffix in zip(self.layers[-1], self.directions):
                load_lstm(lstm, "l0", weights, f"lstm.layers.{layer}.", suffix)

    def collate(self, words, tokens, lengths):
        """Return words (U,), tokens (T, B) and lengths (B,)."""
        return words, tokens, lengths

    def embed(self, words, tokens, lengths):
        """Return word vectors (T, B, D)."""
        return F.embedding(tokens, self.table(words))

    def classify(self, x, words, tokens, lengths):
        """Map word vectors (T, B, D) to logits (B, C)."""
        steps, batch = tokens.shape
        padding = _padding(lengths, steps)
        step, row = torch.arange(steps)[:, None], torch.arange(batch)
        order = (torch.where(padding, step, lengths - 1 - step) * batch + row).flatten()  # (T * B,)
        x = self.drop_columns(x, self.config.embedding_dropout)
        for number, layer in enumerate(self.layers):
            if number:
                x = self.drop_columns(x, self.config.dropout)
            parts = [lstm(Reorder.apply(x, order) if i else x)[0] for i, lstm in enumerate(layer)]
            if number < len(self.layers) - 1 or self.config.pooling == "attention":
                x = torch.cat([Reorder.apply(part, order) if i else part for i, part in enumerate(parts)], 2)
                parts = [x] if number == len(self.layers) - 1 else parts
        if self.config.pooling != "ends":
            return self.output(self.pool(parts, padding, lengths))
        ends = [part[lengths.long() - 1, row] for part in parts]  # the last step that each direction read
        firsts = [part[0] for part in parts]
        if len(parts) == 1:
            return self.output(torch.cat((firsts[0], ends[0]), 1))
        return self.output(torch.cat((firsts[0], ends[1], ends[0], firsts[1]), 1))


def _padding(lengths, steps: int):
    return torch.arange(steps)[:, None] >= lengths  # (T, B)


NETWORKS = {"packed": Packed, "strongest": Strongest, "padded500": Padded}


def loss_and_gradients(network: Network, config, *batch):
    """Return the loss of a batch, its labels last, and leave the gradients in the parameters.

    With `adversarial_epsilon` they are those of AdversarialGradient in lstm/src/loss.py; the word vectors are looked up
    once for both passes.
    """
    *inputs, labels = batch
    loss_of = partial(F.cross_entropy, target=labels.long(), label_smoothing=config.label_smoothing)
    x = network.embed(*inputs)
    if not config.adversarial_epsilon:
        loss = loss_of(network.classify(x, *inputs))
        loss.backward()
        return loss.detach()
    plain = x.detach().requires_grad_()
    loss = loss_of(network.classify(plain, *inputs))
    loss.backward()
    with torch.no_grad():
        scale = config.adversarial_epsilon * _norm(plain) / (_norm(plain.grad) + 1e-12)  # (1, B, 1)
        moved = plain + scale * plain.grad
    loss_of(network.classify(moved.requires_grad_(), *inputs)).backward()
    if x.requires_grad:
        x.backward(plain.grad + moved.grad)
    return loss.detach()


def _norm(x):
    return x.square().sum((0, 2), keepdim=True).sqrt()


class Side(PyTorchSide):
    """Training and inference of one of NETWORKS from given weights."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(NETWORKS[variant], config, weights)
        gradients = partial(loss_and_gradients, self.network, config)
        self.step = TrainStep(self.network.parameters(), gradients, config, rates)

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this network wants them; not timed."""
        words, tokens, lengths, _, labels = inputs
        return *self.network.collate(words, tokens, lengths), labels

    @torch.inference_mode()
    def logits(self, batch: tuple) -> np.ndarray:
        """Return the logits (B, C) without dropout."""
        self.network.eval()
        inputs = [torch.from_numpy(array) for array in batch[:-1]]
        return self.network.classify(self.network.embed(*inputs), *inputs).numpy()
