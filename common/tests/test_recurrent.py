"""The LSTM against a float64 loop over every sequence alone."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.model_utils import native
from src.model_utils.layers import dropout_keys
from src.model_utils.recurrent import LSTM, LSTMLayer
from src.model_utils.runtime import init_device


@pytest.fixture(autouse=True, params=["native", "built-in"])
def kernels(request):
    """Each test runs with the project's own kernels and with MindSpore's."""
    init_device("CPU", native=request.param == "native")
    if request.param == "native" and not native.enabled():
        pytest.skip("there is no C++ compiler")


class RunLSTM(nn.Cell):
    """The stack under a name of its own, with or without gradients."""

    def __init__(self, lstm, forward_only=False):
        super().__init__(auto_prefix=False)
        self.lstm, self.forward_only = lstm, forward_only

    def construct(self, x, lengths, keys):
        return self.lstm(x, lengths, keys, self.forward_only)


class WeightedSum(nn.Cell):
    """A scalar that depends on every output in its own way."""

    def __init__(self, lstm):
        super().__init__(auto_prefix=False)
        self.run = RunLSTM(lstm)

    def construct(self, x, lengths, keys, coefficients):
        return (self.run(x, lengths, keys) * coefficients).sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loop_direction(x, weight_ih, weight_hh, bias):
    """One direction over one sequence x (length, I) in float64, step by step: (length, H)."""
    size = weight_hh.shape[1]
    hidden, cell, outputs = np.zeros(size), np.zeros(size), []
    for step in x:
        i, f, g, o = np.split(weight_ih @ step + weight_hh @ hidden + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.array(outputs)


def loop(x, lengths, layers):
    """Every sequence of x (T, B, I) alone through layers of weights, (T, B, H * directions), zero on padding."""
    for directions in layers:
        outputs = np.zeros((*x.shape[:2], sum(weights[1].shape[1] for weights in directions)))
        for b, length in enumerate(lengths):
            real = x[:length, b]
            found = [loop_direction(real, *directions[0])]
            if len(directions) == 2:
                found.append(loop_direction(real[::-1], *directions[1])[::-1])
            outputs[:length, b] = np.concatenate(found, 1)
        x = outputs
    return x


def weights_of(lstm):
    """The weights of an LSTM in float64, as `loop` takes them."""
    layers = []
    for layer in lstm.layers:
        names = [("weight_ih", "weight_hh", "bias"), ("weight_ih_reverse", "weight_hh_reverse", "bias_reverse")]
        layers.append(
            [[getattr(layer, name).asnumpy().astype(np.float64) for name in n] for n in names[: layer.directions]]
        )
    return layers


class UsedTwice(nn.Cell):
    """Two losses of the same outputs, which a compiler may compute once for both."""

    def __init__(self, lstm, shares):
        super().__init__(auto_prefix=False)
        self.lstm, self.shares = lstm, shares

    def construct(self, x, lengths, keys):
        first, second = self.lstm(x, lengths, keys), self.lstm(x, lengths, keys)
        return self.shares[0] * first.sum() + self.shares[1] * ops.square(second).sum()


def batch_of(steps, lengths, size, seed=0):
    x = np.random.default_rng(seed).normal(0, 1, (steps, len(lengths), size)).astype(np.float32)
    return x, np.array(lengths, np.int32), np.zeros(len(lengths), np.int32)


def run(cell, *arrays):
    return cell(*[Tensor(array) for array in arrays]).asnumpy()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("forward_only", [False, True])
def test_equals_a_loop_over_every_sequence(bidirectional, num_layers, forward_only):
    lstm = LSTM(5, 7, num_layers, bidirectional, seed=3)
    x, lengths, keys = batch_of(9, [9, 1, 5, 2, 8, 3, 9], 5)
    outputs = run(RunLSTM(lstm, forward_only), x, lengths, keys)
    np.testing.assert_allclose(outputs, loop(x.astype(np.float64), lengths, weights_of(lstm)), atol=1e-5)
    for b, length in enumerate(lengths):
        assert np.all(outputs[length:, b] == 0)


def test_a_layer_used_twice_has_the_gradients_of_both_uses():
    lstm = LSTM(4, 6, 1, True, seed=1)
    arrays = [Tensor(array) for array in batch_of(5, [5, 3, 1], 4)]

    def gradients(*shares):
        cell = UsedTwice(lstm, shares)
        return [each.asnumpy() for each in ms.grad(cell, None, ms.ParameterTuple(lstm.trainable_params()))(*arrays)]

    for both, first, second in zip(gradients(1.0, 1.0), gradients(1.0, 0.0), gradients(0.0, 1.0)):
        np.testing.assert_allclose(both, first + second, atol=1e-5)


class OfTable(nn.Cell):
    """A weighted sum of the outputs where steps read rows of a table, which are looked up before the layer or by it."""

    def __init__(self, lstm, by_the_layer):
        super().__init__(auto_prefix=False)
        self.lstm, self.by_the_layer = lstm, by_the_layer

    def construct(self, table, tokens, lengths, keys, coefficients):
        if self.by_the_layer:
            return (self.lstm(table, lengths, keys, False, tokens) * coefficients).sum()
        return (self.lstm(ops.gather(table, tokens, 0), lengths, keys) * coefficients).sum()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("table_gradient", [True, False])
def test_tokens_stand_for_the_rows_of_a_table(bidirectional, table_gradient):
    lstm, random = LSTM(4, 6, 2, bidirectional, seed=1, table_gradient=table_gradient), np.random.default_rng(2)
    outputs = lstm.layers[0].hidden_size * lstm.layers[0].directions
    table, coefficients = (random.normal(0, 1, shape).astype(np.float32) for shape in ((5, 4), (7, 3, outputs)))
    tokens, lengths = random.integers(0, 5, (7, 3)).astype(np.int32), np.array([7, 2, 4], np.int32)
    arrays = [Tensor(array) for array in (table, tokens, lengths, np.zeros(3, np.int32), coefficients)]
    parameters = ms.ParameterTuple(lstm.trainable_params())
    values = []
    for by_the_layer in (False, True):
        cell = OfTable(lstm, by_the_layer)
        of_table, of_weights = ms.grad(cell, 0, parameters)(*arrays)
        values.append([cell(*arrays).asnumpy(), of_table.asnumpy(), *(each.asnumpy() for each in of_weights)])
    if not table_gradient and native.enabled():
        assert not values[1][1].any()
        del values[0][1], values[1][1]
    for one, other in zip(*values):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(("bidirectional", "num_layers"), [(True, 2), (False, 1)])
def test_gradients_equal_finite_differences(bidirectional, num_layers):
    lstm = LSTM(3, 2, num_layers, bidirectional, seed=4)
    x, lengths, keys = batch_of(4, [4, 1, 3], 3)
    coefficients = np.random.default_rng(1).normal(0, 1, (4, 3, 2 * (1 + bidirectional))).astype(np.float32)
    parameters = ms.ParameterTuple(lstm.trainable_params())
    gradient = ms.grad(WeightedSum(lstm), 0, parameters)
    of_x, of_weights = gradient(*[Tensor(array) for array in (x, lengths, keys, coefficients)])
    found = {parameter.name: value.asnumpy() for parameter, value in zip(parameters, of_weights)}

    x, weights = x.astype(np.float64), weights_of(lstm)

    def numeric(array):
        """Central differences of the float64 loop with respect to an array that it reads."""
        result = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept, values = array[index], []
            for shift in (1e-5, -1e-5):
                array[index] = kept + shift
                values.append((loop(x, lengths, weights) * coefficients).sum())
            array[index] = kept
            result[index] = (values[0] - values[1]) / 2e-5
        return result

    np.testing.assert_allclose(of_x.asnumpy(), numeric(x), atol=2e-5)
    assert np.all(of_x.asnumpy()[1:, 1] == 0)  # padding has no gradient at all
    for k, directions in enumerate(weights):
        for suffix, arrays in zip(("", "_reverse"), directions):
            for name, array in zip(("weight_ih", "weight_hh", "bias"), arrays):
                np.testing.assert_allclose(found[f"layers.{k}.{name}{suffix}"], numeric(array), atol=2e-5)


class TwoLayers(nn.Cell):
    """A layer that reads data below one that does not, in one graph."""

    def __init__(self, input_gradient):
        super().__init__()
        self.first = LSTMLayer(3, 2, True, 1.0, [1], input_gradient=input_gradient)
        self.second = LSTMLayer(4, 2, True, 1.0, [2])

    def construct(self, x, lengths):
        return self.second(self.first(x, lengths), lengths).sum()


def test_a_layer_without_an_input_gradient_changes_no_gradient_of_weights():
    x, lengths, _ = batch_of(5, [5, 2, 4], 3)
    gradients = []
    for input_gradient in (True, False):
        network = TwoLayers(input_gradient)
        weights = ms.ParameterTuple(network.trainable_params())
        gradients.append(ms.grad(network, None, weights)(Tensor(x), Tensor(lengths)))
    for expected, gradient in zip(*gradients):
        assert np.abs(expected.asnumpy()).max() > 0
        np.testing.assert_array_equal(gradient.asnumpy(), expected.asnumpy())


@pytest.mark.parametrize("forward_only", [False, True])
def test_padding_changes_no_bit(forward_only):
    lstm = RunLSTM(LSTM(5, 16, 2, True, seed=5), forward_only)
    lstm.set_inputs(*[Tensor(shape=s, dtype=d) for s, d in (([None, None, 5], ms.float32), *[([None], ms.int32)] * 2)])
    x, lengths, keys = batch_of(12, [12, 4, 1, 7], 5)
    expected = run(lstm, x, lengths, keys)
    garbage = x.copy()
    for b, length in enumerate(lengths):
        garbage[length:, b] = 100 * np.random.default_rng(9).normal(0, 1, garbage[length:, b].shape)
    np.testing.assert_array_equal(run(lstm, garbage, lengths, keys), expected)
    longer = np.concatenate([garbage, np.full((9, 4, 5), 7, np.float32)])
    outputs = run(lstm, longer, lengths, keys)
    np.testing.assert_array_equal(outputs[:12], expected)
    assert np.all(outputs[12:] == 0)


def test_padding_changes_no_bit_of_the_gradients():
    lstm = LSTM(4, 6, 1, True, seed=6)
    gradient = ms.grad(WeightedSum(lstm), None, ms.ParameterTuple(lstm.trainable_params()))
    x, lengths, keys = batch_of(8, [8, 3, 5], 4)
    coefficients = np.ones((8, 3, 12), np.float32)
    expected = gradient(*[Tensor(array) for array in (x, lengths, keys, coefficients)])
    for b, length in enumerate(lengths):
        x[length:, b] = 50
        coefficients[length:, b] = -3
    for found, wanted in zip(gradient(*[Tensor(array) for array in (x, lengths, keys, coefficients)]), expected):
        np.testing.assert_array_equal(found.asnumpy(), wanted.asnumpy())


def test_initial_weights_depend_on_the_seed_alone():
    first, same, other = (LSTMLayer(3, 4, True, 1.0, [seed, 0]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weight_ih.asnumpy(), same.weight_ih.asnumpy())
    assert not np.array_equal(first.weight_ih.asnumpy(), other.weight_ih.asnumpy())
    np.testing.assert_array_equal(first.bias.asnumpy(), [0] * 4 + [1] * 4 + [0] * 8)


def test_dropout_between_layers_of_the_stack():
    lstm = RunLSTM(LSTM(3, 20, 2, True, dropout=0.5, seed=1))
    x, lengths, _ = batch_of(5, [5, 2, 4, 3], 3)
    keys = dropout_keys(1, 0, 4)
    quiet = run(lstm.set_train(False), x, lengths, keys)
    loud = run(lstm.set_train(True), x, lengths, keys)
    assert not np.allclose(quiet, loud)
    np.testing.assert_array_equal(run(lstm, x, lengths, keys), loud)
    np.testing.assert_array_equal(run(lstm.set_train(False), x, lengths, keys), quiet)
