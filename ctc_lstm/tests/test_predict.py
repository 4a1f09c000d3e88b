"""predict.py on the network that was trained for all tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import predict
from src.model_utils.runtime import UserError
from src.segments import ctm, text_grid


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


def test_ctm_has_the_times_of_json(trained, audio, exit_of):
    arguments = [*audio[:2], "--ckpt_path", trained.best, "--device_target", "CPU"]
    answers = [json.loads(line) for line in exit_of(predict.main, *arguments, "--json")[1].splitlines()]
    code, out, error = exit_of(predict.main, *arguments, "--ctm")
    assert code == 0, error
    rows = [line.split() for line in out.splitlines()]
    assert [(row[0], row[4]) for row in rows] == [
        (path.stem, label) for path, answer in zip(audio, answers) for label in answer["labels"]
    ]
    segments = [segment for answer in answers for segment in answer["segments"]]
    for (_, channel, start, length, _, probability), segment in zip(rows, segments):
        assert channel == "1" and float(start) == segment["start"] and float(probability) == segment["probability"]
        assert float(start) + float(length) == pytest.approx(segment["end"], abs=1e-6)


def test_ctm_without_labels_is_empty_and_names_hold_no_blanks():
    assert ctm("a", []) == ""
    with pytest.raises(UserError, match="'a b': CTM has no names with white space"):
        ctm("a b", [])


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


def test_cut_and_missing_files_are_refused_or_left_out(trained, audio, tmp_path, exit_of):
    (tmp_path / "cut.WAV").write_bytes(audio[0].read_bytes()[: 1024 + 2 * 6153])
    arguments = [tmp_path / "cut.WAV", tmp_path / "none.wav", audio[1], "--ckpt_path", trained.best]
    code, out, error = exit_of(predict.main, *arguments)
    assert (code, out) == (2, "") and "cut.WAV: cut short, the header says" in error and "6153 are there" in error
    code, out, error = exit_of(predict.main, *arguments, "--on_bad_input", "skip")
    assert code == 0 and out.startswith(f"{audio[1]}: sil ") and out.count("\n") == 1
    assert "left out" in error and f"{tmp_path / 'none.wav'}: no such file" in error


def test_two_files_of_one_name_do_not_overwrite_each_other(trained, audio, tmp_path, exit_of):
    arguments = [audio[0], audio[0].parents[2] / "DR2" / "x" / audio[0].name]
    arguments[1] = next(path for path in audio if path.name == audio[0].name and path != audio[0])
    code, _, error = exit_of(predict.main, *arguments, "--ckpt_path", trained.best, "--textgrid", tmp_path)
    assert code == 2 and "recognise them in two runs" in error
    code, _, error = exit_of(predict.main, *arguments, "--ckpt_path", trained.best, "--ctm")
    assert code == 2 and f"{arguments[0]} goes to {audio[0].stem} too" in error


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


def test_wrong_use_gets_one_line(trained, tmp_path, exit_of):
    checkpoint = ["--ckpt_path", trained.best]
    for arguments, message in (
        (["a.wav", "--input_file", "b", *checkpoint], "either"),
        (["--input_file", tmp_path / "b", *checkpoint], "b: no such file"),
        ([tmp_path / "a.wav", *checkpoint], "a.wav: no such file"),
    ):
        code, _, error = exit_of(predict.main, *arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error


def test_text_grid_fills_gaps():
    grid = text_grid([{"label": 'a"', "start": 0.1, "end": 0.3}, {"label": "b", "start": 0.3, "end": 0.5}], 0.6)
    assert re.findall(r'text = "(.*)"', grid) == ["", 'a""', "b", ""] and "size = 4" in grid
    assert re.findall(r'text = "(.*)"', text_grid([], 0.6)) == [""]
