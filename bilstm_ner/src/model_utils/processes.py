"""A function of many items by several processes, for work that holds Python's lock.

They are programs of their own. A fork would not have the threads that MindSpore has in this one, and a process of
multiprocessing would import the program that was started, and all of MindSpore with it.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

# The folder that holds `src` comes first, before the working directory, which may have a `src` of its own
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from src.model_utils.processes import main; main()"
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_in_processes(function: Callable[[Item], Answer], items: Iterable[Item], workers: int) -> Iterator[Answer]:
    """Yield function(item) of every item, in their order, as `workers` processes compute it; 1 is this process.

    The function has to be one that its module knows by name. Every process has one item at a time, so no more than
    `workers` items and answers are in memory, and an item should take much longer than its way through a pipe. An
    exception comes out in the place of its item.
    """
    if workers == 1:
        yield from map(function, items)
        return
    root, module = str(Path(__file__).resolve().parents[2]), function.__module__
    spec = sys.modules[module].__spec__  # of a program that was started by -m, whose module is __main__
    command = [sys.executable, "-c", _PROGRAM, root, spec.name if spec else module, function.__name__]
    busy: collections.deque[subprocess.Popen] = collections.deque()
    try:
        for item in items:
            answers = [_receive(busy[0])] if len(busy) == workers else []
            if answers:
                busy.rotate(-1)
            else:
                busy.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            with contextlib.suppress(BrokenPipeError):  # of a process that has died, as its answer will show
                _send(item, busy[-1].stdin)
            yield from answers
        yield from map(_receive, busy)
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def _send(content: Any, stream) -> None:
    pickle.dump(content, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _receive(process: subprocess.Popen) -> Any:
    assert process.stdout  # which the type checker does not know
    try:
        answer, error = pickle.load(process.stdout)
    except EOFError:
        raise RuntimeError(f"a process ended with {process.wait()}") from None
    if error is not None:
        raise error
    return answer


def main() -> None:
    """Answer items from standard input by the function that the arguments name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, ends this process
    function = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent has ended
        while True:
            item = pickle.load(sys.stdin.buffer)
            try:
                answer = function(item), None
            except Exception as error:
                answer = None, error
            _send(answer, answers)
