"""train.py, eval.py, predict.py and export.py on the synthetic corpus."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import eval as evaluation
import export
import predict
import train
from src import sample_data
from src.model_utils.checkpoint import load_checkpoint

LINE = re.compile(r"^epoch: \d+ step: \d+, loss is (\d+\.\d{7})$", re.MULTILINE)
SHORT = ["--preset", "tiny", "--device_target", "CPU", "--train_epochs", "2", "--print_steps", "1", "--data_path"]


def test_training_leaves_what_it_promises(trained):
    assert trained.result["best_valid_entity_f1"] > 0.8
    names = {path.name for path in trained.outputs.iterdir()}
    assert {"bilstm_ner_best.ckpt", "bilstm_ner-6_10.ckpt", "config.yaml", "vocab.json", "metrics.jsonl"} <= names


def test_a_resumed_training_equals_the_uninterrupted_one(corpus, tmp_path):
    options = [*SHORT, str(corpus), "--save_checkpoint_steps", "7", "--keep_checkpoint_max", "0", "--ckpt_path"]
    train.main([*options, str(tmp_path / "whole")])
    train.main([*options, str(tmp_path / "resumed")])
    for name in ("1_10", "2_4", "2_10"):
        (tmp_path / "resumed" / f"bilstm_ner-{name}.ckpt").unlink()
    train.main([*options, str(tmp_path / "resumed"), "--resume"])
    whole, resumed = (load_checkpoint(tmp_path / name / "bilstm_ner-2_10.ckpt")[0] for name in ("whole", "resumed"))
    assert whole.keys() == resumed.keys()
    assert all(np.array_equal(whole[name].asnumpy(), resumed[name].asnumpy()) for name in whole)


def test_evaluation_of_a_checkpoint(trained, tmp_path, capsys):
    options = ["--ckpt_path", str(trained.best), "--data_path", str(trained.corpus), "--device_target", "CPU"]
    capsys.readouterr()
    evaluation.main([*options, "--split", "dev", "--json", "--errors", str(tmp_path / "wrong.txt")])
    result = json.loads(capsys.readouterr().out)
    assert result["entity"]["f1"] == pytest.approx(trained.result["best_valid_entity_f1"])
    wrong = (tmp_path / "wrong.txt").read_text(encoding="utf-8")
    assert wrong.count("# line ") == result["sentences_with_errors"]
    evaluation.main(options)
    shown = capsys.readouterr().out
    assert "tags, weighted by support, with O" in shown and "entities, strict" in shown and "TITLE" in shown


def test_prediction_of_texts_lines_and_pages(trained, tmp_path, capsys, monkeypatch):
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU"]
    text = "王伟，男，汉族，\u9f98 <现任>北京电子有限公司总经理。"
    capsys.readouterr()
    predict.main([text, "", "  ", text * 200, *options, "--json"])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 4 and answers[1]["entities"] == answers[2]["entities"] == []
    assert len(answers[3]["text"]) > 5000 and len(answers[3]["entities"]) > 200
    assert "ORG" in {entity["type"] for entity in answers[0]["entities"]}
    for answer in answers:
        assert all(answer["text"][e["start"] : e["end"]] == e["text"] for e in answer["entities"])
    (tmp_path / "lines.txt").write_text(f"{text}\n\n{text}", encoding="utf-8")
    assert predict.main(["--input_file", str(tmp_path / "lines.txt"), *options, "--best", "2"]) == 3
    assert "2. score" in capsys.readouterr().out
    read, write = os.pipe()
    os.write(write, text.encode() + b"\n\xff\n")
    os.close(write)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(read, "rb")))
    assert predict.main([*options, "--html", str(tmp_path / "page.html")]) == 2
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;" in page and "<现任" not in page and "<small>ORG</small></mark>" in page
    assert "standard input:2: not UTF-8" in capsys.readouterr().err


PEOPLE = ("John", "Peter", "Mary", "Tom", "Susan", "Anna")
PLACES = ("Rome", "Paris", "Oslo", "Madrid", "Berlin", "London")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Checkpoint of a tagger of words, trained on sentences such as `Mary Smith lives in Paris .`."""
    folder = tmp_path_factory.mktemp("words")
    for split in ("train", "dev"):
        sentences = [
            f"{person} B-PER\nSmith I-PER\nlives O\nin O\n{place} B-LOC\n. O\n" for person in PEOPLE for place in PLACES
        ]
        (folder / f"{split}.txt").write_text("\n".join(sentences), encoding="utf-8")
    train.main([*SHORT, str(folder), "--ckpt_path", str(folder / "outputs"), "--train_epochs", "8"])
    return folder / "outputs" / "bilstm_ner_best.ckpt"


