"""Trains on two machines, which are network namespaces joined by a virtual cable, and checks how that ends.

sudo python tools/two_machines.py [--models NAME ...] [--processes N] needs Linux, root, `ip` and the packages of
requirements.txt, and says so where it cannot run. It takes some minutes for each model, on the synthetic corpora, in a
temporary folder. Each machine has a copy of the corpus, or of elmo's prepared data. What is checked:

- Two machines, with disks of their own or with a shared one, have the losses of one process. Their final weights are
  the same, bit for bit.
- A machine that lacks the data, and one whose data is another, end all processes with a line that names it.
- A killed process, a killed msrun on either machine, SIGTERM, Ctrl-C and a pulled cable end all processes within a
  minute, with another code than 0 and one line on each machine. Resumed, with the checkpoints on the first machine
  only, the training ends with the weights of the undisturbed one, bit for bit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("rnn-first", "rnn-second")  # of the namespaces
ADDRESS, CABLE = "10.203.0.{}", "cable"
LIMIT, MINUTE = 300, 60  # seconds that a training, and the end of a disturbed one, may take
TOLERANCE = 1e-4  # of losses, whose sums have another order in several processes
LOSS = re.compile(r"^epoch: (\d+) step: (\d+), loss is (\S+)$", re.MULTILINE)
VALIDATION = re.compile(r"\b(valid_\w+) ([^\s,]+)")
ERROR = re.compile(r"^error: .*", re.MULTILINE)


class Failed(Exception):
    """The trainings did not end as they should."""


class Model(NamedTuple):
    """Options of the synthetic corpus, of another one, and of a training that takes some steps.

    A model that is `converted` trains on what its script/convert_dataset.sh makes of a corpus.
    """

    sample: str
    other: str
    options: str
    converted: bool = False


MODELS = {
    "lstm": Model(
        "--reviews 100", "--reviews 104", "--vector_workers 1 --pretrain_epochs 0 --batch_size 8 --num_epochs 3"
    ),
    "bilstm_ner": Model("--sentences 200", "--sentences 210", "--batch_size 8 --train_epochs 3"),
    "ctc_lstm": Model("", "--seed 5", "--num_epoches 3"),
    "gru_seq2seq": Model("--pairs 64", "--pairs 66", "--batch_size 16 --num_epochs 3"),
    "elmo": Model("--documents 200", "--documents 210", "--epoch_num 2", converted=True),
}


class Machine:
    """A network namespace, and a folder that stands for its disk."""

    def __init__(self, number: int, folder: Path, shared: Path | None = None):
        self.number, self.name, self.folder = number, NAMES[number], folder
        self.disk = shared or folder
        self.process: subprocess.Popen | None = None

    def start(self, model: str, data: Path, processes: int, options: list[str]) -> None:
        """Start the script of a distributed training, with prepared data and checkpoints on the disk."""
        self.folder.mkdir(exist_ok=True)
        variables = {
            **{"PYTHON": sys.executable, "GLOG_v": "3", "FOREGROUND": "1"},
            **{"NNODES": "2", "NODE_RANK": str(self.number), "MASTER_ADDR": ADDRESS.format(1)},
            **{"CKPT_DIR": str(self.disk / "outputs"), "PREPROCESS_DIR": str(self.disk / "preprocess")},
        }
        script = ROOT / model / "script/run_distribute_train_cpu.sh"
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "bash", str(script), str(processes), str(data), "--", *options],
            start_new_session=True,
            cwd=self.folder,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def output(self) -> str:
        """Return what the script has printed."""
        log = self.folder / "log.txt"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def processes(self, word: str = "", without: str = "\n") -> list[int]:
        """Return the processes of this machine whose command line has one word and not another."""
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        commands = {process: _command_line(process) for process in map(int, listed.stdout.split())}
        return [process for process, line in commands.items() if line and word in line and without not in line]

    def kill(self, number: signal.Signals, word: str = "", without: str = "\n") -> None:
        """Send a signal to the processes whose command line has one word and not another."""
        for process in self.processes(word, without):
            os.kill(process, number)

    def cable(self, state: str) -> None:
        """Plug the cable in ("up") or pull it ("down")."""
        _ip("-n", self.name, "link", "set", CABLE, state)


def _command_line(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Make both namespaces and the cable between them."""
    try:
        for name in NAMES:
            _ip("netns", "add", name)
        _ip("link", "add", CABLE, "netns", NAMES[0], "type", "veth", "peer", "name", CABLE, "netns", NAMES[1])
        for number, name in enumerate(NAMES, 1):
            _ip("-n", name, "addr", "add", f"{ADDRESS.format(number)}/24", "dev", CABLE)
            for device in ("lo", CABLE):
                _ip("-n", name, "link", "set", device, "up")
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


