"""The GRU layer: the reset-after form of a float64 loop and its gradient, exact on padding."""

from __future__ import annotations

from itertools import product

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.gru import GRU
from src.model_utils.layers import padding_mask
from src.model_utils.runtime import init_device

STEPS, BATCH, INPUTS, HIDDEN = 5, 3, 4, 3
LENGTHS = np.array([5, 2, 1], np.int32)


class WeightedOutputs(nn.Cell):
    """A scalar of every output and last state, so that its gradient reaches everything."""

    def __init__(self, layer):
        super().__init__(auto_prefix=False)
        self.layer = layer

    def construct(self, x, lengths, state, factors):
        outputs, last = run(self.layer, x, lengths, state)
        real = 1 - padding_mask(lengths, x.shape[0])
        return (outputs * real * factors).sum() + (last * last).sum()


class Outputs(nn.Cell):
    """The layer's outputs and last states."""

    def __init__(self, layer):
        super().__init__(auto_prefix=False)
        self.layer = layer

    def construct(self, x, lengths, state):
        return run(self.layer, x, lengths, state)


def run(layer, x, lengths, state):
    outputs = layer(x, lengths) if layer.bidirectional else layer(x, lengths, state)
    return outputs, layer.last_states(outputs, lengths)


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


@pytest.fixture(scope="module", params=product(["native", "mindspore"], [False, True]), ids=str)
def layer(request):
    kernels, bidirectional = request.param
    init_device("CPU", native=kernels == "native")
    made = GRU(input_size=INPUTS, hidden_size=HIDDEN, bidirectional=bidirectional, seed=[3])
    if kernels == "native" and not made.native:
        pytest.skip("there is no C++ compiler")
    random = np.random.default_rng(4)
    for weight in made.get_parameters():  # biases begin at zero: let them matter
        weight.set_data(Tensor(random.normal(0, 0.7, weight.shape).astype(np.float32)))
    return made


@pytest.fixture
def arrays(layer):
    random = np.random.default_rng(5)
    state = random.standard_normal((BATCH, HIDDEN)).astype(np.float32)
    return {
        "x": random.standard_normal((STEPS, BATCH, INPUTS)).astype(np.float32),
        "lengths": LENGTHS,
        "state": state * (not layer.bidirectional),  # two directions begin with zeros
        "factors": random.standard_normal((STEPS, BATCH, HIDDEN * (1 + layer.bidirectional))).astype(np.float32),
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(weights, x, state):
    """The outputs (T, H * directions) and last states of one sequence x (T, I) in float64."""
    outputs, lasts = [], []
    for suffix in ("", "_reverse")[: len(weights) // 4]:
        w_ih, w_hh, b_ih, b_hh = (
            weights[name + suffix].astype(np.float64) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h, states = state.astype(np.float64), []
        for x_t in x[::-1] if suffix else x:
            (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(w_ih @ x_t + b_ih, 3), np.split(w_hh @ h + b_hh, 3)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            h = (1 - z) * np.tanh(x_n + r * h_n) + z * h
            states.append(h)
        outputs.append(states[::-1] if suffix else states)
        lasts.append(h)
    return np.concatenate(outputs, 1), np.concatenate(lasts)


def weights_of(layer):
    return {weight.name.split(".")[-1]: weight.asnumpy() for weight in layer.get_parameters()}


def test_outputs_and_last_states_are_those_of_each_sequence_alone(layer, arrays):
    outputs, last = Outputs(layer)(*(Tensor(arrays[name]) for name in ("x", "lengths", "state")))
    for b, length in enumerate(LENGTHS):
        expected, expected_last = reference(weights_of(layer), arrays["x"][:length, b], arrays["state"][b])
        np.testing.assert_allclose(outputs.asnumpy()[:length, b], expected, atol=4e-6)
        np.testing.assert_allclose(last.asnumpy()[b], expected_last, atol=4e-6)


def test_a_single_step_is_a_step_of_the_sequence(layer, arrays):
    class Step(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.layer = layer

        def construct(self, x, state):
            return self.layer.step(x, state)

    after = Step()(Tensor(arrays["x"][0]), Tensor(arrays["state"])).asnumpy()
    forward = {name: value for name, value in weights_of(layer).items() if not name.endswith("_reverse")}
    for b in range(BATCH):
        np.testing.assert_allclose(after[b], reference(forward, arrays["x"][:1, b], arrays["state"][b])[1], atol=2e-6)


def test_the_gradient_is_the_slope_of_a_float64_loop(layer, arrays):
    names = [weight.name.split(".")[-1] for weight in layer.trainable_params()]
    gradient = ms.value_and_grad(WeightedOutputs(layer), (0, 2), ms.ParameterTuple(layer.trainable_params()))
    value, ((d_x, d_state), d_weights) = gradient(*(Tensor(array) for array in arrays.values()))
    gradients = {"x": d_x, "state": d_state, **dict(zip(names, d_weights))}
    if layer.bidirectional:
        del gradients["state"]
    point = {name: array.astype(np.float64) for name, array in {**weights_of(layer), **arrays}.items()}

    def scalar(point):
        weights, total = {name: point[name] for name in names}, 0.0
        for b, length in enumerate(LENGTHS):
            outputs, last = reference(weights, point["x"][:length, b], point["state"][b])
            total += (outputs * point["factors"][:length, b]).sum() + (last**2).sum()
        return total

    np.testing.assert_allclose(float(value.asnumpy()), scalar(point), rtol=1e-5)
    for name, result in gradients.items():
        slopes = np.zeros(point[name].shape)
        for index in np.ndindex(slopes.shape):
            ends = []
            for shift in (1e-5, -1e-5):
                moved = point[name].copy()
                moved[index] += shift
                ends.append(scalar({**point, name: moved}))
            slopes[index] = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(result.asnumpy(), slopes, atol=4e-5, err_msg=name)
