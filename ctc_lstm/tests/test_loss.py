"""CTC in float32 against a float64 enumeration of every alignment, values and gradients."""

from __future__ import annotations

import itertools

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from src.loss import ctc_loss
from src.model_utils.runtime import init_device


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


def collapse(path):
    return [label for label, _ in itertools.groupby(path) if label]


def enumerated(log_probs, labels):
    """-ln p of labels, and its gradient by log_probs (T, V), from all V^T alignments."""
    steps, size = log_probs.shape
    total, visits = 0.0, np.zeros_like(log_probs)
    for path in itertools.product(range(size), repeat=steps):
        if collapse(path) == list(labels):
            p = np.exp(log_probs[range(steps), path].sum())
            total += p
            visits[range(steps), path] += p
    return -np.log(total), -visits / total


CASES = [  # label sequences, output steps
    ([[1], [2]], [3, 1]),
    ([[1, 2], [2, 2], [1, 3, 1]], [4, 3, 5]),
    ([[3, 3, 3], [1, 2, 3]], [5, 3]),  # as many steps as are needed, no freedom left
    ([[2, 1, 1, 2]], [6]),
]


@pytest.mark.parametrize("labels,steps", CASES)
def test_ctc_equals_enumeration(labels, steps):
    logits = np.random.default_rng(len(labels)).normal(0, 2, (max(steps) + 2, len(labels), 4)).astype(np.float32)
    padded = np.zeros((len(labels), max(map(len, labels)) + 1), np.int32)
    for row, each in enumerate(labels):
        padded[row, : len(each)] = each
    others = [Tensor(padded), Tensor(np.array(steps, np.int32)), Tensor(np.array([len(y) for y in labels], np.int32))]
    weights = np.linspace(1, 2, len(labels)).astype(np.float32)  # so that each utterance's gradient is seen

    def loss(x):
        return (ctc_loss(ops.log_softmax(x, 2), *others) * Tensor(weights)).sum()

    each = ctc_loss(ops.log_softmax(Tensor(logits), 2), *others).asnumpy()
    gradient = ms.grad(loss)(Tensor(logits)).asnumpy()
    exact = logits.astype(np.float64)
    log_probs = exact - np.log(np.exp(exact).sum(2, keepdims=True))
    for b, (sequence, count) in enumerate(zip(labels, steps)):
        expected, by_log_probs = enumerated(log_probs[:count, b], sequence)
        np.testing.assert_allclose(each[b], expected, rtol=1e-5)
        by_logits = by_log_probs - np.exp(log_probs[:count, b]) * by_log_probs.sum(1, keepdims=True)
        np.testing.assert_allclose(gradient[:count, b], weights[b] * by_logits, atol=1e-5)
        assert not gradient[count:, b].any(), "nothing behind the end matters"
