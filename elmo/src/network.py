"""The bidirectional language model of ELMo (Peters et al. 2018, section 3), without the softmax over its vocabulary."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.data.token_indexer import CHARACTERS
from src.model_options import ModelOptions
from src.model_utils.recurrent import CounterDropout
from src.modules.char_encoder import CharEncoder
from src.modules.projected_lstm import ProjectedLSTM


class BiLanguageModel(nn.Cell):
    """Word vectors from characters, and for each direction a stack of projected LSTM layers over them.

    Both directions are read in their own order: the backward one is given its text reversed. Shapes: T steps, B rows,
    N words, W characters a word, L layers, H cells, P outputs a direction, P also the size of a word vector.
    """

    def __init__(self, options: ModelOptions, seed: int = 0):
        super().__init__()
        self.n_layers, self.skip = options.n_layers, options.use_skip_connections
        size = options.projection_dim
        self.char_encoder = CharEncoder(
            CHARACTERS, options.char_dim, options.filters, options.n_highway, size, options.activation, seed
        )

        def layers(direction):
            sizes = size, options.lstm_dim, size, options.cell_clip, options.proj_clip
            return nn.CellList([ProjectedLSTM(*sizes, [seed, 410, direction, k]) for k in range(options.n_layers)])

        def dropouts(direction):
            seeds = [[seed, 420, direction, k] for k in range(options.n_layers)]
            return nn.CellList([CounterDropout(options.dropout, size, each) for each in seeds])

        self.forward_layers, self.backward_layers = layers(0), layers(1)
        self.forward_dropouts, self.backward_dropouts = dropouts(0), dropouts(1)

    def encode_words(self, char_ids, long_char_ids):
        """Map the words of both groups, (N, W) and (M, W') int32, to one table (N + M, P); see `group_words`."""
        return ops.cat((self.char_encoder(char_ids), self.char_encoder(long_char_ids)))

    def construct(self, char_ids, long_char_ids, forward_index, backward_index, h, c, dropout_keys):
        """Run both directions over T steps.

        char_ids (N, W), long_char_ids (M, W'): the distinct words; forward_index, backward_index (T, B): rows of their
        common table, in reading order; h (2, L, B, P), c (2, L, B, H) float32: the state before the first step, of
        both directions; dropout_keys (2, B) int32, of no account outside training.

        Returns the layers (L + 1, T, B, P) of each direction, in reading order, the word vectors first, and the state
        (h, c) after the last step, through which no gradient flows.
        """
        table = self.encode_words(char_ids, long_char_ids)  # (N + M, P)
        forward, forward_h, forward_c = self.run_direction(
            self.forward_layers, self.forward_dropouts, ops.gather(table, forward_index, 0), h[0], c[0], dropout_keys[0]
        )
        backward, backward_h, backward_c = self.run_direction(
            self.backward_layers,
            self.backward_dropouts,
            ops.gather(table, backward_index, 0),
            h[1],
            c[1],
            dropout_keys[1],
        )
        return forward, backward, ops.stack((forward_h, backward_h)), ops.stack((forward_c, backward_c))

    def run_direction(self, layers, dropouts, x, h, c, dropout_keys, counts=None):
        """Map x (T, B, P) and a direction's state h (L, B, P), c (L, B, H) to (L + 1, T, B, P) and the new state.

        As in bilm-tf dropout acts on what a layer reads, and a skip connection adds what it reads to what it says.
        `counts` (B,) int32 in 0 ... T: the steps after which the state is wanted, where it is not all of them.
        """
        outputs, last_h, last_c = (x,), (), ()
        for k in range(self.n_layers):
            x = dropouts[k](x, dropout_keys)
            said, cells = layers[k](x, h[k], c[k])  # (T, B, P), (T, B, H)
            last_h += (ops.stop_gradient(_state_after(counts, h[k], said)),)
            last_c += (_state_after(counts, c[k], cells),)
            x = said + x if self.skip and k > 0 else said
            outputs += (x,)
        return ops.stack(outputs), ops.stack(last_h), ops.stack(last_c)


class LanguageModel(nn.Cell):
    """A biLM and its softmax: `weight` (V, P) and `bias` (V,), which are no part of published ELMo weights.

    In a checkpoint the parameters of the biLM keep the names that they have there alone.
    """

    def __init__(self, bilm: BiLanguageModel, vocabulary_size: int, projection_dim: int, seed: int):
        super().__init__(auto_prefix=False)
        self.bilm = bilm
        random = np.random.default_rng([seed, 430])
        weight = random.normal(0, projection_dim**-0.5, (vocabulary_size, projection_dim)).astype(np.float32)
        # sparse: the optimizer of the network must not see them, see train_step.py
        self.weight = Parameter(Tensor(weight), name="softmax.weight", requires_grad=False)
        self.bias = Parameter(Tensor(np.zeros(vocabulary_size, np.float32)), name="softmax.bias", requires_grad=False)


def _state_after(counts, before, steps):
    """Return the rows (B, H) of steps (T, B, H) after `counts` steps each; after none they are those of `before`."""
    if counts is None:
        return steps[-1]
    batch, size = before.shape
    rows = ops.cat((before.expand_dims(0), steps)).reshape(-1, size)  # ((T + 1) * B, H)
    return ops.gather(rows, counts * batch + ops.arange(batch), 0)
