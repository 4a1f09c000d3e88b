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
from src import arguments, sample_data
from src import config as config_module
from src.config import bilstm_ner_cfg, bilstm_ner_cfg_ascend
from src.highlight import page
from src.model_utils.checkpoint import load_checkpoint
from src.model_utils.configuration import allowed_ranges
from src.resume_ner import read_corpus
from src.tagging import entities

LINE = re.compile(r"^epoch: \d+ step: \d+, loss is (\d+\.\d{7})$", re.MULTILINE)
SHORT = ["--preset", "tiny", "--device_target", "CPU", "--train_epochs", "2", "--print_steps", "1", "--data_path"]


def test_training_leaves_what_it_promises(trained):
    assert trained.result["best_valid_entity_f1"] > 0.8
    names = {path.name for path in trained.outputs.iterdir()}
    assert {"bilstm_ner_best.ckpt", "bilstm_ner-6_10.ckpt", "config.yaml", "vocab.json", "metrics.jsonl"} <= names


def test_a_mistyped_data_path_leaves_the_training_that_overwrite_would_delete(trained, exit_of):
    before = {path.name: path.read_bytes() for path in trained.outputs.iterdir()}
    options = ["--preset", "tiny", "--device_target", "CPU", "--ckpt_path", trained.outputs, "--overwrite"]
    code, _, error = exit_of(train.main, *options, "--data_path", "lost")
    assert code == 2 and "lost: no such file or folder" in error
    assert {path.name: path.read_bytes() for path in trained.outputs.iterdir()} == before


def test_a_training_of_other_data_is_not_resumed(trained, exit_of, tmp_path):
    sample_data.write_sample_corpus(tmp_path / "other", 160, seed=1)
    options = ["--device_target", "CPU", "--ckpt_path", trained.outputs, "--resume"]
    code, _, error = exit_of(train.main, *options, "--data_path", tmp_path / "other")
    assert code == 2 and "vocab.json: not the vocabulary of" in error


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
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU", "--data_path"]
    capsys.readouterr()
    evaluation.main(
        [*options, str(trained.corpus), "--split", "dev", "--json", "--errors", str(tmp_path / "wrong.txt")]
    )
    result = json.loads(capsys.readouterr().out)
    assert result["entity"]["f1"] == pytest.approx(trained.result["best_valid_entity_f1"])
    wrong = (tmp_path / "wrong.txt").read_text(encoding="utf-8")
    assert wrong.count("# line ") == result["sentences_with_errors"]


def test_table_and_report(trained, tmp_path, capsys):
    text = (trained.corpus / "test.char.bmes").read_text(encoding="utf-8")
    (tmp_path / "a.bmes").write_text(re.sub("[BMES]-TITLE", "O", text), encoding="utf-8")
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU", "--data_path", str(tmp_path / "a.bmes")]
    result = evaluation.main([*options, "--report", str(tmp_path / "a.html")])
    shown, page = capsys.readouterr().out, (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "tags, weighted by support, with O" in shown and "entities, strict" in shown and "TITLE" in shown
    titles = result["entity"]["types"]["TITLE"]["predicted"]
    assert page.count("<td>gold</td>") == page.count("<td>predicted</td>") == page.count("<th>line</th>") > 0
    assert 0 < page.count("<small>TITLE</small></mark>") <= titles and "<svg" in page


@pytest.mark.parametrize(
    ("content", "words"),
    [("王 S-NEW\n先 O\n", "S-NEW not seen in training, so these cannot be predicted"), ("先 O\n", "holds no entity")],
)
def test_evaluation_names_what_cannot_be_scored(trained, tmp_path, capsys, content, words):
    (tmp_path / "test.txt").write_text(content, encoding="utf-8")
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU", "--json"]
    evaluation.main([*options, "--data_path", str(tmp_path / "test.txt")])
    assert f"{tmp_path / 'test.txt'}: {words}" in capsys.readouterr().err


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


def test_conll_is_read_back_as_the_corpus_is(trained, tmp_path, capsys):
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU"]
    texts = ["王伟，男， 汉族。", "", "现任北京电子有限公司总经理。"]
    capsys.readouterr()
    predict.main([*texts, *options, "--json"])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    predict.main([*texts, *options, "--conll"])
    written = capsys.readouterr().out
    assert written.endswith("。 O\n\n") and written.count("\n\n") == 2
    (tmp_path / "predicted.bmes").write_text(written, encoding="utf-8")
    sentences = read_corpus(tmp_path / "predicted.bmes", scheme="BMES").sentences
    assert ["".join(sentence.characters) for sentence in sentences] == ["王伟，男，汉族。", texts[2]]
    for sentence, answer in zip(sentences, answers[::2]):
        spans = entities(sentence.tags, "BMES")
        found = [("".join(sentence.characters[span.start : span.end]), span.type) for span in spans]
        assert found == [(entity["text"], entity["type"]) for entity in answer["entities"]] and found


def test_a_page_is_written_while_answers_come():
    rest = iter(
        [{"text": "a<b", "entities": []}, {"text": "王伟", "entities": [{"type": "NAME", "start": 0, "end": 2}]}]
    )
    pieces = page(rest, ["NAME"])
    assert next(pieces).startswith("<!DOCTYPE html>")
    assert 'class="type0">NAME' in next(pieces) and next(pieces) == "<p>a&lt;b</p>\n"
    assert len(list(rest)) == 1, "which has not been asked for"
    assert next(pieces).endswith("</html>\n")


def program_of(module) -> list[str]:
    return [sys.executable, str(Path(module.__file__).resolve())]


def test_texts_are_utf8_whatever_the_locale(trained):
    text = "王伟，男，汉族。"
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    command = [*program_of(predict), text, "--ckpt_path", str(trained.best), "--device_target", "CPU", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=300, env={**os.environ, **ascii_only})
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.decode())
    assert answer["text"] == text and all(e["text"] in text for e in answer["entities"])


