"""From the bytes of a word to its context-free vector: character CNN, highway layers, projection."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.model_utils import native, native_ops
from src.model_utils.layers import AddBias
from src.modules.activations import tanh
from src.modules.highway import Highway
from src.random_streams import CHAR_ENCODER, HIGHWAY


class CharEncoder(nn.Cell):
    """Character CNN of Kim et al. (2016) with highway layers, as configured by Jozefowicz et al. (2016).

    Filters run over the bytes of a word, begin and end marks and padding included; the maximum over all positions
    passes through the activation. Windows that see only padding are all the same, so one of them is enough: the
    padding after a word need only be as long as the widest filter, which makes short words cheap (`group_words`).

    Sizes: N words, W characters a word, D = `char_dim`, F filters in all, P = `output_size`.
    """

    def __init__(
        self,
        *,
        characters: int,
        char_dim: int,
        filters: tuple[tuple[int, int], ...],
        n_highway: int,
        output_size: int,
        activation: str = "relu",
        seed: int = 0,
    ):
        super().__init__()
        random = np.random.default_rng([seed, CHAR_ENCODER])
        self.widths = tuple(width for width, _ in filters)
        self.tanh = activation == "tanh"
        self.activation = {"relu": ops.relu, "tanh": tanh}[activation]
        size = sum(number for _, number in filters)

        def parameter(values, name):
            return Parameter(Tensor(values.astype(np.float32)), name=name)

        def convolution(width, number):
            shape = width * char_dim, number
            if activation == "relu":
                return random.uniform(-0.05, 0.05, shape)
            return random.normal(0, shape[0] ** -0.5, shape)

        self.char_embed = parameter(random.uniform(-1, 1, (characters, char_dim)), "char_embed")
        self.w_cnn = ParameterTuple([parameter(convolution(*pair), f"w_cnn_{k}") for k, pair in enumerate(filters)])
        self.b_cnn = ParameterTuple([parameter(np.zeros(n), f"b_cnn_{k}") for k, (_, n) in enumerate(filters)])
        self.highways = nn.CellList([Highway(size=size, seed=[seed, HIGHWAY, k]) for k in range(n_highway)])
        self.w_proj = parameter(random.normal(0, size**-0.5, (size, output_size)), "w_proj")
        self.b_proj = parameter(np.zeros(output_size), "b_proj")
        self.matmul, self.add_bias = ops.MatMul(), AddBias()
        self.join, self.map = ops.Concat(0), ops.HyperMap()
        self.native = native.enabled()
        if self.native:
            self.kernel = native_ops.char_convolution()
            self.sizes = Tensor(np.array(filters, np.int32))
        self.highest = ops.ArgMaxWithValue(axis=1)  # the gradient of ReduceMax takes much longer

    def construct(self, *groups) -> Tensor:
        """Map groups of char_ids (N_k, W_k) int32 to word vectors (N, P), N = N_1 + N_2 + ..."""
        bias = self.join(self.b_cnn)  # (F,)
        weights = self.join(self.map(_flat, self.w_cnn)) if self.native else self.w_cnn
        x = self.activation(self.join(self.map(ops.partial(self.highest_scores, weights, bias), groups)))  # (N, F)
        for highway in self.highways:
            x = highway(x)
        return self.add_bias(self.matmul(x, self.w_proj), self.b_proj)  # (N, P)

    def highest_scores(self, weights, bias, char_ids) -> Tensor:
        """Map char_ids (N_k, W_k) to the highest score of each filter, (N_k, F)."""
        if self.native:
            return self.kernel(char_ids, self.char_embed, weights, bias, self.sizes)[0]
        n_words, length = char_ids.shape
        characters = ops.gather(self.char_embed, char_ids, 0)  # (N, W, D)
        best = ()
        for k in range(len(self.widths)):
            places = length - self.widths[k] + 1
            windows = ops.cat([characters[:, j : j + places] for j in range(self.widths[k])], 2)
            scores = self.matmul(windows.reshape(n_words * places, -1), weights[k])  # (N * places, F_k)
            best += (self.highest(scores.reshape(n_words, places, -1))[1],)
        return self.add_bias(ops.cat(best, 1), bias)


def _flat(weight):
    return weight.reshape(-1)
