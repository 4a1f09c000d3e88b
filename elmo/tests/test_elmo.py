"""Elmo as a layer of another network: the embeddings, what is trained, and that a task can learn from it."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.elmo import Elmo
from src.inference import Embedder, load_model
from src.model_utils.layers import dropout_keys


def inputs(elmo, sentences, keys=0):
    return [Tensor(array) for array in (*elmo.batch_words(sentences), dropout_keys(keys, 0, len(sentences)))]


def test_embeddings_are_the_mixture_of_the_layers(published):
    elmo = Elmo.load(published.ckpt, dropout=0.4)
    elmo.set_train(False)
    network, options = load_model(published.ckpt)
    expected = dict(Embedder(network, options, 3)(published.sentences))
    embeddings = elmo(*inputs(elmo, published.sentences)).asnumpy()  # (T, B, 2P)
    assert embeddings.shape == (max(map(len, published.sentences)), 5, elmo.output_size)
    for number, sentence in enumerate(published.sentences):
        np.testing.assert_allclose(embeddings[: len(sentence), number], expected[number].mean(0), atol=2e-6)
        assert not embeddings[len(sentence) :, number].any()


class Tagger(nn.Cell):
    """Says of every word whether it is a certain one, from its embedding."""

    def __init__(self, elmo):
        super().__init__()
        self.elmo = elmo
        self.weight = ms.Parameter(Tensor(np.zeros((elmo.output_size, 1), np.float32)), name="weight")

    def construct(self, char_ids, long_char_ids, index, lengths, keys, targets):
        logits = ops.matmul(self.elmo(char_ids, long_char_ids, index, lengths, keys), self.weight)[:, :, 0]
        return ops.relu(1 - logits * targets).mean()


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_task_trains_the_mixture_and_on_request_the_bilm(published, fine_tune):
    elmo = Elmo.load(published.ckpt, layer_norm=True, dropout=0.1, fine_tune=fine_tune)
    tagger = Tagger(elmo)
    before = {parameter.name: parameter.asnumpy().copy() for parameter in tagger.get_parameters()}
    sentences = [published.sentences[k] for k in (0, 3)]
    targets = np.full((6, 2), -1, np.float32)
    targets[1, 0] = targets[3, 1] = 1  # "film"
    optimizer = nn.Adam(tagger.trainable_params(), 0.05)
    step = nn.TrainOneStepCell(tagger, optimizer)
    step.set_train(True)
    sentences[0] = sentences[0][:6]
    losses = [float(step(*inputs(elmo, sentences, k), Tensor(targets)).asnumpy()) for k in range(12)]
    assert losses[-1] < 0.5 * losses[0]
    moved = {p.name for p in tagger.get_parameters() if not np.array_equal(p.asnumpy(), before[p.name])}
    own = {"weight", "elmo.mix.weights", "elmo.mix.gamma"}
    assert own <= moved
    of_bilm = {name for name in before if name.startswith("elmo.network.")}
    assert (moved == before.keys()) if fine_tune else not moved & of_bilm
