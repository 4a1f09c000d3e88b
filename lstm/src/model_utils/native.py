"""The project's own CPU kernels: compiled on first use, cached, and registered as MindSpore operators.

They are in use where the environment says NATIVE_KERNELS=true. The sources are in src/native/. Where there is no
compiler, and on GPU and Ascend, MindSpore's operators serve instead, with the same results to rounding.
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
import time
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from src.model_utils.runtime import log

SOURCES = Path(__file__).resolve().parents[1] / "native"
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread")
SECONDS = 300  # that compiling may take at most

SWITCH = "NATIVE_KERNELS"  # an environment variable, so that it reaches the processes that a program starts
_handles: list[ctypes.CDLL] = []  # MindSpore unloads a library when its graph dies, but the threads in it live on


@functools.cache
def library() -> Path | None:
    """Return the compiled kernels; None where MindSpore's operators serve instead.

    The first call compiles them unless they are in the cache, and says in one line which kernels are in use.
    """
    if os.environ.get(SWITCH) != "true":
        return None
    compiler = find_compiler()
    if compiler is None:
        return log(
            "kernels: MindSpore's, as there is no C++ compiler; for faster ones install g++, or pip install ziglang"
        )
    start = time.monotonic()
    try:
        path, compiled = _compile_once(compiler)
        _handles.append(ctypes.CDLL(str(path)))
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().split("\n")[0]
        return log(f"kernels: MindSpore's, as {' '.join(compiler)} cannot compile src/native/: {reason[:200]}")
    how = f"compiled in {time.monotonic() - start:.0f} s" if compiled else "from the cache"
    log(f"kernels: the project's own, {how} ({path})")
    return path


def enabled() -> bool:
    """Whether the project's own kernels are in use: on a CPU, where they are asked for and can be compiled."""
    return ms.get_context("device_target") == "CPU" and library() is not None


@contextlib.contextmanager
def turned_off() -> Iterator[None]:
    """Let MindSpore's operators serve for the cells that are built inside, as exported models need them."""
    before = os.environ.get(SWITCH, "false")
    os.environ[SWITCH] = "false"
    library.cache_clear()
    try:
        yield
    finally:
        os.environ[SWITCH] = before
        library.cache_clear()


def find_compiler() -> list[str] | None:
    """Return the command of a C++ compiler: CXX where it is set, g++, clang++, or the package ziglang."""
    for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")):
        path = shutil.which(name)
        if path:
            return [path]
    return [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None


def cache_folder() -> Path:
    """Return the user's folder for compiled kernels (XDG Base Directory Specification), or a temporary one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = base / "mindspore-recurrent"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="mindspore-recurrent-"))


def _compile_once(compiler: list[str]) -> tuple[Path, bool]:
    """Return the compiled library and whether it had to be compiled; several processes at once compile it once."""
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
            return target, False
        unfinished = target.with_suffix(f".{os.getpid()}.unfinished")
        command = [*compiler, *FLAGS, "-o", str(unfinished), *map(str, sources)]
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    return target, True


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
    registration = ops.CustomRegOp(name)
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
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    addresses = (ctypes.c_void_p * len(arrays))(*(ctypes.addressof(shape) for shape in shapes))
    if getattr(_handles[-1], name)(len(arrays), pointers, None, addresses, None, None, None):
        raise ValueError(f"{name} takes another number of arrays than {len(inputs)} and {len(outputs)}")
    return outputs
