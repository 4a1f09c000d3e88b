"""Results for people and programs: metrics.jsonl and curves.png of a training, JSON or a table of an evaluation."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from src.model_utils.event_files import EventFiles
from src.model_utils.files import atomic_write, parse_json


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended as training goes; on resume cut back to the checkpoint's step.

    With a folder for `tensorboard` the records become event files there too.
    """

    def __init__(self, path, resume_step: int | None = None, tensorboard: str | os.PathLike | None = None):
        self.path = Path(path)
        records = [] if resume_step is None else read_metrics(self.path)
        self.records = [record for record in records if record["global_step"] <= resume_step]
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(record) + "\n" for record in self.records)
        self.events = EventFiles(tensorboard, (resume_step or 0) + 1, self.records) if tensorboard else None

    def add(self, **record) -> None:
        """Append one record, which must hold `global_step`."""
        self.records.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.events:
            self.events.add(record)


def read_metrics(path) -> list[dict]:
    """Return the records of a metrics.jsonl, none where it is missing, without the line that a kill has cut."""
    records = []
    if Path(path).is_file():
        for line in Path(path).read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                record = parse_json(line)
                if record["global_step"] >= 0:
                    records.append(record)
    return records


def draw_curves(records: list[dict], path, metric: str) -> None:
    """Draw training and validation loss, the validation metric and the learning rate over steps into a PNG."""
    figure = _curves(records, metric)
    if figure is not None:
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format="png", dpi=110)


def curves_svg(records: list[dict], metric: str) -> str | None:
    """Return the same picture as inline SVG in the colour of the text around it; None where there is none."""
    import matplotlib

    ink = "#010203"  # which nothing else has
    colours = dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), ink)
    with matplotlib.rc_context({**colours, "legend.framealpha": 0, "svg.hashsalt": "curves"}):
        figure = _curves(records, metric)
        if figure is None:
            return None
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    svg = file.getvalue()
    return svg[svg.index("<svg") :].replace(ink, "currentColor")


def _curves(records: list[dict], metric: str):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {"loss": ("loss", "valid_loss"), metric.replace("_", " "): (metric,), "learning rate": ("learning_rate",)}
    lines = {
        title: [(key, [(r["global_step"], r[key]) for r in records if key in r]) for key in keys]
        for title, keys in panels.items()
        if any(key in record for record in records for key in keys)  # without validation there is nothing to draw of it
    }
    if not lines:
        return None
    figure = Figure(figsize=(4 * len(lines), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, drawn) in zip(figure.subplots(1, len(lines), squeeze=False)[0], lines.items()):
        for key, points in drawn:
            if points:
                axes.plot(*zip(*points), marker="o" if key.startswith("valid") else "", markersize=3, label=key)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def messages_to_stderr(as_json: bool) -> contextlib.AbstractContextManager:
    """Context in which messages go to standard error, where standard output is for one JSON object alone."""
    return contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()


def print_result(result: dict, as_json: bool, show_table: Callable[[dict], None]) -> None:
    """Print the result of a program: one JSON object for programs, or a table for people."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    else:
        show_table(result)
