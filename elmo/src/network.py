"""The bidirectional language model of ELMo (Peters et al. 2018, section 3), with the softmax over its vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.model_utils.layers import KeyedDropout
from src.modules.char_encoder import CharEncoder
from src.modules.projected_lstm import ProjectedLSTM
from src.random_streams import RECURRENT_DROPOUT, RECURRENT_LAYERS, SOFTMAX


class BiLanguageModel(nn.Cell):
    """Word vectors from characters, and for each direction a stack of projected LSTM layers over them.

    Each direction reads in its own order: the backward one gets its text reversed. Shapes: T steps, B rows,
    N and M short and long words, W characters a word, L layers, H cells, P outputs of a direction, which is also the
    size of a word vector.
    """

    def __init__(
        self,
        *,
        characters: int,
        char_dim: int,
        filters: Sequence[tuple[int, int]],
        n_highway: int,
        activation: str,
        projection_dim: int,
        lstm_dim: int,
        n_layers: int,
        cell_clip: float,
        proj_clip: float,
        use_skip_connections: bool,
        dropout: float,
        seed: int = 0,
    ):
        super().__init__()
        self.n_layers, self.skip = n_layers, use_skip_connections
        self.char_encoder = CharEncoder(
            characters=characters,
            char_dim=char_dim,
            filters=filters,
            n_highway=n_highway,
            output_size=projection_dim,
            activation=activation,
            seed=seed,
        )

        def layers(direction):
            sizes = {"input_size": projection_dim, "hidden_size": lstm_dim, "output_size": projection_dim}
            clips = {"cell_clip": cell_clip, "proj_clip": proj_clip}
            seeds = [[seed, RECURRENT_LAYERS, direction, k] for k in range(n_layers)]
            return nn.CellList([ProjectedLSTM(**sizes, **clips, seed=layer_seed) for layer_seed in seeds])

        def dropouts(direction):
            seeds = [[seed, RECURRENT_DROPOUT, direction, k] for k in range(n_layers)]
            return nn.CellList([KeyedDropout(dropout, projection_dim, layer_seed) for layer_seed in seeds])

        self.forward_layers, self.backward_layers = layers(0), layers(1)
        self.forward_dropouts, self.backward_dropouts = dropouts(0), dropouts(1)

    def construct(
        self, char_ids, long_char_ids, forward_index, backward_index, h, c, dropout_keys
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run both directions over T steps.

        char_ids (N, W), long_char_ids (M, W'): the distinct words; forward_index, backward_index (T, B): rows of their
        common table, in reading order; h (2, L, B, P), c (2, L, B, H) float32: the state of both directions before the
        first step; dropout_keys (2, B) int32, ignored outside training.

        Returns the layers (L + 1, T, B, P) of each direction, in reading order, the word vectors first, and the state
        (h, c) after the last step, through which no gradient flows.
        """
        table = self.char_encoder(char_ids, long_char_ids)  # (N + M, P)
        x = ops.gather(table, forward_index, 0), ops.gather(table, backward_index, 0)
        return self.run(x, h, c, dropout_keys)

    def run(self, x, h, c, dropout_keys, counts=None, forward_only=False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run both directions from their word vectors x (2, T, B, P), as `construct` does.

        `counts` (B,) int32 in 0 ... T: the steps after which the state is wanted, where it is not all of them.
        `forward_only` (a constant) says that no gradient will be asked for.
        """
        forward, forward_h, forward_c = self._direction(
            self.forward_layers, self.forward_dropouts, x[0], h[0], c[0], dropout_keys[0], counts, forward_only
        )
        backward, backward_h, backward_c = self._direction(
            self.backward_layers, self.backward_dropouts, x[1], h[1], c[1], dropout_keys[1], counts, forward_only
        )
        return forward, backward, ops.stack((forward_h, backward_h)), ops.stack((forward_c, backward_c))

    def _direction(self, layers, dropouts, x, h, c, dropout_keys, counts, forward_only):
        """Map x (T, B, P) and a direction's state h (L, B, P), c (L, B, H) to (L + 1, T, B, P) and the new state.

        As in bilm-tf, dropout acts on the input of a layer, and a skip connection adds that input to its output.
        """
        outputs, last_h, last_c = (x,), (), ()
        for k in range(self.n_layers):
            x = dropouts[k](x, dropout_keys)
            hidden, h_after, c_after = layers[k](x, h[k], c[k], counts, forward_only)  # (T, B, P), (B, P), (B, H)
            last_h, last_c = last_h + (h_after,), last_c + (c_after,)
            x = hidden + x if self.skip and k > 0 else hidden
            outputs += (x,)
        return ops.stack(outputs), ops.stack(last_h), ops.stack(last_c)


class LanguageModel(nn.Cell):
    """A biLM and its softmax: `weight` (V, P) and `bias` (V,), which published ELMo weights do not include.

    In a checkpoint the parameters of the biLM have the same names as without the softmax.
    """

    def __init__(self, *, bilm: BiLanguageModel, vocabulary_size: int, seed: int):
        super().__init__(auto_prefix=False)
        self.bilm = bilm
        size = bilm.char_encoder.w_proj.shape[1]  # P
        weight = np.random.default_rng([seed, SOFTMAX]).normal(0, size**-0.5, (vocabulary_size, size))
        # updated by rows: the optimizer of the network must not see them, see train_step.py
        self.weight = Parameter(Tensor(weight.astype(np.float32)), name="softmax.weight", requires_grad=False)
        self.bias = Parameter(Tensor(np.zeros(vocabulary_size, np.float32)), name="softmax.bias", requires_grad=False)
