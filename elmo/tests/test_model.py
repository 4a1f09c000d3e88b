"""The biLM: golden embeddings from weights in the published format, gradients, words and state."""

import h5py
import mindspore as ms
import numpy as np
import numpy_reference as reference
import pytest
from mindspore import Tensor, nn, ops

from src.data.token_indexer import encode_words, group_words
from src.inference import STEPS, Embedder, WordEncoder, build_bilm, load_model


@pytest.fixture(scope="module")
def model(published):
    """The network of the tiny published weights with embedders of both kinds."""
    network, options = load_model(published.weights)
    return network, options, {kind: Embedder(network, options, 2, kind) for kind in (True, False)}


def test_stateless_embeddings_are_those_of_the_reference(published, model):
    weights = reference.read(published.weights)
    embeddings = dict(model[2][False](published.sentences))
    assert max(map(len, published.sentences)) + 2 > STEPS
    assert sorted(embeddings) == list(range(len(published.sentences)))
    for number, sentence in enumerate(published.sentences):
        expected, _ = reference.embed(sentence, weights, published.options)
        assert embeddings[number].shape == expected.shape == (3, len(sentence), 32)
        np.testing.assert_allclose(embeddings[number], expected, atol=5e-6)


def test_stateful_embeddings_continue_from_the_state_of_their_row(published, model):
    weights, states = reference.read(published.weights), [None, None]
    embeddings = list(model[2][True](published.sentences))
    assert [number for number, _ in embeddings] == list(range(len(published.sentences)))
    for number, layers in embeddings:
        row = number % 2
        expected, states[row] = reference.embed(published.sentences[number], weights, published.options, states[row])
        np.testing.assert_allclose(layers, expected, atol=5e-6)
    alone, _ = reference.embed(published.sentences[2], weights, published.options)
    assert np.abs(embeddings[2][1] - alone).max() > 1e-3


def test_the_state_is_carried_from_call_to_call(published, model, monkeypatch):
    monkeypatch.setattr("src.inference.ROUNDS", 2)  # five sentences in two rows: the third round is a run of its own
    embedder = Embedder(*model[:2], 2, stateful=True)
    expected = [layers for _, layers in embedder(published.sentences)]
    embedder.restart()
    parts = published.sentences[:1], published.sentences[1:4], published.sentences[4:]
    embeddings = [layers for part in parts for _, layers in embedder(part)]
    for one, other in zip(embeddings, expected):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_sentence_without_words_has_layers_of_no_words(model):
    ((number, layers),) = model[2][False]([[]])
    assert number == 0 and layers.shape == (3, 0, 32)


def test_forgotten_words_are_encoded_again(model, monkeypatch):
    encoder = WordEncoder(*model[:2])
    first = encoder(["a", "b", "a"])
    monkeypatch.setattr("src.inference.KNOWN_WORDS", 3)
    encoder(["c", "d"])
    assert list(encoder.vectors) == ["c", "d"]
    np.testing.assert_array_equal(encoder(["a", "b", "a"]), first)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_embeddings_of_published_weights_are_the_published_ones(elmo_fixture, batch_size):
    network, options = load_model(elmo_fixture.weights)
    embedder = Embedder(network, options, batch_size)
    with h5py.File(elmo_fixture.embeddings, "r") as file:
        for number, sentence in enumerate(elmo_fixture.sentences):
            others = [elmo_fixture.sentences[-number][: 3 + number]] * (batch_size - 1)  # the published row is row 0
            _, layers = next(iter(embedder([sentence, *others])))
            expected = np.concatenate(list(file[str(number)]), 1)  # forward and backward half of the top layer
            assert np.abs(layers[-1] - expected).max() <= 1e-6


