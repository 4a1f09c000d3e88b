"""Manifests of any corpus, and the strings of digits that are made as an example of them."""

from __future__ import annotations

import json
import os
from collections import Counter

import numpy as np
import pytest
import soundfile
from easydict import EasyDict

from src import digit_strings
from src.audio import read_audio
from src.corpus import read_corpus, read_split
from src.manifest import read_manifest
from src.model_utils.runtime import UserError


def write_audio(path, seconds=0.5, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time), rate)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        write_audio(tmp_path / "wav" / f"{name}.wav")
    return tmp_path


def read(path, text):
    path.write_text(text, encoding="utf-8")
    problems = []
    return read_manifest(path, problems), problems


def test_json_lines_and_tsv_say_the_same(folder):
    lines = [
        {"audio": "wav/a.wav", "labels": "three one", "speaker": "ann", "name": "first"},
        {"audio": "wav/b.wav", "labels": ["two"]},
    ]
    jsonl, problems = read(folder / "train.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    tsv, more = read(
        folder / "train.tsv", "audio\tlabels\tspeaker\tname\nwav/a.wav\tthree one\tann\tfirst\nwav/b.wav\ttwo\n"
    )
    assert jsonl == tsv and not problems and not more
    assert [(u.name, u.speaker, u.labels) for u in jsonl] == [
        ("first", "ann", ("three", "one")),
        ("wav/b", "", ("two",)),
    ]
    assert jsonl[0].audio == str(folder / "wav/a.wav")


@pytest.mark.parametrize(
    "name,line,message",
    [
        ("a.jsonl", "{", ":1: not valid JSON"),
        ("a.jsonl", "[]", ":1: expected a JSON object"),
        ("a.jsonl", '{"audio": "wav/a.wav"}', ":1: has no labels"),
        ("a.jsonl", '{"audio": "wav/a.wav", "labels": ["a b"]}', ":1: labels must be strings without spaces"),
        ("a.jsonl", '{"audio": "wav/a.wav", "labels": "x", "text": ""}', ":1: unknown field 'text'"),
        ("a.jsonl", '{"audio": "wav/a.wav", "labels": "x", "name": 3}', ":1: name must be a string"),
        ("a.jsonl", '{"audio": "wav/none.wav", "labels": "x"}', "wav/none.wav"),
        ("a.tsv", "wav/a.wav", ":1: 1 columns"),
        ("a.tsv", "wav/a.wav\t ", ":1: has no labels"),
        ("a.tsv", "wav\tx", "there is no audio file"),
        ("a.tsv", f"{'a' * 5000}\tx", "there is no audio file"),
        ("a.tsv", "wav/a.wav\tx </s>", ":1: the label </s> has a meaning of its own"),
        ("a.tsv", "wav/a.wav\tx\rwav/b.wav\ty\r", ":1: holds a carriage return"),
        ("a.jsonl", '{"audio": "wav/a.wav", "labels": ["<blank>"]}', ":1: the label <blank> has a meaning"),
        ("a.jsonl", '{"audio": "wav/a.wav", "labels": "x \\ud83d"}', ":1: labels holds half a surrogate pair"),
        ("a.jsonl", '{"audio": "wav/a\\u0000.wav", "labels": "x"}', "there is no audio file"),
    ],
)
def test_wrong_lines(folder, name, line, message):
    _, problems = read(folder / name, line + "\n")
    assert len(problems) == 1 and message in problems[0]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_a_line_ends_at_a_line_feed_only(folder, separator):
    lines = ["wav/a.wav\th# tcl t eh" + separator + "n l uw s h#\tann", "wav/none.wav\tx", "wav/b.wav\ty\tbob"]
    utterances, problems = read(folder / "train.tsv", "\n".join(lines))
    assert [(u.speaker, len(u.labels)) for u in utterances] == [("ann", 9), ("bob", 1)]
    assert len(problems) == 1 and f"{folder}/train.tsv:2: " in problems[0]


def test_line_endings_marks_and_blanks_are_no_part_of_a_column(folder):
    expected, _ = read(folder / "a.tsv", "wav/a.wav\tx y\tann\nwav/b.wav\tz\tann\n")
    for text in (
        "\ufeffwav/a.wav\tx y\tann\r\nwav/b.wav\tz\tann\r\n",
        "\ufeffaudio\tlabels\tspeaker\r\nwav/a.wav\tx y\tann\r\nwav/b.wav\tz\tann",
        " wav/a.wav \t x  y\t ann \n\n \t \nwav/b.wav\u3000\tz\u00a0\t\u00a0ann\t\n",
    ):
        assert read(folder / "a.tsv", text) == (expected, [])
    (folder / "a.tsv").write_text("wav/a.wav\tx\n", encoding="utf-16")
    problems = []
    assert read_manifest(folder / "a.tsv", problems) == [] and "a.tsv:1: not UTF-8 but UTF-16" in problems[0]


