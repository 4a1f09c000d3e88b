"""Dropout against its NumPy definition, and what takes the place of broadcasting against broadcasting."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.model_utils.layers import AddBias, KeyedDropout, RunInThreadPool, dropout_keys, repeat_over_time
from src.model_utils.runtime import init_device


def run(cell, *arrays):
    return cell(*[Tensor(array) for array in arrays]).asnumpy()


def dropped(p, size, seed, keys):
    """The mask, 0 or 1, that KeyedDropout applies to (B, E)."""
    dropout = KeyedDropout(p, size, seed).set_train(True)
    return run(dropout, np.ones((len(keys), size), np.float32), keys) > 0


def correlations(a, b):
    """The correlation of every column of a (N, E) with every column of b (N, F)."""
    a, b = ((m - m.mean(0)) / m.std(0) for m in (a, b))
    return a.T @ b / len(a)


@pytest.fixture(params=[True, False], ids=["native", "mindspore"])
def kernels(request):
    init_device("CPU", native=request.param)


@pytest.mark.parametrize("shape", [(200, 64), (3, 200, 64), (0, 200, 64)])
def test_dropout_is_its_numpy_definition(kernels, shape):
    keys = dropout_keys(1, 5, 200)
    dropout = KeyedDropout(0.3, 64, [1, 2]).set_train(True)
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
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


def test_dropout_is_the_same_at_every_step_of_a_sequence(kernels):
    dropout = KeyedDropout(0.5, 8, [0]).set_train(True)
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
    np.testing.assert_array_equal(run(KeyedDropout(0.5, 6, [0]).set_train(False), x, keys), x)
    np.testing.assert_array_equal(run(KeyedDropout(0.0, 6, [0]).set_train(True), x, keys), x)
    with pytest.raises(ValueError):
        KeyedDropout(1.0, 6, [0])


class SquaredSum(nn.Cell):
    def __init__(self, dropout):
        super().__init__()
        self.dropout = dropout

    def construct(self, x, keys):
        return (self.dropout(x, keys) ** 2).sum() / 2


def test_dropout_passes_gradients_of_kept_values_only(kernels):
    x, keys = np.random.default_rng(0).normal(0, 1, (5, 40)).astype(np.float32), dropout_keys(0, 3, 5)
    dropout = KeyedDropout(0.2, 40, [0]).set_train(True)
    kept = run(dropout, np.ones((5, 40), np.float32), keys) > 0
    found = ms.grad(SquaredSum(dropout).set_train(True), 0)(Tensor(x), Tensor(keys)).asnumpy()
    np.testing.assert_allclose(found, np.where(kept, x / 0.8**2, 0), rtol=1e-5)


@pytest.mark.parametrize(("keys", "columns"), [(4, 8), (6, 8), (5, 7)])
def test_dropout_of_other_sizes_is_refused(kernels, keys, columns):
    dropout = KeyedDropout(0.5, 8, [0]).set_train(True)
    with pytest.raises((RuntimeError, ValueError)):
        run(dropout, np.ones((3, 5, columns), np.float32), dropout_keys(0, 0, keys))


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
            repeated = repeat_over_time(x[0], steps)
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
    cell, x = RunInThreadPool(), Tensor(np.arange(6, dtype=np.float32))
    cell.set_inputs(Tensor(shape=[None], dtype=ms.float32), Tensor(shape=[None], dtype=ms.int32))
    for numbers in ([3, 1], [0]):
        np.testing.assert_array_equal(cell(x, Tensor(np.array(numbers, np.int32))).asnumpy(), np.arange(6))
    negative = cell(x, Tensor(np.array([-1], np.int32)))  # shows that the compiler has left the branch in
    np.testing.assert_array_equal(negative.asnumpy(), -np.arange(6))
