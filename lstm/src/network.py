"""The sentiment network: word vectors, variable-length (bi)LSTM, pooling over time, classifier."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils.layers import KeyedDropout, padding_mask
from src.model_utils.recurrent import LSTM
from src.random_streams import Stream

POOLINGS = ("ends", "mean", "max", "mean_max", "attention")
_VECTOR_NORM = 5.0  # mean norm that the word vectors are scaled to, since GloVe's and word2vec's differ widely


def _uniform(seed, bound: float, *shape) -> Tensor:
    return Tensor(np.random.default_rng(seed).uniform(-bound, bound, shape).astype(np.float32))


class Embedding(nn.Cell):
    """Fixed word vectors, linearly projected, plus a trained offset for each of the most frequent words.

    The projection and the offset are computed for the distinct words of a batch only and then gathered. Ids are in the
    order of falling frequency, so the first `trained_words` ids are the frequent words. The offsets start at zero: a
    rare word keeps its pretrained meaning, a frequent one learns its sentiment.
    """

    def __init__(self, *, vocabulary_size: int, embed_size: int, projection_size: int, trained_words: int, seed: int):
        super().__init__()
        self.vectors = Parameter(
            Tensor(np.zeros((vocabulary_size, embed_size), np.float32)), name="vectors", requires_grad=False
        )
        self.size = projection_size or embed_size
        self.matmul_nt = ops.MatMul(transpose_b=True)
        self.projected = projection_size > 0
        self.trained_words = min(trained_words, vocabulary_size)
        if self.projected:
            bound = (3 / embed_size) ** 0.5  # keeps the variance
            weight = _uniform([seed, Stream.WORD_PROJECTION], bound, projection_size, embed_size)
            self.projection = Parameter(weight, name="projection")
        if trained_words:
            self.offsets = Parameter(Tensor(np.zeros((self.trained_words, self.size), np.float32)), name="offsets")

    def set_vectors(self, vectors: np.ndarray) -> None:
        """Set the pretrained vectors (V, E) float32, scaled as a whole to a mean norm of 5; padding stays zero."""
        mean_norm = np.linalg.norm(vectors[1:], axis=1).mean()
        self.vectors.set_data(Tensor((vectors * (_VECTOR_NORM / mean_norm)).astype(np.float32)))

    def construct(self, words: Tensor, tokens: Tensor) -> Tensor:
        """Map the distinct words (U,) and tokens (T, B), indices into words, to vectors (T, B, D)."""
        return ops.gather(self.table(words), tokens, 0)  # (T, B, D)

    def table(self, words: Tensor) -> Tensor:
        """Return the vectors (U, D) of the words (U,)."""
        table = ops.gather(self.vectors, words, 0)  # (U, E)
        if self.projected:
            table = self.matmul_nt(table, self.projection.astype(table.dtype))  # (U, D)
        if self.trained_words:
            is_trained = (words < self.trained_words).astype(table.dtype).expand_dims(1)  # (U, 1)
            rows = ops.minimum(words, self.trained_words - 1)  # (U,)
            table = table + is_trained * ops.gather(self.offsets, rows, 0)  # (U, D)
        return table


class Pooling(nn.Cell):
    """Summarize LSTM outputs (T, B, H), which are zero on padding, over the real steps of each sequence.

    ends: the first and the last step, as in the model zoo's LSTM; mean; max; mean_max: both; attention: a softmax over
    one learned score a step (Yang et al. 2016, without the hidden layer).
    """

    def __init__(self, *, kind: str, size: int, seed: int):
        super().__init__()
        self.kind = kind
        self.output_size = size * (2 if kind in ("ends", "mean_max") else 1)
        if kind == "attention":
            self.score = Parameter(_uniform([seed, Stream.ATTENTION], size**-0.5, 1, 1, size), name="score")

    def construct(self, outputs: Tensor, padding: Tensor, lengths: Tensor) -> Tensor:
        """Map outputs (T, B, H), padding (T, B, 1) and lengths (B,) to (B, output_size)."""
        if self.kind == "ends":
            steps, batch, size = outputs.shape
            last = (lengths - 1) * batch + ops.arange(batch)  # (B,)
            ends = ops.gather(outputs.reshape(steps * batch, size), last, 0)  # (B, H)
            return ops.cat((outputs[0], ends), 1)
        if self.kind == "attention":
            scores = (outputs * self.score).sum(2, keepdims=True) - 1e4 * padding  # (T, B, 1)
            weights = ops.softmax(scores.astype(ms.float32), 0).astype(outputs.dtype)  # (T, B, 1)
            return (outputs * weights).sum(0)
        mean = outputs.sum(0) / lengths.astype(outputs.dtype).expand_dims(1)  # (B, H)
        if self.kind == "mean":
            return mean
        low = ops.tile(-2 * padding, (1, 1, outputs.shape[2]))  # (T, B, H); broadcasting it is 7 times slower
        highest = (outputs + low).max(0)  # (B, H); outputs lie in (-1, 1)
        return highest if self.kind == "max" else ops.cat((mean, highest), 1)


class SentimentNet(nn.Cell):
    """Logits of a review's classes; exact for reviews of any lengths in one padded batch."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embed_size: int,
        num_hiddens: int,
        num_layers: int,
        bidirectional: bool,
        num_classes: int,
        pooling: str,
        projection_size: int = 0,
        trained_words: int = 0,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        output_size = num_hiddens * (2 if bidirectional else 1)
        self.embedding = Embedding(
            vocabulary_size=vocabulary_size,
            embed_size=embed_size,
            projection_size=projection_size,
            trained_words=trained_words,
            seed=seed,
        )
        self.embedding_dropout = KeyedDropout(embedding_dropout, self.embedding.size, [seed, Stream.EMBEDDING_DROPOUT])
        self.lstm = LSTM(
            self.embedding.size,
            num_hiddens,
            num_layers,
            bidirectional,
            dropout,
            seed=seed,
            table_gradient=self.embedding.projected or trained_words > 0,
        )
        self.pooling = Pooling(kind=pooling, size=output_size, seed=seed)
        self.pooled_dropout = KeyedDropout(dropout, self.pooling.output_size, [seed, Stream.POOLED_DROPOUT])
        size = self.pooling.output_size
        self.weight = Parameter(_uniform([seed, Stream.CLASSIFIER], size**-0.5, num_classes, size), name="weight")
        self.bias = Parameter(Tensor(np.zeros(num_classes, np.float32)), name="bias")
        self.matmul_nt = ops.MatMul(transpose_b=True)

    def construct(
        self, words: Tensor, tokens: Tensor, lengths: Tensor, dropout_keys: Tensor, forward_only: bool = False
    ) -> Tensor:
        """Map words (U,), tokens (T, B), lengths (B,) and dropout_keys (B,), all int32, to logits (B, C).

        `forward_only`, a constant, takes a faster kernel that has no gradient.
        """
        if self.embedding_dropout.p and self.training:  # then a word has other vectors in every review
            return self.classify(self.embedding(words, tokens), lengths, dropout_keys, forward_only)
        outputs = self.lstm(self.embedding.table(words), lengths, dropout_keys, forward_only, tokens)  # (T, B, H)
        return self._output(outputs, lengths, dropout_keys)

    def classify(self, x: Tensor, lengths: Tensor, dropout_keys: Tensor, forward_only: bool = False) -> Tensor:
        """Map word vectors x (T, B, D), whatever they are on padding, to logits (B, C)."""
        x = self.embedding_dropout(x, dropout_keys)
        return self._output(self.lstm(x, lengths, dropout_keys, forward_only), lengths, dropout_keys)

    def _output(self, outputs: Tensor, lengths: Tensor, dropout_keys: Tensor) -> Tensor:
        """Map outputs of the LSTM (T, B, H) to logits (B, C)."""
        padding = padding_mask(lengths, outputs.shape[0]).astype(outputs.dtype)  # (T, B, 1)
        pooled = self.pooled_dropout(self.pooling(outputs, padding, lengths), dropout_keys)  # (B, P)
        return self.matmul_nt(pooled, self.weight.astype(pooled.dtype)) + self.bias  # (B, C)


def dynamic_inputs() -> list[Tensor]:
    """Return the shapes of words (U,), tokens (T, B), lengths (B,) and dropout_keys (B,), of any size."""
    return [Tensor(shape=shape, dtype=ms.int32) for shape in ([None], [None, None], [None], [None])]
