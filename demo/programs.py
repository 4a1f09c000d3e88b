"""The processes behind the page: a program that answers lines, and a training. None outlives this process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 300  # seconds for an answer; the first one loads the model, and elmo reads its text
END = 5  # seconds between asking a process to end and killing it
LINES = 400  # of a training that are kept
# Ends the command's whole group when standard input ends, which happens however the process at its other end has died.
WATCHED = 'exec 3<&0; (read -r <&3; kill 0) & "$@" </dev/null 3<&-; code=$?; kill $!; exit $code'


class Refused(Exception):
    """The line with which a program has refused its input, or ended."""


def stop(process: subprocess.Popen) -> None:
    """End a process that leads a group, and the group."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)


def start(command: Sequence[str], **options) -> subprocess.Popen:
    """Start a command with pipes in a group of its own: Ctrl-C is for this process, which then ends the group."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "GLOG_v": "3", "PYTHONUNBUFFERED": "1"}
    options.update(stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", errors="replace")
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


class Program:
    """A program that answers every line of its standard input by a line of JSON; it is started when it is asked.

    It runs in an empty folder of its own, `folder`, that goes away with it.
    """

    def __init__(self, command: Sequence[str]):
        self.command = list(command)
        self.lock = threading.Lock()  # one question at a time
        self.files = threading.Lock()  # one question at a time that is about files in `folder`
        self.process: subprocess.Popen | None = None
        self.lines: queue.Queue[tuple[str, str]] = queue.Queue()
        self.scratch = tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True)
        self.folder = Path(self.scratch.name)

    def ask(self, line: str) -> dict:
        """Return the answer to a line; Refused with the program's own line where it gives none."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self._start()
            process, last = self.process, ""
            with contextlib.suppress(OSError):  # it has just ended, and says why
                process.stdin.write(line + "\n")
                process.stdin.flush()
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    kind, text = self.lines.get(timeout=max(0, deadline - time.monotonic()))
                except queue.Empty:
                    stop(process)
                    raise Refused(f"no answer in {PATIENCE} seconds; the program was ended") from None
                if kind == "answer":
                    return json.loads(text)
                if text.startswith("warning: left out "):
                    raise Refused(text.removeprefix("warning: left out "))
                if kind == "end":  # of its output; the next question must not meet it
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(END)
                    stop(process)
                    raise Refused(last.removeprefix("error: ") or f"the program ended with code {process.returncode}")
                if text.strip():
                    last = text if not last.startswith("error: ") else last

    def close(self) -> None:
        """End the process and remove its folder."""
        if self.process is not None:
            stop(self.process)
        self.scratch.cleanup()

    def _start(self) -> None:
        lines = self.lines = queue.Queue()  # what an earlier process has left unread is not for this one
        self.folder.mkdir(exist_ok=True)
        process = self.process = start(self.command, stderr=subprocess.PIPE, cwd=self.folder)

        def read(kind: str, stream) -> None:
            for line in stream:
                lines.put((kind if line.startswith("{") else "complaint", line.rstrip("\n")))

        def watch() -> None:
            readers = [
                threading.Thread(target=read, args=each, daemon=True)
                for each in (("answer", process.stdout), ("complaint", process.stderr))
            ]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            lines.put(("end", ""))

        threading.Thread(target=watch, daemon=True).start()


class Training:
    """A command that trains, with what it prints."""

    def __init__(self, command: Sequence[str]):
        self.lines: deque[str] = deque(maxlen=LINES)
        self.begin = time.monotonic()
        self.epochs, self.steps, self.share = 0, 0, 0.0
        self.process = start(["bash", "-c", WATCHED, "bash", *command], stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def state(self) -> dict:
        """Return whether it runs, the share of the training that is done, seconds, and the last lines."""
        code = self.process.poll()
        return {
            "running": code is None,
            "code": code,
            "share": round(self.share, 3),
            "seconds": round(time.monotonic() - self.begin) if code is None else None,
            "lines": list(self.lines)[-12:],
        }

    def close(self) -> None:
        """End it and all that it has started."""
        stop(self.process)

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(r"^configuration:.*\b(?:num_epoche?s|epoch_num|n_epochs) ([1-9]\d*)", line):
                self.epochs = int(found[1])
            elif found := re.search(r"^steps per epoch: (\d+)", line):
                self.steps = int(found[1])
            elif (found := re.search(r"^epoch: (\d+) step: (\d+)", line)) and self.epochs and self.steps:
                epoch, step = map(int, found.groups())
                if step <= self.steps:  # more are those of lstm's pre-training, which comes first
                    self.share = max(self.share, min(1.0, (epoch - 1 + step / self.steps) / self.epochs))


def quick_start(model: str, root: Path) -> list[str]:
    """Return the command that trains the tiny preset of a model on synthetic data, in this environment."""
    return ["env", f"VENV_DIR={sys.prefix}", "bash", str(root / "quickstart.sh"), model]
