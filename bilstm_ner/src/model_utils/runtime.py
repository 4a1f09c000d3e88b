"""Where the program runs and how it ends: device, graph mode, rank, console, exit codes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator

from tqdm import tqdm

from src.model_utils import ranks

COLLECTIVE_TIMEOUT = 600  # seconds for which a rank waits for others that compile or read; `ranks` sees the dead ones
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
LONGEST_MESSAGE = 800  # characters
DEVICE_TARGETS = ("Ascend", "GPU", "CPU")  # in order of preference


class UserError(Exception):
    """The user's input is wrong; the message is one line that says what, where and how to mend it.

    It may quote the input: line breaks become blanks, what a terminal would obey instead of showing becomes a sign, and
    the middle of what is very long is left out.
    """

    def __str__(self):
        words = " ".join(super().__str__().split())
        if len(words) > LONGEST_MESSAGE:
            words = f"{words[: LONGEST_MESSAGE // 2]} ... {words[-LONGEST_MESSAGE // 2 :]}"
        return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)


def run(main) -> None:
    """Run an entry point and leave with its exit code: 0 done, 2 wrong input, 130 interrupted, 1 a bug.

    The standard streams are made safe first: text is UTF-8 whatever the locale says, and one that the caller has closed
    swallows what is written to it.
    """
    _read_arguments_as_utf8()
    _make_streams_safe()
    try:
        main()
        ranks.close()
        sys.stdout.flush()
        code = 0
    except UserError as error:
        code = _complain(error)
    except KeyboardInterrupt:
        ranks.leave(130, "interrupted")
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has left; that is no error
        _discard(sys.stdout)
        code = 0
    except OSError as error:  # a wrong path, a full disk, a read-only folder: the user can mend it, a traceback cannot
        code = _complain(_plain_os_error(error))
    except MemoryError as error:
        code = _complain(f"not enough memory: {error or 'none is left'}; give it more, or choose smaller sizes")
    except Exception as error:
        ranks.leave(1, f"{type(error).__name__}, a fault of the program")
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk behind a redirection; Python would try again at exit and change the exit code
            _discard(stream)
    if "mindspore" in sys.modules and rank_and_size()[1] > 1 and code:
        ranks.end(code)  # leaving normally waits for the other ranks, which wait for this one
    sys.exit(code)


def _read_arguments_as_utf8() -> None:
    """Start anew in Python's UTF-8 mode where the locale has another encoding, which the arguments were read in.

    Then arguments, file names and text are what was typed, and what is not UTF-8 in a file name still opens it.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1" and hasattr(sys, "orig_argv"):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})


def _make_streams_safe() -> None:
    """Write UTF-8, unpaired surrogates as escapes; let no file that is opened later take the place of a closed stream.

    A closed standard input stays None, as reading nothing is not what the user has asked for.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            try:
                os.fstat(descriptor)
            except OSError:
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)  # for the programs that are started from here too
            if name != "stdin":
                setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _discard(stream) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(error) -> int:
    ranks.leave(2, str(UserError(error)))
    with contextlib.suppress(OSError):  # standard error may be on the disk that is full
        print(f"error: {UserError(error)}", file=sys.stderr)
    return 2


def _plain_os_error(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        place = error.filename or "the output folder"
        return f"{place}: no space left on the disk; free some and run again, a training with --resume"
    return f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")


@contextlib.contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Keep off the console what MindSpore says up to a level: what the user cannot help, or is told in other words."""
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _device_is_present(target: str) -> bool:
    import mindspore as ms

    if target == "CPU":
        return True
    with quiet(), contextlib.suppress(Exception):  # an absent device is an answer, not three lines of warnings
        return bool(getattr(ms.device_context, target.lower()).is_available())
    return False


_native = True  # what init_device was told last


def native_is_wanted() -> bool:
    """Whether the project's own kernels are to serve if they can be had: on a CPU, unless init_device was told not."""
    import mindspore as ms

    return _native and ms.get_context("device_target") == "CPU"


