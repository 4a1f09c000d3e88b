"""The network: exact on padding, right statistics, every weight trained, eight utterances overfitted."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.dataset import pad
from src.decoding import greedy
from src.loss import CTCLoss, ctc_loss
from src.model_utils.checkpoint import load_checkpoint, load_into, save_checkpoint
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import init_device
from src.model_utils.train_step import TrainStep
from src.network import CTCNet, MaskedBatchNorm, dynamic_inputs, output_lengths, subsampling_of

SIZE, LABELS = 6, 5


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


def make_network(front_end="stack-3", layers=2, batch_norm=True, dropout=0.0, bidirectional=True, seed=0):
    network = CTCNet(
        feature_size=SIZE,
        num_labels=LABELS,
        front_end=front_end,
        conv_channels=7,
        hidden_size=8,
        num_layers=layers,
        bidirectional=bidirectional,
        batch_norm=batch_norm,
        dropout=dropout,
        seed=seed,
    )
    random = np.random.default_rng(9)
    for norm in network.norms:  # statistics of some training
        norm.mean.set_data(Tensor(random.normal(0, 0.1, norm.mean.shape).astype(np.float32)))
        norm.variance.set_data(Tensor(random.uniform(0.1, 0.3, norm.mean.shape).astype(np.float32)))
    network.set_inputs(*dynamic_inputs(SIZE)[:3])
    return network.set_train(False)


def utterances(lengths, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal((length, SIZE)).astype(np.float32) for length in lengths]


def tensors(frames, front_end, longest=0):
    padded, lengths = pad(frames, subsampling_of(front_end), longest)
    return [Tensor(padded), Tensor(lengths), Tensor(dropout_keys(0, 0, len(lengths)))]


@pytest.mark.parametrize(
    "front_end,batch_norm,bidirectional",
    [("none", True, False), ("stack-3", True, True), ("conv", False, True)],
)
def test_no_result_depends_on_padding_or_on_the_other_utterances(front_end, batch_norm, bidirectional):
    network = make_network(front_end, batch_norm=batch_norm, bidirectional=bidirectional)
    frames = utterances([19, 1, 8, 12, 19])
    actual = network(*tensors(frames, front_end)).asnumpy()
    assert actual.shape == (output_lengths(19, front_end), 5, LABELS)
    np.testing.assert_allclose(np.exp(actual).sum(2), 1, atol=1e-5)
    longer = network(*tensors(frames, front_end, 40)).asnumpy()
    for b, each in enumerate(frames):
        steps = output_lengths(len(each), front_end)
        alone = network(*tensors([each], front_end)).asnumpy()[:steps, 0]
        np.testing.assert_allclose(actual[:steps, b], alone, atol=1e-5)
        np.testing.assert_allclose(longer[:steps, b], alone, atol=1e-5)


@pytest.mark.parametrize("intermediate", [0.0, 0.5])
def test_training_does_not_depend_on_padding_either(intermediate):
    frames, labels = utterances([18, 6, 11, 15]), Tensor(np.array([[1, 2], [3, 0], [4, 4], [2, 1]], np.int32))
    label_lengths = Tensor(np.array([2, 1, 2, 2], np.int32))
    results = []
    for longest in (0, 36):
        network = make_network(dropout=0.3)
        gradient = ms.value_and_grad(
            CTCLoss(network=network, intermediate=intermediate).set_train(), None, network.trainable_params()
        )
        loss, gradients = gradient(*tensors(frames, "stack-3", longest), labels, label_lengths)
        results.append([loss.asnumpy(), *(g.asnumpy() for g in gradients), *(n.mean.asnumpy() for n in network.norms)])
    for one, other in zip(*results):
        np.testing.assert_allclose(other, one, atol=2e-5 * max(1, np.abs(one).max()))


@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_share_of_the_loss_is_that_of_the_layers_below(num_layers):
    inputs = tensors(utterances([18, 6, 11]), "stack-3")
    labels, label_lengths = Tensor(np.array([[1, 2], [3, 0], [4, 4]], np.int32)), Tensor(np.array([2, 1, 2], np.int32))
    network = make_network(layers=num_layers).set_train()
    steps = Tensor(output_lengths(np.array([18, 6, 11]), "stack-3").astype(np.int32))
    each = [
        ctc_loss(network.classify(x), labels, steps, label_lengths).asnumpy().mean()
        for x in network.layer_outputs(*inputs)
    ]
    expected = each[0] if num_layers == 1 else 0.7 * each[2] + 0.3 * (each[0] + each[1]) / 2
    actual = CTCLoss(network=network, intermediate=0.3).set_train()(*inputs, labels, label_lengths)
    np.testing.assert_allclose(actual.asnumpy(), expected, rtol=1e-5)


def test_batch_norm_equals_numpy():
    random = np.random.default_rng(0)
    lengths, size = np.array([7, 2, 5]), 4
    real = np.arange(7)[:, None] < lengths
    x = random.normal(1, 2, (7, 3, size)).astype(np.float32) * real[:, :, None]
    norm = MaskedBatchNorm(size=size, momentum=0.9).set_train()
    norm.weight.set_data(Tensor(random.uniform(0.5, 2, size).astype(np.float32)))
    norm.bias.set_data(Tensor(random.normal(0, 1, size).astype(np.float32)))
    scale, shift = norm(Tensor(x), Tensor(np.array([lengths.sum()], np.float32)))
    actual = x * scale.asnumpy() + shift.asnumpy()
    values = x[real].astype(np.float64)
    mean, variance = values.mean(0), values.var(0)
    expected = norm.weight.asnumpy() * (values - mean) / np.sqrt(variance + 1e-5) + norm.bias.asnumpy()
    np.testing.assert_allclose(actual[real], expected, atol=1e-5)
    np.testing.assert_allclose(norm.mean.asnumpy(), 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(norm.variance.asnumpy(), 0.9 + 0.1 * variance, atol=1e-5)
    norm.set_train(False)
    scale, shift = norm(Tensor(x), Tensor(np.array([1.0], np.float32)))
    actual = x * scale.asnumpy() + shift.asnumpy()
    expected = (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * variance + 1e-5) * norm.weight.asnumpy() + norm.bias.asnumpy()
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("front_end", ["stack-2", "conv"])
def test_every_weight_moves_and_eight_utterances_are_overfitted(front_end, tmp_path):
    frames = utterances([24, 20, 22, 24, 18, 16, 24, 21], 1)
    labels = np.random.default_rng(2).integers(1, LABELS, (8, 4)).astype(np.int32)
    inputs = [*tensors(frames, front_end), Tensor(labels), Tensor(np.array([4, 3, 4, 4, 2, 1, 4, 4], np.int32))]
    network = make_network(front_end)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    step = TrainStep(CTCLoss(network=network), nn.Adam(network.trainable_params(), 0.02)).set_train()
    losses = [float(step(*inputs)[0].asnumpy())]
    for name, value in before.items():
        assert (dict(network.parameters_dict())[name].asnumpy() != value).any(), f"{name} has not moved"
    losses += [float(step(*inputs)[0].asnumpy()) for _ in range(150)]
    assert losses[-1] < 0.1 < losses[0]
    network.set_train(False)
    actual = network(*tensors(frames, front_end)).asnumpy()
    steps = output_lengths(np.array([len(each) for each in frames]), front_end)
    answers = [greedy(actual[: steps[b], b]) for b in range(8)]
    assert answers == [row[:n].tolist() for row, n in zip(labels, inputs[-1].asnumpy())]

    save_checkpoint(tmp_path / "a.ckpt", network.get_parameters())
    other = make_network(front_end, seed=5)
    load_into(other.get_parameters(), load_checkpoint(tmp_path / "a.ckpt")[0], "a.ckpt")
    np.testing.assert_array_equal(other(*tensors(frames, front_end)).asnumpy(), actual)


def test_subsampling():
    assert [subsampling_of(name) for name in ("none", "stack-2", "stack-9", "conv")] == [1, 2, 9, 2]
    assert output_lengths(np.array([1, 3, 4]), "stack-3").tolist() == [1, 1, 2]
    with pytest.raises(KeyError):
        subsampling_of("stack-1")