class Bench:
    """Two machines and the trainings of one model on them."""

    def __init__(self, name: str, folder: Path, processes: int):
        self.name, self.model, self.folder, self.processes = name, MODELS[name], folder, processes
        self.data, self.other = folder / "data", folder / "other"
        for place, words in ((self.data, self.model.sample), (self.other, self.model.other)):
            corpus = place.with_name(f"{place.name}_text") if self.model.converted else place
            self._run(sys.executable, "-m", "src.sample_data", corpus, *words.split())
            if self.model.converted:
                self._run("bash", "script/convert_dataset.sh", corpus, place, "tiny")
        self.copy = shutil.copytree(self.data, folder / "copy", copy_function=shutil.copyfile)  # with times of its own
        self.options = f"--preset tiny --print_steps 1 {self.model.options}".split()

    def _run(self, *command: str | Path) -> None:
        environment = {**os.environ, "PYTHON": sys.executable, "MIN_COUNT": "1", "VALID": "0.05", "HELDOUT": "0"}
        subprocess.run(command, cwd=ROOT / self.name, env=environment, check=True, stdout=subprocess.DEVNULL)

    def one_process(self) -> str:
        """Train in one process; returns what it printed."""
        place = self.folder / "one"
        place.mkdir()
        script = ROOT / self.name / "script/run_train_cpu.sh"
        environment = {**os.environ, "PYTHON": sys.executable, "FOREGROUND": "1", "GLOG_v": "3"}
        command = ["bash", str(script), str(self.data), "--", *self.options]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=LIMIT)
        if done.returncode:
            raise Failed(f"one process ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return done.stdout

    def start(self, place: str, *options: str, shared: bool = False, second: Path | None = None) -> list[Machine]:
        """Start a training on both machines, with a shared disk or disks of their own; `second` has other data."""
        disk = self.folder / place if shared else None
        machines = [Machine(number, self.folder / f"{place}_{number}", disk) for number in (0, 1)]
        for machine, data in zip(machines, (self.data, second or (self.data if shared else self.copy))):
            machine.start(self.name, data, self.processes, [*self.options, *options])
        return machines

    def finish(self, machines: list[Machine], seconds: float = LIMIT) -> list[int]:
        """Wait until nothing runs on the machines; returns the codes of the scripts. Failed after so many seconds."""
        deadline = time.monotonic() + seconds
        while left := {machine.name: processes for machine in machines if (processes := machine.processes())}:
            if time.monotonic() > deadline:
                lines = [f"{name}: {_command_line(process)}" for name in left for process in left[name]]
                for machine in machines:
                    machine.kill(signal.SIGKILL)
                raise Failed(
                    f"still there after {seconds} s: {lines}\n" + "\n".join(m.output()[-2000:] for m in machines)
                )
            for machine in machines:
                machine.process.poll()
            time.sleep(0.2)
        return [machine.process.wait() for machine in machines]

    def succeed(self, machines: list[Machine]) -> str:
        """Wait for a training that must succeed; returns what the first machine printed."""
        codes = self.finish(machines)
        if codes != [0, 0]:
            raise Failed(f"ended with {codes}:\n" + "\n".join(machine.output()[-2000:] for machine in machines))
        return machines[0].output()

    def fail(self, machines: list[Machine], words: str, on: tuple[int, ...] = (0, 1)) -> str:
        """Wait for a training that must end within a minute; returns how, Failed unless it did so properly.

        `on` are the machines that must print one line, in which `words` stand.
        """
        start = time.monotonic()
        codes = self.finish(machines, MINUTE)
        errors = [ERROR.findall(machine.output()) for machine in machines]
        if 0 in codes or any(len(errors[number]) != 1 or words not in errors[number][0] for number in on):
            outputs = "\n".join(machine.output()[-3000:] for machine in machines)
            raise Failed(f"ended with {codes} and {errors}:\n{outputs}")
        lines = "".join(f"\n    machine {number}: {errors[number][0]}" for number in on)
        return f"ended after {time.monotonic() - start:.0f} s with {codes}{lines}"

    def weights(self, machine: Machine) -> str:
        """Return a digest of the weights in the newest training checkpoint."""
        import mindspore

        paths = (machine.disk / "outputs").glob(f"{self.name}-*.ckpt")
        newest = max(paths, key=lambda path: tuple(map(int, re.findall(r"\d+", path.name.rpartition("-")[2]))))
        digest = hashlib.sha256()
        for name, value in sorted(mindspore.load_checkpoint(str(newest)).items()):
            digest.update(name.encode() + value.asnumpy().tobytes())
        return digest.hexdigest()


def values(output: str) -> list[tuple[str, float]]:
    """Return what a training has printed: its losses by epoch and step, then the results of its validations."""
    losses = [(f"{epoch}_{step}", float(loss)) for epoch, step, loss in LOSS.findall(output)]
    return losses + [(name, float(value)) for name, value in VALIDATION.findall(output)]


def wait_for_steps(machines: list[Machine], count: int) -> None:
    """Wait until the first machine has printed so many losses."""
    deadline = time.monotonic() + LIMIT
    while len(LOSS.findall(machines[0].output())) < count:
        if time.monotonic() > deadline or any(machine.process.poll() is not None for machine in machines):
            raise Failed("no training:\n" + "\n".join(machine.output()[-2000:] for machine in machines))
        time.sleep(0.05)


FAULTS: dict[str, tuple[Callable[[list[Machine]], None], str, tuple[int, ...]]] = {
    "a killed process": (
        lambda both: os.kill(both[1].processes("train.py --distributed", "msrun")[0], signal.SIGKILL),
        f"({ADDRESS.format(2)})",
        (0,),
    ),
    "a killed msrun on the second machine": (lambda both: both[1].kill(signal.SIGKILL, "bin/msrun"), "", (0, 1)),
    "a killed msrun on the first machine": (lambda both: both[0].kill(signal.SIGKILL, "bin/msrun"), "", (0, 1)),
    "SIGTERM for msrun": (lambda both: both[0].kill(signal.SIGTERM, "bin/msrun"), "interrupted after epoch", (0, 1)),
    "Ctrl-C": (lambda both: os.killpg(both[0].process.pid, signal.SIGINT), "interrupted after epoch", (0, 1)),
    "a pulled cable": (lambda both: both[0].cable("down"), "has ended or is out of reach", (0, 1)),
}


def check(bench: Bench, faults: list[str]) -> Iterator[str]:
    """Yield a line for each thing that is as it should be; Failed where it is not."""
    expected = values(bench.one_process())
    weights = {}
    for disk in ("own", "shared"):
        machines = bench.start(disk, shared=disk == "shared")
        found = values(bench.succeed(machines))
        worst = max((abs(a / b - 1) for (_, a), (_, b) in zip(found, expected) if a != b), default=0.0)
        if [name for name, _ in found] != [name for name, _ in expected] or worst > TOLERANCE:
            raise Failed(f"losses differ from those of one process by up to {worst:.2g}: {found} {expected}")
        weights[disk] = bench.weights(machines[0])
        yield f"{disk} disk: {len(found)} losses and validations as those of one process, to {worst:.1g}"
    if len(set(weights.values())) > 1:
        raise Failed("the weights differ between a shared disk and disks of their own")
    yield f"weights of both and of all ranks: {weights['own'][:16]}"
    machines = bench.start("lacking", second=bench.other)
    yield "other data: " + bench.fail(machines, "differ in: ")
    empty = bench.folder / "empty"
    empty.mkdir()
    machines = bench.start("empty", second=empty)
    yield "no data: " + bench.fail(machines, str(empty))
    for number, event in enumerate(faults):
        disturb, words, on = FAULTS[event]
        machines = bench.start(f"fault_{number}", "--save_checkpoint_steps", "2")
        wait_for_steps(machines, 3)
        disturb(machines)
        how = bench.fail(machines, words, on)
        machines[0].cable("up")
        shutil.rmtree(machines[1].disk / "outputs", ignore_errors=True)
        machines = bench.start(f"fault_{number}", "--resume")
        bench.succeed(machines)
        if bench.weights(machines[0]) != weights["own"]:
            raise Failed(f"after {event} the weights differ from those of the undisturbed run")
        yield f"{event}: {how}\n    resumed to the same weights"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="NAME")
    parser.add_argument("--faults", nargs="*", choices=list(FAULTS), default=list(FAULTS), metavar="FAULT")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="on each machine (default: 1)")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what is in the background
    if not hasattr(os, "geteuid") or os.geteuid() or not shutil.which("ip"):
        print("skipped: this needs Linux, root and the command ip")
        return 0
    for name in args.models:
        with tempfile.TemporaryDirectory(prefix="two_machines_") as folder, network():
            try:
                for line in check(Bench(name, Path(folder), args.processes), args.faults):
                    print(f"{name}: {line}", flush=True)
            except Failed as failed:
                print(f"{name}: FAILED: {failed}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