@pytest.mark.parametrize("text", ["Mary Smith lives in Paris .", "Mary Smith lives in Paris."])
def test_a_model_trained_on_words_tags_words(words, capsys, text):
    capsys.readouterr()
    predict.main([text, "--ckpt_path", str(words), "--device_target", "CPU"])
    assert capsys.readouterr().out.splitlines() == [text, "    0-10 PER Mary Smith", "    20-25 LOC Paris"]
    assert "units: words" in (words.parent / "config.yaml").read_text(encoding="utf-8")


def test_export_of_a_checkpoint(trained, tmp_path):
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU", "--data_path", str(trained.corpus)]
    differences = export.main([*options, "--output_dir", str(tmp_path)])
    assert set(differences) == {"MINDIR", "ONNX"} and max(differences.values()) <= export.TOLERANCE
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"bilstm_ner.mindir", "bilstm_ner.onnx", "transitions.npz", "vocab.json", "config.yaml"}


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        (train, "", "--data_path is missing"),
        (train, "--data_path lost", "lost: no such file or folder"),
        (train, "--data_path {corpus} --train_epoch 3", "did you mean '--train_epochs'?"),
        (train, "--data_path {corpus} --dropout 2", "dropout is 2.0 but must be at least 0 and below 1"),
        (train, "--data_path {corpus} --batch_size many", "batch_size must be of type int"),
        (train, "--data_path {corpus} --char_vectors lost.txt", "lost.txt"),
        (train, "--data_path {corpus} --ckpt_path {outputs}", "holds an earlier training"),
        (evaluation, "--ckpt_path lost.ckpt --data_path {corpus}", "lost.ckpt: no such checkpoint"),
        (evaluation, "--ckpt_path {best}", "--data_path is missing"),
        (predict, "text --ckpt_path {best} --best 0", "--best 0: choose 1 or more"),
        (predict, "text --input_file x --ckpt_path {best}", "not both"),
        (export, "--ckpt_path {best} --formats TFLITE", "unknown format 'TFLITE'"),
        (export, "--ckpt_path {best} --config_path a.yaml", "unrecognized arguments: --config_path"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(trained, exit_of, program, arguments, words):
    places = {"corpus": trained.corpus, "outputs": trained.outputs, "best": trained.best}
    code, _, error = exit_of(program.main, "--device_target", "CPU", *arguments.format(**places).split())
    assert code == 2 and words in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_wrong_option_of_the_sample_gets_one_line(exit_of):
    code, _, error = exit_of(sample_data.main, "here", "--sentence", "3")
    assert code == 2 and "did you mean '--sentences'?" in error and error.count("\n") == 1


def test_two_processes_train_as_one_does(corpus, tmp_path):
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    binaries = Path(sys.executable).parent
    if not (binaries / "msrun").exists():
        pytest.skip("no msrun beside this Python")
    program = str(Path(train.__file__).resolve())
    # without the weight average: the order of the sums differs, and the loss is compared
    options = [*SHORT, str(corpus), "--train_epochs", "1", "--dropout", "0.3", "--ckpt_path"]
    one = subprocess.run(
        [sys.executable, program, *options, str(tmp_path / "one")], capture_output=True, text=True, timeout=300
    )
    command = [str(binaries / "msrun"), "--worker_num=2", "--local_worker_num=2", f"--master_port={port}"]
    command += ["--join=True", f"--log_dir={tmp_path / 'log'}", program, "--distributed", "true", *options]
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    two = subprocess.run(
        [*command, str(tmp_path / "two")], capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path
    )
    log = (tmp_path / "log" / "worker_0.log").read_text(encoding="utf-8")
    assert one.returncode == two.returncode == 0, log[-2000:]
    losses = [[float(loss) for loss in LINE.findall(text)] for text in (one.stdout, log)]
    assert len(losses[0]) == 10
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
