"""eval.py, predict.py and export.py on the network that was trained for all tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import mindspore as ms
import numpy as np
import onnxruntime
import pytest
from mindspore import Tensor, nn

import eval as evaluation
import export
import predict
from src.inference import load_trained
from src.onnx_export import build_onnx
from src.preparation import load_samples
from src.segments import text_grid


@pytest.fixture(scope="module")
def audio(trained):
    return sorted(trained.corpus.glob("TEST/*/*/S[XI]*.WAV"))


def test_eval_from_corpus_and_from_features(trained, exit_of):
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--json"]
    code, out, error = exit_of(evaluation.main, *common, "--data_path", trained.corpus)
    assert code == 0, error
    result = json.loads(out)
    assert (
        result["utterances"] == 12 and result["per"] < 0.15 and result["accuracy"] == pytest.approx(1 - result["per"])
    )
    wrong = result["substitutions"] + result["deletions"] + result["insertions"]
    assert (
        result["per"] == pytest.approx(wrong / result["labels"])
        and result["labels"] == result["hits"] + wrong - result["insertions"]
    )
    code, out, _ = exit_of(evaluation.main, *common, "--preprocess_path", trained.prepared, "--decoder", "beam")
    assert code == 0 and json.loads(out)["decoder"] == "beam" and json.loads(out)["per"] < 0.15
    code, out, _ = exit_of(evaluation.main, *common[:-1], "--preprocess_path", trained.prepared, "--split", "train")
    assert code == 0 and re.search(r"error rate +\d+\.\d\d %", out) and "36 train utterances" in out


def test_eval_of_a_manifest(trained, audio, tmp_path, exit_of):
    phones = [line.split()[2] for line in audio[0].with_suffix(".PHN").read_text().splitlines()]
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": str(audio[0]), "labels": phones}) + "\n")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--json"]
    code, out, error = exit_of(evaluation.main, *common, "--data_path", tmp_path / "a.jsonl")
    assert code == 0, error
    assert json.loads(out)["labels"] == len(phones)


def test_wrong_use(trained, tmp_path, exit_of):
    for main, arguments, message in (
        (evaluation.main, [], "--ckpt_path"),
        (evaluation.main, ["--ckpt_path", trained.best], "no utterances to evaluate"),
        (evaluation.main, ["--ckpt_path", tmp_path / "a.ckpt", "--data_path", trained.corpus], "no such checkpoint"),
        (
            evaluation.main,
            ["--ckpt_path", trained.best, "--data_path", trained.corpus, "--beam_width", "0"],
            "beam_width",
        ),
        (predict.main, ["a.wav", "--input_file", "b", "--ckpt_path", trained.best], "either"),
        (predict.main, ["--input_file", tmp_path / "b", "--ckpt_path", trained.best], "b: no such file"),
        (predict.main, [tmp_path / "a.wav", "--ckpt_path", trained.best], "a.wav: no such file"),
        (export.main, ["--ckpt_path", trained.best, "--formats", "AIR"], "unknown format 'AIR'"),
    ):
        code, _, error = exit_of(main, *arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error
    (tmp_path / "a.yaml").write_text("hidden_size: 5\n")
    arguments = ["--ckpt_path", trained.best, "--data_path", trained.corpus, "--config_path", tmp_path / "a.yaml"]
    code, _, error = exit_of(evaluation.main, *arguments)
    assert code == 2 and "hidden_size is 5, but the checkpoint was trained with 32" in error


def test_predict_writes_labels_times_pictures_and_textgrids(trained, audio, tmp_path, exit_of):
    output = tmp_path / "out"
    arguments = [
        audio[0],
        audio[1],
        "--ckpt_path",
        trained.best,
        "--device_target",
        "CPU",
        "--json",
        "--decoder",
        "beam",
    ]
    code, out, error = exit_of(predict.main, *arguments, "--plot", output, "--textgrid", output)
    assert code == 0, error
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["audio"] for answer in answers] == [str(path) for path in audio[:2]]
    for answer, path in zip(answers, audio):
        segments = answer["segments"]
        assert [segment["label"] for segment in segments] == answer["labels"]
        times = [0, *(t for segment in segments for t in (segment["start"], segment["end"])), answer["seconds"]]
        assert times == sorted(times) and all(0 < segment["probability"] <= 1 for segment in segments)
        assert (output / f"{path.stem}.png").read_bytes().startswith(b"\x89PNG")
        grid = (output / f"{path.stem}.TextGrid").read_text()
        assert grid.startswith('File type = "ooTextFile"') and f'text = "{answer["labels"][1]}"' in grid
        bounds = [float(x) for x in re.findall(r"^ {12}xm(?:in|ax) = (\S+)", grid, re.MULTILINE)]
        assert (
            bounds[0] == 0
            and bounds[1:-1:2] == bounds[2::2]
            and bounds[-1] == pytest.approx(answer["seconds"], abs=1e-4)
        )


def test_predict_reads_paths_and_leaves_out_bad_files(trained, audio, tmp_path, exit_of, monkeypatch):
    (tmp_path / "bad.wav").write_text("x")
    paths = f"{audio[0]}\n\n{tmp_path / 'bad.wav'}\n{audio[1]}\n"
    (tmp_path / "list.txt").write_text(paths)
    arguments = ["--ckpt_path", trained.best, "--device_target", "CPU", "--on_bad_input", "skip"]
    code, from_file, error = exit_of(predict.main, *arguments, "--input_file", tmp_path / "list.txt")
    assert code == 0 and from_file.count("\n") == 2 and f"{audio[0]}: sil " in from_file and "left out" in error
    with open(tmp_path / "list.txt") as source:
        monkeypatch.setattr(sys, "stdin", source)
        code, from_stdin, _ = exit_of(predict.main, *arguments, "--times", "--same_speaker")
    assert code == 0 and re.search(r"^ +0\.000 +\d\.\d{3}  sil$", from_stdin, re.MULTILINE)


def test_lists_with_a_mark_carriage_returns_and_any_file_name(trained, audio, tmp_path, exit_of):
    name = b"caf\xe9 \xe2\x80\xa8.wav"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
        file.write(audio[0].read_bytes())
    lines = [os.fsencode(audio[0]), os.fsencode(tmp_path) + b"/" + name, os.fsencode(audio[1])]
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--json"]
    code, out, error = exit_of(predict.main, *common, "--input_file", tmp_path / "list.txt")
    assert code == 0, error
    answers = [json.loads(line) for line in out.strip().split("\n")]  # splitlines() would split the name
    assert [os.fsencode(answer["audio"]) for answer in answers] == lines
    assert answers[0]["labels"] == answers[1]["labels"]


def test_streams_that_are_closed_or_not_utf8(trained, audio, tmp_path):
    name = "größe.wav"
    (tmp_path / name).write_bytes(audio[0].read_bytes())
    program = f"{sys.executable} {predict.__file__} --ckpt_path {trained.best} --device_target CPU --json"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}

    def call(words):
        options = {"shell": True, "cwd": tmp_path, "env": environment, "capture_output": True, "timeout": 120}
        return subprocess.run(f"{program} {words}", **options)

    closed = call("<&-")
    assert closed.returncode == 2 and closed.stderr.startswith(b"error: ") and closed.stderr.count(b"\n") == 1
    assert call(f"{name} >&-").returncode == 0
    done = call(name)
    assert done.returncode == 0 and json.loads(done.stdout.decode("utf-8"))["audio"] == name


def test_two_files_of_one_name_do_not_overwrite_each_other(trained, audio, tmp_path, exit_of):
    arguments = [audio[0], audio[0].parents[2] / "DR2" / "x" / audio[0].name]
    arguments[1] = next(path for path in audio if path.name == audio[0].name and path != audio[0])
    code, _, error = exit_of(predict.main, *arguments, "--ckpt_path", trained.best, "--textgrid", tmp_path)
    assert code == 2 and "recognise them in two runs" in error


def test_text_grid_fills_gaps():
    grid = text_grid([{"label": 'a"', "start": 0.1, "end": 0.3}, {"label": "b", "start": 0.3, "end": 0.5}], 0.6)
    assert re.findall(r'text = "(.*)"', grid) == ["", 'a""', "b", ""] and "size = 4" in grid
    assert re.findall(r'text = "(.*)"', text_grid([], 0.6)) == [""]


def test_export_is_what_was_trained(trained, tmp_path, exit_of):
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--output_dir", tmp_path]
    code, out, error = exit_of(export.main, *common, "--preprocess_path", trained.prepared)
    assert code == 0 and out.count(": ok, differs by") == 2, error
    assert {path.name for path in tmp_path.iterdir()} == {
        "ctc_lstm.mindir",
        "ctc_lstm.onnx",
        "vocab.json",
        "config.yaml",
    }
    frames = load_samples(trained.prepared, "test")[0].frames[None, :50]
    loaded = nn.GraphCell(ms.load(str(tmp_path / "ctc_lstm.mindir")))
    one = loaded(Tensor(frames), Tensor(np.array([50], np.int32))).asnumpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "ctc_lstm.onnx"), providers=["CPUExecutionProvider"])
    other = session.run(None, {"frames": frames, "lengths": np.array([50], np.int32)})[0]
    assert one.shape == other.shape == (1, 17, 13)
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("front_end,bidirectional,batch_norm", [("conv", True, True), ("none", False, False)])
def test_onnx_of_other_networks(front_end, bidirectional, batch_norm):
    from test_network import SIZE, make_network, tensors, utterances

    network = make_network(front_end, batch_norm=batch_norm, bidirectional=bidirectional)
    frames = utterances([9, 5, 7])
    session = onnxruntime.InferenceSession(
        build_onnx(network, SIZE).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    inputs = tensors(frames, front_end)
    actual = session.run(None, {"frames": inputs[0].asnumpy(), "lengths": inputs[1].asnumpy()})[0]
    expected = network(*inputs).asnumpy()
    for b, each in enumerate(frames):
        steps = -(-len(each) // network.subsampling)
        np.testing.assert_allclose(actual[b, :steps], expected[:steps, b], atol=1e-5)


def test_checkpoint_of_another_model(trained, tmp_path):
    for name in ("config.yaml", "vocab.json", "ctc_lstm_best.ckpt"):
        (tmp_path / name).write_bytes((trained.outputs / name).read_bytes())
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("hidden_size: 32", "hidden_size: 16"))
    with pytest.raises(Exception, match="has shape .* the configured network"):
        load_trained(tmp_path / "ctc_lstm_best.ckpt")


def test_labels_unseen_in_training_are_named(trained, audio, tmp_path, exit_of):
    lines = [{"audio": str(audio[0]), "labels": labels} for labels in ("h# oy m dh h#", "h# iy h#")]
    lines[1]["name"] = "second"
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--data_path", tmp_path / "a.jsonl"]
    code, out, error = exit_of(evaluation.main, *common)
    assert code == 0, error
    assert f"warning: {tmp_path / 'a.jsonl'}: dh, oy not seen in training, so these cannot be recognised\n" in out
    code, out, _ = exit_of(evaluation.main, *common[:-1], trained.corpus)
    assert code == 0 and "not seen in training" not in out


def test_cut_and_missing_files_are_refused_or_left_out(trained, audio, tmp_path, exit_of):
    (tmp_path / "cut.WAV").write_bytes(audio[0].read_bytes()[: 1024 + 2 * 6153])
    arguments = [tmp_path / "cut.WAV", tmp_path / "none.wav", audio[1], "--ckpt_path", trained.best]
    code, out, error = exit_of(predict.main, *arguments)
    assert (code, out) == (2, "") and "cut.WAV: cut short, the header says" in error and "6153 are there" in error
    code, out, error = exit_of(predict.main, *arguments, "--on_bad_input", "skip")
    assert code == 0 and out.startswith(f"{audio[1]}: sil ") and out.count("\n") == 1
    assert "left out" in error and f"{tmp_path / 'none.wav'}: no such file" in error


def test_pictures_of_any_file_name(trained, audio, tmp_path, exit_of):
    name = b"a$b$\\frac \xe9.wav"
    (tmp_path / "in").mkdir()
    with open(os.fsencode(tmp_path / "in") + b"/" + name, "wb") as file:
        file.write(audio[0].read_bytes())
    path = os.path.join(tmp_path, "in", os.fsdecode(name))
    code, out, error = exit_of(predict.main, path, "--ckpt_path", trained.best, "--plot", tmp_path / "out", "--json")
    assert code == 0, error
    assert json.loads(out)["audio"] == path
    assert [os.fsencode(picture.name) for picture in (tmp_path / "out").iterdir()] == [name[:-4] + b".png"]
