"""Output files: never in place of an input, and vectors in HDF5 or NumPy files that are complete or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from src.model_utils.files import atomic_write, output_file
from src.model_utils.runtime import UserError


def check_output_file(output: str | Path, **inputs: str | Path | None) -> None:
    """Raise UserError as of `output_file`, and for one of the inputs, given by the names of their options."""
    output = output_file(str(output))
    for name, path in inputs.items():
        if path and output.exists() and Path(path).exists() and output.samefile(path):
            raise UserError(f"{output}: would replace what is read ({name}); choose another name for the output")


@contextlib.contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for writing that takes its place only when complete."""
    with atomic_write(path, "wb") as unfinished, h5py.File(unfinished.name, "w") as file:
        yield file


def copy_text(text: BinaryIO, file: h5py.File, name: str) -> None:
    """Copy an open file of UTF-8 into a data set (1,) of one string, which is never in memory as a whole."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # so that it has its place in the file at once
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    length = text.seek(0, os.SEEK_END)
    data = file.create_dataset(name, (1,), dtype=h5py.string_dtype("utf-8", length), dcpl=creation)
    file.flush()
    text.seek(0)
    with open(file.filename, "r+b") as raw:
        raw.seek(data.id.get_offset())
        shutil.copyfileobj(text, raw)


@contextlib.contextmanager
def atomic_vectors(path: str | Path) -> Iterator[Hdf5Vectors | NumpyVectors]:
    """Open a file for arrays by name, NumPy's for a path in .npz and else HDF5, that takes its place when complete."""
    if Path(path).suffix == ".npz":
        with atomic_write(path, "wb") as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            yield NumpyVectors(archive)
    else:
        with atomic_hdf5(path) as file:
            yield Hdf5Vectors(file)


class Hdf5Vectors:
    """A data set for each array."""

    def __init__(self, file: h5py.File):
        self.file = file

    def add(self, name: str, array: np.ndarray) -> None:
        """Write an array as float32."""
        self.file.create_dataset(name, data=array, dtype=np.float32)

    def add_text(self, name: str, text: BinaryIO) -> None:
        """Write an open file of UTF-8."""
        copy_text(text, self.file, name)


class NumpyVectors:
    """An archive as `np.savez` writes it, but array by array; what it gives for a text is its bytes."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive

    def add(self, name: str, array: np.ndarray) -> None:
        """Write an array as float32."""
        with self.archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array, np.float32), allow_pickle=False)

    def add_text(self, name: str, text: BinaryIO) -> None:
        """Write an open file of UTF-8."""
        text.seek(0)
        with self.archive.open(name, "w", force_zip64=True) as file:
            shutil.copyfileobj(text, file)
