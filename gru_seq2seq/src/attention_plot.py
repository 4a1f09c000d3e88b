"""Pictures of what a translation attended to (Bahdanau et al. 2015, figure 3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.model_utils.files import atomic_write


def draw_attention(path, source_tokens: list[str], target_tokens: list[str], attention: np.ndarray) -> None:
    """Write a PNG of attention (T, S): a row for each target token, a column for each source token, black for 1."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows, columns = attention.shape
    figure, axes = pyplot.subplots(figsize=(2 + 0.32 * columns, 1.5 + 0.28 * rows), layout="constrained")
    axes.imshow(attention, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xticks(range(columns), [_plain(token) for token in source_tokens], rotation=90)
    axes.set_yticks(range(rows), [_plain(token) for token in target_tokens])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    with atomic_write(Path(path), "wb") as file:
        figure.savefig(file, format="png", dpi=120)
    pyplot.close(figure)


def _plain(token: str) -> str:
    return token.replace("$", r"\$")  # a pair of them would begin a formula
