"""The tagging network: character and bigram vectors, a BiLSTM, a score of each tag at each character."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src import random_streams
from src.model_utils.layers import AddBias, KeyedDropout
from src.model_utils.recurrent import LSTM


def dynamic_inputs() -> list[Tensor]:
    """Return placeholders of any size for characters (T, B), bigrams (T + 1, B), lengths (B,), dropout_keys (B,)."""
    return [Tensor(shape=shape, dtype=ms.int32) for shape in ([None, None], [None, None], [None], [None])]


class Embedding(nn.Cell):
    """A character's vector beside those of the bigrams that it ends and begins (one table for both)."""

    def __init__(self, *, characters: int, bigrams: int, character_size: int, bigram_size: int, seed: int):
        super().__init__()
        stream = [seed, random_streams.CHARACTER_TABLE]
        self.character_table = _table(characters, character_size, stream, "character_table")
        self.with_bigrams = bigram_size > 0
        if self.with_bigrams:
            stream = [seed, random_streams.BIGRAM_TABLE]
            self.bigram_table = _table(bigrams, bigram_size, stream, "bigram_table")
        self.size = character_size + 2 * bigram_size

    def construct(self, characters, bigrams) -> Tensor:
        """Map characters (T, B) and bigrams (T + 1, B), both int32, to vectors (T, B, E)."""
        x = ops.gather(self.character_table, characters, 0)  # (T, B, C)
        if self.with_bigrams:
            pairs = ops.gather(self.bigram_table, bigrams, 0)  # (T + 1, B, P)
            x = ops.cat((x, pairs[:-1], pairs[1:]), 2)  # (T, B, E): the bigrams that it ends and begins
        return x


def _table(rows: int, size: int, seed, name: str) -> Parameter:
    bound = (3 / size) ** 0.5  # a variance of 1 / size
    values = np.random.default_rng(seed).uniform(-bound, bound, (rows, size))
    return Parameter(Tensor(values.astype(np.float32)), name=name)


class Tagger(nn.Cell):
    """Emissions of a BiLSTM, exact for sentences of any lengths in one padded batch, and a CRF's transitions.

    Huang et al. 2015. `characters`, `bigrams` and `tags` are the sizes of the vocabularies, `crf` False leaves the
    transitions out. Dropout masks are the same at every step of a sentence (Gal & Ghahramani 2016).
    """

    def __init__(
        self,
        *,
        characters: int,
        bigrams: int,
        tags: int,
        character_size: int,
        bigram_size: int,
        num_hiddens: int,
        num_layers: int,
        embedding_dropout: float,
        dropout: float,
        crf: bool,
        seed: int,
    ):
        super().__init__()
        self.seed = seed
        self.embedding = Embedding(
            characters=characters, bigrams=bigrams, character_size=character_size, bigram_size=bigram_size, seed=seed
        )
        stream = [seed, random_streams.EMBEDDING_DROPOUT]
        self.embedding_dropout = KeyedDropout(embedding_dropout, self.embedding.size, stream)
        self.lstm = LSTM(self.embedding.size, num_hiddens, num_layers, True, dropout, seed=seed)
        self.dropout = KeyedDropout(dropout, 2 * num_hiddens, [seed, random_streams.OUTPUT_DROPOUT])
        bound = (2 * num_hiddens) ** -0.5
        random = np.random.default_rng([seed, random_streams.TAG_SCORES])
        weight = random.uniform(-bound, bound, (tags, 2 * num_hiddens))
        self.weight = Parameter(Tensor(weight.astype(np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(tags, np.float32)), name="bias")
        self.crf = crf
        if crf:
            self.transitions = Parameter(Tensor(np.zeros((tags, tags), np.float32)), name="transitions")
            self.start = Parameter(Tensor(np.zeros(tags, np.float32)), name="start")
            self.end = Parameter(Tensor(np.zeros(tags, np.float32)), name="end")
        self.matmul_nt, self.add_bias = ops.MatMul(transpose_b=True), AddBias()

    def construct(self, characters, bigrams, lengths, dropout_keys, forward_only=False) -> Tensor:
        """Map characters (T, B), bigrams (T + 1, B), lengths (B,) and dropout_keys (B,), int32, to scores (T, B, K).

        `forward_only` (a constant) says that no gradient will be asked for, which is faster.
        """
        x = self.embedding(characters, bigrams)  # (T, B, E)
        return self.scores(self.states(x, lengths, dropout_keys, forward_only))

    def states(self, x, lengths, dropout_keys, forward_only=False) -> Tensor:
        """Map vectors x (T, B, E) to the LSTM's outputs (T, B, 2H), after dropout: forward, then backward direction."""
        x = self.embedding_dropout(x, dropout_keys)  # (T, B, E)
        return self.dropout(self.lstm(x, lengths, dropout_keys, forward_only), dropout_keys)

    def scores(self, states) -> Tensor:
        """Map outputs of the LSTM (T, B, 2H) to scores (T, B, K)."""
        steps, batch, size = states.shape
        scores = self.matmul_nt(states.reshape(-1, size), self.weight.astype(states.dtype))  # (T * B, K)
        return self.add_bias(scores.astype(ms.float32), self.bias).reshape(steps, batch, -1)
