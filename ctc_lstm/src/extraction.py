"""Features of many files by several processes: the parent splits the work, `python -m src.extraction` does a share.

Processes of their own, not forks: the parent has MindSpore's threads, which do not survive a fork.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from src.features import FEATURE_KEYS, feature_size, features_of_file
from src.model_utils.runtime import UserError, resolve_workers, run

FEW = 200  # files below which starting processes costs more than it saves


def extract(jobs: list[tuple[str, float]], settings, workers: int) -> list[np.ndarray | str]:
    """Return for each job (audio path, speed) its frames (T, D) before normalisation, or the message of its error.

    `workers` is the number of processes; 0 takes all cores.
    """
    workers = min(resolve_workers(workers), len(jobs) // FEW + 1)
    if workers == 1:
        return _share(jobs, settings)
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for worker in range(workers):
            share = {
                "jobs": jobs[worker::workers],
                "settings": {key: settings[key] for key in FEATURE_KEYS},
                "output": f"{folder}/{worker}.npz",
            }
            path = Path(folder) / f"{worker}.json"
            path.write_text(json.dumps(share), encoding="utf-8")
            command = [sys.executable, "-m", "src.extraction", str(path)]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
            processes.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError(f"a process that computes features ended with {max(codes, key=abs)}")
        results: list[np.ndarray | str] = [""] * len(jobs)
        for worker in range(workers):
            with np.load(f"{folder}/{worker}.npz", allow_pickle=False) as made:
                parts = np.split(made["frames"], np.cumsum(made["lengths"])[:-1])
                errors = made["errors"].tolist()
            results[worker::workers] = [error or frames for error, frames in zip(errors, parts)]
    return results


def _share(jobs, settings) -> list[np.ndarray | str]:
    results: list[np.ndarray | str] = []
    for path, speed in jobs:
        try:
            results.append(features_of_file(path, settings, speed))
        except UserError as error:
            results.append(str(error))
    return results


def main() -> None:
    """Do the share of the JSON file on the command line."""
    share = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = _share(share["jobs"], share["settings"])
    empty = np.zeros((0, feature_size(share["settings"])), np.float32)
    frames = [empty if isinstance(result, str) else result for result in results]
    np.savez(
        share["output"],
        frames=np.concatenate(frames),
        lengths=np.array([len(each) for each in frames]),
        errors=np.array([result if isinstance(result, str) else "" for result in results]),
    )


if __name__ == "__main__":
    run(main)
