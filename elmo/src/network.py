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
        self.gather, self.reshape, self.stack, self.unstack = ops.Gather(), ops.Reshape(), ops.Stack(), ops.Unstack()

    def construct(
        self, char_ids, long_char_ids, forward_index, backward_index, h, c, dropout_keys
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor, Tensor]:
        """Run both directions over T steps.

        char_ids (N, W), long_char_ids (M, W'): the distinct words; forward_index, backward_index (T, B): rows of their
        common table, in reading order; h (2, L, B, P), c (2, L, B, H) float32: the state of both directions before the
        first step; dropout_keys (2, B) int32, ignored outside training.

        Returns the L + 1 layers (T, B, P) of each direction, in reading order, the word vectors first, and the state
        (h, c) after the last step, through which no gradient flows.
        """
        table = self.char_encoder(char_ids, long_char_ids)  # (N + M, P)
        x = self.gather(table, forward_index, 0), self.gather(table, backward_index, 0)
        keys = self.unstack(dropout_keys)
        return self.run(x, h, c, keys, ops.zeros_like(keys[0]) + forward_index.shape[0])

    def run(
        self, x, h, c, dropout_keys, counts, forward_only=False
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor, Tensor]:
        """Run both directions from their word vectors x, twice (T, B, P), as `construct` does.

        dropout_keys, twice (B,); counts (B,) int32 in 0 ... T: the steps after which the state is wanted.
        `forward_only` (a constant) says that no gradient will be asked for.
        """
        hs = self.unstack(self.reshape(h, (-1, *h.shape[2:])))  # 2L of (B, P)
        cs = self.unstack(self.reshape(c, (-1, *c.shape[2:])))  # 2L of (B, H)
        forward, hs_0, cs_0 = self._direction(0, x[0], hs, cs, dropout_keys[0], counts, forward_only)
        backward, hs_1, cs_1 = self._direction(1, x[1], hs, cs, dropout_keys[1], counts, forward_only)
        new_h, new_c = self.stack(hs_0 + hs_1), self.stack(cs_0 + cs_1)
        return forward, backward, self.reshape(new_h, h.shape), self.reshape(new_c, c.shape)

    def _direction(self, number, x, hs, cs, dropout_keys, counts, forward_only):
        """Map x (T, B, P) and the states of both directions to the layers and new states of one of them.

        As in bilm-tf, dropout acts on the input of a layer, and a skip connection adds that input to its output.
        """
        layers = self.backward_layers if number else self.forward_layers
        dropouts = self.backward_dropouts if number else self.forward_dropouts
        outputs, new_hs, new_cs = (x,), (), ()
        for k in range(self.n_layers):
            x = dropouts[k](x, dropout_keys)
            state = number * self.n_layers + k
            hidden, h, c = layers[k](x, hs[state], cs[state], counts, forward_only)  # (T, B, P), (B, P), (B, H)
            x = hidden + x if self.skip and k > 0 else hidden
            outputs, new_hs, new_cs = outputs + (x,), new_hs + (h,), new_cs + (c,)
        return outputs, new_hs, new_cs


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
