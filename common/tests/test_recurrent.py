"""The LSTM against a float64 loop over every sequence alone, and dropout against its NumPy definition."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.model_utils.recurrent import (
    LSTM,
    AddBias,
    BesideTheCaller,
    CounterDropout,
    LSTMLayer,
    dropout_keys,
    over_time,
    padding_mask,
)
from src.model_utils.runtime import init_device


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


class RunLSTM(nn.Cell):
    """The stack from lengths instead of a mask."""

    def __init__(self, lstm, forward_only=False):
        super().__init__(auto_prefix=False)
        self.lstm, self.forward_only = lstm, forward_only

    def construct(self, x, lengths, keys):
        return self.lstm(x, padding_mask(lengths, x.shape[0]), keys, self.forward_only)


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


def dropped(p, size, seed, keys):
    """The mask, 0 or 1, that CounterDropout applies to (B, E)."""
    dropout = CounterDropout(p, size, seed).set_train(True)
    return run(dropout, np.ones((len(keys), size), np.float32), keys) > 0


def correlations(a, b):
    """The correlation of every column of a (N, E) with every column of b (N, F)."""
    a, b = ((m - m.mean(0)) / m.std(0) for m in (a, b))
    return a.T @ b / len(a)


def test_dropout_is_its_numpy_definition():
    keys = dropout_keys(1, 5, 200)
    dropout = CounterDropout(0.3, 64, [1, 2]).set_train(True)
    x = np.random.default_rng(0).normal(0, 1, (200, 64)).astype(np.float32)
    factors = dropout.multipliers.asnumpy().astype(np.int64)
    product = ((keys.reshape(-1, 1) * factors + 2**31) % 2**32) - 2**31  # what 32-bit integers wrap to
    kept = product >= int(0.3 * 2**32) - 2**31
    np.testing.assert_allclose(run(dropout, x, keys), np.where(kept, x / 0.7, 0), rtol=1e-6)
    assert np.all(factors % 2 == 1)


def test_dropout_repeats_and_differs_by_key_layer_and_seed():
    keys = dropout_keys(1, 0, 50)
    mask = dropped(0.5, 100, [1, 0], keys)
    np.testing.assert_array_equal(mask, dropped(0.5, 100, [1, 0], keys))
    np.testing.assert_array_equal(mask[::-1], dropped(0.5, 100, [1, 0], keys[::-1].copy()))  # a row's key, not place
    others = [
        dropped(0.5, 100, [1, 1], keys),
        dropped(0.5, 100, [2, 0], keys),
        dropped(0.5, 100, [1, 0], dropout_keys(1, 1, 50)),
        dropped(0.5, 100, [1, 0], dropout_keys(2, 0, 50)),
    ]
    for other in others:
        assert 0.4 < (mask == other).mean() < 0.6


def test_dropout_is_the_same_at_every_step_of_a_sequence():
    dropout = CounterDropout(0.5, 8, [0]).set_train(True)
    outputs = run(dropout, np.ones((6, 5, 8), np.float32), dropout_keys(0, 0, 5))
    assert np.all(outputs == outputs[:1]) and 0 < (outputs == 0).mean() < 1


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_statistics(p):
    rows, size = 4000, 128
    keys = dropout_keys(3, 7, rows)
    mask = dropped(p, size, [1, 0], keys).astype(np.float64)
    # Each bound is six standard deviations of what independent coins give.
    assert abs(mask.mean() - (1 - p)) < 6 * (p * (1 - p) / mask.size) ** 0.5
    assert np.abs(mask.mean(0) - (1 - p)).max() < 6 * (p * (1 - p) / rows) ** 0.5
    assert mask.sum(1).var() == pytest.approx(size * p * (1 - p), rel=0.15)
    assert mask.sum(0).var() == pytest.approx(rows * p * (1 - p), rel=6 * (2 / size) ** 0.5)
    between_columns = correlations(mask, mask) - np.eye(size)
    assert np.abs(between_columns).max() < 6 / rows**0.5
    other_layer, other_step = dropped(p, size, [1, 1], keys), dropped(p, size, [1, 0], dropout_keys(3, 8, rows))
    for other in (other_layer, other_step):
        assert np.abs(correlations(mask, other)).max() < 6 / rows**0.5


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_dropout_of_rows_is_uncorrelated(p):
    mask = dropped(p, 1000, [1, 0], dropout_keys(0, 0, 64)).astype(np.float64)
    assert np.abs(correlations(mask.T, mask.T) - np.eye(64)).max() < 6 / 1000**0.5


def test_dropout_is_the_identity_in_evaluation_and_without_share():
    x = np.random.default_rng(0).normal(0, 1, (4, 6)).astype(np.float32)
    keys = dropout_keys(0, 0, 4)
    np.testing.assert_array_equal(run(CounterDropout(0.5, 6, [0]).set_train(False), x, keys), x)
    np.testing.assert_array_equal(run(CounterDropout(0.0, 6, [0]).set_train(True), x, keys), x)
    with pytest.raises(ValueError):
        CounterDropout(1.0, 6, [0])


class SquaredSum(nn.Cell):
    def __init__(self, dropout):
        super().__init__()
        self.dropout = dropout

    def construct(self, x, keys):
        return (self.dropout(x, keys) ** 2).sum() / 2


def test_dropout_passes_gradients_of_kept_values_only():
    x, keys = np.random.default_rng(0).normal(0, 1, (5, 40)).astype(np.float32), dropout_keys(0, 3, 5)
    dropout = CounterDropout(0.2, 40, [0]).set_train(True)
    kept = run(dropout, np.ones((5, 40), np.float32), keys) > 0
    found = ms.grad(SquaredSum(dropout).set_train(True), 0)(Tensor(x), Tensor(keys)).asnumpy()
    np.testing.assert_allclose(found, np.where(kept, x / 0.8**2, 0), rtol=1e-5)


def test_dropout_between_layers_of_the_stack():
    lstm = RunLSTM(LSTM(3, 20, 2, True, dropout=0.5, seed=1))
    x, lengths, _ = batch_of(5, [5, 2, 4, 3], 3)
    keys = dropout_keys(1, 0, 4)
    quiet = run(lstm.set_train(False), x, lengths, keys)
    loud = run(lstm.set_train(True), x, lengths, keys)
    assert not np.allclose(quiet, loud)
    np.testing.assert_array_equal(run(lstm, x, lengths, keys), loud)
    np.testing.assert_array_equal(run(lstm.set_train(False), x, lengths, keys), quiet)


def test_dropout_keys_are_a_pure_function():
    keys = dropout_keys(5, 1000, 300)
    assert keys.dtype == np.int32 and keys.shape == (300,) and len(set(keys.tolist())) == 300
    np.random.seed(0)
    np.testing.assert_array_equal(dropout_keys(5, 1000, 300), keys)
    for other in (dropout_keys(5, 1001, 300), dropout_keys(6, 1000, 300)):
        assert not np.intersect1d(keys, other).size


def test_bias_and_repetition_are_what_broadcasting_gives():
    class Both(nn.Cell):
        def __init__(self):
            super().__init__()
            self.add_bias = AddBias()

        def construct(self, x, bias, weight):  # (T, B, E), (E,), (T, B, E)
            steps, rows, size = x.shape
            repeated = over_time(x[0], steps)
            added = self.add_bias(x.reshape(-1, size), bias).reshape(x.shape)
            return (added * repeated * weight).sum()

    random = np.random.default_rng(3)
    x, bias, weight = (random.standard_normal(shape).astype(np.float32) for shape in ((5, 2, 3), (3,), (5, 2, 3)))
    cell = ms.value_and_grad(Both(), (0, 1))
    value, (dx, d_bias) = cell(*(Tensor(array) for array in (x, bias, weight)))
    np.testing.assert_allclose(value.asnumpy(), ((x + bias) * x[0] * weight).sum(), rtol=1e-5)
    expected = x[0] * weight  # of what is added to x
    np.testing.assert_allclose(d_bias.asnumpy(), expected.sum((0, 1)), rtol=1e-5)
    expected = expected.copy()
    expected[0] += ((x + bias) * weight).sum(0)
    np.testing.assert_allclose(dx.asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_branch_that_keeps_a_graph_off_its_caller_is_real_and_never_taken():
    cell, x = BesideTheCaller(), Tensor(np.arange(6, dtype=np.float32))
    cell.set_inputs(Tensor(shape=[None], dtype=ms.float32), Tensor(shape=[None], dtype=ms.int32))
    for numbers in ([3, 1], [0]):
        np.testing.assert_array_equal(cell(x, Tensor(np.array(numbers, np.int32))).asnumpy(), np.arange(6))
    negative = cell(x, Tensor(np.array([-1], np.int32)))  # shows that the compiler has left the branch in
    np.testing.assert_array_equal(negative.asnumpy(), -np.arange(6))
