"""Checkpoints: complete or absent on disk, checked on loading, and the newest good one found again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from src.model_utils.runtime import UserError, log, quiet

AVERAGE_PREFIX = "average."
UNFINISHED_PREFIX = ".unfinished-"
_STATE_KEY = "training_state"


def save_checkpoint(path, parameters, state: dict | None = None) -> None:
    """Write parameters and a JSON-able state to `path` with a CRC, atomically.

    MindSpore's own saving deletes the older file first; this one writes beside it, reads it back, and renames.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED_PREFIX}{os.getpid()}-{path.name}")
    entries = [{"name": p.name, "data": p} for p in parameters]
    note = json.dumps({"parameters": len(entries), **(state or {})})
    entries.append({"name": _STATE_KEY, "data": Tensor(np.frombuffer(note.encode(), np.uint8).astype(np.int32))})
    try:
        with quiet(logging.CRITICAL):
            ms.save_checkpoint(entries, str(unfinished), crc_check=True)
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:  # MindSpore wraps a full disk into a RuntimeError
        raise UserError(
            f"{path}: cannot write the checkpoint ({_first_line(error)}); is the disk full or read-only?"
        ) from None
    finally:
        for rest in (unfinished, unfinished.with_suffix(".tmp")):  # MindSpore writes a .tmp of its own first
            with contextlib.suppress(OSError):
                rest.unlink()


def load_checkpoint(path) -> tuple[dict[str, Parameter], dict]:
    """Read a checkpoint of `save_checkpoint` whole: (parameters by name, state).

    Raises UserError for a missing, truncated, damaged or foreign file. The stored number of parameters catches a file
    cut between two parameters, which the CRC does not.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint file")
    if not str(path).endswith(".ckpt"):
        raise UserError(f"{path}: not a checkpoint, its name must end in .ckpt")
    try:
        parameters = ms.load_checkpoint(str(path), crc_check=True)
    except Exception as error:  # ValueError, RuntimeError, or what the protobuf parser raises on random bytes
        raise UserError(f"{path}: damaged or not a MindSpore checkpoint ({_first_line(error)})") from None
    note = parameters.pop(_STATE_KEY, None)
    if note is None:
        raise UserError(f"{path}: truncated, or not a checkpoint written by this project's train.py")
    state = json.loads(note.asnumpy().astype(np.uint8).tobytes().decode())
    if state.pop("parameters") != len(parameters):
        raise UserError(f"{path}: truncated, {len(parameters)} parameters of more are left; use an older checkpoint")
    return parameters, state


def load_into(targets, parameters: dict[str, Parameter], path, averaged: bool = False) -> None:
    """Copy the loaded parameters into `targets` by name, strictly: every target must be there with its shape.

    `averaged` takes the weight average (names under `average.`) where the checkpoint holds one. Raises UserError
    naming the first parameter that is missing or has another shape.
    """
    for target in targets:
        found = parameters.get(AVERAGE_PREFIX + target.name) if averaged else None
        found = parameters.get(target.name) if found is None else found
        if found is None:
            raise UserError(f"{path}: has no parameter '{target.name}'; it is the checkpoint of another model")
        if found.shape != target.shape:
            raise UserError(
                f"{path}: '{target.name}' has shape {tuple(found.shape)}, the configured network {tuple(target.shape)}"
            )
        target.set_data(Tensor(found.asnumpy(), target.dtype))


def training_checkpoints(directory, name: str) -> list[Path]:
    """Return the files `<name>-<epoch>_<step>.ckpt` of a folder, oldest first."""
    pattern = re.compile(re.escape(name) + r"-(\d+)_(\d+)\.ckpt")
    found = [(pattern.fullmatch(path.name), path) for path in Path(directory).glob(f"{name}-*.ckpt")]
    return [path for _, path in sorted(((int(m[1]), int(m[2])), path) for m, path in found if m)]


def newest_good_checkpoint(directory, name: str) -> tuple[Path, dict, dict] | None:
    """Return (path, parameters, state) of the newest checkpoint that loads; None without any."""
    for path in reversed(training_checkpoints(directory, name)):
        try:
            return path, *load_checkpoint(path)
        except UserError as error:
            log(f"warning: skipped {error}")
    return None


def keep_newest(directory, name: str, keep_max: int) -> None:
    """Delete all but the `keep_max` newest training checkpoints; 0 keeps all."""
    for path in training_checkpoints(directory, name)[:-keep_max] if keep_max else []:
        path.unlink()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
