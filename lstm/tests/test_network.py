"""The sentiment network and its losses: exact on padding, right gradients, trainable, the same after loading."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.dataset import pad
from src.loss import AdversarialGradient, ClassificationLoss
from src.model_utils.checkpoint import load_checkpoint, load_into, save_checkpoint
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import init_device
from src.model_utils.train_step import TrainStep
from src.network import POOLINGS, Pooling, SentimentNet

VOCABULARY = 30
INPUTS = [[None], [None, None], [None], [None], [None]]  # words, tokens, lengths, dropout_keys, labels


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


def make_network(pooling="mean_max", layers=1, projection=0, trained=True, dropout=0.0, seed=0):
    words = 12 if trained else 0  # fewer than the vocabulary, so that some words have no offset
    network = SentimentNet(
        vocabulary_size=VOCABULARY,
        embed_size=6,
        num_hiddens=8,
        num_layers=layers,
        bidirectional=True,
        num_classes=2,
        pooling=pooling,
        projection_size=projection,
        trained_words=words,
        dropout=dropout,
        seed=seed,
    )
    vectors = np.random.default_rng(7).normal(0, 1, (VOCABULARY, 6)).astype(np.float32)
    vectors[0] = 0
    network.embedding.set_vectors(vectors)
    if trained:
        offsets = np.random.default_rng(8).normal(0, 1, network.embedding.offsets.shape).astype(np.float32)
        offsets[0] = 0
        network.embedding.offsets.set_data(Tensor(offsets))
    return network


def dynamic(cell, count=4):
    cell.set_inputs(*[Tensor(shape=shape, dtype=ms.int32) for shape in INPUTS[:count]])
    return cell


def reviews(lengths, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(1, VOCABULARY, length).astype(np.int32) for length in lengths]


def tensors(sequences, labels=None, more_padding=0):
    words, tokens, lengths = pad([*sequences, np.zeros(max(map(len, sequences)) + more_padding, np.int32)])
    tokens, lengths = tokens[:, :-1], lengths[:-1]  # the last one only made the batch longer, and sees to id 0
    arrays = [words, np.ascontiguousarray(tokens), lengths, dropout_keys(0, 0, len(lengths))]
    return [Tensor(array) for array in (arrays if labels is None else [*arrays, np.array(labels, np.int32)])]


@pytest.mark.parametrize(
    "pooling,layers,projection,trained",
    [
        ("ends", 2, 0, False),
        ("mean", 1, 0, True),
        ("max", 1, 5, False),
        ("mean_max", 1, 5, True),
        ("attention", 1, 5, True),
    ],
)
def test_no_result_depends_on_padding_or_on_the_other_reviews(pooling, layers, projection, trained):
    network = dynamic(make_network(pooling, layers, projection, trained).set_train(False))
    sequences = reviews([9, 1, 4, 6, 9])
    logits = network(*tensors(sequences)).asnumpy()
    assert logits.shape == (5, 2) and np.ptp(logits[:, 0]) > 1e-3
    np.testing.assert_allclose(network(*tensors(sequences, more_padding=11)).asnumpy(), logits, atol=1e-6)
    np.testing.assert_allclose(network(*tensors(sequences[::-1])).asnumpy()[::-1], logits, atol=1e-6)
    for b, sequence in enumerate(sequences):
        np.testing.assert_allclose(network(*tensors([sequence])).asnumpy()[0], logits[b], atol=1e-6)


@pytest.mark.parametrize("kind", POOLINGS)
def test_pooling_equals_numpy(kind):
    lengths = np.array([7, 1, 4], np.int32)
    outputs = np.random.default_rng(1).uniform(-1, 1, (7, 3, 5)).astype(np.float32)
    padding = (np.arange(7)[:, None] >= lengths).astype(np.float32)[:, :, None]
    outputs *= 1 - padding
    outputs[:, 2] = -np.abs(outputs[:, 2])  # a maximum below the zeros of the padding
    pooling = Pooling(kind=kind, size=5, seed=0)
    pooled = pooling(Tensor(outputs), Tensor(padding), Tensor(lengths)).asnumpy()
    assert pooled.shape == (3, pooling.output_size)
    for b, length in enumerate(lengths):
        real = outputs[:length, b].astype(np.float64)
        wanted = {
            "ends": np.concatenate([real[0], real[-1]]),
            "mean": real.mean(0),
            "max": real.max(0),
            "mean_max": np.concatenate([real.mean(0), real.max(0)]),
        }
        if kind == "attention":
            scores = np.exp(real @ pooling.score.asnumpy().reshape(-1).astype(np.float64))
            wanted["attention"] = (real * scores[:, None]).sum(0) / scores.sum()
        np.testing.assert_allclose(pooled[b], wanted[kind], atol=1e-6)


def make_step(network, epsilon=0.0, rate=0.05, **options):
    loss = ClassificationLoss(network)
    optimizer = nn.Adam(network.trainable_params(), learning_rate=rate)
    gradient = AdversarialGradient(loss, weights=optimizer.parameters, epsilon=epsilon) if epsilon else None
    return dynamic(TrainStep(loss, optimizer, value_and_grad=gradient, **options).set_train(True), 5)


@pytest.mark.parametrize("pooling,layers,projection,epsilon", [("attention", 2, 5, 0.0), ("ends", 1, 0, 0.1)])
def test_every_trainable_parameter_moves_in_one_step(pooling, layers, projection, epsilon):
    network = make_network(pooling, layers, projection, dropout=0.1)
    step = make_step(network, epsilon)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    loss, norm = step(*tensors(reviews([5, 2, 7]), [0, 1, 1]))
    assert np.isfinite(loss.asnumpy()) and norm.asnumpy() > 0
    for parameter in network.get_parameters():
        moved = not np.array_equal(before[parameter.name], parameter.asnumpy())
        assert moved == parameter.requires_grad, parameter.name
    if network.embedding.trained_words:
        assert np.all(network.embedding.offsets.asnumpy()[0] == 0)  # padding learns nothing


def test_wrapping_cells_do_not_rename_the_parameters():
    network = make_network(projection=4)
    names = [parameter.name for parameter in network.get_parameters()]
    step = make_step(network, epsilon=0.1, weight_average=0.9)
    assert [parameter.name for parameter in network.get_parameters()] == names
    assert [p.name for p in step.average.copies] == ["average." + p.name for p in network.trainable_params()]
    every = [parameter.name for parameter in step.get_parameters()]
    assert len(set(every)) == len(every)


def test_eight_samples_are_overfitted_and_come_back_from_disk(tmp_path):
    network = make_network(projection=4)
    labels = [0, 1, 1, 0, 1, 0, 0, 1]
    sequences = reviews([3, 8, 5, 9, 2, 7, 4, 6], seed=3)
    batch = tensors(sequences, labels)
    step = make_step(network)
    losses = [float(step(*batch)[0].asnumpy()) for _ in range(60)]
    assert losses[-1] < 0.02 < losses[0]
    logits = dynamic(network.set_train(False))(*batch[:4]).asnumpy()
    assert logits.argmax(1).tolist() == labels

    save_checkpoint(tmp_path / "net.ckpt", network.get_parameters(), {"note": 1})
    other = make_network(projection=4, seed=5)
    assert not np.allclose(dynamic(other.set_train(False))(*batch[:4]).asnumpy(), logits)
    parameters, state = load_checkpoint(tmp_path / "net.ckpt")
    load_into(other.get_parameters(), parameters, "net.ckpt")
    assert state == {"note": 1}
    np.testing.assert_array_equal(other(*batch[:4]).asnumpy(), logits)


class ShiftedLoss(nn.Cell):
    """The loss at given word vectors."""

    def __init__(self, loss_network):
        super().__init__(auto_prefix=False)
        self.loss_network = loss_network
        self.network = loss_network.network

    def construct(self, x, lengths, keys, labels):
        return self.loss_network.cross_entropy(self.network.classify(x, lengths, keys), labels)


class MovedLoss(nn.Cell):
    """The loss with the word vectors moved by a constant."""

    def __init__(self, shifted):
        super().__init__(auto_prefix=False)
        self.shifted = shifted

    def construct(self, shift, words, tokens, lengths, keys, labels):
        return self.shifted(self.shifted.network.embedding(words, tokens) + shift, lengths, keys, labels)


def test_adversarial_gradient_is_two_explicit_passes():
    network = make_network("mean_max", 1, 4)
    words, tokens, lengths, keys, labels = tensors(reviews([5, 2, 7]), [0, 1, 1])
    loss_network = ClassificationLoss(network, label_smoothing=0.1)
    weights = ms.ParameterTuple(network.trainable_params())
    epsilon = 0.3
    gradient = AdversarialGradient(loss_network, weights=weights, epsilon=epsilon)
    loss, gradients = gradient(words, tokens, lengths, keys, labels)

    x = network.embedding(words, tokens)
    shifted = ShiftedLoss(loss_network)
    direction = ms.grad(shifted, 0)(x, lengths, keys, labels).asnumpy().astype(np.float64)
    np.testing.assert_allclose(loss.asnumpy(), shifted(x, lengths, keys, labels).asnumpy(), atol=1e-6)
    real = np.arange(x.shape[0])[:, None] < lengths.asnumpy()
    assert np.all(direction[~real] == 0) and np.all(x.asnumpy()[~real] == 0)

    def norms(array):
        return np.sqrt((array**2).sum((0, 2), keepdims=True))

    shift = epsilon * norms(x.asnumpy().astype(np.float64)) * direction / norms(direction)
    moved, none = Tensor(shift.astype(np.float32)), Tensor(np.zeros_like(shift, np.float32))
    gradient = ms.grad(MovedLoss(shifted), None, weights)
    batch = words, tokens, lengths, keys, labels
    for parameter, value, a, b in zip(weights, gradients, gradient(none, *batch), gradient(moved, *batch)):
        np.testing.assert_allclose(value.asnumpy(), a.asnumpy() + b.asnumpy(), atol=1e-6, err_msg=parameter.name)

    # The direction is the worst one: no random move of the same length raises the loss of a review as much.
    small = 0.01 / epsilon * shift
    random = np.random.default_rng(0)

    def at(move):
        return float(shifted(Tensor((x.asnumpy() + move).astype(np.float32)), lengths, keys, labels).asnumpy())

    worst = at(small)
    for _ in range(10):
        other = random.normal(0, 1, shift.shape) * real[:, :, None]
        assert at(other * norms(small) / norms(other)) < worst


def test_network_gradient_equals_finite_differences():
    network = make_network("attention", 1, 4)
    batch = tensors(reviews([4, 2, 6], seed=2), [1, 0, 1])
    loss = ClassificationLoss(network)
    weights = ms.ParameterTuple([network.weight, network.embedding.projection, network.pooling.score])
    gradients = ms.grad(loss, None, weights)(*batch)
    random = np.random.default_rng(0)
    for weight, gradient in zip(weights, gradients):
        direction = random.normal(0, 1, weight.shape).astype(np.float32)
        kept, values = weight.asnumpy().copy(), []
        for shift in (1e-2, -1e-2):
            weight.set_data(Tensor(kept + shift * direction))
            values.append(float(loss(*batch).asnumpy()))
        weight.set_data(Tensor(kept))
        wanted = (values[0] - values[1]) / 2e-2
        assert (gradient.asnumpy() * direction).sum() == pytest.approx(wanted, rel=0.02, abs=1e-3), weight.name


def test_label_smoothing_equals_numpy():
    logits, labels = np.random.default_rng(0).normal(0, 2, (6, 3)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2])
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = np.eye(3)[labels] * 0.8 + 0.2 / 3
    loss = ClassificationLoss(nn.Cell(), label_smoothing=0.2)
    value = loss.cross_entropy(Tensor(logits), Tensor(labels.astype(np.int32)))
    assert float(value.asnumpy()) == pytest.approx(-(targets * log_probs).sum(1).mean(), rel=1e-5)
