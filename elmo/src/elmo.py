"""ELMo as a layer of another network: the biLM, and the task's own mixture of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.data.token_indexer import encode_words, group_words, number_words
from src.inference import load_model
from src.model_options import ModelOptions
from src.model_utils.layers import KeyedDropout
from src.modules.scalar_mix import ScalarMix
from src.network import BiLanguageModel
from src.random_streams import MIXTURE_DROPOUT


class ElmoInputs(NamedTuple):
    """The words of B sentences, of up to T words each, as `Elmo` takes them."""

    char_ids: np.ndarray  # (N, w) int32, the distinct short words
    long_char_ids: np.ndarray  # (M, W) int32
    index: np.ndarray  # (T + 2, B) int32, rows of the words' table, each sentence between `<S>` and `</S>`
    lengths: np.ndarray  # (B,) int32, without these marks


class Elmo(nn.Cell):
    """Embeddings of sentences that can be trained with the network that uses them.

    Mixture weights and gamma are always trained, the biLM where `fine_tune` says so. `dropout` acts on the mixture.
    Every sentence starts from a zero state. Inputs are those of `batch_words`.
    """

    def __init__(
        self,
        network: BiLanguageModel,
        options: ModelOptions,
        *,
        layer_norm: bool = False,
        dropout: float = 0.5,
        fine_tune: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        self.network, self.options, self.fine_tune = network, options, fine_tune
        for parameter in network.get_parameters():
            parameter.requires_grad = fine_tune
        for dropout_layer in (*network.forward_dropouts, *network.backward_dropouts):
            dropout_layer.p = 0.0  # for the biLM's own training only
        self.n_layers, self.sizes = options.n_layers, (options.projection_dim, options.lstm_dim)
        self.output_size = 2 * options.projection_dim
        self.mix = ScalarMix(n_layers=options.n_layers + 1, layer_norm=layer_norm)
        self.dropout = KeyedDropout(dropout, self.output_size, [seed, MIXTURE_DROPOUT])

    @classmethod
    def load(cls, ckpt_path, options_path=None, **settings) -> Elmo:
        """Build it from a checkpoint or published weights; `settings` are those of the constructor."""
        return cls(*load_model(ckpt_path, options_path), **settings)

    def batch_words(self, sentences: Sequence[Sequence[str]], steps: int = 0, multiples=(64, 16)) -> ElmoInputs:
        """Return the arrays of a batch of sentences of words.

        T is the length of the longest sentence, or `steps` where that is more. Each T and each number of words (rounded
        up to `multiples`, see `group_words`) is compiled anew, so let few of them occur.
        """
        words, index, lengths = number_words(sentences, steps + 2)
        char_ids = encode_words(words, self.options.max_characters_per_token)
        short, long, row_of = group_words(char_ids, self.options.widest_filter, multiples)
        return ElmoInputs(short, long, row_of[index], lengths - 2)

    def construct(self, char_ids, long_char_ids, index, lengths, dropout_keys) -> Tensor:
        """Map the arrays of `batch_words` and dropout_keys (B,) int32 to embeddings (T, B, 2P), zero on padding.

        dropout_keys are ignored outside training.
        """
        net = self.network
        steps, batch = index.shape
        framed = lengths + 2  # with the marks of begin and end
        reverse = ops.ReverseSequence(0, 1)
        h = ops.zeros((2, self.n_layers, batch, self.sizes[0]), ms.float32)
        c = ops.zeros((2, self.n_layers, batch, self.sizes[1]), ms.float32)
        forward, backward, _, _ = net(
            char_ids, long_char_ids, index, reverse(index, framed), h, c, ops.stack((dropout_keys, dropout_keys + 1))
        )  # L + 1 of (T + 2, B, P)
        backward = ops.stack([reverse(layer, framed) for layer in backward])
        layers = ops.cat((ops.stack(forward), backward), 3)[:, 1:-1]  # (L + 1, T, B, 2P)
        if not self.fine_tune:
            layers = ops.stop_gradient(layers)
        mask = (ops.arange(steps - 2).reshape(-1, 1) < lengths.reshape(1, -1)).astype(ms.float32)  # (T, B)
        return self.dropout(self.mix(layers, mask) * mask.expand_dims(2), dropout_keys)