def test_closed_standard_streams_end_in_one_line_or_in_success(trained):
    def call(module, redirection, *options):
        words = [*program_of(module), *options, "--ckpt_path", str(trained.best), "--device_target", "CPU"]
        shell = ["bash", "-c", f'"$@" {redirection}', "bash", *words]
        return subprocess.run(shell, capture_output=True, text=True, timeout=300)

    done = call(predict, "<&-")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "standard input is closed" in done.stderr
    done = call(evaluation, ">&-", "--data_path", str(trained.corpus))
    assert done.returncode == 0 and not done.stdout, done.stderr


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


def test_export_of_a_checkpoint(trained, tmp_path, capsys, run_exported):
    options = ["--ckpt_path", str(trained.best), "--device_target", "CPU", "--data_path", str(trained.corpus)]
    differences = export.main([*options, "--output_dir", str(tmp_path)])
    assert set(differences) == {"MINDIR", "ONNX"} and max(differences.values()) <= export.TOLERANCE
    names = {path.name for path in tmp_path.iterdir()}
    company = {"transitions.npz", "vocab.json", "config.yaml", "processing.json"}
    scripts = {"processing.py", "text_units.py", "run_onnx.py", "run_mindir.py"}
    assert names == {"bilstm_ner.mindir", "bilstm_ner.onnx", *company, *scripts}
    texts = ["王伟，男， 汉族，\u9f98 e\u0301\u200b。现任北京电子有限公司总经理。", "王", " "]
    capsys.readouterr()
    predict.main([*texts, *options[:4]])
    expected = capsys.readouterr().out
    assert " ORG " in expected
    for script in ("run_onnx.py", "run_mindir.py"):
        assert run_exported(tmp_path, script, *texts) == expected


def test_the_scripts_of_an_export_tag_words(words, tmp_path, capsys, run_exported):
    options = ["--ckpt_path", str(words), "--device_target", "CPU"]
    export.main([*options, "--formats", "ONNX", "--output_dir", str(tmp_path)])
    assert not (tmp_path / "run_mindir.py").exists()
    capsys.readouterr()
    predict.main(["Mary Smith lives in Paris.", *options])
    assert run_exported(tmp_path, "run_onnx.py", "Mary Smith lives in Paris.") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        (train, "", "--data_path is missing"),
        (train, "--data_path lost", "lost: no such file or folder"),
        (train, "--data_path {corpus}/train.char.bmes", "not a folder; training needs one"),
        (train, "--data_path {corpus} --char_vectors {corpus}/train.char.bmes", "no file of vectors"),
        (train, "--data_path {corpus} --units letters", "units is 'letters' but must be auto, characters or words"),
        (train, "--data_path {corpus} --train_epoch 3", "did you mean '--train_epochs'?"),
        (train, "--data_path {corpus} --dropout 2", "--dropout is 2.0 but must be at least 0 and below 1"),
        (train, "--data_path {corpus} --batch_size many", "--batch_size must be of type int"),
        (train, "--data_path {corpus} --char_vectors lost.txt", "lost.txt"),
        (train, "--data_path {corpus} --ckpt_path {outputs}", "holds an earlier training"),
        (evaluation, "--ckpt_path lost.ckpt --data_path {corpus}", "lost.ckpt: no such checkpoint"),
        (evaluation, "--ckpt_path {best}", "--data_path is missing"),
        (evaluation, "--ckpt_path {best} --data_path {test} --errors {test}", "is the file that is scored"),
        (predict, "--input_file {test} --html {test} --ckpt_path {best}", "is the file that is read"),
        (predict, "text --ckpt_path {best} --best 0", "--best 0: choose 1 or more"),
        (predict, "text --ckpt_path {best} --conll --best 2", "CoNLL has room for one answer"),
        (predict, "text --ckpt_path {best} --conll --json", "not allowed with argument"),
        (predict, "text --input_file x --ckpt_path {best}", "not both"),
        (export, "--ckpt_path {best} --formats TFLITE", "unknown format 'TFLITE'"),
        (export, "--ckpt_path {best} --config_path a.yaml", "unrecognized arguments: --config_path"),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(trained, exit_of, program, arguments, words):
    places = {"corpus": trained.corpus, "outputs": trained.outputs, "best": trained.best}
    places["test"] = trained.corpus / "test.char.bmes"
    code, _, error = exit_of(program.main, "--device_target", "CPU", *arguments.format(**places).split())
    assert code == 2 and words in error and error.startswith("error: ") and error.count("\n") == 1


def test_every_number_of_the_configuration_has_a_range():
    ranges, keys = allowed_ranges(config_module), {**bilstm_ner_cfg_ascend, **bilstm_ner_cfg}
    assert [key for key, value in keys.items() if type(value) in (int, float) and key not in ranges] == []


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [
        ("--lenient", "on_bad_input", "skip"),
        ("--on_bad_file skip", "on_bad_input", "skip"),
        ("--num-epochs 3", "train_epochs", 3),
        ("--epochs 3", "train_epochs", 3),
        ("--lr 0.1", "learning_rate", 0.1),
        ("--amp_level O0", "amp_opt_level", "O0"),
        ("--hidden_size 7", "num_hiddens", 7),
        ("--embed_size 7", "character_size", 7),
    ],
)
def test_words_of_other_programs_set_the_same_key(option, key, value):
    args = arguments.parse_arguments(["--data_dir", "data", *option.split()], "")
    assert args.data_path == "data" and arguments.resolve_configuration(args, "CPU")[key] == value


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
