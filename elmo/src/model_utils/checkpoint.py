"""Checkpoints: complete or absent on disk, checked on loading; where a training starts from, and the folder it owns."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor

from src.model_utils import ranks
from src.model_utils.files import atomic_write, parse_json
from src.model_utils.runtime import UserError, log, quiet, rank_and_size

# Raise it when older programs would misread a checkpoint; 1 did not say it, 3 has parameters in files beside it
FORMAT_VERSION = 3
AVERAGE_PREFIX = "average."
UNFINISHED_PREFIX = ".unfinished-"
_STATE_KEY = "training_state"


def save_fixed(folder, fixed: Mapping[str, Parameter]) -> dict:
    """Write parameters that no step changes to files of `folder`, by these names, unless they are there already.

    Returns what `save_checkpoint` is to be told instead of the parameters.
    """
    note = {}
    for name, parameter in fixed.items():
        path, values = Path(folder) / name, np.ascontiguousarray(parameter.asnumpy())
        note[parameter.name] = [name, zlib.crc32(values)]
        try:
            there = zlib.crc32(np.load(path, mmap_mode="r")) == note[parameter.name][1]
        except Exception:
            there = False
        if not there:
            with atomic_write(path, "wb") as file:
                np.save(file, values, allow_pickle=False)
    return note


def _load_fixed(folder: Path, note: dict) -> dict[str, Parameter]:
    parameters = {}
    for name, (file, crc) in note.items():
        if Path(file).name != file.removeprefix("../"):  # one folder up is the training that a pre-training is for
            raise ValueError
        path = folder / file
        try:
            values = np.array(np.load(path, mmap_mode="r"))  # which takes no memory for more than the file holds
            good = zlib.crc32(values) == crc
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; keep it together with the checkpoint") from None
        except Exception:  # of a damaged header NumPy also raises what its tokenizer does
            values, good = None, False
        if not good:
            raise UserError(f"{path}: damaged, or of another training than the checkpoint beside it; restore it")
        parameters[name] = Parameter(Tensor(values), name=name)
    return parameters


def save_checkpoint(path, parameters, state: dict | None = None, fixed: dict | None = None) -> None:
    """Write parameters and a JSON-able state to `path` with a CRC, atomically; `fixed` is what `save_fixed` returned.

    MindSpore's own saving deletes the older file first; this one writes beside it, reads it back, and renames.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{UNFINISHED_PREFIX}{os.getpid()}-{path.name}")
    entries = [{"name": p.name, "data": p} for p in parameters if p.name not in (fixed or {})]
    about = {"format_version": FORMAT_VERSION, "fixed": fixed} if fixed else {"format_version": 2}
    note = json.dumps({**about, "parameters": len(entries), **(state or {})})
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

    Raises UserError for a missing, truncated, damaged or foreign file, and for one of a newer format. The stored number
    of parameters catches a file cut between two parameters, which the CRC does not.
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
    try:
        state = parse_json(note.asnumpy().astype(np.uint8).tobytes().decode())
        version, count = state.pop("format_version", 1), state.pop("parameters")
        if version > FORMAT_VERSION:
            raise UserError(
                f"{path}: has checkpoint format {version}, this program reads 1 to {FORMAT_VERSION}; get a newer"
                " version of the project"
            )
        if count != len(parameters):
            raise UserError(
                f"{path}: truncated, {len(parameters)} parameters of more are left; use an older checkpoint"
            )
        parameters.update(_load_fixed(Path(path).parent, state.pop("fixed", {})))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(f"{path}: what it says of itself is damaged; use an older checkpoint") from None
    return parameters, state


class InitialWeights(NamedTuple):
    """The weights that a training starts from; all None where they are fresh.

    path: their checkpoint, in the folder of the training that wrote it, beside its configuration and vocabulary
    state: what a resumed training has besides its parameters; None where the weights are only pre-trained
    """

    path: Path | None = None
    parameters: dict[str, Parameter] | None = None
    state: dict | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the training that the weights come from; None on other ranks, whose machine may lack it."""
        return self.path.parent if self.path and rank_and_size()[0] == 0 else None

    def load_pre_trained(self, network) -> None:
        """Put pre-trained weights into a network; fresh ones stay, and a Trainer loads those of a resumed training."""
        if self.parameters and self.state is None:
            load_into(network.get_parameters(), self.parameters, self.path, averaged=True)
            self.parameters.clear()  # as large as the network


def initial_weights(folder, name: str, pre_trained=None, resume: bool = False) -> InitialWeights:
    """Decide between resumed, pre-trained and fresh weights, and read them; changes nothing on disk.

    Resumed weights are those of the newest good checkpoint `<name>-*.ckpt` in `folder`. Only rank 0 reads files, and
    tells the others. Raises UserError where there is none, or where the file `pre_trained` is no checkpoint.
    """
    read: list[InitialWeights] = []

    def arrays() -> tuple:
        read.append(_read_initial_weights(folder, name, pre_trained, resume))
        path, parameters, state = read[0]
        return path, parameters and {key: value.asnumpy() for key, value in parameters.items()}, state

    path, parameters, state = ranks.from_first(arrays)
    if read:
        return read[0]
    return InitialWeights(path, parameters and {k: Parameter(Tensor(v), name=k) for k, v in parameters.items()}, state)


def _read_initial_weights(folder, name: str, pre_trained, resume: bool) -> InitialWeights:
    if resume:
        for path in reversed(training_checkpoints(folder, name)):
            try:
                return InitialWeights(path, *load_checkpoint(path))
            except UserError as error:
                log(f"warning: skipped {error}")
        raise UserError(f"{folder}: holds no {name}-*.ckpt to resume from; start without --resume")
    if pre_trained:
        return InitialWeights(Path(pre_trained), load_checkpoint(pre_trained)[0])
    return InitialWeights()


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


def keep_newest(directory, name: str, keep_max: int) -> None:
    """Delete all but the `keep_max` newest training checkpoints; 0 keeps all."""
    for path in training_checkpoints(directory, name)[:-keep_max] if keep_max else []:
        path.unlink()


def check_output_folder(folder, name: str, resume: bool, overwrite: bool) -> None:
    """Raise UserError where a training would overwrite an earlier one unasked; changes nothing on disk."""
    older = training_checkpoints(folder, name) if rank_and_size()[0] == 0 else []  # the others write nothing
    if older and not resume and not overwrite:
        raise UserError(
            f"{folder}: holds an earlier training ({older[-1].name}); --resume continues it, --overwrite deletes it,"
            " another --ckpt_path keeps both"
        )


@contextlib.contextmanager
def output_folder(folder, name: str, resume: bool, overwrite: bool) -> Iterator[None]:
    """Create the folder of a training and keep others out of it inside this context.

    With `overwrite`, and unless it resumes, the checkpoints of an earlier training are deleted: call it when all else
    is checked. Raises UserError where another run writes there, or as check_output_folder does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if rank_and_size()[0] != 0:
        yield
        return
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{folder}: another training writes here; wait for it or choose another --ckpt_path"
            ) from None
        check_output_folder(folder, name, resume, overwrite)
        for path in folder.glob(f"{UNFINISHED_PREFIX}*"):
            path.unlink()  # left by a run that was killed while it was saving
        if overwrite and not resume:
            for path in [*training_checkpoints(folder, name), folder / f"{name}_best.ckpt"]:
                path.unlink(missing_ok=True)
        yield


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
