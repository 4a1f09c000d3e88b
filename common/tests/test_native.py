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

FOLDER = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(native.find_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture(autouse=True, scope="module")
def kernels():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.SWITCH, "true")
        native.library.cache_clear()
        assert native.enabled()
        yield
    native.library.cache_clear()


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
    (again,) = native.call(f"LSTMInference{directions}", [x, lengths, *flat], [empty(*y.shape)])
    np.testing.assert_array_equal(again, y)
    without_bias = [array for each in weights for array in each[:2]]
    gradients = [empty(*x.shape)] * with_dx + [empty(*array.shape) for array in flat]
    name = "LSTMGradient" if with_dx else "LSTMWeightGradient"
    native.call(f"{name}{directions}", [x, lengths, *without_bias, y, saved, dy], gradients)
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
for array in [*arrays, *test_native.run_crf(*test_native.crf_example(40, 70, 29, 3, True))]:
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


def test_the_kernels_are_turned_off_inside_a_context_only(capsys):
    with native.turned_off():
        assert not native.enabled()
    assert native.enabled() and "from the cache" in capsys.readouterr().out
