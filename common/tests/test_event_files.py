"""train.py --tensorboard: event files that hold what metrics.jsonl holds, also after a resume."""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path

import pytest
from test_trainer import make_trainer, metrics_of, no_curves  # noqa: F401

from src.model_utils.checkpoint import initial_weights
from src.model_utils.configuration import Parser
from src.model_utils.event_files import ABOUT_A_RECORD
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments

pytestmark = pytest.mark.usefixtures("no_curves")


def events_of(folder: Path) -> list:
    """The events of all files of a folder, in the order of their names, each with its checksums compared."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            data = content[place + 12 : place + 12 + size]
            assert struct.unpack_from("<I", content, place + 8)[0] == masked_crc32c(content[place : place + 8])
            assert struct.unpack_from("<I", content, place + 12 + size)[0] == masked_crc32c(data)
            events.append(Event.FromString(data))
            place += size + 16
    return events


def scalars(events: list) -> list[tuple[int, dict]]:
    """The steps and values that TensorBoard shows: a start of a run drops what came later than its step."""
    shown: list[tuple[int, dict]] = []
    for event in events:
        if event.HasField("session_log"):
            assert event.session_log.status == event.session_log.START
            shown = [each for each in shown if each[0] < event.step]
        elif event.HasField("summary"):
            shown.append((event.step, {value.tag: value.simple_value for value in event.summary.value}))
    return shown


def expected(folder: Path) -> list[tuple[int, dict]]:
    records = metrics_of(folder)
    return [
        (record["global_step"], pytest.approx({k: v for k, v in record.items() if k not in ABOUT_A_RECORD}, rel=1e-6))
        for record in records
    ]


def test_event_files_hold_what_metrics_jsonl_holds_also_after_a_resume(tmp_path):
    first, other = tmp_path / "events", tmp_path / "others"
    make_trainer(tmp_path, [0.5, 0.75, 0.8], tensorboard=first).train()
    events = events_of(first)
    assert events[0].file_version == "brain.Event:2"
    assert scalars(events) == expected(tmp_path)
    assert {tag for _, values in scalars(events) for tag in values} >= {
        *("loss", "learning_rate", "samples_per_second", "train_loss", "valid_accuracy")
    }
    for folder in (first, other):
        (tmp_path / "line-3_4.ckpt").unlink()  # as if it had been killed before the last one
        trainer = make_trainer(tmp_path, [0.9], tensorboard=folder)
        trainer.resume(initial_weights(tmp_path, "line", None, True))
        trainer.train()
        shown = scalars(events_of(folder))
        assert shown == expected(tmp_path) and [step for step, _ in shown] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
        assert shown[-1][1]["valid_accuracy"] == pytest.approx(0.9)


def test_only_the_first_rank_writes(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path / "outputs", num_epochs=1, tensorboard=tmp_path / "events")
    (tmp_path / "outputs").mkdir()
    trainer.is_main = False
    trainer.train()
    assert not (tmp_path / "events").exists() and not (tmp_path / "outputs" / "metrics.jsonl").exists()


def parse(*words: str) -> argparse.Namespace:
    return parse_training_arguments(Parser("Train."), words, json, {}, ["default"])


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match="^--tensorboard needs the package tensorboardX: pip install tensorboardX"):
        parse("--tensorboard", str(tmp_path))
    assert parse().tensorboard is None


def test_what_cannot_be_written_to_is_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: not a folder; choose another"):
        parse("--tensorboard", str(tmp_path / "file"))
    with pytest.raises(UserError, match="--tensorboard does not go with --performance_steps"):
        parse("--tensorboard", str(tmp_path), "--performance_steps", "3")