def init_device(
    device_target: str | None = None, device_id: int = 0, distributed: bool = False, native: bool = True
) -> str:
    """Choose the device, switch to graph mode and, if asked, join the other processes of an `msrun` job.

    `device_target` None takes the best device present; without `native` the kernels on a CPU are MindSpore's. Returns
    the target in use.
    Raises UserError for a device that this machine, or this build of MindSpore, lacks.
    """
    import mindspore as ms

    if not ms.__version__.startswith(("2.9.", "2.10.")):
        log(f"warning: tested with MindSpore 2.10 (2.9 on Python 3.9), this is {ms.__version__}")
    target = device_target or next(name for name in DEVICE_TARGETS if _device_is_present(name))
    if not _device_is_present(target):
        raise UserError(f"no {target} device: MindSpore {ms.__version__} finds none here; run with --device_target CPU")
    global _native
    _native = native
    ms.set_context(mode=ms.GRAPH_MODE)
    if target == "CPU":
        ms.set_device("CPU")
        _limit_threads(os.environ.get("NATIVE_THREADS", ""))
    else:
        ms.set_device(target, local_rank() if distributed else device_id)
    if distributed:
        if "MS_ROLE" not in os.environ:
            raise UserError("--distributed true needs msrun: start it by script/run_distribute_train_*.sh")
        size = _join_ranks()
        ms.set_auto_parallel_context(parallel_mode="data_parallel", gradients_mean=True, device_num=size)
    return target


def _limit_threads(number: str) -> None:
    """Give MindSpore's kernels no more threads than the project's, where processes share the cores."""
    import mindspore as ms

    if number.isdecimal():
        with contextlib.suppress(RuntimeError):  # where it is set already, which MindSpore allows once
            ms.device_context.cpu.op_tuning.threads_num(max(1, int(number)))


def _join_ranks() -> int:
    """Meet the other processes of the `msrun` job; returns their number."""
    import mindspore as ms
    import numpy as np
    import psutil
    from mindspore import nn, ops
    from mindspore.communication import init

    # Whoever started this process and is killed, or gets SIGTERM, cannot stop it any more
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.environ.setdefault("MS_CPU_COMM_OP_TIMEOUT", str(COLLECTIVE_TIMEOUT))
    init()
    rank, size = rank_and_size()
    if size == 1:
        return size

    class FromAll(nn.Cell):
        def __init__(self):
            super().__init__()
            self.gather = ops.AllGather()

        def construct(self, numbers):
            return self.gather(numbers)

    def exchange(content: bytes) -> bytes:
        numbers = np.frombuffer(content, np.uint8).astype(np.int32)
        return FromAll()(ms.Tensor(numbers)).asnumpy()[: len(content)].astype(np.uint8).tobytes()

    msrun = psutil.Process(os.getppid())
    beside = [each for each in msrun.children() if any("msrun" in word for word in msrun.cmdline())]
    schedulers = [each for each in beside if each.environ().get("MS_ROLE") == "MS_SCHED"]
    readers = [each for each in beside if each.name() == "tail"]  # of this process's log

    def end() -> None:
        # The scheduler would wait for half a minute for those who do not come, and msrun for it
        orphans = [] if msrun.is_running() else readers
        time.sleep(1 if orphans else 0)  # for what they still have to read
        for each in (*schedulers, *orphans):
            with contextlib.suppress(psutil.Error):
                each.kill()

    ranks.join(rank, size, exchange, end)
    return size


def rank_and_size() -> tuple[int, int]:
    """This process's rank and the number of processes; (0, 1) when it runs alone."""
    if "MS_ROLE" not in os.environ:
        return 0, 1
    from mindspore import communication

    with contextlib.suppress(RuntimeError):  # raised until init() has run
        return communication.get_rank(), communication.get_group_size()
    return 0, 1


def local_rank() -> int:
    """Return the number of this process among those of its machine, of which 0 prepares what the others read."""
    return int(os.environ.get("DEVICE_ID", 0)) if "MS_ROLE" in os.environ else 0  # msrun sets both


def resolve_workers(number: int) -> int:
    """Return a number of threads or processes; 0 stands for as many as the cores that this process may use."""
    return number or len(os.sched_getaffinity(0))


def log(message: str) -> None:
    """Print one line on rank 0, at once: several ranks would print it several times. Bars of progress make room."""
    if rank_and_size()[0] == 0:
        tqdm.write(f"{message}\n", end="")  # in one piece, into which another thread puts no error
        sys.stdout.flush()
