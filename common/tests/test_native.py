"""The project's own kernels: exact against float64 references, safe to compile, the same on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from src.model_utils import native
from src.model_utils.runtime import init_device

FOLDER = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(native.find_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture(autouse=True, scope="module")
def kernels():
    init_device("CPU")
    assert native.enabled()


def empty(*shape, dtype=np.float32):
    """Return an array whose values are all wrong until they are written."""
    return np.full(shape, np.nan if dtype == np.float32 else -9, dtype)


def relative_difference(found, expected):
    return np.abs(found - expected).max(initial=0) / max(1, np.abs(expected).max(initial=0))


# -- the LSTM layer


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))


def lstm_reference(x, lengths, directions, dy):
    """Return y, dx and the gradients of the weights of each direction, row by row in float64."""
    steps, batch, _ = x.shape
    x, dy = x.astype(float), dy.astype(float)
    outputs, dx, gradients = [], np.zeros(x.shape), []
    for number, weights in enumerate(directions):
        weight_ih, weight_hh, bias = (array.astype(float) for array in weights)
        units = weight_hh.shape[1]
        y, mine = np.zeros((steps, batch, units)), [np.zeros(array.shape) for array in weights]
        d_y = dy[:, :, number * units : (number + 1) * units]
        for row in range(batch):
            h, c, kept = np.zeros(units), np.zeros(units), []
            times = range(min(lengths[row], steps))
            for t in reversed(times) if number else times:
                i, f, g, o = np.split(weight_ih @ x[t, row] + weight_hh @ h + bias, 4)
                i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
                kept.append((t, h, c, i, f, g, o))
                c = f * c + i * g
                h = y[t, row] = o * np.tanh(c)
            dh, dc = np.zeros(units), np.zeros(units)
            for t, h, c, i, f, g, o in reversed(kept):
                tanh_c = np.tanh(f * c + i * g)
                dh = dh + d_y[t, row]
                dc = dc + dh * o * (1 - tanh_c**2)
                to_gates = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
                dz = np.concatenate(to_gates)
                mine[0] += np.outer(dz, x[t, row])
                mine[1] += np.outer(dz, h)
                mine[2] += dz
                dx[t, row] += weight_ih.T @ dz
                dh, dc = weight_hh.T @ dz, dc * f
        outputs.append(y)
        gradients += mine
    return [np.concatenate(outputs, 2), dx, *gradients]


def lstm_example(steps, batch, inputs, units, directions, seed=0):
    random = np.random.default_rng(seed)
    bound = units**-0.5

    def uniform(*shape):
        return random.uniform(-bound, bound, shape).astype(np.float32)

    x = random.standard_normal((steps, batch, inputs)).astype(np.float32)
    lengths = random.integers(0, steps + 1, batch).astype(np.int32)
    lengths[:1] = steps
    weights = [(uniform(4 * units, inputs), uniform(4 * units, units), uniform(4 * units)) for _ in range(directions)]
    dy = random.standard_normal((steps, batch, directions * units)).astype(np.float32)
    return x, lengths, weights, dy


def run_lstm(x, lengths, weights, dy, with_dx=True):
    """Return what lstm_reference returns, from the kernels; without `with_dx` there is no dx."""
    steps, batch, inputs = x.shape
    directions, units = len(weights), weights[0][1].shape[1]
    flat = [array for each in weights for array in each]
    y, saved = native.call(
        f"LSTM{directions}",
        [x, lengths, *flat],
        [empty(steps, batch, directions * units), empty(directions * steps * batch * 5 * units)],
    )
    (again,) = native.call(f"LSTM{directions}Inference", [x, lengths, *flat], [empty(*y.shape)])
    np.testing.assert_array_equal(again, y)
    gradients = [empty(*x.shape)] * with_dx + [empty(*array.shape) for array in flat]
    name = "LSTM" if with_dx else "LSTMOfData"
    native.call(f"{name}{directions}Gradient", [x, lengths, *flat, y, saved, dy], gradients)
    return [y, *gradients]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (5, 3, 4, 2), (7, 20, 5, 17), (9, 40, 30, 16), (40, 17, 13, 50), (300, 3, 3, 5)]
)
@pytest.mark.parametrize("directions", [1, 2])
def test_lstm_outputs_and_gradients_equal_a_loop_in_float64(shape, directions):
    example = lstm_example(*shape, directions)
    expected = lstm_reference(*example)
    for found, wanted in zip(run_lstm(*example), expected):
        assert relative_difference(found, wanted) < 1e-6
    for found, wanted in zip(run_lstm(*example, with_dx=False)[1:], expected[2:]):
        assert relative_difference(found, wanted) < 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (7, 20, 5, 17), (40, 17, 13, 50)])
@pytest.mark.parametrize("rows", [1, 9, 600])
@pytest.mark.parametrize("directions", [1, 2])
def test_lstm_of_tokens_equals_that_of_the_rows_they_stand_for(shape, rows, directions):
    (steps, batch, inputs, units), random = shape, np.random.default_rng(0)
    _, lengths, weights, dy = lstm_example(*shape, directions)
    table = random.standard_normal((rows, inputs)).astype(np.float32)
    tokens = random.integers(0, rows, (steps, batch)).astype(np.int32)
    y, dx, *of_weights = lstm_reference(table[tokens], lengths, weights, dy)
    of_table = np.zeros(table.shape)
    np.add.at(of_table, tokens, dx)
    given = [table, lengths, tokens, *(array for each in weights for array in each)]
    results = [empty(*y.shape), empty(directions * steps * batch * 5 * units)]
    found, saved = native.call(f"LSTMOfTokens{directions}", given, results)
    (again,) = native.call(f"LSTMOfTokens{directions}Inference", given, [empty(*y.shape)])
    np.testing.assert_array_equal(again, found)
    gradients = [empty(*array.shape) for array in (table, *given[3:])]
    native.call(f"LSTMOfTokens{directions}Gradient", [*given, found, saved, dy], gradients)
    for one, wanted in zip([found, *gradients], [y, of_table, *of_weights]):
        assert relative_difference(one, wanted) < 1e-6
    alone = [empty(*array.shape) for array in given[3:]]
    native.call(f"LSTMOfDataTokens{directions}Gradient", [*given, found, saved, dy], alone)
    for one, wanted in zip(alone, gradients[1:]):
        np.testing.assert_array_equal(one, wanted)
    tokens[-1, -1] = rows
    with pytest.raises(ValueError, match="LSTMOfTokens"):
        native.call(f"LSTMOfTokens{directions}", given, results)


def test_lstm_of_an_empty_batch_and_of_rows_without_steps():
    for steps, batch in ((3, 0), (4, 2)):
        x, lengths, weights, dy = lstm_example(steps, batch, 3, 2, 2)
        lengths[:] = 0
        for array in run_lstm(x, lengths, weights, dy):
            np.testing.assert_array_equal(array, 0)


def test_a_nan_reaches_its_own_row_and_the_gradients_of_the_weights():
    x, lengths, weights, dy = lstm_example(5, 3, 4, 6, 2)
    lengths[:] = 5
    x[2, 1, 0] = np.nan
    y, dx, *gradients = run_lstm(x, lengths, weights, dy)
    assert np.isnan(y[2, 1]).all() and not np.isnan(y[:, [0, 2]]).any()
    assert np.isnan(dx[:, 1]).any() and not np.isnan(dx[:, [0, 2]]).any()
    assert all(np.isnan(gradient).any() for gradient in gradients)


def test_large_gate_arguments_saturate():
    x, lengths, weights, dy = lstm_example(3, 2, 1, 3, 1)
    lengths[:] = 3
    x[:] = np.array([1e6, -1e6]).reshape(1, 2, 1)
    expected = lstm_reference(x, lengths, weights, dy)
    for found, wanted in zip(run_lstm(x, lengths, weights, dy), expected):
        assert relative_difference(found, wanted) < 1e-6


# -- the GRU


def gru_reference(x, lengths, state, directions, dy):
    """Return y, dx, the gradient of the state and those of the weights of each direction, row by row in float64."""
    steps, batch, _ = x.shape
    x, state, dy = x.astype(float), state.astype(float), dy.astype(float)
    outputs, dx, d_state, gradients = [], np.zeros(x.shape), np.zeros(state.shape), []
    for number, weights in enumerate(directions):
        weight_ih, weight_hh, bias_ih, bias_hh = (array.astype(float) for array in weights)
        units = weight_hh.shape[1]
        y, mine = np.zeros((steps, batch, units)), [np.zeros(array.shape) for array in weights]
        d_y = dy[:, :, number * units : (number + 1) * units]
        for row in range(batch):
            h, kept = state[row], []
            times = range(lengths[row])
            for t in reversed(times) if number else times:
                x_r, x_z, x_n = np.split(weight_ih @ x[t, row] + bias_ih, 3)
                h_r, h_z, a = np.split(weight_hh @ h + bias_hh, 3)
                r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
                n = np.tanh(x_n + r * a)
                kept.append((t, h, a, r, z, n))
                h = y[t, row] = n + z * (h - n)
            dh = np.zeros(units)
            for t, h, a, r, z, n in reversed(kept):
                dh = dh + d_y[t, row]
                dn = dh * (1 - z) * (1 - n**2)
                dr, dz, da = dn * a * r * (1 - r), dh * (h - n) * z * (1 - z), dn * r
                to_x, to_h = np.concatenate([dr, dz, dn]), np.concatenate([dr, dz, da])
                mine[0] += np.outer(to_x, x[t, row])
                mine[1] += np.outer(to_h, h)
                mine[2] += to_x
                mine[3] += to_h
                dx[t, row] += weight_ih.T @ to_x
                dh = dh * z + weight_hh.T @ to_h
            d_state[row] += dh
        outputs.append(y)
        gradients += mine
    return [np.concatenate(outputs, 2), dx, d_state, *gradients]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (5, 3, 4, 2), (7, 20, 5, 17), (40, 70, 13, 50), (3, 50, 7, 300), (300, 3, 3, 5)]
)
@pytest.mark.parametrize("directions", [1, 2])
def test_gru_outputs_and_gradients_equal_a_loop_in_float64(shape, directions):
    steps, batch, inputs, units = shape
    x, lengths, weights, dy = lstm_example(*shape, directions)
    weights = [(w_ih[: 3 * units], w_hh[: 3 * units], bias[: 3 * units], bias[units:]) for w_ih, w_hh, bias in weights]
    state = np.random.default_rng(1).standard_normal((batch, units)).astype(np.float32) * (directions == 1)
    flat = [array for each in weights for array in each]
    given = [x, lengths, state, *flat] if directions == 1 else [x, lengths, *flat]  # two begin with zeros
    y, saved = native.call(
        f"GRU{directions}",
        given,
        [empty(steps, batch, directions * units), empty(directions * steps * batch * 4 * units)],
    )
    (again,) = native.call(f"GRU{directions}Inference", given, [empty(*y.shape)])
    np.testing.assert_array_equal(again, y)
    gradients = [empty(*array.shape) for array in given if array is not lengths]
    native.call(f"GRU{directions}Gradient", [*given, y, saved, dy], gradients)
    expected = gru_reference(x, lengths, state, weights, dy)
    if directions == 2:
        del expected[2]
    for found, wanted in zip([y, *gradients], expected):
        assert relative_difference(found, wanted) < 2e-6


# -- the projected LSTM


def projected_reference(x, lengths, h, c, weight_x, weight_h, bias, projection, clips, dy):
    """Return y, the last h and c, dx and the gradients of the weights and the projection, row by row in float64."""
    x, h, c, weight_x, weight_h, bias, projection, dy = (
        array.astype(float) for array in (x, h, c, weight_x, weight_h, bias, projection, dy)
    )
    cell_limit, limit = clips.astype(float)
    y, last_h, last_c = np.zeros(dy.shape), h.copy(), c.copy()
    gradients = [np.zeros(array.shape) for array in (x, weight_x, weight_h, bias, projection)]
    for row, length in enumerate(lengths):
        kept = []
        for t in range(length):
            h, c = last_h[row].copy(), last_c[row].copy()
            i, g, f, o = np.split(x[t, row] @ weight_x + h @ weight_h + bias, 4)
            i, g, f, o = sigmoid(i), np.tanh(g), sigmoid(f), sigmoid(o)
            after = last_c[row] = np.clip(f * c + i * g, -cell_limit, cell_limit)
            y[t, row] = last_h[row] = np.clip((o * np.tanh(after)) @ projection, -limit, limit)
            kept.append((t, h, c, i, g, f, o, after))
        dh, dc = np.zeros(h.shape[-1]), np.zeros(c.shape[-1])
        for t, h, c, i, g, f, o, after in reversed(kept):
            of_projection = (dh + dy[t, row]) * (abs(y[t, row]) < limit)
            tanh_c = np.tanh(after)
            of_hidden = projection @ of_projection
            dc = (dc + of_hidden * o * (1 - tanh_c**2)) * (abs(after) < cell_limit)
            dz = np.concatenate(
                [dc * g * i * (1 - i), dc * i * (1 - g**2), dc * c * f * (1 - f), of_hidden * tanh_c * o * (1 - o)]
            )
            gradients[0][t, row] = weight_x @ dz
            gradients[1] += np.outer(x[t, row], dz)
            gradients[2] += np.outer(h, dz)
            gradients[3] += dz
            gradients[4] += np.outer(o * tanh_c, of_projection)
            dh, dc = weight_h @ dz, dc * f
    return [y, last_h, last_c, *gradients]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (6, 20, 5, 17, 9), (20, 70, 30, 80, 30), (4, 70, 40, 300, 260)])
@pytest.mark.parametrize("clips", [(0.3, 0.2), (0.0, 0.0)])
def test_projected_lstm_equals_a_loop_in_float64(sizes, clips):
    steps, batch, inputs, units, outputs = sizes
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.standard_normal(shape).astype(np.float32) * np.float32(shape[0] ** -0.5)

    x, dy = normal(steps, batch, inputs) * 2, normal(steps, batch, outputs)
    lengths = random.integers(0, steps + 1, batch).astype(np.int32)
    state = normal(batch, outputs), normal(batch, units)
    weights = normal(inputs, 4 * units), normal(outputs, 4 * units), normal(4 * units), normal(units, outputs) * 2
    given = [x, lengths, *state, *weights, np.array(clips, np.float32)]
    last = [empty(batch, outputs), empty(batch, units)]
    saved = empty(steps * batch * 5 * units)
    y, *last, saved = native.call("ProjectedLSTM", given, [empty(*dy.shape), *last, saved])
    again = native.call("ProjectedLSTMInference", given, [empty(*array.shape) for array in (y, *last)])
    for one, other in zip(again, [y, *last]):
        np.testing.assert_array_equal(one, other)
    gradients = [empty(*array.shape) for array in (x, *weights)]
    native.call("ProjectedLSTMGradient", [*given, y, saved, dy], gradients)
    limits = np.where(given[-1] > 0, given[-1], np.inf)
    for found, wanted in zip([y, *last, *gradients], projected_reference(*given[:-1], limits, dy)):
        assert relative_difference(found, wanted) < 2e-6


# -- the CRF


def log_sum_exp(values, axis):
    highest = values.max(axis, keepdims=True)
    return (np.log(np.exp(values - highest).sum(axis, keepdims=True)) + highest).squeeze(axis)


def crf_reference(emissions, transitions, start, end, lengths, gold):
    """Return the loss and the gradients of the first four by the forward-backward algorithm in float64."""
    emissions, transitions, start, end = (array.astype(float) for array in (emissions, transitions, start, end))
    loss, gradients = 0.0, [np.zeros(array.shape) for array in (emissions, transitions, start, end)]
    for row, length in enumerate(lengths):
        if not length:
            continue
        scores, tags = emissions[:length, row].copy(), gold[:length, row]
        scores[0] += start
        scores[-1] += end
        alpha, beta = [scores[0]], [np.zeros(len(start))]
        for t in range(1, length):
            alpha.append(log_sum_exp(alpha[-1][:, None] + transitions, 0) + scores[t])
        for t in range(length - 1, 0, -1):
            beta.insert(0, log_sum_exp(transitions + scores[t] + beta[0], 1))
        log_z = log_sum_exp(alpha[-1], 0)
        loss += log_z - scores[range(length), tags].sum() - transitions[tags[:-1], tags[1:]].sum()
        marginals = np.exp(np.array(alpha) + np.array(beta) - log_z)
        marginals[range(length), tags] -= 1
        gradients[0][:length, row] = marginals
        gradients[2] += marginals[0]
        gradients[3] += marginals[-1]
        for t in range(1, length):
            gradients[1] += np.exp(alpha[t - 1][:, None] + transitions + scores[t] + beta[t] - log_z)
            gradients[1][tags[t - 1], tags[t]] -= 1
    return [np.array([loss]), *gradients]


def crf_example(steps, batch, tags, scale, forbidden, seed=0):
    random = np.random.default_rng(seed)

    def normal(*shape):
        return random.standard_normal(shape).astype(np.float32)

    emissions, transitions, start, end = (
        normal(steps, batch, tags) * scale,
        normal(tags, tags),
        normal(tags),
        normal(tags),
    )
    if forbidden:
        transitions[random.random((tags, tags)) < 0.4] -= 1e4
        start[1::3] -= 1e4
    lengths = random.integers(0, steps + 1, batch).astype(np.int32)
    lengths[:1] = steps
    gold = random.integers(0, tags, (steps, batch)).astype(np.int32)
    return emissions, transitions, start, end, lengths, gold


def run_crf(*example):
    outputs = [empty(1), *(empty(*array.shape) for array in example[:4])]
    return native.call("CRFLoss", list(example), outputs)


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1, 1, False),
        (5, 3, 4, 1, False),
        (7, 20, 29, 3, True),
        (180, 16, 29, 3, True),
        (12, 5, 40, 60, True),
        (30, 4, 9, 300, True),  # emissions so far apart that probabilities vanish in float32
    ],
)
def test_crf_loss_and_gradients_equal_forward_backward_in_float64(sizes):
    example = crf_example(*sizes)
    for found, expected in zip(run_crf(*example), crf_reference(*example)):
        assert relative_difference(found, expected) < 2e-6


def test_crf_loss_is_that_of_enumerated_paths():
    emissions, transitions, start, end, _, gold = crf_example(4, 2, 3, 1, False)
    lengths = np.array([4, 2], np.int32)
    expected = 0.0
    for row, length in enumerate(lengths):

        def score(path, row=row):
            between = sum(float(transitions[a, b]) for a, b in zip(path, path[1:]))
            return (
                float(start[path[0]] + end[path[-1]]) + between + sum(emissions[t, row, k] for t, k in enumerate(path))
            )

        every = np.array([score(path) for path in product(range(3), repeat=length)])
        expected += log_sum_exp(every, 0) - score(gold[:length, row].tolist())
    assert run_crf(emissions, transitions, start, end, lengths, gold)[0][0] == pytest.approx(expected, rel=1e-6)


def test_crf_of_an_empty_batch_of_rows_without_steps_and_of_nan():
    for batch in (0, 3):
        *scores, lengths, gold = crf_example(4, batch, 5, 1, False)
        for array in run_crf(*scores, np.zeros_like(lengths), gold):
            np.testing.assert_array_equal(array, 0)
    emissions, *rest = crf_example(4, 3, 5, 1, False)
    emissions[0, 0, 0] = np.nan
    loss, gradient, *_ = run_crf(emissions, *rest)
    assert np.isnan(loss).all() and np.isnan(gradient[:, 0]).any() and not np.isnan(gradient[:, 1:]).any()


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, False), (6, 3, 4, 1, False), (50, 5, 29, 3, True)])
def test_viterbi_finds_the_best_path(sizes):
    emissions, transitions, start, end, lengths, _ = crf_example(*sizes)
    steps, batch, _ = emissions.shape
    paths, scores = native.call(
        "CRFViterbi",
        [emissions, transitions, start, end, lengths],
        [empty(steps, batch, dtype=np.int32), empty(batch)],
    )
    for row, length in enumerate(lengths):
        assert not paths[length:, row].any()
        if not length:
            assert scores[row] == 0
            continue
        best = start.astype(float) + emissions[0, row]
        for t in range(1, length):
            best = (best[:, None] + transitions).max(0) + emissions[t, row]
        path = paths[:length, row]
        of_path = start[path[0]] + end[path[-1]] + emissions[range(length), row, path].sum(dtype=float)
        of_path += transitions[path[:-1], path[1:]].sum(dtype=float)
        assert scores[row] == pytest.approx((best + end).max(), rel=1e-6) == pytest.approx(of_path, rel=1e-5)


def run_softmax_loss(rows, inputs, classes):
    random = np.random.default_rng(0)
    shapes = (rows, inputs), (classes, inputs), (classes,)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    targets, shares = random.integers(0, classes, rows).astype(np.int32), random.random(rows).astype(np.float32)
    settings = np.float32([0.1]), np.int32([0])
    outputs = [np.empty(shape, np.float32) for shape in ((1,), *shapes)]
    return native.call("SoftmaxLoss", [*arrays, targets, shares, *settings], outputs)


# -- the convolutions of characters


def char_convolution_reference(char_ids, embedding, weights, bias, d_best):
    """Return the highest scores and the gradients of all in float64; weights (width, D, F_k) of each width."""
    embedding, weights = embedding.astype(float), [array.astype(float) for array in weights]
    best, first = np.zeros(d_best.shape), 0
    d_embedding, d_weights = np.zeros(embedding.shape), [np.zeros(array.shape) for array in weights]
    for array, gradient in zip(weights, d_weights):
        for n, ids in enumerate(char_ids):
            windows = [ids[p : p + len(array)] for p in range(len(ids) - len(array) + 1)]
            scores = np.array([np.einsum("jd,jdf->f", embedding[window], array) for window in windows])
            for f, place in enumerate(scores.argmax(0)):
                best[n, first + f] = scores[place, f] + bias[first + f]
                d_score = d_best[n, first + f]
                gradient[:, :, f] += d_score * embedding[windows[place]]
                np.add.at(d_embedding, windows[place], d_score * array[:, :, f])
        first += array.shape[2]
    return best, d_embedding, np.concatenate([gradient.reshape(-1) for gradient in d_weights]), d_best.sum(0)


@pytest.mark.parametrize(
    "words, length, characters, dim, sizes",
    [(1, 1, 1, 1, [(1, 1)]), (5, 9, 7, 3, [(1, 2), (3, 70), (9, 5)]), (40, 12, 30, 16, [(2, 64), (7, 17)])],
)
def test_char_convolutions_and_their_gradients_equal_a_loop_in_float64(words, length, characters, dim, sizes):
    random = np.random.default_rng(words)
    char_ids = random.integers(0, characters, (words, length)).astype(np.int32)
    char_ids[::2, length // 2 :] = characters - 1  # padding
    filters = sum(number for _, number in sizes)
    shapes = [(characters, dim), *((width, dim, number) for width, number in sizes), (filters,), (words, filters)]
    embedding, *weights, bias, d_best = (random.normal(0, 1, shape).astype(np.float32) for shape in shapes)
    flat = np.concatenate([array.reshape(-1) for array in weights])
    inputs = [char_ids, embedding, flat, bias, np.array(sizes, np.int32)]
    both = [empty(words, filters), empty(words, filters)]
    best, place = native.call("CharConvolution", inputs, both)
    outputs = [empty(*array.shape) for array in (embedding, flat, bias)]
    gradients = native.call("CharConvolutionGradient", [*inputs, place, d_best], outputs)
    for found, expected in zip(
        [best, *gradients], char_convolution_reference(char_ids, embedding, weights, bias, d_best)
    ):
        assert relative_difference(found, expected) < 1e-5


# -- threads, processes, compilers


def run_python(code, **variables):
    environment = {**os.environ, "GLOG_v": "3", **variables}
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


DIGEST = """
import hashlib, sys
sys.path.insert(0, "tests")
import test_native
assert test_native.native.enabled()
digest = hashlib.sha256()
arrays = test_native.run_lstm(*test_native.lstm_example(30, 50, 20, 24, 2))
arrays += test_native.run_crf(*test_native.crf_example(40, 70, 29, 3, True))
arrays += test_native.run_softmax_loss(700, 40, 600)
for array in arrays:
    digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads():
    digests = {run_python(DIGEST, NATIVE_THREADS=threads).split()[-1] for threads in ("1", "2", "5")}
    assert len(digests) == 1


