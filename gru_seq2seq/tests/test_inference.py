"""The translator on a trained network: loading, averages, unknown words, perplexity, what padding must not change."""

from __future__ import annotations

import math
import shutil
import unicodedata

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src.decoding import BeamSearch
from src.inference import Translator, compiled, load_trained, mean_parameters
from src.metrics import bleu
from src.model_utils.checkpoint import load_checkpoint, save_checkpoint, training_checkpoints
from src.model_utils.runtime import UserError
from src.multi30k import read_pairs
from src.tokenization import BOS, EOS, UNK


@pytest.fixture(scope="module")
def loaded(trained):
    return load_trained(trained.best)


@pytest.fixture(scope="module")
def graphs(loaded):
    """What every translator of the tests searches with, compiled once for each shape."""
    return compiled(loaded[0])


@pytest.fixture(scope="module")
def translator(loaded, graphs):
    return Translator(*loaded, graphs)


@pytest.fixture(scope="module")
def pairs(trained):
    return read_pairs(trained.corpus, "test", "de", "en")


def test_translates_what_it_has_learnt(translator, pairs):
    results = translator.translate(pairs.sources)
    assert bleu([best.text for [best] in results], pairs.targets) > 95
    assert 1 < translator.perplexity(pairs.sources, pairs.targets) < 2
    greedy = translator.translate(pairs.sources, beam_size=1)
    assert sum(a[0].text == b[0].text for a, b in zip(results, greedy)) > 80


def test_order_blank_sentences_and_n_best(translator, pairs):
    sentences = [pairs.sources[0], "", pairs.sources[1], " \t", pairs.sources[0]]
    results = translator.translate(sentences, n_best=3)
    assert [len(translations) for translations in results] == [3, 1, 3, 1, 3]
    assert results[1][0].text == results[3][0].text == ""
    assert [best.text for best in results[0]] == [best.text for best in results[4]]
    for translations in (results[0], results[2]):
        scores = [translation.score for translation in translations]
        assert scores == sorted(scores, reverse=True)
    with pytest.raises(UserError, match="raise --beam_size"):
        translator.translate(sentences, beam_size=2, n_best=3)
    assert translator.translate([]) == []


def test_texts_come_out_as_they_went_in(translator, pairs):
    texts = [best.text for [best] in translator.translate(pairs.sources)]
    assert any("see\u200cs" in text for text in texts) and all(text.endswith(" \u2026") for text in texts)
    assert any("on\u00a0the" in text for text in texts)
    plain = [[unicodedata.normalize("NFKC", text) for text in side] for side in (texts, pairs.targets)]
    right = [i for i, (text, target) in enumerate(zip(*plain)) if text == target]
    assert len(right) > 40 and [texts[i] for i in right] == [pairs.targets[i] for i in right]


def test_unknown_characters_are_reported_once(loaded, graphs, pairs, capsys):
    translator = Translator(*loaded, graphs)
    sentence = pairs.sources[0]
    for _ in range(2):
        translator.translate([sentence, f"{sentence} 猫\u200b x", f"\u0416 {sentence}"], beam_size=1)
    output = capsys.readouterr().out
    assert output.count("warning: ") == 1
    assert "2 sentences have parts that the model does not know: '猫\\u200b', 'x', 'Ж'" in output


def test_other_forms_of_known_characters_are_read(loaded, graphs, capsys):
    translator = Translator(*loaded, graphs)
    sentence = "Eine große Mütze sieht heute."
    same = [unicodedata.normalize("NFD", sentence), f"\u00a0{sentence} ", sentence.replace(" ", "\u2003")]
    [[best], *others] = translator.translate([sentence, *same], beam_size=1)
    assert [other.text for [other] in others] == [best.text] * 3
    assert [other.source for [other] in others] == [sentence] * 3
    assert "warning" not in capsys.readouterr().out


def test_log_probs_are_those_of_the_training_network(loaded, translator, pairs):
    network, (source_tokenizer, target_tokenizer), _ = loaded
    sources = [source_tokenizer.encode(text) for text in pairs.sources[:5]]
    targets = [target_tokenizer.encode(text) for text in pairs.targets[:5]]
    steps = max(map(len, targets)) + 1
    source, lengths = _padded([[*ids, EOS] for ids in sources])
    target_input, _ = _padded([[BOS, *ids] for ids in targets], steps)
    logits = network(Tensor(source), Tensor(lengths), Tensor(target_input), Tensor(lengths)).asnumpy()
    logits = logits.reshape(steps, len(targets), -1).astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
    expected = [sum(log_probs[t, i, token] for t, token in enumerate([*ids, EOS])) for i, ids in enumerate(targets)]
    np.testing.assert_allclose(translator.search.log_probs(sources, targets), expected, rtol=1e-4, atol=1e-4)
    total = sum(len(ids) + 1 for ids in targets)
    perplexity = translator.perplexity(pairs.sources[:5], pairs.targets[:5])
    assert perplexity == pytest.approx(math.exp(-sum(expected) / total), rel=1e-4)


