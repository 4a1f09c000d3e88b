"""Character encoder, highway, projected LSTM and scalar mix, each against a reference of its own."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from numpy_reference import clip, sigmoid

from src.data.token_indexer import SHORT, encode_words, group_words
from src.model_options import load_options
from src.model_utils.runtime import init_device
from src.modules import activations
from src.modules.char_encoder import CharEncoder
from src.modules.highway import Highway
from src.modules.projected_lstm import ProjectedLSTM
from src.modules.scalar_mix import ScalarMix

WORDS = ["<S>", "</S>", "a", "of", "Größe", "诗", "x" * (SHORT - 2), "y" * (SHORT - 1), "z" * 60]


class Loss(nn.Cell):
    """A weighted sum of a cell's output, so that every value has a gradient of its own."""

    def __init__(self, cell, weights):
        super().__init__(auto_prefix=False)
        self.cell, self.weights = cell, weights

    def construct(self, *inputs):
        return (self.cell(*inputs)[0] * self.weights).sum()


class Gradient(nn.Cell):
    """Gradients of a loss by its inputs and weights."""

    def __init__(self, loss, positions, weights):
        super().__init__(auto_prefix=False)
        self.gradient = ms.grad(loss, positions, weights)

    def construct(self, *inputs):
        return self.gradient(*inputs)


def randomize(cell, scale: float, seed: int = 0):
    random = np.random.default_rng(seed)
    for parameter in cell.get_parameters():
        parameter.set_data(Tensor(random.normal(0, scale, parameter.shape).astype(np.float32)))
    return {
        parameter.name.split(".")[-1]: parameter.asnumpy().astype(np.float64) for parameter in cell.get_parameters()
    }


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_words_grouped_by_length_have_the_vectors_of_full_width(activation):
    options = load_options("tiny")
    cell = CharEncoder(
        characters=261,
        char_dim=4,
        filters=options.filters,
        n_highway=1,
        output_size=5,
        activation=activation,
        seed=2,
    )
    char_ids = encode_words(WORDS, 50)
    assert char_ids.shape == (len(WORDS), 50)
    short, long, place = group_words(char_ids, options.widest_filter, (4, 2))
    assert short.shape == (8, SHORT + 3) and long.shape == (2, 50)
    table = np.concatenate([cell(Tensor(short)).asnumpy(), cell(Tensor(long)).asnumpy()])
    np.testing.assert_allclose(table[place], cell(Tensor(char_ids.astype(np.int32))).asnumpy(), atol=1e-6)
    assert len(set(place.tolist())) == len(WORDS)


def test_a_highway_layer_follows_its_equation():
    cell = Highway(size=6, seed=1)
    assert cell.b_carry.asnumpy().tolist() == [-2] * 6
    weights = randomize(cell, 1.0)
    x = np.random.default_rng(1).normal(0, 1, (5, 6)).astype(np.float32)
    gate = sigmoid(x @ weights["w_carry"] + weights["b_carry"])
    expected = gate * np.maximum(x @ weights["w_transform"] + weights["b_transform"], 0) + (1 - gate) * x
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), expected, atol=1e-5)


def test_activations_are_exact():
    x = np.linspace(-25, 25, 10001).astype(np.float32)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(activations.tanh(Tensor(x)).asnumpy(), np.tanh(exact), atol=3e-7)
    np.testing.assert_allclose(activations.sigmoid(Tensor(x)).asnumpy(), sigmoid(exact), atol=3e-7)


def lstm_loss(x, h, c, w_x, w_h, bias, w_p, factors, limits) -> float:
    """Return the loss of ProjectedLSTM in float64, whose finite differences the gradient is compared with."""
    total = 0.0
    for t in range(len(x)):
        i, j, f, o = np.split(x[t] @ w_x + h @ w_h + bias, 4, 1)
        c = clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), limits[0])
        h = clip((sigmoid(o) * np.tanh(c)) @ w_p, limits[1])
        total += float((h * factors[t]).sum())
    return total


