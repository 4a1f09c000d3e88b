"""Features of many files by several processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np

from src.features import FEATURE_KEYS, Moments, features_of_file, normalize
from src.model_utils.processes import map_in_processes
from src.model_utils.runtime import UserError, resolve_workers

FEW = 200  # files below which starting processes costs more than it saves
AT_ONCE = 8  # files of an answer, which take much longer than their way through a pipe


class Job(NamedTuple):
    """A file whose features are wanted, its speaker ("" if unknown) and the speed at which it is to play."""

    audio: str
    speaker: str
    speed: float


def has_speaker_statistics(job: Job, settings) -> bool:
    """Whether a file is normalised with the others of its speaker and speed, which only all of them tell."""
    return settings["cmvn"] == "speaker" and bool(job.speaker)


def extract(jobs: Iterable[Job], count: int, settings, workers: int) -> Iterator[tuple[np.ndarray, Moments] | str]:
    """Yield for each of `count` jobs, in their order, its frames (T, D) and their moments, or the message of its error.

    The frames are normalised but where `has_speaker_statistics`. `workers` is the number of processes; 0 takes all
    cores.
    """
    workers = min(resolve_workers(workers), count // FEW + 1)
    keys, jobs = {key: settings[key] for key in FEATURE_KEYS}, iter(jobs)
    shares = ((share, keys) for share in iter(lambda: list(itertools.islice(jobs, AT_ONCE)), []))
    with closing(map_in_processes(features_of_share, shares, workers)) as answers:
        yield from itertools.chain.from_iterable(answers)


def features_of_share(share: tuple[list[Job], dict]) -> list[tuple[np.ndarray, Moments] | str]:
    """Return what `extract` yields for some jobs, with the settings that they need."""
    (jobs, settings), results = share, []
    for job in jobs:
        try:
            frames = features_of_file(job.audio, settings, job.speed)[0]
        except UserError as error:
            results.append(str(error))
            continue
        moments = Moments(frames)
        if settings["cmvn"] != "none" and not has_speaker_statistics(job, settings):
            frames = normalize(frames, moments.mean_and_scale())
        results.append((frames, moments))
    return results