def test_audio_behind_links_and_names_that_are_not_utf8(folder):
    os.link(folder / "wav/a.wav", os.fsencode(folder) + b"/caf\xe9.wav")
    (folder / "linked").symlink_to("wav")
    lines = [{"audio": name, "labels": "x"} for name in ("caf\udce9.wav", "linked/b.wav")]
    utterances, problems = read(folder / "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert not problems and [u.name for u in utterances] == ["caf\ufffd", "linked/b"]
    assert len(read_audio(utterances[0].audio)[0]) == 4000


def test_one_manifest_stands_for_a_split(folder, settings, capsys):
    (folder / "dev.jsonl").write_text('{"audio": "wav/a.wav", "labels": "x"}\nx\n')
    with pytest.raises(UserError, match="dev.jsonl:2: not valid JSON; .*on_bad_input skip"):
        read_split(folder / "dev.jsonl", "test", settings)
    skipping = EasyDict(settings, on_bad_input="skip")
    assert [u.name for u in read_split(folder / "dev.jsonl", "test", skipping)] == ["wav/a"]
    assert "left out" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such folder"):
        read_split(folder / "none.jsonl", "test", settings)


def test_wrong_files(folder, settings):
    with pytest.raises(UserError, match="holds no utterance"):
        read(folder / "a.tsv", "\n")
    with pytest.raises(UserError, match=":2: 'wav/a' is the name on line 1"):
        read(folder / "a.tsv", "wav/a.wav\tx\nwav/a.wav\tx\n")
    (folder / "a.tsv").write_bytes(b"wav/a.wav\t\xff\n")
    problems = []
    assert read_manifest(folder / "a.tsv", problems) == [] and "a.tsv:1: byte 11 of the line" in problems[0]
    for name in ("train.tsv", "train.jsonl"):
        (folder / name).write_text("wav/a.wav\tx\n")
    with pytest.raises(UserError, match="train.tsv as well"):
        read_corpus(folder, settings)


def test_strings_of_digits(tmp_path, settings, capsys):
    recordings = tmp_path / "recordings"
    for speaker in ("ann", "bob"):
        for digit in (0, 7):
            for take in (0, 1, 5, 10, 45):
                write_audio(recordings / f"{digit}_{speaker}_{take}.wav", 0.2)
    out = tmp_path / "digits"
    digit_strings.main([str(recordings), str(out), "--train", "8", "--valid", "4", "--test", "4", "--longest", "3"])
    splits = read_corpus(out, settings)
    assert {split: len(utterances) for split, utterances in splits.items()} == {"train": 8, "valid": 4, "test": 4}
    assert {label for u in splits["train"] for label in u.labels} == {"zero", "seven"}
    assert Counter(u.speaker for u in splits["train"]) == {"ann": 4, "bob": 4}
    longest = max(splits["train"], key=lambda u: len(u.labels))
    seconds = soundfile.info(longest.audio).duration
    digits = len(longest.labels)
    assert 0.2 * digits <= seconds <= 0.2 * digits + (digits + 1) * digit_strings.LONGEST_GAP
    before = (out / "train.jsonl").read_bytes()
    digit_strings.main([str(recordings), str(out), "--train", "8", "--valid", "4", "--test", "4", "--longest", "3"])
    assert (out / "train.jsonl").read_bytes() == before, "the same strings every time"

    new = tmp_path / "new"
    arguments = ["--held_out_speakers", "bob", "--train", "2", "--valid", "2", "--test", "2"]
    digit_strings.main([str(recordings), str(new), *arguments])
    splits = read_corpus(new, settings)
    assert {u.speaker for u in splits["train"] + splits["valid"]} == {"ann"}
    assert {u.speaker for u in splits["test"]} == {"bob"}
    with pytest.raises(UserError, match="choose some of ann, bob"):
        digit_strings.main([str(recordings), str(new), "--held_out_speakers", "eve"])
    for wrong in (["--longest", "0"], ["--train", "-1"], ["--seed", "-1"]):
        with pytest.raises(UserError, match="must be at least"):
            digit_strings.main([str(recordings), str(new), *wrong])
    with pytest.raises(UserError, match="badly named"):
        digit_strings.main([str(out / "train"), str(new)])
