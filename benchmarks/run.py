"""Measure training step and inference of the models on the CPU, alone or side by side with PyTorch; see README.md."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Nothing heavy here: on Linux a child's peak memory counts from that of the process it was forked from.
FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent
sys.path.insert(0, str(REPOSITORY / "lstm"))
from src.model_utils.configuration import Parser  # noqa: E402
from src.model_utils.files import atomic_write, write_json  # noqa: E402
from src.model_utils.runtime import UserError, log, run  # noqa: E402

# model -> preset -> the PyTorch networks that it is compared with, of Side.networks in <model>_pytorch.py
EXACT = ("packed", "strongest")
MODELS = {
    "lstm": {"default": EXACT, "zoo": (*EXACT, "padded500"), "tiny": EXACT},
    "bilstm_ner": dict.fromkeys(("default", "bilstm", "tiny"), EXACT),
    "ctc_lstm": dict.fromkeys(("default", "timit_sample", "fsdd", "tiny"), EXACT),
    "gru_seq2seq": dict.fromkeys(("default", "tiny"), EXACT),
    "elmo": dict.fromkeys(("default", "tiny"), ("loop", "strongest")),
}
NOT_EXACT = {"padded500"}  # these need not give MindSpore's logits
MALLOC = {  # glibc otherwise hands large blocks back to the system, and gets them anew, at every step
    "tuned": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"},
    "default": {},
}
MEDIANS = (
    "training_samples_per_second",
    "training_tokens_per_second",
    "inference_samples_per_second",
    "inference_tokens_per_second",
    "first_step_seconds",
    "peak_memory_mib",
)
RATIOS = {
    "training": "training_samples_per_second",
    "inference": "inference_samples_per_second",
    "peak_memory": "peak_memory_mib",
}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__, config_file=False, device=False, prog="run.py")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--presets", nargs="+", metavar="NAME", help="those that a model has; default: all but tiny")
    parser.add_argument("--against", choices=["pytorch"], help="measure this framework's networks as well")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these networks of the other framework")
    parser.add_argument("--preprocess_path", metavar="DIR", help="made by train.py; default: the synthetic sample")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="timed steps (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="measurements of each side (default: 3)")
    text = "allocator settings of both sides (default: tuned)"
    parser.add_argument("--malloc", nargs="+", choices=MALLOC, default=["tuned"], help=text)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="configuration keys to change")
    parser.add_argument("--output", default="benchmark.json", metavar="FILE", help="default: %(default)s")
    args = parser.parse_args(argv)
    if args.steps < 1 or args.rounds < 1:
        raise UserError("--steps and --rounds must be at least 1")
    if args.against and importlib.util.find_spec("torch") is None:
        raise UserError("--against pytorch needs PyTorch: pip install -r benchmarks/requirements.txt")
    if not args.output.endswith(".json"):
        raise UserError(f"--output {args.output}: must end in .json")
    presets = {preset for model in args.models for preset in MODELS[model]}
    networks = {name for model in args.models for names in MODELS[model].values() for name in names}
    for name in args.presets or []:
        if name not in presets:
            raise UserError(f"--presets: no model has '{name}', only {', '.join(sorted(presets))}")
    for name in args.variants or []:
        if name not in networks:
            raise UserError(f"--variants: no network '{name}', only {', '.join(sorted(networks))}")
    if len(args.models) > 1 and (args.preprocess_path or args.set):
        raise UserError("--preprocess_path and --set are those of one model; name it with --models")
    for change in args.set:
        if not re.fullmatch(r"\w+=.*", change):
            raise UserError(f"--set {change}: expected KEY=VALUE, such as batch_size=32")
    return args


def environment(malloc: str) -> dict:
    """Return the environment of a worker: the caller's, with the allocation of MALLOC."""
    inherited = {name: value for name, value in os.environ.items() if name not in MALLOC["tuned"]}
    return {"GLOG_v": "3", **inherited, **MALLOC[malloc]}  # 3: MindSpore's errors only


def work(job: dict, malloc: str = "tuned") -> dict:
    """Do a job in a process of its own, worker.py, and return its result.

    Raises UserError for wrong input, and RuntimeError with the process's output above it where it fails otherwise.
    """
    result = Path(job["folder"]) / "result.json"
    result.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, str(FOLDER / "worker.py")],
        input=json.dumps({**job, "result": str(result)}),
        env=environment(malloc),
        cwd=job["folder"],  # MindSpore leaves folders where it runs
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode or not result.is_file():
        sys.stderr.write(done.stdout)
        raise RuntimeError(f"worker for {job['model']} {job.get('framework', '')} ended with {done.returncode}")
    found = json.loads(result.read_text(encoding="utf-8"))
    if "error" in found:
        raise UserError(found["error"])
    return found


