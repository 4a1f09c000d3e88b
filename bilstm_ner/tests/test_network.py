"""The tagging network and its losses."""

from __future__ import annotations

import numpy as np
import pytest
from easydict import EasyDict
from mindspore import Tensor

from src.config import bilstm_ner_cfg, presets
from src.dataset import CodeTable, TrainingBatches, build_vocabulary, collate, encode
from src.inference import Decoder, build_network
from src.metrics import entity_report
from src.model_utils.runtime import init_device
from src.preparation import load_prepared, prepare
from src.resume_ner import Corpus, find_file, read_corpus
from src.tagging import illegal_step
from src.train_step import build_step


def configured(**changes):
    config = {**bilstm_ner_cfg, **presets["tiny"], "embedding_dropout": 0.0, "dropout": 0.0}
    return EasyDict({**config, "mention_replacement": 0.0, **changes})


@pytest.fixture(scope="module")
def train(corpus):
    return read_corpus(find_file(corpus, "train"))


@pytest.fixture(scope="module", autouse=True)
def on_cpu():
    init_device("CPU")


def batches_of(prepared, vocabulary, config):
    return TrainingBatches(prepared.train, CodeTable(prepared, vocabulary), config)


@pytest.mark.parametrize("crf", [True, False])
def test_every_parameter_moves_and_training_overfits_eight_sentences(train, crf, tmp_path):
    few = Corpus([s for s in train.sentences if 16 < len(s.tags) <= 32][:8], train.scheme)
    lines = ["".join(f"{c} {t}\n" for c, t in zip(s.characters, s.tags)) for s in few.sentences]
    for split in ("train", "dev"):
        (tmp_path / f"{split}.char.bmes").write_text("\n".join(lines), encoding="utf-8")
    prepare(tmp_path, tmp_path / "preprocess", configured())
    prepared = load_prepared(tmp_path / "preprocess")
    vocabulary = build_vocabulary(prepared, 1, 1)
    config = configured(crf=crf, batch_size=8, weight_average=0.0, character_dropout=0.0, bigram_dropout=0.0)
    network = build_network(config, vocabulary)
    step = build_step(network, vocabulary, config, 0.02)
    before = [weight.asnumpy().copy() for weight in step.weights]
    inputs = [Tensor(array) for array in next(batches_of(prepared, vocabulary, config)(1)).inputs]
    step.set_train(True)
    first = float(step(*inputs)[0].asnumpy())
    still = [w.name for w, old in zip(step.weights, before) if np.array_equal(w.asnumpy(), old)]
    assert not still and len(step.weights) == (2 + 6 + 2 + 3 * crf + 4)
    for _ in range(60):
        loss = float(step(*inputs)[0].asnumpy())
    assert loss < first / 5
    answers = Decoder(network, vocabulary, config)(encode(few.sentences, vocabulary))
    assert entity_report([s.tags for s in few.sentences], answers, few.scheme)["f1"] > 0.9


def test_no_part_of_the_loss_depends_on_padding(prepared):
    vocabulary, config = build_vocabulary(prepared, 1, 2), configured(language_model=0.5)
    step = build_step(build_network(config, vocabulary), vocabulary, config, 0.02)
    loss = step.loss_network.set_train(False)
    batch = next(batches_of(prepared, vocabulary, config)(1)).inputs
    size = batch.lengths[0]

    def padded(array, steps):
        return np.pad(array[:, :1], ((0, steps), (0, 0)))

    losses = []
    for steps in (0, 1, 7):
        longer = batch._replace(
            characters=padded(batch.characters[:size], steps),
            bigrams=padded(batch.bigrams[: size + 1], steps),
            lengths=batch.lengths[:1],
            dropout_keys=batch.dropout_keys[:1],
            tags=padded(batch.tags[:size], steps),
            targets=padded(batch.targets[:size], steps),
        )
        losses.append(float(loss(*map(Tensor, longer)).asnumpy()))
    np.testing.assert_allclose(losses[1:], losses[0], rtol=1e-5)


def test_the_weight_average_is_updated_every_few_steps(prepared):
    vocabulary, config = build_vocabulary(prepared, 1, 2), configured(weight_average=0.9, average_every=4)
    step = build_step(build_network(config, vocabulary), vocabulary, config, 0.02)
    step.set_train(True)
    inputs = [Tensor(array) for array in next(batches_of(prepared, vocabulary, config)(1)).inputs]
    expected = step.weights[-1].asnumpy().copy()
    for number in range(1, 10):
        step(*inputs)
        if number % 4 == 0:
            decay = min((1 + number) / (10 + number), 0.9) ** 4
            expected = expected * decay + step.weights[-1].asnumpy() * (1 - decay)
    np.testing.assert_allclose(step.average.copies[-1].asnumpy(), expected, rtol=1e-4, atol=1e-6)
    assert float(step.average.updates.asnumpy()) == number


def test_no_result_depends_on_padding_or_on_the_batch(prepared, train):
    vocabulary, config = build_vocabulary(prepared, 1, 2), configured()
    samples = encode(train.sentences[:6], vocabulary)
    network = Decoder(build_network(config, vocabulary), vocabulary, config).network
    batch = collate(samples)
    together = network(*map(Tensor, batch)).asnumpy()
    spoilt = batch._replace(characters=batch.characters.copy(), bigrams=batch.bigrams.copy())
    for column, length in enumerate(batch.lengths):
        spoilt.characters[length:, column], spoilt.bigrams[length + 1 :, column] = 5, 7
    other = network(*map(Tensor, spoilt)).asnumpy()
    for column, length in enumerate(batch.lengths):
        alone = network(*map(Tensor, collate([samples[column]], int(length)))).asnumpy()
        np.testing.assert_allclose(together[:length, column], alone[:, 0], atol=1e-6)
        np.testing.assert_allclose(together[:length, column], other[:length, column], atol=1e-6)


@pytest.mark.parametrize("crf", [True, False])
def test_an_untrained_network_answers_legally_and_best_begins_with_the_best(prepared, train, crf, by_two_ranks):
    vocabulary, config = build_vocabulary(prepared, 1, 2), configured(crf=crf)
    samples = encode(train.sentences[:10], vocabulary)
    decoder = Decoder(build_network(config, vocabulary), vocabulary, config)
    assert by_two_ranks(lambda: decoder(samples)) == decoder(samples)
    for tags, paths in zip(decoder(samples), decoder.best(samples, 3)):
        assert illegal_step(tags, vocabulary.scheme) is None
        assert paths[0][0] == tags and [s for _, s in paths] == sorted((s for _, s in paths), reverse=True)
        assert len({tuple(path) for path, _ in paths}) == len(paths) == 3
