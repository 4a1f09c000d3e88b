"""Features of many files by several processes: the parent splits the work, `python -m src.extraction` does a share.

Processes of their own, not forks: the parent has MindSpore's threads, which do not survive a fork.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from src.features import FEATURE_KEYS, features_of_file
from src.model_utils.runtime import UserError, resolve_workers, run

FEW = 200  # files below which starting processes costs more than it saves


def extract(jobs: list[tuple[str, float]], settings, workers: int) -> list[np.ndarray | str]:
    """Return for each job (audio path, speed) its frames (T, D) before normalisation, or the message of its error.

    `workers` is the number of processes; 0 takes all cores.
    """
    workers = min(resolve_workers(workers), len(jobs) // FEW + 1)
    if workers == 1:
        return _share(jobs, settings)
    command = [sys.executable, "-m", "src.extraction"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(workers)
    ]
    for worker, process in enumerate(processes):
        assert process.stdin  # which the type checker does not know
        with contextlib.suppress(BrokenPipeError), process.stdin as share:
            pickle.dump((jobs[worker::workers], {key: settings[key] for key in FEATURE_KEYS}), share)
    results: list[np.ndarray | str] = [""] * len(jobs)
    for worker, process in enumerate(processes):
        with contextlib.suppress(EOFError, pickle.UnpicklingError):  # of a process that has died
            results[worker::workers] = pickle.load(process.stdout)
        if process.wait():
            raise RuntimeError(f"a process that computes features ended with {process.returncode}")
    return results


def _share(jobs, settings) -> list[np.ndarray | str]:
    results: list[np.ndarray | str] = []
    for path, speed in jobs:
        try:
            results.append(features_of_file(path, settings, speed)[0])
        except UserError as error:
            results.append(str(error))
    return results


def main() -> None:
    """Do the share that comes through standard input."""
    pickle.dump(_share(*pickle.load(sys.stdin.buffer)), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    run(main)
