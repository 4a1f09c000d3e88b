"""Pretrained vectors in the table of a network."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor


def set_vectors(table: Parameter, characters: list[str], vectors: dict[str, np.ndarray]) -> int:
    """Put vectors (C,) into the rows of their characters in `table` (V, C); returns how many of them have one.

    The vectors are scaled, all by one factor, to the mean norm of the table.
    """
    values = table.asnumpy().copy()
    rows = [row for row, character in enumerate(characters) if character in vectors]
    if rows:
        known = np.stack([vectors[characters[row]] for row in rows])
        scale = np.linalg.norm(values, axis=1).mean() / max(1e-12, np.linalg.norm(known, axis=1).mean())
        values[rows] = known * scale
    table.set_data(Tensor(values))
    return len(rows)
