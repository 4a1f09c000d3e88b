"""What a training leaves for people and programs: metrics.jsonl and curves.png."""

from __future__ import annotations

import json
from pathlib import Path

from src.model_utils.runtime import atomic_write


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended as training goes; on resume cut back to the checkpoint's step."""

    def __init__(self, path, resume_step: int | None = None):
        self.path = Path(path)
        self.records: list[dict] = []
        if resume_step is not None and self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:  # the line that a killed run was writing
                    continue
                if record["global_step"] <= resume_step:
                    self.records.append(record)
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(record) + "\n" for record in self.records)

    def add(self, **record) -> None:
        """Append one record, which must hold `global_step`."""
        self.records.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def draw_curves(records: list[dict], path, metric: str) -> None:
    """Draw training and validation loss, the validation metric and the learning rate over steps into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for axes, title, keys in zip(
        panels,
        ("loss", metric.replace("_", " "), "learning rate"),
        (("loss", "valid_loss"), (metric,), ("learning_rate",)),
    ):
        for key in keys:
            points = [(record["global_step"], record[key]) for record in records if key in record]
            if points:
                axes.plot(*zip(*points), marker="o" if key.startswith("valid") else "", markersize=3, label=key)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if len(keys) > 1:
            axes.legend()
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110)
