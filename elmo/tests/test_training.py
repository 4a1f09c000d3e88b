"""Training on the synthetic corpus: it learns, resumes to the bit after a kill, and two processes are as one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import eval as evaluation
import train
from src.data.reader import Shard, convert
from src.data.vocabulary import BEGIN, END, UNKNOWN, Vocabulary
from src.kneser_ney import main as kneser_ney
from src.metrics import HardestText
from src.model_utils.checkpoint import load_checkpoint
from src.model_utils.runtime import UserError

TRAIN = Path(train.__file__).resolve()
LINE = re.compile(r"^epoch: (\d+) step: (\d+), loss is (\S+)$", re.MULTILINE)


def options(prepared, folder, **changes):
    settings = {
        "preset": "tiny",
        "device_target": "CPU",
        "data_url": prepared,
        "train_url": folder,
        "short_words_multiple": 128,
        **changes,
    }
    return [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def assert_same(one, two, **tolerance):
    assert one.keys() == two.keys()
    for name, parameter in one.items():
        if tolerance:
            np.testing.assert_allclose(two[name].asnumpy(), parameter.asnumpy(), err_msg=name, **tolerance)
        else:
            np.testing.assert_array_equal(two[name].asnumpy(), parameter.asnumpy(), err_msg=name)


def score(trained, *arguments):
    return evaluation.main(["--ckpt_path", str(trained.best), "--device_target", "CPU", *map(str, arguments)])


@pytest.fixture(scope="module")
def scored(trained):
    """The scores of the text in four rows."""
    return score(trained, "--data_url", trained.prepared, "--eval_batch_size", "4")


def test_the_perplexity_comes_near_that_of_n_grams(trained, scored):
    """The perplexity is near that of 5-grams, which these sentences suit, and far below the 81 of a uniform guess."""
    n_grams = kneser_ney([str(trained.prepared)])
    assert n_grams["perplexity"] < 20
    assert scored["perplexity_forward"] < 1.3 * n_grams["perplexity"]
    assert scored["tokens"] == n_grams["tokens"]
    assert scored["perplexity"] == pytest.approx(
        np.sqrt(scored["perplexity_forward"] * scored["perplexity_backward"]), rel=1e-6
    )
    names = {path.name for path in trained.outputs.iterdir()}
    assert {"elmo_best.ckpt", "config.yaml", "vocab.txt", "options.json", "curves.png", "metrics.jsonl"} <= names
    saved = json.loads((trained.outputs / "options.json").read_text())
    counts = json.loads((trained.prepared / "train.mindrecord.json").read_text())
    words = len((trained.prepared / "vocab.txt").read_text(encoding="utf-8").splitlines())
    assert saved["n_train_tokens"] == counts["tokens"] and saved["n_tokens_vocab"] == words


def test_two_ranks_score_together_as_one(trained, scored, by_two_ranks):
    together = by_two_ranks(lambda: score(trained, "--data_url", trained.prepared, "--eval_batch_size", "4"))
    assert together["tokens"] == scored["tokens"]
    for key in ("perplexity", "perplexity_forward", "perplexity_backward"):
        assert together[key] == pytest.approx(scored[key], rel=1e-6)


def test_plain_text_scores_as_converted_text_and_rows_hardly_matter(trained, scored, tmp_path, capsys):
    plain = score(trained, "--input_file", trained.prepared / "heldout.txt", "--eval_batch_size", "4", "--json")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["perplexity"] == plain["perplexity"]
    for key in ("perplexity", "perplexity_forward", "tokens", "unknown"):
        assert scored[key] == plain[key]
    report = tmp_path / "report.html"
    one_row = score(trained, "--data_url", trained.prepared, "--eval_batch_size", "1", "--report", report)
    page = report.read_text(encoding="utf-8")
    assert f"{one_row['perplexity']:.2f}" in page and page.count("&lt;/S&gt;") == 10 and "<svg" in page
    assert scored["tokens"] == one_row["tokens"]
    assert scored["perplexity"] == pytest.approx(one_row["perplexity"], rel=0.02)


def test_the_hardest_words_and_sentences_are_those_of_the_highest_mean_loss():
    vocabulary = Vocabulary(["<S>", "</S>", "<UNK>", "a", "b"])
    hardest = HardestText(vocabulary)
    hardest.begin(Shard(np.zeros(0, np.int32), np.zeros(0, np.int32), ["new"]), 2)
    # row 0 reads "a new </S>", "b </S>"; row 1 begins within a sentence and ends within another
    forward = np.array([[3, 5, END, BEGIN, 4, END], [4, END, BEGIN, 3, END, BEGIN]]).T
    ids = np.stack([forward, forward[::-1]])
    losses = np.arange(24.0).reshape(2, 6, 2)
    weights = ids != np.array([BEGIN, END]).reshape(2, 1, 1)
    for steps in (slice(0, 2), slice(2, 6)):  # a sentence may lie in two windows
        window = ids[:, steps]
        hardest.add(window, np.where(window < 5, window, UNKNOWN), losses[:, steps], weights[:, steps])
    mean = {"b": np.mean([1, 8, 14, 23]), "<UNK>": np.mean([2, 20]), "a": np.mean([0, 7, 17, 22])}
    assert {word: loss for word, _, loss in hardest.words(9, 1) if word in mean} == pytest.approx(mean)
    assert [count for word, count, _ in hardest.words(9, 2) if word in "ab"] == [2, 2]
    assert hardest.sentences() == [
        (9.0, [("b", 8.0), ("</S>", 10.0)]),
        (8.0, [("a", 7.0), ("</S>", 9.0)]),
        (2.0, [("a", 0.0), ("new", 2.0), ("</S>", 4.0)]),
    ]


def test_killed_training_resumes_to_the_bit(without_validation, small_options, tmp_path, capsys):
    prepared, settings = without_validation, {"max_steps": 60, "print_steps": 1, "options_path": small_options}
    train.main(options(prepared, tmp_path / "whole", **settings))
    expected = LINE.findall(capsys.readouterr().out)
    assert len(expected) == 60

    parts = tmp_path / "parts"
    command = [sys.executable, str(TRAIN), *options(prepared, parts, save_checkpoint_steps=10, **settings)]
    log = tmp_path / "log.txt"
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while len(LINE.findall(log.read_text())) < 25 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 25 <= len(LINE.findall(log.read_text())) < 60, log.read_text()[-2000:]
    with pytest.raises(UserError, match="holds an earlier training"):
        train.main(options(prepared, parts, **settings))
    base = ["--device_target", "CPU", "--data_url", str(prepared), "--train_url", str(parts), "--resume"]
    with pytest.raises(UserError, match="--resume continues with lr 0.01"):
        train.main([*base, "--lr", "0.1"])
    capsys.readouterr()
    train.main(base)
    output = capsys.readouterr().out
    resumed = LINE.findall(output)
    assert "resumed from" in output and 10 <= len(resumed) < 60
    assert resumed == expected[-len(resumed) :], "not one digit of the curve differs"
    whole, again = (load_checkpoint(run / "elmo-1_60.ckpt")[0] for run in (tmp_path / "whole", parts))
    assert {"state.h", "state.c", "softmax.weight", "softmax.weight.squares"} <= whole.keys()
    assert_same(whole, again)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_the_kernels_train_as_the_operators_of_mindspore(without_validation, small_options, tmp_path, optimizer):
    """Weights, moments, squares, counts and state are the same after three steps, whose gradients are clipped."""
    settings = {"max_steps": 3, "options_path": small_options, "optimizer": optimizer, "loss_factor": 20}
    for native in ("true", "false"):
        train.main(options(without_validation, tmp_path / native, native=native, **settings))
    one, two = (load_checkpoint(tmp_path / native / "elmo-1_3.ckpt")[0] for native in ("true", "false"))
    assert_same(one, two, rtol=1e-3, atol=1e-5)


def test_two_processes_train_as_one(without_validation, small_options, tmp_path, capsys):
    if not Path(sys.executable).with_name("msrun").exists():
        pytest.skip("msrun, which MindSpore installs, is not beside this Python")
    prepared, settings = without_validation, {"max_steps": 12, "print_steps": 1, "options_path": small_options}
    train.main(options(prepared, tmp_path / "one", **settings))
    expected = LINE.findall(capsys.readouterr().out)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("msrun")), "--worker_num=2", "--local_worker_num=2"]
    command += [f"--master_port={port}", "--join=True", f"--log_dir={tmp_path / 'logs'}", str(TRAIN)]
    command += [*options(prepared, tmp_path / "two", **settings), "--distributed", "true"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "MS_NODE_TIMEOUT": "5"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    logs = [(tmp_path / f"logs/worker_{rank}.log").read_text(encoding="utf-8") for rank in (0, 1)]
    assert done.returncode == 0, logs[0][-3000:]
    lines = LINE.findall(logs[0])
    assert "processes: 2" in logs[0] and not LINE.search(logs[1]), "only rank 0 prints"
    assert [line[:2] for line in lines] == [line[:2] for line in expected]
    np.testing.assert_allclose([float(line[2]) for line in lines], [float(line[2]) for line in expected], rtol=1e-4)
    one, two = (load_checkpoint(tmp_path / run / "elmo-1_12.ckpt")[0] for run in ("one", "two"))
    assert_same(one, two, atol=1e-3)


def snapshot(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_url": "/nowhere"}, "vocab.txt: no such file"),
        ({"lr": 0}, "--lr is 0.0 but must be above 0"),
        ({"batch_size": 5000}, "do not fill a batch of 5000 rows"),
        ({"pre_trained": "/nowhere.ckpt"}, "no such checkpoint file"),
        ({"options_path": "lost.json"}, "lost.json: no such file"),
        ({"optimizer": "sgd"}, "--optimizer is 'sgd' but must be adam or adagrad"),
        ({"lrr": 1}, "unrecognized arguments: --lrr 1; did you mean '--lr'?"),
    ],
)
def test_a_mistake_with_overwrite_gets_one_line_and_leaves_the_old_training_untouched(trained, exit_of, changes, words):
    before = snapshot(trained.outputs)
    code, _, error = exit_of(train.main, *options(trained.prepared, trained.outputs, **changes), "--overwrite")
    assert code == 2 and words in error and error.count("\n") == 1
    assert snapshot(trained.outputs) == before


def test_pre_trained_weights_need_their_own_vocabulary(trained, tmp_path, exit_of):
    """Another order of the same words is another vocabulary, though of the same size."""
    words = (trained.prepared / "vocab.txt").read_text(encoding="utf-8").split()
    other = Vocabulary([*words[:5], words[6], words[5], *words[7:]])
    data = tmp_path / "data"
    convert(trained.prepared / "train.txt", data / "train.mindrecord", other, 50, "whitespace", 10**6)
    other.save(data / "vocab.txt")
    code, _, error = exit_of(
        train.main, *options(data, tmp_path / "out", performance_steps=3), "--pre_trained", trained.best
    )
    assert code == 2 and f"vocab.txt:6: is '{words[5]}', but '{words[6]}' in {data}" in error
    (tmp_path / "elmo_best.ckpt").write_bytes(trained.best.read_bytes())
    arguments = options(trained.prepared, tmp_path / "out", performance_steps=3)
    code, _, error = exit_of(train.main, *arguments, "--pre_trained", tmp_path / "elmo_best.ckpt")
    assert code == 2 and f"{tmp_path / 'vocab.txt'}: no such file" in error


def test_performance_is_measured_from_pre_trained_weights_and_nothing_is_written(trained, tmp_path):
    arguments = options(trained.prepared, tmp_path, performance_steps=3)
    result = train.main([*arguments, "--pre_trained", str(trained.best)])
    assert result["steps"] == 3 and result["tokens_per_second"] > 0
    assert not list(tmp_path.glob("*.ckpt"))
