"""The cross entropy of an output layer and its gradients against float64."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.model_utils import native
from src.model_utils.runtime import init_device
from src.model_utils.softmax_loss import SoftmaxLoss


@pytest.fixture(autouse=True, params=["native", "built-in"])
def kernels(request):
    """Each test runs with the project's own kernel and with MindSpore's operators."""
    init_device("CPU", native=request.param == "native")
    if request.param == "native" and not native.enabled():
        pytest.skip("there is no C++ compiler")
    return request.param


class Tripled(nn.Cell):
    """Three times the loss: its gradients must follow."""

    def __init__(self, **settings):
        super().__init__()
        self.loss = SoftmaxLoss(**settings)

    def construct(self, *inputs):
        return 3 * self.loss(*inputs)


def example(rows, inputs, classes, scale=1.0, seed=0):
    """Hidden, weight, bias, targets and shares, every third of which is 0."""
    random = np.random.default_rng(seed)
    shapes = (rows, inputs), (classes, inputs), (classes,)
    arrays = [(random.standard_normal(shape) * scale).astype(np.float32) for shape in shapes]
    targets, shares = random.integers(0, classes, rows).astype(np.int32), random.random(rows).astype(np.float32)
    shares[::3] = 0
    return *arrays, targets, shares


def reference(hidden, weight, bias, targets, shares, smoothing, sampled):
    """The tripled loss and its gradients by the definition, in float64."""
    hidden, weight, bias = (array.astype(np.float64) for array in (hidden, weight, bias))
    sampled, rows = sampled or len(bias), np.arange(len(targets))
    logits = hidden @ weight.T + bias
    rival = np.arange(len(bias)) < sampled
    in_sum = rival | (np.arange(len(bias)) == targets[:, None])
    highest = np.where(in_sum, logits, -np.inf).max(1, keepdims=True)
    shifted = np.where(in_sum, np.exp(logits - highest), 0)
    total = shifted.sum(1, keepdims=True)
    losses = (highest + np.log(total))[:, 0] - (1 - smoothing) * logits[rows, targets]
    losses -= smoothing * logits[:, rival].mean(1)
    change = shifted / total - smoothing * rival / sampled
    change[rows, targets] -= 1 - smoothing
    change *= 3 * shares[:, None].astype(np.float64)
    return 3 * (losses * shares).sum(), change @ weight, change.T @ hidden, change.sum(0)


CASES = [  # rows, inputs, classes, scale, smoothing, sampled
    (1, 1, 1, 1, 0.0, 0),
    (7, 5, 3, 1, 0.1, 0),
    (40, 17, 300, 3, 0.1, 0),  # logits up to about 100
    (300, 33, 523, 1, 0.0, 0),  # several chunks of rows and blocks of classes
    (50, 8, 60, 1, 0.0, 20),
    (50, 8, 20, 1, 0.0, 20),
]


@pytest.mark.parametrize("rows, inputs, classes, scale, smoothing, sampled", CASES)
def test_loss_and_gradients_equal_those_in_float64(rows, inputs, classes, scale, smoothing, sampled):
    arrays = example(rows, inputs, classes, scale)
    step = ms.value_and_grad(Tripled(smoothing=smoothing, sampled=sampled), (0, 1, 2))
    loss, gradients = step(*map(Tensor, arrays))
    for found, expected in zip((loss, *gradients), reference(*arrays, smoothing, sampled)):
        size = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-5, atol=3e-6 * size)


def test_half_precision_is_computed_in_single(kernels):
    if kernels == "native":
        pytest.skip("on a CPU nothing is computed in half precision")
    hidden, *rest = example(40, 17, 30)
    hidden = hidden.astype(np.float16)
    loss = SoftmaxLoss(smoothing=0.1)(*map(Tensor, (hidden, *rest)))
    expected = reference(hidden, *rest, 0.1, 0)[0] / 3
    np.testing.assert_allclose(float(loss.asnumpy()), expected, rtol=1e-3)


def test_without_rows_and_with_shares_of_zero_all_is_zero(kernels):
    hidden, weight, bias, targets, shares = example(6, 4, 5)
    found = [(hidden, targets, np.zeros_like(shares))]
    if kernels == "native":  # MindSpore's operators refuse empty tensors
        found.append((hidden[:0], targets[:0], shares[:0]))
    for h, t, s in found:
        outputs = [np.full(shape, 9, np.float32) for shape in ((1,), h.shape, weight.shape, bias.shape)]
        if kernels == "native":
            settings = np.zeros(1, np.float32), np.zeros(1, np.int32)
            outputs = native.call("SoftmaxLoss", [h, weight, bias, t, s, *settings], outputs)
        else:
            loss, gradients = ms.value_and_grad(SoftmaxLoss(), (0, 1, 2))(*map(Tensor, (h, weight, bias, t, s)))
            outputs = [tensor.asnumpy() for tensor in (loss, *gradients)]
        for output in outputs:
            assert not output.any()


def test_the_kernel_refuses_a_class_that_is_not_there_and_keeps_nan(kernels):
    if kernels != "native":
        pytest.skip("about the kernel alone")
    hidden, weight, bias, targets, shares = example(6, 4, 5)
    settings = np.zeros(1, np.float32), np.zeros(1, np.int32)

    def run():
        outputs = [np.zeros(shape, np.float32) for shape in ((1,), hidden.shape, weight.shape, bias.shape)]
        return native.call("SoftmaxLoss", [hidden, weight, bias, targets, shares, *settings], outputs)

    expected = run()
    hidden[1, 2] = np.nan
    loss, of_hidden, *_ = run()
    assert np.isnan(loss[0]) and np.isnan(of_hidden[1]).all()
    np.testing.assert_array_equal(of_hidden[2:], expected[1][2:])  # other rows are what they were
    for wrong in (-1, 5):
        targets[1] = wrong
        with pytest.raises(ValueError):
            run()
