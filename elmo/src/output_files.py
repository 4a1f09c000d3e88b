"""Output files: never in place of an input, and HDF5 files that are complete or absent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py

from src.model_utils.files import atomic_write
from src.model_utils.runtime import UserError


def check_output_file(output: str | Path, **inputs: str | Path | None) -> None:
    """Raise UserError where an output file is a folder, or one of the inputs, given by the names of their options."""
    output = Path(output)
    if output.is_dir():
        raise UserError(f"{output}: a folder; name a file in it")
    for name, path in inputs.items():
        if path and output.exists() and Path(path).exists() and output.samefile(path):
            raise UserError(f"{output}: would replace what is read ({name}); choose another name for the output")


@contextlib.contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for writing that takes its place only when complete."""
    with atomic_write(path, "wb") as unfinished, h5py.File(unfinished.name, "w") as file:
        yield file
