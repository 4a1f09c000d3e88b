"""predict.py: sentences from arguments, a file and a pipe; n-best lists, JSON, pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import predict
from src.inference import Translator, load_trained
from src.model_utils.runtime import init_device

FOLDER = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def common(trained):
    return ["--ckpt_path", str(trained.best), "--device_target", "CPU"]


@pytest.fixture(scope="module")
def pairs(trained):
    """Three pairs that the small network translates as their references do."""
    init_device("CPU")
    sources, targets = (
        (trained.corpus / f"test.{end}").read_text(encoding="utf-8").split("\n")[:40] for end in ("de", "en")
    )
    network, tokenizers, config = load_trained(trained.best)
    answers = Translator(network, tokenizers, config).translate(sources)
    right = [pair for *pair, answer in zip(sources, targets, answers) if answer[0].text == pair[1]]
    assert len(right) >= 3, "the network has learned too little for these tests"
    return right[:3]


def test_arguments_and_pictures(common, pairs, tmp_path, exit_of):
    sentences = [source for source, _ in pairs]
    code, out, error = exit_of(predict.main, *sentences, *common, "--plot", tmp_path / "plots")
    assert code == 0, error
    assert out.splitlines() == [target for _, target in pairs]
    plots = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in plots] == ["1.png", "2.png", "3.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


def test_a_file_with_blank_and_broken_lines(common, pairs, tmp_path, exit_of):
    lines = [pairs[0][0].encode(), b"", pairs[1][0].encode() + b"\r", b"Ein Hund \xff."]
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    code, out, error = exit_of(predict.main, *common, "--input_file", tmp_path / "in.txt")
    assert code == 0, error
    answers = out.split("\n")
    assert answers[:3] == [pairs[0][1], "", pairs[1][1]] and len(answers) == 5
    assert "in.txt:4: not UTF-8" in error


def test_n_best_and_json(common, pairs, exit_of):
    code, out, error = exit_of(predict.main, pairs[0][0], "", *common, "--n-best", "3")
    assert code == 0, error
    rows = [line.split(" ||| ") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["0", "0", "0", "1"] and rows[0][1] == pairs[0][1]
    scores = [float(row[2]) for row in rows[:3]]
    assert scores == sorted(scores, reverse=True)
    code, out, error = exit_of(predict.main, pairs[0][0], *common, "--n_best", "2", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["source"] == pairs[0][0] and len(answer["translations"]) == 2
    assert answer["translations"][0]["text"] == pairs[0][1] and "attention" not in answer


def test_attention_as_json(common, pairs, exit_of):
    code, out, error = exit_of(predict.main, pairs[0][0], "", *common, "--json", "--attention")
    assert code == 0, error
    answer, blank = map(json.loads, out.splitlines())
    attention = answer["attention"]
    assert "".join(attention["source_pieces"][:-1]).replace("▁", " ").strip() == pairs[0][0]
    assert attention["source_pieces"][-1] == attention["target_pieces"][-1] == "</s>"
    assert len(attention["weights"]) == len(attention["target_pieces"])
    assert all(len(row) == len(attention["source_pieces"]) for row in attention["weights"])
    assert [sum(row) for row in attention["weights"]] == pytest.approx([1] * len(attention["weights"]), abs=0.01)
    assert "attention" not in blank


def test_a_pipe(common, pairs):
    sources = "".join(f"{source}\n" for source, _ in pairs)
    command = [sys.executable, str(FOLDER / "predict.py"), *common]
    done = subprocess.run(command, input=sources.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == [target for _, target in pairs]


def test_wrong_use(common, tmp_path, exit_of):
    for arguments, message in (
        (["Hallo", "--input_file", "a.txt"], "either arguments or --input_file"),
        (["Hallo", "a\nb"], "sentence 2 has a line break within"),
        (["Hallo", "--n_best", "0"], "--n_best 0"),
        (["Hallo", "--attention"], "--attention goes with --json"),
        (["Hallo", "--n_best", "9"], "raise --beam_size"),
        (["--input_file", tmp_path / "a.txt"], "a.txt: no such file"),
    ):
        code, _, error = exit_of(predict.main, *common, *arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error
