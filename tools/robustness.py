"""Disturbs trainings and checks how they end: kills, Ctrl-C, two at once, full and read-only disks.

python tools/robustness.py [--models NAME ...] [--kills N] [--seed N] needs the packages of requirements.txt and takes
minutes for each model, on the synthetic corpora. It works in a temporary folder. What is checked:

- Conversion and training, killed by SIGKILL at N random moments and started again each time (with --resume as soon as
  there is something to resume from), end with the weights of the uninterrupted run, bit for bit.
- Ctrl-C saves a checkpoint and ends the training with one line and code 2; the resumed run ends with the same weights.
- A second training into the same output folder ends with one line and code 2, and the first is not disturbed.
- On a full or read-only disk a program ends with one line and code 2, and every checkpoint that is there can be read.
  This needs `unshare` (Linux) and is skipped without it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = "python -m src.sample_data {data}"
TRAIN = "python {source}/train.py --device_target CPU --preset tiny "
TIME_LIMIT = 600  # seconds that a program may take


class Failed(Exception):
    """A program did not do what it should; the message says which and how it ended."""


class Model(NamedTuple):
    """The commands of a model; {data}, {pre} and {out} stand for its corpus, the converted corpus and its output."""

    sample: str
    train: str
    convert: str = ""


MODELS = {
    "lstm": Model(
        SAMPLE + " --reviews 400",
        TRAIN + "--aclimdb_path {data} --preprocess_path {pre} --ckpt_path {out} --vector_workers 1",
    ),
    "bilstm_ner": Model(SAMPLE, TRAIN + "--data_path {data} --ckpt_path {out}"),
    "ctc_lstm": Model(SAMPLE, TRAIN + "--data_path {data} --preprocess_path {pre} --ckpt_path {out}"),
    "gru_seq2seq": Model(SAMPLE, TRAIN + "--data_dir {data} --preprocess_path {pre} --ckpt_path {out}"),
    "elmo": Model(
        SAMPLE + " --documents 200",
        TRAIN + "--data_url {pre} --train_url {out} --save_checkpoint_steps 5",
        "env MIN_COUNT=1 VALID=0.05 HELDOUT=0.05 bash {source}/script/convert_dataset.sh {data} {pre} tiny",
    ),
}


class Bench:
    """Runs the programs of one model in a temporary folder."""

    def __init__(self, name: str, folder: Path, rng: random.Random):
        self.model, self.source, self.folder, self.rng = MODELS[name], ROOT / name, folder, rng
        self.data = folder / "data"
        self.run(self.model.sample, folder)

    def start(self, command: str, place: Path, before: tuple = ()) -> subprocess.Popen:
        """Start a command whose output and converted files go into `place`."""
        words = command.format(source=self.source, data=self.data, pre=place / "pre", out=place / "out").split()
        return subprocess.Popen(
            [*before, *(sys.executable if word == "python" else word for word in words)],
            cwd=self.folder,  # MindSpore leaves folders where it runs
            env={**os.environ, "GLOG_v": "3", "PYTHON": sys.executable, "PYTHONPATH": str(self.source)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell has it ignored
        )

    def run(self, command: str, place: Path, code: int = 0, message: str = "", before: tuple = ()) -> str:
        """Run a command to its end, as in `wait_for`."""
        return self.wait_for(self.start(command, place, before), code, message)

    def wait_for(self, process: subprocess.Popen, code: int, message: str = "", seconds: float = TIME_LIMIT) -> str:
        """Wait for a program and return its error line, or all that it printed.

        Raises Failed unless it ends with `code` and, if that is 2, with one error line that contains `message`. After
        `seconds` the program and all that it started are killed: subprocess.TimeoutExpired.
        """
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        errors = [line for line in printed.splitlines() if line.startswith("error: ")]
        wrong = process.returncode != code or "Traceback" in printed or (code == 2 and len(errors) != 1)
        if wrong or (message and message not in errors[0]):
            raise Failed(f"{process.args} ended with {process.returncode}:\n{printed[-2000:]}")
        return errors[0] if errors else printed

    def convert(self, place: Path) -> None:
        """Convert the corpus, where that is a program of its own."""
        if self.model.convert:
            self.run(self.model.convert, place)

    def check(self, place: Path, event: str) -> None:
        """Raise Failed unless the weights of a training are those of the uninterrupted one."""
        if weights(place / "out") != weights(self.folder / "plain" / "out"):
            raise Failed(f"after {event} the weights differ from those of the uninterrupted run")


def weights(folder: Path) -> dict[str, dict[str, bytes]]:
    """Return the parameters of the newest training checkpoint and of the best one; Failed if either is unreadable."""
    import mindspore

    newest = {}
    for path in sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns):
        try:
            parameters = mindspore.load_checkpoint(str(path))
        except (ValueError, OSError) as error:
            raise Failed(f"{path.name} cannot be read: {error}") from None
        kind = "best" if path.name.endswith("_best.ckpt") else "newest"
        newest[kind] = {name: value.asnumpy().tobytes() for name, value in parameters.items()}
    return newest


def kills(bench: Bench, seconds: float, count: int) -> Iterator[str]:
    """Kill conversion and training `count` times in all; yields a line for each training that reached its end."""
    left = count
    for number in range(count):  # a training that gets through with kills to spare is followed by another
        place, here = bench.folder / f"killed_{number}", left
        for command in filter(None, (bench.model.convert, bench.model.train)):
            while True:
                resume = " --resume" if any((place / "out").glob("*-*.ckpt")) else ""
                moment = bench.rng.uniform(0, seconds) if left else TIME_LIMIT
                try:
                    bench.wait_for(bench.start(command + resume, place), 0, seconds=moment)
                    break
                except subprocess.TimeoutExpired:
                    if not left:
                        raise
                    left -= 1
        bench.check(place, f"{here - left} kills")
        yield f"{here - left} kills, the same weights"
        if not left:
            return
    raise Failed(f"only {count - left} of {count} kills hit a running program: the programs end too soon")


def interrupt(bench: Bench) -> str:
    """Press Ctrl-C in a training, then resume it."""
    place = bench.folder / "interrupted"
    bench.convert(place)
    process = bench.start(bench.model.train, place)
    next((line for line in process.stdout or () if "loss is" in line), None)
    os.killpg(process.pid, signal.SIGINT)
    line = bench.wait_for(process, 2, "--resume")
    bench.run(bench.model.train + " --resume", place)
    bench.check(place, "Ctrl-C and --resume")
    return line


def two_at_once(bench: Bench) -> str:
    """Start a second training into the folder of a running one."""
    place = bench.folder / "shared"
    bench.convert(place)
    first = bench.start(bench.model.train, place)
    while not (place / "out" / ".lock").exists() and first.poll() is None:
        time.sleep(0.05)
    line = bench.run(bench.model.train, place, 2, "another training writes here")
    bench.wait_for(first, 0)
    bench.check(place, "a second training into the same folder")
    return line


def bad_disk(bench: Bench, kind: str) -> Iterator[str]:
    """Run conversion and training on a full or a read-only disk, one folder after the other."""
    message = "space left on" if kind == "full" else "Read-only file system"
    for name in ("pre", "out"):
        if "{" + name + "}" not in bench.model.train:
            continue
        place = bench.folder / f"{kind}_{name}"
        disk, kept = place / "disk", place / "kept"
        place.mkdir()
        (place / name).symlink_to(disk / name)
        command = bench.model.convert if name == "pre" and bench.model.convert else bench.model.train
        if name == "out":
            bench.convert(place)
        size = "16k" if name == "pre" else "200k"  # less than the files take
        mount = f"mkdir {disk} {kept} && mount -t tmpfs -o size={size} tmpfs {disk} && mkdir {disk}/{name}"
        if kind == "read-only":
            mount += f" && mount -o remount,ro {disk}"
        script = f'{mount} && {{ "$@"; code=$?; cp -a {disk}/. {kept}; exit $code; }}'
        line = bench.run(command, place, 2, message, ("unshare", "-rm", "bash", "-c", script, "bash"))
        weights(kept / name)
        yield line.replace(str(bench.folder), "")


def disturb(bench: Bench, count: int, kinds: Sequence[str]) -> Iterator[str]:
    """Do all of it to one model; yields what is as it should be, Failed at the first thing that is not."""
    begin = time.monotonic()
    bench.convert(bench.folder / "plain")
    bench.run(bench.model.train, bench.folder / "plain")
    seconds = time.monotonic() - begin
    yield f"{seconds:.0f} s uninterrupted"
    yield from kills(bench, seconds, count)
    yield f"Ctrl-C: {interrupt(bench)}"
    yield f"two at once: {two_at_once(bench)}"
    for kind in kinds:
        yield from (f"{kind} disk: {line}" for line in bad_disk(bench, kind))


def main() -> int:
    """Disturb the models that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="kills of each model (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of their moments (default: 0)")
    args = parser.parse_args()
    kinds = ("full", "read-only")
    if subprocess.run("unshare -rm true", shell=True, stderr=subprocess.DEVNULL).returncode:
        print("full and read-only disks are skipped: they need unshare and user namespaces")
        kinds = ()
    failed = False
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                bench = Bench(name, Path(folder), random.Random(args.seed))
                for line in disturb(bench, args.kills, kinds):
                    print(f"{name}: {line}", flush=True)
            except (Failed, subprocess.TimeoutExpired) as error:
                print(f"{name}: FAILED: {error}")
                failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
