"""export.py: MINDIR and ONNX files that say what the checkpoint says, for any batch, or are not there."""

import json

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor, nn

import export
import predict
from src.dataset import encode_reviews
from src.imdb import read_reviews
from src.inference import Classifier, load_trained
from src.metrics import log_softmax
from src.model_utils.exporting import write_onnx
from src.network import POOLINGS, SentimentNet
from src.onnx_export import build_onnx
from src.preparation import SPECIAL_TOKENS


def run_onnx(model, ids, lengths):
    source = str(model) if not hasattr(model, "SerializeToString") else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"ids": ids, "lengths": lengths})[0]


def test_exported_files_answer_real_reviews_like_the_checkpoint(trained, tmp_path, exit_of, run_exported):
    code, out, err = exit_of(
        export.main, "--ckpt_path", trained.best, "--output_dir", tmp_path, "--aclimdb_path", trained.corpus
    )
    assert code == 0, err
    scripts = {"processing.py", "run_mindir.py", "run_onnx.py", "tokenizer.py"}
    company = {"config.yaml", "processing.json", "vocab.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"lstm.mindir", "lstm.onnx", *company, *scripts}
    for name, line in zip(("lstm.mindir", "lstm.onnx"), out.splitlines()[-2:]):
        assert line.startswith(f"{tmp_path}/{name}: ok, differs by ") and "tokens" in line
    for name in ("config.yaml", "vocab.json"):
        assert (tmp_path / name).read_text() == (trained.outputs / name).read_text()

    network, config, vocabulary = load_trained(trained.best)
    assert json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8")) == list(vocabulary)
    samples = encode_reviews(read_reviews(trained.corpus, "test")[::30], vocabulary)
    expected = np.exp(log_softmax(Classifier(network, config).logits(samples)))
    lengths = np.array([len(sample.ids) for sample in samples], np.int32)
    ids = np.full((len(samples), lengths.max() + 3), 7, np.int32)  # what stands behind the end is ignored
    for row, sample in zip(ids, samples):
        row[: len(sample.ids)] = sample.ids
    loaded = nn.GraphCell(ms.load(str(tmp_path / "lstm.mindir")))
    np.testing.assert_allclose(loaded(Tensor(ids), Tensor(lengths)).asnumpy(), expected, atol=1e-5)
    np.testing.assert_allclose(run_onnx(tmp_path / "lstm.onnx", ids, lengths), expected, atol=1e-5)

    long = " ".join(["bad"] * config.max_length + ["good"] * (config.max_length // 2 + 5))
    texts = ["It isn't a good film, cafe\u0301 8/10 :)", "qqqq", " ", long]
    arguments = "--explain", "0", "--json", "--ckpt_path", trained.best
    answers = [json.loads(line) for line in exit_of(predict.main, *texts, *arguments)[1].splitlines()]
    for script in ("run_onnx.py", "run_mindir.py"):
        lines = run_exported(tmp_path, script, *texts).splitlines()
        assert lines[2] == "empty" and len(lines) == len(texts)
        for i in (0, 1, 3):
            label, probability, text = lines[i].split(maxsplit=2)
            assert (label, text) == (answers[i]["label"], texts[i])
            assert float(probability) == pytest.approx(answers[i]["probability"], abs=1e-4)


@pytest.mark.parametrize(
    ("pooling", "layers", "bidirectional", "projection", "offsets"),
    [
        ("ends", 2, True, 0, False),
        ("mean", 1, False, 6, True),
        ("max", 2, False, 0, True),
        ("mean_max", 1, True, 6, False),
        ("attention", 2, True, 6, True),
    ],
)
def test_onnx_graph_of_every_configuration(pooling, layers, bidirectional, projection, offsets):
    random = np.random.default_rng(1)
    network = SentimentNet(
        vocabulary_size=40,
        embed_size=8,
        num_hiddens=5,
        num_layers=layers,
        bidirectional=bidirectional,
        num_classes=2,
        pooling=pooling,
        projection_size=projection,
        trained_words=12 * offsets,
        seed=3,
    )
    for parameter in network.get_parameters():
        parameter.set_data(Tensor(random.normal(0, 0.5, parameter.shape).astype(np.float32)))
    exported = export.ExportedNet(network)
    exported.set_train(False)
    exported.set_inputs(Tensor(shape=[None, None], dtype=ms.int32), Tensor(shape=[None], dtype=ms.int32))
    model = build_onnx(network, exported.table.asnumpy())
    for batch, longest in ((1, 1), (1, 20), (7, 12)):
        lengths = random.integers(1, longest + 1, batch).astype(np.int32)
        lengths[-1] = longest
        ids = random.integers(0, 40, (batch, longest)).astype(np.int32)
        expected = exported(Tensor(ids), Tensor(lengths)).asnumpy()
        np.testing.assert_allclose(run_onnx(model, ids, lengths), expected, atol=2e-6)
        alone = run_onnx(model, ids[:1, : lengths[0]], lengths[:1])
        np.testing.assert_allclose(alone, expected[:1], atol=2e-6)
    assert np.abs(expected - expected[0]).max() > 1e-3
    assert pooling in POOLINGS


def test_a_file_that_differs_does_not_take_its_place(trained, tmp_path, exit_of, monkeypatch):
    def write_wrongly(model, path):
        answer = write_onnx(model, path)
        return lambda ids, lengths: [answer(ids, lengths)[0] + np.float32(2e-5)]

    monkeypatch.setattr(export, "write_onnx", write_wrongly)
    (tmp_path / "lstm.onnx").write_text("older", encoding="utf-8")
    arguments = "--ckpt_path", trained.best, "--output_dir", tmp_path, "--formats", "ONNX"
    code, out, _ = exit_of(export.main, *arguments)
    assert code == f"error: ONNX differs from {trained.best} by 2.0e-05, more than 1e-05; nothing was exported"
    assert "ok" not in out
    assert [path.name for path in tmp_path.iterdir()] == ["lstm.onnx"]
    assert (tmp_path / "lstm.onnx").read_text(encoding="utf-8") == "older"


def test_formats_can_be_chosen(trained, tmp_path):
    differences = export.main(
        ["--ckpt_path", str(trained.best), "--output_dir", str(tmp_path / "new" / "place"), "--formats", "onnx"]
    )
    assert list(differences) == ["ONNX"] and differences["ONNX"] <= 1e-5
    assert not (tmp_path / "new" / "place" / "lstm.mindir").exists()


def test_vocabulary_starts_with_the_ids_that_the_graph_takes_for_granted(trained):
    assert tuple(load_trained(trained.best)[2])[:2] == SPECIAL_TOKENS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--ckpt_path {best} --formats AIR", "--formats: unknown format 'AIR'; choose from MINDIR, ONNX"),
        ("--ckpt_path {best} --formats MINDIR,", "--formats: unknown format ''"),
        ("--ckpt_path {folder}/lost.ckpt", "{folder}/lost.ckpt: no such checkpoint file"),
        ("--ckpt_path {best} --aclimdb_path /nowhere", "/nowhere/test/neg: no such folder"),
        ("--ckpt_path {folder}/lost.ckpt --output_dir {outputs}", "{outputs}: holds checkpoints of another training"),
        ("--ckpt_path {best} --output_dir {glove}", "Not a directory"),
        ("--output_dir /tmp", "the following arguments are required: --ckpt_path"),
    ],
)
def test_errors_of_the_user(trained, tmp_path, monkeypatch, exit_of, arguments, words):
    monkeypatch.chdir(tmp_path)  # the default output folder is relative
    places = vars(trained)
    code, out, err = exit_of(export.main, *arguments.format(**places).split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and words.format(**places) in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