def _padded(sequences, steps: int = 0):
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    ids = np.zeros((max(steps, lengths.max()), len(sequences)), np.int32)
    for column, sequence in enumerate(sequences):
        ids[: len(sequence), column] = sequence
    return ids, lengths


def test_padding_and_neighbours_change_nothing(graphs, translator, pairs):
    search = BeamSearch(*graphs, 1.0, 1.5, 10)
    sources = [translator.source_tokenizer.encode(text) for text in pairs.sources]
    expected = search(sources, 5, 2)
    wider = BeamSearch(*graphs, 1.0, 1.5, 10, padded=lambda _: 48)([sources[3]], 5, 2)[0]
    for one, other in zip(wider, expected[3]):
        assert one.ids == other.ids and one.score == pytest.approx(other.score, abs=1e-4)


def test_unknown_words(loaded, graphs, pairs):
    network, tokenizers, config = loaded
    bias = network.output_bias.asnumpy().copy()
    raised = bias.copy()
    raised[UNK] += 20.0  # now the network says it does not know
    network.output_bias.set_data(Tensor(raised))
    try:
        results = {}
        for how in ("keep", "forbid", "copy"):
            translator = Translator(network, tokenizers, type(config)(config, unknown_words=how), graphs)
            results[how] = [best for [best] in translator.translate(pairs.sources[:8], beam_size=1)]
    finally:
        network.output_bias.set_data(Tensor(bias))
    unknown = [i for i, best in enumerate(results["keep"]) if UNK in best.ids]
    assert unknown and all("<unk>" in results["keep"][i].text for i in unknown)
    assert not any(UNK in best.ids or "<unk>" in best.text for best in results["forbid"])
    for i in unknown:
        assert results["copy"][i].ids == results["keep"][i].ids and "<unk>" not in results["copy"][i].text


def test_long_sentences_are_cut_with_a_warning(loaded, graphs, capsys):
    translator = Translator(*loaded, graphs, longest=12)
    [[best]] = translator.translate(["Ein Hund sieht einen Ball. " * 20], beam_size=1)
    assert "1 sentences are longer than 11 tokens" in capsys.readouterr().out
    assert best.attention.shape[1] == 12


def test_mean_of_checkpoints(trained, tmp_path):
    paths = training_checkpoints(trained.outputs, "gru_seq2seq")[-2:]
    loaded = [load_checkpoint(path)[0] for path in paths]
    mean = mean_parameters(trained.outputs, 2)
    name = "output_bias"
    expected = np.mean([parameters["average." + name].asnumpy() for parameters in loaded], 0)
    np.testing.assert_allclose(mean[name].asnumpy(), expected, rtol=1e-6)
    assert not any(key.startswith("average.") for key in mean)
    network, _, _ = load_trained(trained.best, 2)
    np.testing.assert_array_equal(network.output_bias.asnumpy(), mean[name].asnumpy())
    with pytest.raises(UserError, match=r"--average 99: .* holds \d+ training checkpoints"):
        load_trained(trained.best, 99)


def test_files_that_are_missing_or_of_another_model(trained, tmp_path):
    with pytest.raises(UserError, match="no such checkpoint file"):
        load_trained(tmp_path / "a.ckpt")
    shutil.copy(trained.best, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="config.yaml: no such file"):
        load_trained(tmp_path / "a.ckpt")
    text = (trained.outputs / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text("\n".join(line for line in text.split("\n") if "attention" not in line))
    with pytest.raises(UserError, match="has no 'attention'"):
        load_trained(tmp_path / "a.ckpt")
    for path in trained.outputs.iterdir():
        if path.suffix in (".yaml", ".json", ".model"):
            shutil.copy(path, tmp_path)
    save_checkpoint(tmp_path / "b.ckpt", [Parameter(Tensor(np.zeros(3, np.float32)), name="other")])
    with pytest.raises(UserError, match="checkpoint of another model"):
        load_trained(tmp_path / "b.ckpt")
