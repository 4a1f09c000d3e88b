"""A file of word vectors in GloVe's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_sample_glove(directory, embed_size: int, tokens, seed: int = 0) -> Path:
    """Write random vectors for the tokens as glove.6B.<embed_size>d.txt; returns the file's path."""
    vectors = np.random.default_rng(seed).normal(0, 0.4, (len(tokens), embed_size))
    path = Path(directory) / f"glove.6B.{embed_size}d.txt"
    path.parent.mkdir(exist_ok=True)
    lines = (f"{token} {' '.join(f'{value:.5g}' for value in vector)}\n" for token, vector in zip(tokens, vectors))
    path.write_text("".join(lines), encoding="utf-8")
    return path
