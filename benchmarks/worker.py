"""One process of a benchmark: prepares what every side is given, or measures one side. run.py starts it."""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-4  # of the logits of an exact network, float32


def prepare(job: dict, folder: Path) -> dict:
    """Write the configuration, batches and starting weights of a model and preset into `folder`, for `measure`."""
    module = importlib.import_module(f"{job['model']}_mindspore")
    made = module.prepare_measurement(job["preset"], job["changes"], job["preprocess_path"], job["steps"])
    batches = made["batches"]
    arrays = {f"{i}.{j}": array for i, batch in enumerate(batches) for j, array in enumerate(batch.inputs)}
    np.savez(folder / "batches.npz", logits=made["logits"], **arrays)
    np.savez(folder / "weights.npz", **made["weights"])
    summary = {
        "samples": sum(batch.samples for batch in batches),
        "tokens": sum(batch.tokens for batch in batches),
        "operations": sum(operations(module, batch.inputs, made["weights"]) for batch in batches),
        "inputs": [len(batch.inputs) for batch in batches],
        "rates": made["rates"],
        "config": made["config"],
    }
    (folder / "prepared.json").write_text(json.dumps(summary), encoding="utf-8")
    return summary


def operations(module, inputs: tuple, weights: dict[str, np.ndarray]) -> int:
    """Return the floating-point operations of the products with weights in a training step.

    A weight of n numbers takes 2 n for each row of its input, and the gradients of both take as many again. What
    module.rows(name, inputs, weights) counts includes padding, which is multiplied as well.
    """
    return sum(6 * weight.size * module.rows(name, inputs, weights) for name, weight in weights.items())


def peak(job: dict, folder: Path) -> dict:
    """Measure what the processor can do in a product of large matrices."""
    from mindspore_training import matmul_peak

    return {"operations_per_second": matmul_peak()}


def measure(job: dict, folder: Path) -> dict:
    """Time the training and the inference of one side, each in a second pass over the batches.

    The first pass compiles, and makes the kernels of every length and fills the allocator as a long training would
    have done. Building the batches is not timed, turning their arrays into tensors and reading the loss or the logits
    is. Rates are per second, memory in MiB. Raises AssertionError where an exact network is not MindSpore's.
    """
    module = importlib.import_module(f"{job['model']}_{job['framework']}")
    prepared = json.loads((folder / "prepared.json").read_text(encoding="utf-8"))
    with np.load(folder / "weights.npz") as weights:
        side = module.Side(job["variant"], SimpleNamespace(**prepared["config"]), prepared["rates"], dict(weights))
    with np.load(folder / "batches.npz") as arrays:
        inputs = [tuple(arrays[f"{i}.{j}"] for j in range(count)) for i, count in enumerate(prepared["inputs"])]
        expected = arrays["logits"]
    batches = [side.collate(each) for each in inputs]
    result = {"version": side.version}
    if job["exact"]:
        difference = float(np.abs(side.logits(batches[0]) - expected).max())
        if not difference <= TOLERANCE:
            raise AssertionError(f"{job['framework']} {job['variant']}: logits differ by {difference} from MindSpore's")
        result["logits_difference"] = difference

    begin = time.perf_counter()
    losses = [side.train(batches[0])]
    result["first_step_seconds"] = time.perf_counter() - begin
    losses += [side.train(batch) for batch in batches[1:]]
    begin = time.perf_counter()
    losses += [side.train(batch) for batch in batches]
    result.update(_rates("training", prepared, time.perf_counter() - begin))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_memory_mib"] = peak / (2**20 if sys.platform == "darwin" else 2**10)

    for batch in batches:
        side.logits(batch)
    begin = time.perf_counter()
    for batch in batches:
        side.logits(batch)
    result.update(_rates("inference", prepared, time.perf_counter() - begin))
    return {**result, "losses": losses}


def _rates(what: str, prepared: dict, seconds: float) -> dict:
    return {
        f"{what}_seconds": seconds,
        f"{what}_samples_per_second": prepared["samples"] / seconds,
        f"{what}_tokens_per_second": prepared["tokens"] / seconds,
    }


def main() -> None:
    """Do the job of the JSON on standard input and write its result to job["result"]."""
    job = json.load(sys.stdin)
    sys.path.insert(0, str(REPOSITORY / job["model"]))
    from src.model_utils.runtime import UserError

    try:
        result = {"prepare": prepare, "peak": peak, "measure": measure}[job["task"]](job, Path(job["folder"]))
    except UserError as error:
        result = {"error": " ".join(str(error).split())}
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
