"""export.py: both graphs of both formats translate as the checkpoint does; every kind of network as ONNX."""

from __future__ import annotations

from functools import partial

import mindspore as ms
import numpy as np
import onnxruntime
import pytest

import export
import predict
from src.dataset import pad_sources
from src.decoding import BeamSearch
from src.inference import compiled
from src.network import Seq2Seq
from src.onnx_export import build_decoder, build_encoder
from src.tokenizer_files import load_tokenizers, same_tokenizers


def test_mindir_and_onnx_translate_as_the_checkpoint(trained, tmp_path, exit_of, run_exported):
    sides = [(trained.corpus / f"val.{end}").read_text(encoding="utf-8").split("\n")[:-1] for end in ("de", "en")]
    short = [pair for pair in zip(*sides) if len(pair[0].split()) < 8]  # for longer ones more has to be compiled
    for end, lines in zip(("de", "en"), zip(*short)):
        (tmp_path / f"val.{end}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    output = tmp_path / "export"
    common = ["--ckpt_path", trained.best, "--device_target", "CPU"]
    code, out, error = exit_of(
        export.main, *common, "--output_dir", output, "--data_dir", tmp_path, "--split", "val", "--length", "16"
    )
    assert code == 0, error
    assert len(short) > 10 and out.count(f"in no translation of {len(short)} sentences") == 4
    files = {path.name for path in output.iterdir()}
    graphs = {f"gru_seq2seq_{part}.{kind}" for part in ("encoder", "decoder") for kind in ("mindir", "onnx")}
    company = {"config.yaml", "tokenizer.json", "sentencepiece.model", "processing.json"}
    assert files == {*graphs, *company, "processing.py", "run_onnx.py", "run_mindir.py"}
    assert same_tokenizers(load_tokenizers(output), load_tokenizers(trained.outputs))
    sentences = [source for source, _ in short[:4]] + [f"{short[0][0][:-1]} \u2581 \u8a69 q\u0308.", " "]
    code, expected, error = exit_of(predict.main, *sentences, *common)
    assert code == 0 and "\u8a69" in error and expected.endswith("\n\n"), error
    for script in ("run_onnx.py", "run_mindir.py"):
        assert run_exported(output, script, *sentences) == expected


def test_what_differs_is_not_exported(trained, tmp_path, exit_of, monkeypatch):
    write = export.write_onnx_graphs

    def write_nonsense(network, folder):
        encode, step = write(network, folder)
        return encode, lambda *inputs: [output * 1.01 for output in step(*inputs)]

    monkeypatch.setattr(export, "write_onnx_graphs", write_nonsense)
    arguments = ["--ckpt_path", trained.best, "--device_target", "CPU", "--output_dir", tmp_path, "--formats", "onnx"]
    arguments += ["--length", "8"]
    with pytest.raises(SystemExit, match="ONNX differs from"):
        export.main(list(map(str, arguments)))
    assert list(tmp_path.iterdir()) == []


def test_wrong_use(trained, exit_of):
    for arguments, message in (
        (["--formats", "AIR"], "unknown format 'AIR'"),
        (["--length", "1"], "--length 1: choose 2 to"),
    ):
        code, _, error = exit_of(export.main, "--ckpt_path", trained.best, *arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error


def run(session, *inputs):
    return session.run(None, dict(zip((value.name for value in session.get_inputs()), inputs)))


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "luong", "encoder_layers": 2, "decoder_layers": 2, "layer_norm": True},
        {"attention": "bahdanau", "decoder_layers": 2},
        {"attention": "luong", "decoder_layers": 1, "tied_embeddings": "all"},
    ],
)
def test_onnx_of_every_kind_of_network(options):
    ms.set_context(mode=ms.GRAPH_MODE)
    network = Seq2Seq(source_vocabulary=20, target_vocabulary=20, embed_size=8, hidden_size=12, seed=1, **options)
    network.set_train(False)
    sources = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]
    ids, lengths = pad_sources(sources, 6, 3)
    tokens = np.array([2, 7, 9], np.int32)
    encode, step = compiled(network)
    state, *memory = encode(ids, lengths)
    expected = step(tokens, state, *memory)
    encoder, decoder = (
        onnxruntime.InferenceSession(build(network).SerializeToString(), providers=["CPUExecutionProvider"])
        for build in (build_encoder, build_decoder)
    )
    state, *memory = run(encoder, ids, lengths)
    for one, other in zip(run(decoder, tokens, state, *memory), expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    search = BeamSearch(partial(run, encoder), partial(run, decoder), 1.0, 1.0, 2, put=np.array)
    assert all(len(hypotheses) == 2 for hypotheses in search(sources, 3, 2))
