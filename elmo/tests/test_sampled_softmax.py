"""The sampler, and the sampled loss against the full softmax and against its definition in float64."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.model_utils.softmax_loss import SoftmaxLoss
from src.ops.sampled_softmax import LogUniformSampler, sampled_rows

VOCABULARY, SIZE, COUNT = 60, 8, 12


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(2)
    hidden = random.normal(size=(COUNT, SIZE)).astype(np.float32)
    weight = random.normal(size=(VOCABULARY, SIZE)).astype(np.float32)
    bias = random.normal(size=VOCABULARY).astype(np.float32)
    return hidden, weight, bias, random.integers(0, VOCABULARY, COUNT)


def loss_and_gradients(sampled, hidden, weight, bias, targets, classes, log_expected, place):
    """As loss.TrainingLoss does it: the mean loss, and its gradients with respect to hidden, weight and bias."""
    ms.set_context(mode=ms.GRAPH_MODE)
    shares = np.full(COUNT, 1 / COUNT, np.float32)
    arrays = hidden, weight[classes], bias[classes] - log_expected, place[targets], shares
    loss, gradients = ms.value_and_grad(SoftmaxLoss(sampled=sampled), (0, 1, 2))(*map(Tensor, arrays))
    return float(loss.asnumpy()), [gradient.asnumpy() for gradient in gradients]


def reference(hidden, weight, bias, targets, sample, log_expected_of):
    """The definition: the target's rivals are the sample without it; float64. Returns the loss."""
    losses = []
    for h, target in zip(hidden.astype(np.float64), targets):
        classes = [target, *(k for k in sample if k != target)]
        logits = weight[classes].astype(np.float64) @ h + bias[classes] - log_expected_of(np.array(classes))
        losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[0])
    return np.mean(losses)


def finite_differences(function, array, step=1e-4):
    gradient = np.zeros(array.shape)
    for place in np.ndindex(array.shape):
        plus, minus = array.astype(np.float64), array.astype(np.float64)
        plus[place] += step
        minus[place] -= step
        gradient[place] = (function(plus) - function(minus)) / (2 * step)
    return gradient


def test_sampler_follows_zipf_without_repetition():
    sampler = LogUniformSampler(1000, 50)
    assert sampler.probabilities.sum() == pytest.approx(1)
    assert sampler.probabilities[0] == pytest.approx(np.log(2) / np.log(1001))
    drawn, draws = np.zeros(1000), []
    for seed in range(400):
        sample, count = sampler.sample(np.random.default_rng(seed))
        assert len(set(sample)) == 50 and sample.min() >= 0 and sample.max() < 1000 and count >= 50
        drawn[sample] += 1
        draws.append(count)
    expected = np.exp(sampler.log_expected(np.arange(1000), round(np.mean(draws)))) * 400
    assert np.abs(drawn[:20] - expected[:20]).max() < 5 * np.sqrt(400 / 4)
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.02)
    again = sampler.sample(np.random.default_rng(0))[0]
    np.testing.assert_array_equal(again, sampler.sample(np.random.default_rng(0))[0])


def test_rows_hold_sample_targets_and_padding():
    sampler = LogUniformSampler(500, 20)
    targets = np.array([499, 3, 498, 499, 0])
    classes, log_expected, place = sampled_rows(sampler, np.random.default_rng(0), targets, 9)
    assert len(classes) == len(set(classes)) == len(log_expected) == 29
    np.testing.assert_array_equal(classes[place[targets]], targets)
    sample, draws = sampler.sample(np.random.default_rng(0))
    np.testing.assert_array_equal(classes[:20], sample)
    np.testing.assert_allclose(log_expected, sampler.log_expected(classes, draws), rtol=1e-6)
    small = sampled_rows(LogUniformSampler(25, 20), np.random.default_rng(0), np.arange(25), 100)[0]
    assert sorted(small) == list(range(25)), "never more rows than classes"


def test_sampled_loss_and_gradients_follow_the_definition(problem):
    hidden, weight, bias, targets = problem
    sampler = LogUniformSampler(VOCABULARY, 15)
    classes, log_expected, place = sampled_rows(sampler, np.random.default_rng(5), targets, COUNT)
    sample, draws = sampler.sample(np.random.default_rng(5))
    hits = np.isin(targets, sample)
    assert hits.any() and not hits.all(), "targets inside and outside the sample"
    loss, (d_hidden, d_weight, d_bias) = loss_and_gradients(
        15, hidden, weight, bias, targets, classes, log_expected, place
    )

    def expected(k):
        return sampler.log_expected(k, draws)

    assert loss == pytest.approx(reference(hidden, weight, bias, targets, sample, expected), abs=1e-5)
    for gradient, expected_gradient in (
        (d_hidden, finite_differences(lambda h: reference(h, weight, bias, targets, sample, expected), hidden)),
        (d_weight[place], finite_differences(lambda w: reference(hidden, w, bias, targets, sample, expected), weight)),
        (d_bias[place], finite_differences(lambda b: reference(hidden, weight, b, targets, sample, expected), bias)),
    ):
        unused = np.setdiff1d(np.arange(VOCABULARY), classes)
        if len(gradient) == VOCABULARY:
            gradient[unused] = 0  # rows that the step does not have
        np.testing.assert_allclose(gradient, expected_gradient, atol=2e-5)


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_extreme_logits_stay_finite(problem, scale):
    hidden, weight, bias, targets = problem
    classes, log_expected, place = sampled_rows(
        LogUniformSampler(VOCABULARY, 15), np.random.default_rng(5), targets, COUNT
    )
    loss, gradients = loss_and_gradients(15, hidden * scale, weight, bias, targets, classes, log_expected, place)
    assert np.isfinite(loss) and all(np.isfinite(gradient).all() for gradient in gradients)
