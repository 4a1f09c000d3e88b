"""The PyTorch side of lstm/: the network of lstm/src/network.py written three ways, same weights and arithmetic.

packed      what people write: every token embedded, nn.LSTM on a packed sequence; exact
strongest   the fastest exact form found here: no packing, the backward direction reads reversed reviews; exact
padded500   what the model zoo's network does: all reviews padded to max_length, padding read as text; not exact

T steps, B reviews, U distinct words of a batch.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_training import DIRECTIONS, DropColumns, PyTorchSide, Unpacked, join, recurrent, reversal
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Network(nn.Module):
    """What the three have in common: word vectors, dropout, pooling, classifier."""

    def __init__(self, config, weights: dict[str, Tensor]):
        super().__init__()
        self.config = config
        self.register_buffer("vectors", weights["embedding.vectors"])
        for name in ("embedding.projection", "embedding.offsets", "pooling.score", "weight", "bias"):
            here = name.split(".")[-1]
            self.register_parameter(here, nn.Parameter(weights[name]) if name in weights else None)
        self.embedding_dropout, self.dropout = DropColumns(config.embedding_dropout), DropColumns(config.dropout)
        self.prefixes = [f"lstm.layers.{layer}." for layer in range(config.num_layers)]
        self.directions = DIRECTIONS[: 1 + config.bidirectional]

    def table(self, words: Tensor) -> Tensor:
        """Map ids (...) to their vectors (..., D)."""
        vectors = F.embedding(words, self.vectors)
        if self.projection is not None:
            vectors = F.linear(vectors, self.projection)
        if self.offsets is not None:
            rows = words.clamp(max=len(self.offsets) - 1)
            vectors = vectors + F.embedding(rows, self.offsets) * (words == rows).unsqueeze(-1)
        return vectors

    def pool(self, parts: list[Tensor], lengths: Tensor) -> Tensor:
        """Summarize outputs over time, except by "ends": each of parts (T, B, H), lengths (B,)."""
        kind = self.config.pooling
        padding = torch.arange(len(parts[0]))[:, None] >= lengths  # (T, B)
        if kind == "attention":
            (outputs,) = parts
            scores = (outputs * self.score).sum(2).masked_fill(padding, -1e4)  # (T, B)
            return torch.einsum("tb,tbh->bh", scores.softmax(0), outputs)
        shares = ~padding / lengths  # (T, B), a weighted sum is faster than masking the outputs
        means = [torch.einsum("tb,tbh->bh", shares, part) for part in parts] if "mean" in kind else []
        low = -2.0 * padding[:, :, None]  # outputs lie in (-1, 1)
        highest = [(part + low).max(0)[0] for part in parts] if "max" in kind else []
        return torch.cat(means + highest, 1)  # (B, P)

    def output(self, pooled: Tensor) -> Tensor:
        """Map pooled features (B, P) to logits (B, C)."""
        return F.linear(F.dropout(pooled, self.config.dropout, self.training), self.weight, self.bias)


class Packed(Network):
    """The usual way to write it."""

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.lstm = recurrent(nn.LSTM, weights, self.prefixes, self.directions, config.dropout)

    def collate(self, words: np.ndarray, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids (T, B) and lengths (B,)."""
        return words[tokens], lengths

    def embed(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return word vectors (T, B, D)."""
        return self.table(ids)

    def classify(self, x: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map word vectors (T, B, D) to logits (B, C)."""
        outputs = self.run(self.embedding_dropout(x), lengths)
        if self.config.pooling == "ends":
            return self.output(torch.cat((outputs[0], outputs[lengths.long() - 1, torch.arange(len(lengths))]), 1))
        return self.output(self.pool([outputs], lengths))

    def run(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of the LSTM (T, B, H), zero on padding."""
        packed = pack_padded_sequence(x, lengths.long(), enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0])[0]


class Padded(Packed):
    """The model zoo's network: all reviews of one length, padding read as text."""

    def collate(self, words: np.ndarray, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return ids (max_length, B), and max_length as the length of every review."""
        ids = words[tokens]
        width = self.config.max_length
        return np.pad(ids, ((0, width - len(ids)), (0, 0))), np.full_like(lengths, width)

    def run(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the outputs of the LSTM (T, B, H) on text and padding alike."""
        return self.lstm(x)[0]


class Strongest(Network):
    """Exact without packing, by layers of Unpacked.

    What the last layer's backward direction returns stays reversed: mean and maximum do not mind, and the ends are
    known.

    Also tried, by CPU time of a step on one thread. All lay within a few per cent, as the LSTMs take four fifths of it.
    Slower: lookup and projection of every token instead of every distinct word; reversed tokens looked up instead of
    vectors reversed; reversal differentiated by autograd, which adds to rows where another gather does; one
    bidirectional LSTM with the padding column of MindSpore's layer; outputs masked before the mean; masked_fill for the
    maximum; amax or argmax with gather for it. As fast: index_select for F.embedding. A sparse gradient of the offsets
    does not fit: Adam with decaying moments of every word, as on the MindSpore side, needs a dense one.
    """

    def __init__(self, config, weights):
        super().__init__(config, weights)
        self.layers = nn.ModuleList(
            Unpacked(weights, prefix, DIRECTIONS[: 1 + config.bidirectional]) for prefix in self.prefixes
        )

    def collate(self, words: np.ndarray, tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return words (U,), tokens (T, B) and lengths (B,)."""
        return words, tokens, lengths

    def embed(self, words: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return word vectors (T, B, D)."""
        return F.embedding(tokens, self.table(words))

    def classify(self, x: Tensor, words: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Map word vectors (T, B, D) to logits (B, C)."""
        order = reversal(lengths, len(tokens))
        *lower, last = self.layers
        x = self.embedding_dropout(x)
        for layer in lower:
            x = self.dropout(join(layer(x, order), order))
        parts = last(x, order)
        if self.config.pooling == "attention":
            parts = [join(parts, order)]
        if self.config.pooling != "ends":
            return self.output(self.pool(parts, lengths))
        ends = [part[lengths.long() - 1, torch.arange(len(lengths))] for part in parts]
        firsts = [part[0] for part in parts]
        # of the text's first step, then of its last; reversed parts have them the other way round
        return self.output(torch.cat((firsts[0], *ends[1:], ends[0], *firsts[1:]), 1))


class Side(PyTorchSide):
    """Training and inference of one of the networks from given weights."""

    networks = {"packed": Packed, "strongest": Strongest, "padded500": Padded}

    def collate(self, inputs: tuple) -> tuple:
        """Return the arrays of a batch as this network wants them; not timed."""
        words, tokens, lengths, _, labels = inputs
        return *self.network.collate(words, tokens, lengths), labels

    def backward(self, *batch: Tensor) -> Tensor:
        """Return the loss of a batch, its labels last, and leave the gradients in the parameters.

        With `adversarial_epsilon` they are those of AdversarialGradient in lstm/src/loss.py; the word vectors are
        looked up once for both passes.
        """
        *inputs, labels = batch

        def loss_of(vectors: Tensor) -> Tensor:
            logits = self.network.classify(vectors, *inputs)
            return F.cross_entropy(logits, labels.long(), label_smoothing=self.config.label_smoothing)

        x = self.network.embed(*inputs)
        if not self.config.adversarial_epsilon:
            loss = loss_of(x)
            loss.backward()
            return loss.detach()
        plain = x.detach().requires_grad_()
        loss = loss_of(plain)
        loss.backward()
        with torch.no_grad():
            scale = self.config.adversarial_epsilon * _norm(plain) / (_norm(plain.grad) + 1e-12)  # (1, B, 1)
            moved = plain + scale * plain.grad
        loss_of(moved.requires_grad_()).backward()
        if x.requires_grad:
            x.backward(plain.grad + moved.grad)
        return loss.detach()

    def outputs(self, *batch: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        *inputs, _ = batch
        return self.network.classify(self.network.embed(*inputs), *inputs)


def _norm(x: Tensor) -> Tensor:
    return x.square().sum((0, 2), keepdim=True).sqrt()
