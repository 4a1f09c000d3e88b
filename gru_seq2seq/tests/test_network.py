"""The network: exact on padding, steps equal the whole, every weight trained, eight pairs overfitted."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor, nn

from src.dataset import TranslationInputs, pad_pairs
from src.inference import Part
from src.loss import TranslationLoss
from src.model_utils import native
from src.model_utils.checkpoint import load_checkpoint, load_into, save_checkpoint
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import init_device
from src.model_utils.train_step import TrainStep
from src.network import Seq2Seq, dynamic_inputs
from src.tokenization import BOS

VOCABULARY, EMBED, HIDDEN = 11, 6, 8
PAIRS = [([4, 5, 6], [7, 8]), ([9], [10, 4, 5]), ([7, 8, 9, 10, 4], [5])]
STEPS = 4  # of the longest target, its end included
VARIANTS = [("luong", 2, 2, "all", True), ("luong", 1, 1, "none", False), ("bahdanau", 1, 2, "decoder", False)]


@pytest.fixture(autouse=True, scope="module")
def cpu():
    init_device("CPU")


def make_network(attention, encoder_layers, decoder_layers, tied, layer_norm, dropout=0.0, seed=0):
    return Seq2Seq(
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        embed_size=EMBED,
        hidden_size=HIDDEN,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        attention=attention,
        dropout=dropout,
        tied_embeddings=tied,
        layer_norm=layer_norm,
        seed=seed,
    ).set_train(False)


def any_size(cell, inputs):
    """Let a cell with attention behind its decoder compile once for all sizes, as the programs do."""
    if native.enabled():
        cell.set_inputs(*inputs)
    return cell


def batch(pairs, source_steps=6, target_steps=STEPS, rows=None):
    rows = rows or len(pairs)
    arrays = pad_pairs(*zip(*pairs), source_steps, target_steps, rows)
    return [Tensor(array) for array in TranslationInputs(*arrays, dropout_keys(0, 0, rows))]


@pytest.fixture(scope="module", params=VARIANTS, ids=[f"{v[0]}-{v[2]}" for v in VARIANTS])
def network(request):
    made = make_network(*request.param)
    source, lengths, target_input, _, keys = dynamic_inputs()
    return made if made.recurrent_attention else any_size(made, [source, lengths, target_input, keys])


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_padding_and_the_other_sentences_change_nothing(network):
    source, lengths, target_input, _, keys = batch(PAIRS)
    logits = network(source, lengths, target_input, keys).asnumpy().reshape(STEPS, 3, VOCABULARY)
    source, lengths, target_input, _, keys = batch(PAIRS[::-1], 9, STEPS + 1, 4)
    longer = network(source, lengths, target_input, keys).asnumpy().reshape(STEPS + 1, 4, VOCABULARY)
    for b, (_, target) in enumerate(PAIRS):
        steps = len(target) + 1
        np.testing.assert_allclose(longer[:steps, 2 - b], logits[:steps, b], atol=2e-6)


def test_steps_of_the_decoder_are_the_rows_of_the_whole(network):
    source, lengths, target_input, _, keys = batch(PAIRS)
    whole = log_softmax(network(source, lengths, target_input, keys).asnumpy().reshape(STEPS, 3, VOCABULARY))
    state, *memory = Part(network, "encode")(source, lengths)
    step, tokens = Part(network, "decode_step"), np.full(3, BOS, np.int32)
    for t in range(STEPS):
        log_probs, state, attention = step(Tensor(tokens), state, *memory)
        real = [row for row, (_, target) in enumerate(PAIRS) if t <= len(target)]
        np.testing.assert_allclose(log_probs.asnumpy()[real], whole[t][real], atol=1e-5)
        weights = attention.asnumpy()
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        assert (weights[np.arange(6) >= lengths.asnumpy()[:, None]] == 0).all()
        if t + 1 < STEPS:
            tokens = target_input.asnumpy()[t + 1]


def test_one_step_moves_every_weight(network):
    before = {weight.name: weight.asnumpy().copy() for weight in network.trainable_params()}
    step = TrainStep(TranslationLoss(network=network, smoothing=0.1), nn.SGD(network.trainable_params(), 0.5))
    source, lengths, target_input, target_output, keys = batch(PAIRS)
    step(source, lengths, target_input, target_output, keys)
    for weight in network.trainable_params():
        assert (weight.asnumpy() != before[weight.name]).any(), weight.name
        weight.set_data(Tensor(before[weight.name]))


def test_rows_without_a_pair_have_no_part_in_the_loss():
    network = make_network(*VARIANTS[1])
    loss = any_size(TranslationLoss(network=network, smoothing=0.1).set_train(False), dynamic_inputs())
    alone, filled = (float(loss(*batch(PAIRS, rows=rows)).asnumpy()) for rows in (3, 5))
    np.testing.assert_allclose(filled, alone, rtol=1e-6)


def test_it_overfits_eight_pairs():
    random = np.random.default_rng(2)
    pairs = [
        (list(random.integers(4, VOCABULARY, n)), list(random.integers(4, VOCABULARY, 6 - n))) for n in range(1, 6)
    ]
    pairs += [(source[::-1], target) for source, target in pairs[:3]]
    network = Seq2Seq(
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        embed_size=24,
        hidden_size=32,
        tied_embeddings="all",
        seed=1,
    )
    step = TrainStep(TranslationLoss(network=network, smoothing=0.0), nn.Adam(network.trainable_params(), 0.02), 1.0)
    step.set_train(True)
    inputs = batch(pairs, 7, 7)
    losses = [float(step(*inputs)[0].asnumpy()) for _ in range(80)]
    assert losses[-1] < 0.35 < losses[0]  # three sources have two targets each to choose from


def test_dropout_is_a_function_of_its_keys():
    network = make_network(*VARIANTS[0], dropout=0.5).set_train(True)
    inputs = batch(PAIRS)
    first, again, other = (network(*inputs[:3], Tensor(dropout_keys(0, step, 3))).asnumpy() for step in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_a_checkpoint_gives_the_same_outputs(tmp_path):
    one, other = make_network(*VARIANTS[0], seed=1), make_network(*VARIANTS[0], seed=2)
    inputs = batch(PAIRS)
    inputs.pop(3)
    expected = one(*inputs).asnumpy()
    assert (other(*inputs).asnumpy() != expected).any()
    save_checkpoint(tmp_path / "one.ckpt", list(one.get_parameters()))
    load_into(other.get_parameters(), load_checkpoint(tmp_path / "one.ckpt")[0], "one.ckpt")
    assert (other(*inputs).asnumpy() == expected).all()
