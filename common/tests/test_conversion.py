"""Conversion: done once, whole or not at all, in its own folder; damaged files are refused."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest

from src.model_utils.conversion import convert_once, open_split, open_split_with_arrays, read_fingerprint
from src.model_utils.mindrecord import write_mindrecord
from src.model_utils.runtime import UserError


def make_vocabulary(folder):
    (folder / "vocab.json").touch()


def snapshot(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_conversion_is_done_once_for_a_fingerprint(tmp_path, capsys):
    target, conversions = tmp_path / "preprocess", []
    for version in (1, 1, 2, 2, 1):
        convert_once(target, {"version": version}, conversions.append)
        assert read_fingerprint(target) == {"version": version}
    assert len(conversions) == 3 and capsys.readouterr().out.count("preprocessed data is up to date") == 2


@pytest.mark.parametrize("content", [None, b"", b"{", b"[" * 100_000, b"\xff", b"1.5", b"[1]"])
def test_a_folder_without_a_good_fingerprint_is_not_up_to_date(tmp_path, content):
    if content is not None:
        (tmp_path / "fingerprint.json").write_bytes(content)
    assert read_fingerprint(tmp_path) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, UserError])
def test_interrupted_conversion_leaves_nothing(tmp_path, error):
    def stop(folder):
        make_vocabulary(folder)
        raise error("stop")

    target = tmp_path / "preprocess"
    with pytest.raises(error):
        convert_once(target, {"version": 1}, stop)
    assert not target.exists() and [path.name for path in tmp_path.iterdir()] == [".preprocess.lock"]

    # An older, complete conversion stays as it was.
    convert_once(target, {"version": 1}, make_vocabulary)
    before = snapshot(target)
    with pytest.raises(error):
        convert_once(target, {"version": 2}, stop)
    assert snapshot(target) == before


def test_remains_of_a_killed_conversion_are_replaced(tmp_path):
    (tmp_path / ".preprocess.unfinished").mkdir()
    (tmp_path / ".preprocess.unfinished" / "train.mindrecord").write_bytes(b"half")
    convert_once(tmp_path / "preprocess", {}, make_vocabulary)
    assert sorted(path.name for path in (tmp_path / "preprocess").iterdir()) == ["fingerprint.json", "vocab.json"]
    assert not (tmp_path / ".preprocess.unfinished").exists()


def test_foreign_folder_is_untouched(tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(UserError, match="not made by this program"):
        convert_once(tmp_path, {}, make_vocabulary)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="you are in it"):
        convert_once(".", {}, make_vocabulary)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "thesis.txt"]


def test_link_to_another_disk_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "preprocess").symlink_to(tmp_path / "disk")
    for version in (1, 2):
        convert_once(tmp_path / "preprocess", {"version": version}, make_vocabulary)
    assert (tmp_path / "preprocess").is_symlink() and (tmp_path / "disk" / "vocab.json").is_file()


def test_a_whole_disk_is_refused_before_the_conversion(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "is_mount", lambda path: path == tmp_path / "disk")
    with pytest.raises(UserError, match="disk: is a whole disk or volume; choose a folder on it"):
        convert_once(tmp_path / "disk", {}, None)


def test_conversions_started_together_are_done_once(tmp_path):
    conversions, gate = [], threading.Event()

    def convert(folder):
        conversions.append(folder)
        gate.wait(10)
        make_vocabulary(folder)

    arguments = (tmp_path / "preprocess", {"version": 1}, convert)
    threads = [threading.Thread(target=convert_once, args=arguments) for _ in range(3)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    assert len(conversions) == 1 and (tmp_path / "preprocess" / "vocab.json").exists()


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    class Writer:
        def __init__(self, *_, **__):
            raise RuntimeError("[ERROR] No free disk to be used while writing mindrecord files, available: 0")

    monkeypatch.setattr("mindspore.mindrecord.FileWriter", Writer)
    with pytest.raises(OSError) as caught:
        convert_once(tmp_path / "new", {}, lambda folder: write_mindrecord(folder / "x.mindrecord", {}, "x", []))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename.endswith("x.mindrecord")
    assert not list(tmp_path.glob("*new/*"))


def test_a_missing_split_is_named_with_advice(tmp_path):
    with pytest.raises(UserError, match=r"train\.mindrecord: no such file; give --data_dir"):
        open_split(tmp_path, "train", "give --data_dir")


def test_arrays_beside_the_rows_of_a_split_must_be_theirs(tmp_path):
    rows = [{"block": bytes(number)} for number in (3, 5)]
    write_mindrecord(tmp_path / "train.mindrecord", {"block": {"type": "bytes"}}, "blocks", rows)
    path = tmp_path / "train.npz"

    def refused():
        with pytest.raises(
            UserError, match=r"train.npz: missing or damaged; delete the folder .* and preprocess again"
        ):
            open_split_with_arrays(tmp_path, "train", "advice", "lengths")

    refused()
    np.savez(path, lengths=[3, 5], others=[1, 2, 3])
    opened, arrays = open_split_with_arrays(tmp_path, "train", "advice", "lengths")
    assert len(opened) == 2 and arrays["lengths"].tolist() == [3, 5] and arrays["others"].tolist() == [1, 2, 3]
    content = path.read_bytes()
    for damaged in (content[:-30], content.replace(b"\x05\x00", b"\x06\x00"), b""):
        path.write_bytes(damaged)
        refused()
    huge = content.replace(b"(2,), }            ", b"(2000000000000,), }")
    assert huge != content
    path.write_bytes(huge)
    refused()
    np.savez_compressed(path, lengths=[3, 5], others=np.zeros(10**6))
    refused()
    for wrong in ({"lengths": [3]}, {"lengths": 3}, {"others": [1, 2]}, {"lengths": np.array([None, "x"], object)}):
        np.savez(path, **wrong)
        refused()
