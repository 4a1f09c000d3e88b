"""A corpus is converted once, to MindRecord files in a folder with a fingerprint of all that they were made from."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from src.model_utils import ranks
from src.model_utils.aliases import own_name
from src.model_utils.files import atomic_write, parse_json
from src.model_utils.mindrecord import Rows
from src.model_utils.runtime import UserError, local_rank, log

FINGERPRINT = "fingerprint.json"


def read_fingerprint(folder) -> dict | None:
    """Return the fingerprint of a folder of converted files, or None where there is none, or a damaged one."""
    try:
        fingerprint = parse_json((Path(folder) / FINGERPRINT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return fingerprint if isinstance(fingerprint, dict) else None


def digest_of_files(files: Iterable[tuple[str, str | os.PathLike]]) -> str:
    """Return digests of the names and sizes of files (name, path), and of their times of change, for a fingerprint."""
    contents, times = hashlib.sha256(), hashlib.sha256()
    for name, path in files:
        status = os.stat(path)
        contents.update(f"{name} {status.st_size}\n".encode())
        times.update(f"{status.st_mtime_ns}\n".encode())
    return f"{contents.hexdigest()} changed {times.hexdigest()}"


def identity(folder) -> dict | None:
    """Return the fingerprint of a folder without the times of change, which differ between copies of a corpus."""
    fingerprint = read_fingerprint(folder)
    return fingerprint and {key: str(value).partition(" changed ")[0] for key, value in fingerprint.items()}


def check_prepared(preprocess_path, options: dict, source: str, added_later: dict | None = None) -> None:
    """Raise UserError where a folder was not prepared, or with other options than these; --`source` would mend it.

    `added_later` has the options that an older fingerprint may lack, and what they were then.
    """
    fingerprint = read_fingerprint(preprocess_path)
    if fingerprint is None:
        raise UserError(f"{preprocess_path}: holds no preprocessed data; give --{source}")
    prepared = {**(added_later or {}), **{own_name(key, options): value for key, value in fingerprint.items()}}
    for key, value in options.items():
        if prepared.get(key) != value:
            raise UserError(
                f"{preprocess_path}: was prepared with {key} {prepared.get(key)}, the configuration says {value}; give"
                f" --{source} to prepare it again"
            )


def convert_once(preprocess_path, fingerprint: dict, convert: Callable[[Path], None]) -> None:
    """Let `convert` fill the folder `preprocess_path`, unless the folder has this fingerprint already.

    The folder is made beside its place and renamed when complete, so an interrupted conversion leaves nothing that
    could be mistaken for a finished one. Of several trainings that are started together, one converts; of a distributed
    one, the first process of each machine, so the machines may share the folder or have their own. Raises UserError
    where the folder holds something else.
    """
    target = Path(preprocess_path).resolve()  # a link to another disk stays a link
    if read_fingerprint(target) == fingerprint:
        log(f"{target}: preprocessed data is up to date")
    elif local_rank() == 0:
        _convert(target, fingerprint, convert)
    ranks.barrier()
    if ranks.count() > 1:
        with contextlib.suppress(OSError):  # so a network's file system looks for what another machine made
            os.listdir(target.parent)
    if read_fingerprint(target) != fingerprint:  # on a disk that this process does not share with who converted
        raise UserError(f"{target}: holds no data prepared from this corpus with these options")


def _convert(target: Path, fingerprint: dict, convert: Callable[[Path], None]) -> None:
    if target.exists() and any(target.iterdir()) and not (target / FINGERPRINT).exists():
        raise UserError(f"{target}: not empty and not made by this program; choose another --preprocess_path")
    if target in (Path.cwd(), *Path.cwd().parents):
        raise UserError(f"{target}: would be replaced, but you are in it; choose another --preprocess_path")
    if target.is_mount():  # which cannot be renamed to
        raise UserError(f"{target}: is a whole disk or volume; choose a folder on it, --preprocess_path {target}/data")
    unfinished = target.with_name(f".{target.name}.unfinished")
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f".{target.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_fingerprint(target) == fingerprint:
            return
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            convert(unfinished)
            with atomic_write(unfinished / FINGERPRINT) as file:
                json.dump(fingerprint, file, indent=1)
            if target.exists():
                shutil.rmtree(target)
            os.replace(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def open_split(preprocess_path, split: str, advice: str) -> Rows:
    """Open the rows of a converted split; UserError where it is missing or damaged."""
    path = Path(preprocess_path) / f"{split}.mindrecord"
    if not path.is_file():
        raise UserError(f"{path}: no such file; {advice}")
    return Rows(path)


def open_split_with_arrays(
    preprocess_path, split: str, advice: str, of_each_row: str
) -> tuple[Rows, dict[str, np.ndarray]]:
    """Open the rows of a converted split and the arrays that the conversion left beside them, `<split>.npz`.

    UserError where either is missing or damaged, or where the array `of_each_row` belongs to other rows.
    """
    rows, path = open_split(preprocess_path, split, advice), Path(preprocess_path) / f"{split}.npz"
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.load(path) as file:
            if sum(member.file_size for member in file.zip.infolist()) > path.stat().st_size:
                raise ValueError  # compressed, which these files are not: little may stand for much there
            arrays = dict(file)
        fitting = len(arrays[of_each_row]) == len(rows)
    except Exception:  # NumPy and zipfile raise a dozen kinds of it for a damaged file
        fitting = False
    if not fitting:
        raise UserError(f"{path}: missing or damaged; delete the folder {preprocess_path} and preprocess again")
    return rows, arrays
