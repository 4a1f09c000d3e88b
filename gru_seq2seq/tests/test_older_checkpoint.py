"""A checkpoint of version 1.0 loads and answers as it did: its tokenizer normalises, it knows no format.

It was trained on the synthetic corpus at commit f329c72:
    python train.py --preset tiny --vocab_size 110 --hidden_size 16 --embed_size 12 --decoder_layers 1
        --learning_rate 0.02 --max_length 40 --weight_average 0 --data_dir data/sample
"""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path

import pytest

import eval as evaluation
import export
import predict

DATA = Path(__file__).parent / "data/trained_by_1_0"


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """Options for the checkpoint, whose tokenizer model is unpacked."""
    folder = tmp_path_factory.mktemp("older") / "outputs"
    shutil.copytree(DATA, folder)
    packed = folder / "sentencepiece.model.xz"
    packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    return ["--ckpt_path", folder / "gru_seq2seq_best.ckpt", "--device_target", "CPU"]


def test_it_scores_as_it_did(common, corpus, exit_of):
    code, out, error = exit_of(evaluation.main, *common, "--data_dir", corpus, "--json")
    assert code == 0, error
    result, expected = json.loads(out), json.loads((DATA / "expected.json").read_text(encoding="utf-8"))["eval"]
    assert result["bleu"] == pytest.approx(expected["bleu"], abs=0.5)
    assert result["perplexity"] == pytest.approx(expected["perplexity"], rel=1e-4)


def test_it_translates_as_it_did(common, exit_of):
    expected = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))["predict"]
    code, out, error = exit_of(predict.main, *common, "--json", *(answer["source"] for answer in expected))
    assert code == 0, error
    for answer, line in zip(expected, out.splitlines()):
        [translation] = json.loads(line)["translations"]
        assert translation["text"] == answer["translations"][0]["text"]
        assert translation["score"] == pytest.approx(answer["translations"][0]["score"], abs=1e-3)


def test_it_is_exported(common, tmp_path, exit_of):
    arguments = ["--output_dir", tmp_path / "export", "--formats", "ONNX", "--length", "8"]
    code, out, error = exit_of(export.main, *common, *arguments)
    assert code == 0 and out.count(": ok, differs by ") == 2, error
    model = (tmp_path / "export/sentencepiece.model").read_bytes()
    assert model == lzma.decompress((DATA / "sentencepiece.model.xz").read_bytes())
