"""Metrics as event files of TensorBoard, written by the package tensorboardX, which is optional."""

from __future__ import annotations

import time
from pathlib import Path

from src.model_utils.runtime import UserError

ABOUT_A_RECORD = ("global_step", "epoch")


def check_tensorboard(folder: str) -> None:
    """Raise UserError unless event files can be written into a folder."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise UserError(
            "--tensorboard needs the package tensorboardX: pip install tensorboardX; or leave the option out,"
            " metrics.jsonl holds the same figures"
        ) from None
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(f"--tensorboard {folder}: not a folder; choose another")


class EventFiles:
    """The event file of one run of a training, beside those of the runs that it continues.

    TensorBoard leaves out what others of the folder hold from `first_step` on, which this run does again; if there are
    no others, `earlier` records come first. Written at once, so that a full disk is an error here.
    """

    def __init__(self, folder, first_step: int, earlier: list[dict]):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        is_first = not any(folder.glob("events.out.tfevents.*"))
        self._writer = EventsWriter(str(folder / "events"), f".{first_step}")  # else of the same second, the same name
        if is_first:
            for record in earlier:
                self.add(record)
        log = SessionLog(status=SessionLog.START)
        self._writer.write_event(Event(wall_time=time.time(), step=first_step, session_log=log))
        self._writer.flush()

    def add(self, record: dict) -> None:
        """Write the numbers of a record of metrics.jsonl, each a scalar of its own name."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=key, simple_value=value) for key, value in record.items() if key not in ABOUT_A_RECORD
        ]
        self._writer.write_event(
            Event(wall_time=time.time(), step=record["global_step"], summary=Summary(value=values))
        )
        self._writer.flush()