class Losses(nn.Cell):
    """Loss and gradients of every weight, and the outputs."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        weights = ms.ParameterTuple(network.trainable_params())
        self.gradients = ms.value_and_grad(self.loss, None, weights, has_aux=True)

    def loss(self, *inputs):
        forward, backward, h, c = self.network(*inputs)
        forward, backward = ops.stack(forward), ops.stack(backward)
        # not a plain sum of squares: the layers must differ in what they get
        return ops.square(forward[-1] - 0.1).sum() + ops.square(backward[-1] + 0.2).sum(), forward, backward, h, c

    def construct(self, *inputs):
        return self.gradients(*inputs)


def inputs_of(options, sentences, steps, keys=0):
    """Return the inputs of a BiLanguageModel for the first words of each sentence, from a zero state."""
    words = sorted({word for sentence in sentences for word in sentence[:steps]})
    short, long, place = group_words(encode_words(words, 50), options.widest_filter, (8, 2))
    index = np.array([[place[words.index(word)] for word in sentence[:steps]] for sentence in sentences], np.int32).T
    batch, layers = len(sentences), options.n_layers
    h = np.zeros((2, layers, batch, options.projection_dim), np.float32)
    c = np.zeros((2, layers, batch, options.lstm_dim), np.float32)
    dropout_keys = np.full((2, batch), keys, np.int32)
    arrays = short, long, index, np.ascontiguousarray(index[::-1]), h, c, dropout_keys
    return [Tensor(array) for array in arrays]


def test_state_and_gradients_and_dropout_in_training(published):
    """State, gradient of every parameter, and dropout by keys; one network because each compilation takes seconds."""
    network, options = load_model(published.weights)
    sentences = [published.sentences[k] for k in (0, 2)]
    step = Losses(network)
    step.set_train(False)
    inputs = inputs_of(options, sentences, 6)
    (loss, forward, backward, h, c), gradients = step(*inputs)

    weights = reference.read(published.weights)
    for row, sentence in enumerate(sentences):
        x = np.array([reference.word_vector(word, weights, options) for word in sentence[:6]])
        for number, (output, word_vectors) in enumerate(((forward, x), (backward, x[::-1]))):
            layers, states = reference.direction(word_vectors, number, weights, options)
            np.testing.assert_allclose(output.asnumpy()[0, :, row], word_vectors, atol=5e-6)
            np.testing.assert_allclose(output.asnumpy()[1:, :, row], layers, atol=5e-6)
            for k, (state_h, state_c) in enumerate(states):
                np.testing.assert_allclose(h.asnumpy()[number, k, row], state_h, atol=5e-6)
                np.testing.assert_allclose(c.asnumpy()[number, k, row], state_c, atol=5e-6)
    for parameter, gradient in zip(network.trainable_params(), gradients):
        assert np.abs(gradient.asnumpy()).max() > 0, parameter.name

    direction = [np.sign(gradient.asnumpy()) for gradient in gradients]
    slope = sum(float((g.asnumpy() * d).sum()) for g, d in zip(gradients, direction))
    kept = [parameter.asnumpy().copy() for parameter in network.trainable_params()]
    sides = []
    for move in (3e-4, -3e-4):
        for parameter, value, d in zip(network.trainable_params(), kept, direction):
            parameter.set_data(Tensor(value + np.float32(move) * d))
        sides.append(float(step(*inputs)[0][0].asnumpy()))
    assert (sides[0] - sides[1]) / 6e-4 == pytest.approx(slope, rel=0.02)

    step.set_train(True)
    one, same, other = (step(*inputs_of(options, sentences, 6, keys))[0][0].asnumpy() for keys in (7, 7, 99991))
    assert one == same != other and one != loss.asnumpy()


def test_a_new_network_has_the_published_starting_values(published):
    network = build_bilm(published.options, seed=1)
    again, other = build_bilm(published.options, seed=1), build_bilm(published.options, seed=2)
    for a, b, c in zip(*(each.get_parameters() for each in (network, again, other))):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
        if np.ptp(a.asnumpy()):
            assert np.abs(a.asnumpy() - c.asnumpy()).max() > 0, a.name
    values = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    assert np.abs(values["char_encoder.char_embed"]).max() <= 1
    assert np.abs(values["char_encoder.w_cnn_0"]).max() <= 0.05
    assert set(values["char_encoder.highways.0.b_carry"].tolist()) == {-2}
    assert not np.array_equal(values["forward_layers.0.w_x"], values["backward_layers.0.w_x"])
