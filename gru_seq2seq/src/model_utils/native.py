"""The project's own CPU kernels: compiled on first use, cached, and registered as MindSpore operators.

The sources are in src/native/. With --native false, where there is no compiler, and on GPU and Ascend, MindSpore's
operators serve instead, with the same results to rounding.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from src.model_utils.runtime import log, native_is_wanted

SOURCES = Path(__file__).resolve().parents[1] / "native"
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread")
SECONDS = 300  # that compiling may take at most

_handles: list[ctypes.CDLL] = []  # MindSpore unloads a library when its graph dies, but the threads in it live on
_seconds: list[float] = []  # that compiling took in this process


def start() -> None:
    """Begin to compile the kernels, unless they are in the cache, beside what a program does before it needs them."""
    compiler = find_compiler() if native_is_wanted() else None
    if compiler is not None:

        def compile_quietly():
            with contextlib.suppress(OSError, subprocess.SubprocessError):  # `library` meets and reports it
                _compile_once(compiler)

        threading.Thread(target=compile_quietly, daemon=True).start()


@functools.cache
def library() -> Path | None:
    """Return the compiled kernels, or None where they cannot be compiled; says in one line which are in use."""
    compiler = find_compiler()
    if compiler is None:
        return log(
            "kernels: MindSpore's, as there is no C++ compiler; for faster ones install g++, or pip install ziglang"
        )
    try:
        path = _compile_once(compiler)
        _handles.append(ctypes.CDLL(str(path)))
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().split("\n")[0]
        return log(f"kernels: MindSpore's, as {' '.join(compiler)} cannot compile src/native/: {reason[:200]}")
    log(f"kernels: the project's own, {f'compiled in {_seconds[0]:.0f} s' if _seconds else 'from the cache'} ({path})")
    return path


def enabled() -> bool:
    """Whether the project's own kernels are in use: on a CPU, unless --native false, and where they can be compiled."""
    if not native_is_wanted():
        _say_that_they_are_not_wanted(ms.get_context("device_target"))
        return False
    return library() is not None


@functools.cache
def _say_that_they_are_not_wanted(target: str) -> None:
    if target == "CPU":
        log("kernels: MindSpore's")


def find_compiler() -> list[str] | None:
    """Return the command of a C++ compiler: CXX where it is set, g++, clang++, or the package ziglang."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")):
        path = shutil.which(name)
        if path:
            return [path]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None


def cache_folder() -> Path:
    """Return the user's folder for compiled kernels (XDG Base Directory Specification), or else a temporary one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for folder in (base / "mindspore-recurrent", Path(tempfile.gettempdir()) / f"mindspore-recurrent-{os.getuid()}"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            state = folder.stat()  # what is loaded as code must not be somebody else's
            if state.st_uid == os.getuid() and not state.st_mode & 0o022 and os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="mindspore-recurrent-"))


def _compile_once(compiler: list[str]) -> Path:
    """Return the compiled library; several processes and threads at once compile it once."""
    sources = sorted(SOURCES.glob("*.cc"))
    digest = hashlib.sha256()
    for path in [*sources, *sorted(SOURCES.glob("*.h"))]:
        digest.update(path.read_bytes())
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout
    digest.update(repr((FLAGS, version, ms.__version__, _processor())).encode())
    target = cache_folder() / f"kernels-{digest.hexdigest()[:24]}.so"
    with open(target.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        begin = time.monotonic()
        for left in target.parent.glob(f"{target.stem}.*.unfinished"):  # by a process that was killed
            left.unlink()
        unfinished = target.with_suffix(f".{os.getpid()}.unfinished")
        command = [*compiler, *FLAGS, "-o", str(unfinished), *map(str, sources)]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
        _seconds.append(time.monotonic() - begin)
    return target


def _processor() -> str:
    """Describe the processor as far as compiled code depends on it: a shared home folder is seen by several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    kinds = ("model name", "flags", "Features", "CPU part")
    return platform.machine() + "".join(sorted({line for line in lines if line.startswith(kinds)}))


def operator(name: str, inputs: int, outputs: int, integers: tuple[int, ...] = (), bprop=None) -> ops.Custom:
    """Return the operator `name` of src/native/mindspore_ops.cc with so many float32 inputs and outputs.

    `integers` are the numbers of the inputs that are int32. Graph mode needs the registration, as without it a
    custom operator has neither a name of its own nor several outputs.
    """
    registration = ops.CustomRegOp(f"{name}_{inputs}")  # two operators of one name must not differ in their inputs
    for k in range(inputs):
        registration = registration.input(k, f"x{k}")
    for k in range(outputs):
        registration = registration.output(k, f"y{k}")
    real, integer = ops.DataType.F32_Default, ops.DataType.I32_Default
    types = [integer if k in integers else real for k in range(inputs)] + [real] * outputs
    information = registration.dtype_format(*types).target("CPU").get_op_info()

    def dtypes(*_):
        return ms.float32 if outputs == 1 else (ms.float32,) * outputs

    return ops.Custom(f"{library()}:{name}", None, dtypes, func_type="aot", bprop=bprop, reg_info=information)


def call(name: str, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> list[np.ndarray]:
    """Run an operator on NumPy arrays outside any graph: fills `outputs`, C-contiguous, and returns them."""
    arrays = [*map(np.ascontiguousarray, inputs), *outputs]
    shapes = [(ctypes.c_int64 * max(1, array.ndim))(*array.shape) for array in arrays]
    ranks = (ctypes.c_int * len(arrays))(*(array.ndim for array in arrays))
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    addresses = (ctypes.c_void_p * len(arrays))(*(ctypes.addressof(shape) for shape in shapes))
    if getattr(_handles[-1], name)(len(arrays), pointers, ranks, addresses, None, None, None):
        raise ValueError(
            f"{name} takes another number of arrays than {len(inputs)} and {len(outputs)}, or other sizes or classes"
        )
    return outputs
