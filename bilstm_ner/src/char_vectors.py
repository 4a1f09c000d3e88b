"""Pretrained character vectors in word2vec's text format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from src.model_utils.runtime import UserError


def read_vectors(path) -> tuple[dict[str, np.ndarray], int]:
    """Read `character value value ...` lines, with or without a first line `count size`; (vectors, their size).

    Raises UserError with file and line for a malformed line, another size or bytes that are not UTF-8.
    """
    path, vectors, size = Path(path), {}, 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            token, _, values = line.rstrip().partition(b" ")
            if number == 1 and token.isdigit() and values.isdigit():
                size = int(values)
                continue
            try:
                vector = np.array(values.split(), np.float32)
                text = token.decode("utf-8")
            except (ValueError, UnicodeDecodeError) as error:
                raise UserError(f"{path}:{number}: {error}; expected a character and numbers, in UTF-8") from None
            size = size or len(vector)
            if len(vector) != size or not size or not np.isfinite(vector).all():
                raise UserError(
                    f"{path}:{number}: expected a character and {size or 'some'} finite numbers, found {len(vector)};"
                    " the file is damaged or no file of vectors"
                )
            vectors.setdefault(text, vector)
    if not vectors:
        raise UserError(f"{path}:1: holds no vectors; expected a character and its numbers on each line")
    return vectors, size


def fill_table(table: np.ndarray, characters: list[str], vectors: dict[str, np.ndarray]) -> int:
    """Put the vectors, scaled as a whole to the table's mean norm, into the rows of their characters; how many it put.

    Changes `table` (V, C) in place.
    """
    rows = [row for row, character in enumerate(characters) if character in vectors]
    if rows:
        found = np.stack([vectors[characters[row]] for row in rows])
        table[rows] = found * (np.linalg.norm(table, axis=1).mean() / max(1e-12, np.linalg.norm(found, axis=1).mean()))
    return len(rows)