def test_a_forked_process_has_threads_of_its_own():
    code = DIGEST + "import os\nif os.fork():\n    os.wait()\nelse:\n"
    code += "    test_native.run_lstm(*test_native.lstm_example(30, 50, 20, 24, 2))\n    print('done', flush=True)\n"
    assert run_python(code, NATIVE_THREADS="3").split()[-1] == "done"


def test_two_processes_compile_once_into_the_cache(tmp_path):
    code = "from src.model_utils import native\nassert native.enabled()"
    environment = {**os.environ, "GLOG_v": "3", "XDG_CACHE_HOME": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=FOLDER, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    lines = sorted(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert "compiled in" in lines[0] and "from the cache" in lines[1]
    assert len(list(tmp_path.glob("*/kernels-*.so"))) == 1 and not list(tmp_path.glob("*/*.unfinished"))


def test_kernels_are_kept_where_nobody_else_may_write(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(native.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = native.cache_folder()
    assert folder == tmp_path / "cache/mindspore-recurrent" and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    other = native.cache_folder()
    assert other.parent == tmp_path and native.cache_folder() == other != folder


@pytest.mark.parametrize(
    ("compiler", "line"),
    [(None, "there is no C++ compiler"), ("exit 1", "cannot compile"), ('[ "$1" = --version ]', "cannot compile")],
)
def test_without_a_working_compiler_the_operators_of_mindspore_serve(tmp_path, monkeypatch, capsys, compiler, line):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(native.importlib.util, "find_spec", lambda _: None)
    if compiler:
        (tmp_path / "g++").write_text(f"#!/bin/sh\n{compiler}\n")
        (tmp_path / "g++").chmod(0o755)
    native.library.cache_clear()
    assert not native.enabled() and line in capsys.readouterr().out
    monkeypatch.undo()
    native.library.cache_clear()
    assert native.enabled()


def test_the_kernels_can_be_turned_off(capsys):
    native._say_that_they_are_not_wanted.cache_clear()
    init_device("CPU", native=False)
    assert not native.enabled() and not native.enabled() and capsys.readouterr().out == "kernels: MindSpore's\n"
    init_device("CPU")
    assert native.enabled()
