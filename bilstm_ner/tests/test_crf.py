"""The CRF against the enumeration of all paths."""

from __future__ import annotations

import itertools

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src import crf
from src.crf import CRFLoss, ForwardBackward
from src.decoding import best_paths, viterbi
from src.model_utils.runtime import init_device

TOLERANCE = 1e-5
STEPS = 5


def potentials(tags: int, seed: int, forbid: bool):
    random = np.random.default_rng(seed)
    emissions = random.normal(0, 2, (STEPS, STEPS, tags)).astype(np.float32)  # as many sentences as lengths
    transitions, start, end = (random.normal(0, 1, size).astype(np.float32) for size in ((tags, tags), tags, tags))
    if forbid:
        transitions[0, 1] = start[tags - 1] = -1e4
    return emissions, transitions, start, end, np.arange(1, STEPS + 1, dtype=np.int32)


def enumerate_paths(emissions, transitions, start, end):
    """Every path through emissions (n, K), and their scores in float64."""
    length, tags = emissions.shape
    paths = np.array(list(itertools.product(range(tags), repeat=length)))
    scores = emissions.astype(np.float64)[np.arange(length), paths].sum(1)
    scores += transitions.astype(np.float64)[paths[:, :-1], paths[:, 1:]].sum(1)
    return paths, scores + start.astype(np.float64)[paths[:, 0]] + end.astype(np.float64)[paths[:, -1]]


def log_sum(scores):
    return scores.max() + np.log(np.exp(scores - scores.max()).sum())


@pytest.fixture(scope="module")
def loss_and_gradients():
    init_device("CPU")
    return ms.value_and_grad(CRFLoss(), (0, 1, 2, 3))


@pytest.mark.parametrize(("tags", "forbid"), [(1, False), (2, False), (3, True), (4, False), (4, True)])
def test_loss_and_gradients_are_those_of_all_paths(loss_and_gradients, tags, forbid):
    emissions, transitions, start, end, lengths = potentials(tags, tags, forbid)
    gold = np.zeros((STEPS, STEPS), np.int32)
    loss = 0.0
    expected = [np.zeros(array.shape) for array in (emissions, transitions, start, end)]
    for row, length in enumerate(lengths):
        paths, scores = enumerate_paths(emissions[:length, row], transitions, start, end)
        loss += log_sum(scores) - scores[0]  # the first path is the gold one
        weights = np.exp(scores - log_sum(scores))
        weights[0] -= 1
        for step in range(length):
            np.add.at(expected[0][step, row], paths[:, step], weights)
        for step in range(length - 1):
            np.add.at(expected[1], (paths[:, step], paths[:, step + 1]), weights)
        np.add.at(expected[2], paths[:, 0], weights)
        np.add.at(expected[3], paths[:, -1], weights)
    arrays = (emissions, transitions, start, end, gold, lengths)
    value, gradients = loss_and_gradients(*map(Tensor, arrays))
    assert abs(float(value.asnumpy()) - loss) < TOLERANCE * max(1, loss)
    for gradient, wanted in zip(gradients, expected):
        np.testing.assert_allclose(gradient.asnumpy(), wanted, atol=TOLERANCE)


def test_marginals_are_those_of_all_paths_and_zero_on_padding():
    init_device("CPU")
    emissions, transitions, _, _, lengths = potentials(4, 7, forbid=False)
    none = np.zeros(4, np.float32)
    partitions, marginals, _ = (
        t.asnumpy() for t in ForwardBackward()(Tensor(emissions), Tensor(transitions), Tensor(lengths))
    )
    for row, length in enumerate(lengths):
        paths, scores = enumerate_paths(emissions[:length, row], transitions, none, none)
        weights = np.exp(scores - log_sum(scores))
        assert abs(partitions[row] - log_sum(scores)) < TOLERANCE
        wanted = [[weights[paths[:, step] == tag].sum() for tag in range(4)] for step in range(length)]
        np.testing.assert_allclose(marginals[:length, row], wanted, atol=TOLERANCE)
        assert not marginals[length:, row].any()


def test_neither_padding_nor_its_content_changes_loss_and_gradients(loss_and_gradients):
    emissions, transitions, start, end, lengths = potentials(3, 3, forbid=False)
    gold = np.zeros((STEPS, STEPS), np.int32)
    longer = np.concatenate([emissions, np.full((16, STEPS, 3), 50, np.float32)])
    longer_gold = np.concatenate([gold, np.full((16, STEPS), 2, np.int32)])
    results = [
        loss_and_gradients(*map(Tensor, (scores, transitions, start, end, tags, lengths)))
        for scores, tags in ((emissions, gold), (longer, longer_gold))
    ]
    (loss, gradients), (longer_loss, longer_gradients) = results
    np.testing.assert_allclose(longer_loss.asnumpy(), loss.asnumpy(), rtol=1e-6)
    assert not longer_gradients[0].asnumpy()[STEPS:].any()
    np.testing.assert_allclose(longer_gradients[1].asnumpy(), gradients[1].asnumpy(), atol=1e-6)


def test_the_loop_of_long_sentences_equals_the_unrolled_recursion(monkeypatch):
    init_device("CPU")
    inputs = [Tensor(array) for array in potentials(3, 5, forbid=True)]
    inputs = [inputs[0], inputs[1], inputs[4]]
    written_out = [result.asnumpy() for result in ForwardBackward()(*inputs)]
    monkeypatch.setattr(crf, "UNROLLED", 2)
    monkeypatch.setattr(crf, "TURN", 3)
    for looped, unrolled in zip(ForwardBackward()(*inputs), written_out):
        np.testing.assert_allclose(looped.asnumpy(), unrolled, atol=1e-6)


def test_long_sentences_stay_finite():
    init_device("CPU")
    random = np.random.default_rng(0)
    emissions = random.normal(0, 30, (640, 2, 4)).astype(np.float32)
    lengths = np.array([640, 1], np.int32)
    for result in ForwardBackward()(Tensor(emissions), Tensor(np.zeros((4, 4), np.float32)), Tensor(lengths)):
        assert np.isfinite(result.asnumpy()).all()


@pytest.mark.parametrize(("tags", "forbid"), [(1, False), (2, True), (3, False), (4, True)])
@pytest.mark.parametrize("kernels", [True, False], ids=["native", "numpy"])
def test_viterbi_and_best_paths_are_those_of_all_paths(tags, forbid, kernels):
    init_device("CPU", native=kernels)
    emissions, transitions, start, end, lengths = potentials(tags, 11 + tags, forbid)
    best_tags = viterbi(emissions, lengths, transitions, start, end)
    for row, length in enumerate(lengths):
        paths, all_scores = enumerate_paths(emissions[:length, row], transitions, start, end)
        order = np.argsort(-all_scores)
        assert best_tags[row].tolist() == paths[order[0]].tolist()
        best = best_paths(emissions[:length, row], transitions, start, end, 5)
        assert len(best) == min(5, len(paths))
        for (path, score), wanted in zip(best, order):
            assert abs(score - all_scores[wanted]) < TOLERANCE
            assert score < -1e3 or path.tolist() == paths[wanted].tolist()