def measure(model: str, preset: str, args: argparse.Namespace) -> list[dict]:
    """Measure a model with a preset; returns one record for each side and allocation, MindSpore first."""
    changes = [part for change in args.set for part in ("--" + change).split("=", 1)]
    path = str(Path(args.preprocess_path).resolve()) if args.preprocess_path else None
    networks = [name for name in MODELS[model][preset] if args.against and name in (args.variants or [name])]
    sides = [("mindspore", ""), *((args.against, name) for name in networks)]
    with tempfile.TemporaryDirectory() as folder:
        job = {"model": model, "folder": folder}
        details = {"preset": preset, "changes": changes, "preprocess_path": path, "steps": args.steps}
        prepared = work({**job, "task": "prepare", **details})
        about = {key: prepared[key] for key in ("samples", "tokens", "operations")}
        peak = max(work({**job, "task": "peak"})["operations_per_second"] for _ in range(2))
        counts = f"{about['samples']} samples, {about['tokens']} tokens"
        log(f"{model} {preset}: {args.steps} steps, {counts} without padding")
        records = []
        for malloc in args.malloc:
            runs: dict[tuple[str, str], list[dict]] = {side: [] for side in sides}
            for number in range(args.rounds):  # in turn, so that a slow spell of the machine hits every side
                for framework, variant in sides:
                    side = {"framework": framework, "variant": variant, "exact": variant not in NOT_EXACT}
                    figures = work({**job, "task": "measure", **side}, malloc)
                    runs[framework, variant].append(figures)
                    log(f"  round {number + 1}, malloc {malloc}, {_name(framework, variant)}: {_line(figures)}")
            for (framework, variant), found in runs.items():
                medians = {key: statistics.median(run[key] for run in found) for key in MEDIANS}
                done = about["operations"] * medians["training_samples_per_second"] / about["samples"]
                medians["training_share_of_peak"] = done / peak
                side = {"malloc": malloc, "framework": framework, "variant": variant, "matmul_peak": peak}
                record = {"model": model, "preset": preset, **about, **side, "medians": medians}
                records.append({**record, "runs": found, "config": prepared["config"]})
    return records


def ratios(records: list[dict]) -> list[dict]:
    """Return MindSpore's medians divided by those of every other side of the same model, preset and allocation.

    `records` are in the order of `measure`, MindSpore before those it is compared with.
    """
    compared, ours = [], {}
    for record in records:
        if record["framework"] == "mindspore":
            ours = record["medians"]
            continue
        ratio = {key: record[key] for key in ("model", "preset", "malloc", "framework", "variant")}
        for what, figure in RATIOS.items():
            ratio[what] = ours[figure] / record["medians"][figure]
        compared.append(ratio)
    return compared


def machine() -> dict:
    """Describe processor, system, libraries and commit."""
    information = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", information.read_text() if information.is_file() else "", re.MULTILINE)

    def git(*words: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            command = ["git", "-C", str(REPOSITORY), *words]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return None

    versions: dict[str, str | None] = dict.fromkeys(("mindspore", "torch", "numpy"))
    for package in versions:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "commit": git("rev-parse", "HEAD"),
        "changed_since_commit": bool(git("status", "--porcelain", "--untracked-files=no")),
        "load_average_at_start": os.getloadavg()[0],
    }


def _name(framework: str, variant: str) -> str:
    return f"{framework} {variant}".strip()


def _about(record: dict) -> str:
    name = _name(record["framework"], record["variant"])
    return f"{name}, {record['model']} {record['preset']}, malloc {record['malloc']}"


def _line(found: dict) -> str:
    rates = (
        f"{what} {found[f'{what}_samples_per_second']:.1f} samples/s {found[f'{what}_tokens_per_second']:.0f} tokens/s"
        for what in ("training", "inference")
    )
    return f"{', '.join(rates)}, first step {found['first_step_seconds']:.1f} s, {found['peak_memory_mib']:.0f} MiB"


def draw(records: list[dict], path: Path) -> None:
    """Draw the medians of training and inference, in samples per second, as bars into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(f"{r['model']} {r['preset']}\nmalloc {r['malloc']}" for r in records))
    sides = list(dict.fromkeys(_name(r["framework"], r["variant"]) for r in records))
    width = 0.8 / len(sides)
    figure = Figure(figsize=(4 + 2.4 * len(groups), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, what in zip(figure.subplots(1, 2), ("training", "inference")):
        for number, side in enumerate(sides):
            bars = {}
            for r in records:
                if _name(r["framework"], r["variant"]) == side:
                    group = groups.index(f"{r['model']} {r['preset']}\nmalloc {r['malloc']}")
                    bars[group + (number + 0.5) * width - 0.4] = r["medians"][f"{what}_samples_per_second"]
            drawn = axes.bar(list(bars), list(bars.values()), width * 0.92, label=side)
            axes.bar_label(drawn, fmt="%.0f", fontsize=8)
        axes.set_xticks(range(len(groups)), groups)
        axes.set(title=what, ylabel="samples/s")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8, ncol=2, loc="upper left", bbox_to_anchor=(0, -0.15))
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=150)


def main(argv: Sequence[str] | None = None) -> dict:
    """Measure what the command line asks for; prints, writes and returns the results."""
    args = parse(argv)
    about = machine()
    log(", ".join(f"{key} {value}" for key, value in about.items()))
    if about["load_average_at_start"] > 0.5:
        log(f"warning: load average {about['load_average_at_start']:.1f}, but only an idle machine gives sound numbers")
    records = [
        record
        for model in args.models
        for preset in MODELS[model]
        if (preset in args.presets if args.presets else preset != "tiny")
        for record in measure(model, preset, args)
    ]
    compared = ratios(records)
    for record in records:
        share = record["medians"]["training_share_of_peak"]
        log(f"median, {_about(record)}: {_line(record['medians'])}, training at {share:.0%} of the matmul peak")
    for ratio in compared:
        shown = ", ".join(f"{key} {ratio[key]:.2f}" for key in RATIOS)
        log(f"mindspore / {_about(ratio)}: {shown}")
    settings = {key: value for key, value in vars(args).items() if key not in ("output", "preprocess_path")}
    settings["data"] = "preprocessed corpus" if args.preprocess_path else "synthetic sample"
    result = {"machine": about, "settings": settings, "results": records, "ratios": compared}
    write_json(args.output, result, indent=1)
    chart = Path(args.output).with_suffix(".png")
    draw(records, chart)
    log(f"results: {args.output}, chart: {chart}")
    return result


if __name__ == "__main__":
    run(main)