@pytest.mark.parametrize("kernels", ["native", "mindspore"])
@pytest.mark.parametrize("limits", [(0.6, 0.5), (0.0, 0.0)], ids=["clipped", "free"])
def test_gradient_of_the_projected_lstm_is_that_of_finite_differences(limits, kernels):
    steps, batch, size, cells, outputs = 4, 3, 5, 6, 4
    random = np.random.default_rng(3)
    init_device("CPU", native=kernels == "native")
    cell = ProjectedLSTM(
        input_size=size, hidden_size=cells, output_size=outputs, cell_clip=limits[0], proj_clip=limits[1], seed=1
    )
    if kernels == "native" and not cell.native:
        pytest.skip("there is no C++ compiler")
    weights = randomize(cell, 0.7)
    values = {
        "x": random.normal(0, 1, (steps, batch, size)),
        "h": random.normal(0, 0.3, (batch, outputs)),
        "c": random.normal(0, 0.3, (batch, cells)),
    }
    factors = random.normal(0, 1, (steps, batch, outputs))
    values = {name: value.astype(np.float32).astype(np.float64) for name, value in values.items()}
    factors = factors.astype(np.float32)
    inputs = [Tensor(value.astype(np.float32)) for value in values.values()]
    loss = Loss(cell, Tensor(factors))
    names = ["w_x", "w_h", "bias", "w_p"]
    parameters = [getattr(cell, name) for name in names]
    by_input, by_weight = Gradient(loss, (0, 1, 2), ms.ParameterTuple(parameters))(*inputs)
    gradients = dict(zip(["x", *names], [g.asnumpy() for g in (by_input[0], *by_weight)]))
    assert not any(gradient.asnumpy().any() for gradient in by_input[1:]), "none flows into the state"
    values.update({name: weights[name] for name in names})
    ordered = [values[name] for name in ("x", "h", "c", *names)]
    assert float(loss(*inputs).asnumpy()) == pytest.approx(lstm_loss(*ordered, factors, limits), abs=1e-4)
    if limits[0]:
        outputs_, _, cells_ = (value.asnumpy() for value in cell(*inputs))
        assert (np.abs(cells_) == np.float32(limits[0])).mean() > 0.05  # both clips are at work
        assert (np.abs(outputs_) == np.float32(limits[1])).mean() > 0.05
    for name in gradients:
        value = values[name]
        gradient, step = np.zeros_like(value), 1e-6
        for place in np.ndindex(value.shape):
            kept, sides = value[place], []
            for moved in (kept + step, kept - step):
                value[place] = moved
                sides.append(lstm_loss(*ordered, factors, limits))
            value[place] = kept
            gradient[place] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(gradients[name], gradient, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_mixture_weighs_the_layers_and_ignores_padding(layer_norm):
    random = np.random.default_rng(5)
    layers = random.normal(2, 3, (3, 4, 2, 6)).astype(np.float32)
    mask = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], np.float32)
    cell = ScalarMix(n_layers=3, layer_norm=layer_norm)
    np.testing.assert_allclose(ScalarMix(n_layers=3)(Tensor(layers), Tensor(mask)).asnumpy(), layers.mean(0), atol=1e-5)
    cell.weights.set_data(Tensor(np.array([0.3, -1, 2], np.float32)))
    cell.gamma.set_data(Tensor(np.array([1.7], np.float32)))
    weights = np.exp([0.3, -1, 2]) / np.exp([0.3, -1, 2]).sum()
    real = layers[:, mask.astype(bool)].astype(np.float64)  # (3, words, 6)
    if layer_norm:
        mean, deviation = real.mean((1, 2), keepdims=True), real.std((1, 2), keepdims=True)
        real = (real - mean) / deviation
    expected = 1.7 * np.tensordot(weights, real, 1)
    mixture = cell(Tensor(layers), Tensor(mask)).asnumpy()
    np.testing.assert_allclose(mixture[mask.astype(bool)], expected, atol=1e-5)
    if layer_norm:
        changed = layers.copy()
        changed[:, 2:, 1] = 100  # what is in the padding does not matter
        again = cell(Tensor(changed), Tensor(mask)).asnumpy()
        np.testing.assert_allclose(again[mask.astype(bool)], expected, atol=1e-5)
