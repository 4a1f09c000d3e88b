"""Features of many files by several processes: the parent splits the work, `python -m src.extraction` does a share.

Processes of their own, not forks: the parent has MindSpore's threads, which do not survive a fork.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.features import FEATURE_KEYS, Moments, features_of_file, normalize
from src.model_utils.runtime import UserError, resolve_workers, run

FEW = 200  # files below which starting processes costs more than it saves
AT_ONCE = 8  # files of an answer: a process waits for its turn, and these let it work ahead


class Job(NamedTuple):
    """A file whose features are wanted, its speaker ("" if unknown) and the speed at which it is to play."""

    audio: str
    speaker: str
    speed: float


def has_speaker_statistics(job: Job, settings) -> bool:
    """Whether a file is normalised with the others of its speaker and speed, which only all of them tell."""
    return settings["cmvn"] == "speaker" and bool(job.speaker)


def extract(jobs: list[Job], settings, workers: int) -> Iterator[tuple[np.ndarray, Moments] | str]:
    """Yield for each job, in their order, its frames (T, D) and their moments, or the message of its error.

    The frames are normalised but where `has_speaker_statistics`. `workers` is the number of processes; 0 takes all
    cores.
    """
    workers = min(resolve_workers(workers), len(jobs) // FEW + 1)
    if workers == 1:
        yield from _features(jobs, settings)
        return
    command = [sys.executable, "-m", "src.extraction"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    chunks = [jobs[start : start + AT_ONCE] for start in range(0, len(jobs), AT_ONCE)]
    with contextlib.ExitStack() as stack:
        processes = []
        for worker in range(workers):
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)  # nothing where it is done
            processes.append(process)
            assert process.stdin  # which the type checker does not know
            with contextlib.suppress(BrokenPipeError), process.stdin as share:
                pickle.dump((chunks[worker::workers], {key: settings[key] for key in FEATURE_KEYS}), share)
        for process, _ in zip(itertools.cycle(processes), chunks):
            try:
                yield from pickle.load(process.stdout)
            except (EOFError, pickle.UnpicklingError):
                raise RuntimeError(f"a process that computes features ended with {process.wait()}") from None


def _features(jobs, settings) -> Iterator[tuple[np.ndarray, Moments] | str]:
    for job in jobs:
        try:
            frames = features_of_file(job.audio, settings, job.speed)[0]
        except UserError as error:
            yield str(error)
            continue
        moments = Moments(frames)
        if settings["cmvn"] != "none" and not has_speaker_statistics(job, settings):
            frames = normalize(frames, moments.mean_and_scale())
        yield frames, moments


def main() -> None:
    """Do the share that comes through standard input."""
    chunks, settings = pickle.load(sys.stdin.buffer)
    for jobs in chunks:
        pickle.dump(list(_features(jobs, settings)), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    run(main)
