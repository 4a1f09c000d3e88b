"""One training step against NumPy."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from toy_training import Line, SquaredError, make_step, points

from src.model_utils.runtime import init_device
from src.model_utils.train_step import TrainStep, mixed_precision


@pytest.mark.parametrize("clip", [0.0, 0.7])
def test_step_clipping_and_weight_average_equal_numpy(clip):
    step = make_step(0.05, weight_average=0.8, gradient_clip=clip)
    weights = np.array([0.5, -1, 2, 0], np.float64)
    average = weights.copy()
    for n in range(1, 9):
        x, y = points(6, n)
        loss, norm = (float(value.asnumpy()) for value in step(Tensor(x), Tensor(y)))
        ones = np.concatenate([x, np.ones((6, 1))], 1)
        error = ones @ weights - y
        gradient = 2 * ones.T @ error / 6
        length = np.linalg.norm(gradient)
        assert loss == pytest.approx((error**2).mean(), rel=1e-4) and norm == pytest.approx(length, rel=1e-4)
        weights -= 0.05 * gradient * (min(1, clip / length) if clip else 1)
        decay = min(0.8, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weights
        found = np.concatenate([weight.asnumpy() for weight in step.weights])
        np.testing.assert_allclose(found, weights, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([a.asnumpy() for a in step.average.copies]), average, atol=1e-5)


@pytest.mark.parametrize("clip", [0.0, 0.7])
def test_adam_of_the_kernels_is_that_of_mindspore(clip):
    found = {}
    for kernels in (True, False):
        init_device("CPU", native=kernels)
        network = Line()
        optimizer = nn.Adam(network.trainable_params(), learning_rate=[0.1, 0.05, 0.2], beta2=0.98)
        step = TrainStep(SquaredError(network), optimizer, clip, weight_average=0.8)
        norms = [step(*map(Tensor, points(6, n)))[1] for n in range(3)]
        if kernels and step.update is None:
            pytest.skip("there is no C++ compiler")
        assert (step.update is not None) == kernels
        state = {parameter.name: parameter.asnumpy() for parameter in step.get_parameters()}
        found[kernels] = {**state, "norms": np.array([float(norm.asnumpy()) for norm in norms])}
    assert found[True].keys() == found[False].keys() and found[True]["global_step"] == 3
    for name, values in found[True].items():
        np.testing.assert_allclose(values, found[False][name], rtol=2e-6, atol=1e-7, err_msg=name)


def test_overflowing_steps_are_left_out_under_loss_scaling():
    scaler = ms.amp.DynamicLossScaler(2.0**66, 2, 1000)
    step = make_step(0.05, loss_scaler=scaler)
    x, y = points(6)
    before = [weight.asnumpy().copy() for weight in step.weights]
    loss, norm = step(Tensor(x), Tensor(y))
    plain = make_step(0.05)
    wanted = plain(Tensor(x), Tensor(y))
    assert float(loss.asnumpy()) == pytest.approx(float(wanted[0].asnumpy()), rel=1e-5)
    assert float(norm.asnumpy()) == pytest.approx(float(wanted[1].asnumpy()), rel=1e-5)
    after = [weight.asnumpy().copy() for weight in step.weights]
    assert not np.array_equal(before[0], after[0])
    loss, norm = step(Tensor(x), Tensor(y + np.float32(1e19)))  # the gradient fits into float32, the scaled one not
    for weight, kept in zip(step.weights, after):
        np.testing.assert_array_equal(weight.asnumpy(), kept)
    assert float(norm.asnumpy()) == 0 and float(scaler.scale_value.asnumpy()) == 2.0**65


def test_float32_needs_no_loss_scaler():
    network = Line()
    assert mixed_precision(network, "O0") is None
    assert mixed_precision(network, "O2").scale_value.asnumpy() == 2.0**15
