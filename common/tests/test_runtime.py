"""How a program starts and ends: arguments, standard streams, exit codes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from src.model_utils import runtime
from src.model_utils.runtime import UserError, resolve_workers

FOLDER = Path(runtime.__file__).resolve().parents[2]
ECHO = """
import json, sys
from src.model_utils.runtime import UserError, run
def main():
    print("to people", file=sys.stderr)
    print(json.dumps(sys.argv[1:], ensure_ascii=False))
    for path in sys.argv[1:]:
        try:
            print(open(path, encoding="utf-8").read(), end="")
        except FileNotFoundError:
            pass
    if not sys.argv[1:] and sys.stdin is None:
        raise UserError("standard input is closed")
run(main)
"""
LOCALES = {
    "ascii streams": {"PYTHONIOENCODING": "ascii"},
    "the C locale": {"LC_ALL": "C"},
    "ascii everywhere": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "latin-1 streams": {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C.UTF-8"},
}


def shell(command: str, *arguments: bytes | str, **variables: str):
    """Run `$ECHO` with the arguments as a shell does; returns subprocess's CompletedProcess, with bytes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
    environment.update(PYTHON=sys.executable, ECHO=ECHO, **variables)
    command = command.replace("$ECHO", '"$PYTHON" -c "$ECHO" "$@"')
    return subprocess.run(["bash", "-c", command, "bash", *arguments], cwd=FOLDER, env=environment, capture_output=True)


def end_with(error, capsys):
    def main():
        if error:
            raise error

    with pytest.raises(SystemExit) as ended:
        runtime.run(main)
    return ended.value.code, capsys.readouterr().err


def test_exit_codes(capsys):
    assert end_with(None, capsys) == (0, "")
    assert end_with(UserError("a: b\nc"), capsys) == (2, "error: a: b c\n")
    assert end_with(KeyboardInterrupt(), capsys) == (130, "interrupted\n")
    code, text = end_with(ValueError("bug"), capsys)
    assert code == 1 and "Traceback" in text and "bug" in text
    assert end_with(FileNotFoundError(errno.ENOENT, "No such file", "x/y"), capsys) == (2, "error: x/y: No such file\n")
    code, text = end_with(MemoryError("Unable to allocate 7 TiB"), capsys)
    assert code == 2 and text.startswith("error: not enough memory: Unable to allocate 7 TiB; ")
    code, text = end_with(OSError(errno.ENOSPC, "full", "x"), capsys)
    assert code == 2 and text.startswith("error: x: no space left on the disk")


def test_an_error_message_is_one_line_that_a_terminal_only_shows():
    quoted = "a\nb \x1b[31mred\x1b[0m " + "x" * 5000
    message = str(UserError(f"file:3: bad line '{quoted}'; mend it"))
    assert message.startswith("file:3: bad line 'a b \ufffd[31mred\ufffd[0m xxx") and message.endswith("xxx'; mend it")
    assert message.isprintable() and len(message) < 850


def test_a_reader_that_leaves_is_no_error():
    program = (
        "from src.model_utils.runtime import run\ndef main():\n    for _ in range(100000): print('x' * 50)\nrun(main)"
    )
    command = '"$PYTHON" -c "$PROGRAM" | head -n 1; echo "${PIPESTATUS[0]}"'
    done = shell(command, PROGRAM=program)
    assert done.stdout.split() == [b"x" * 50, b"0"] and not done.stderr


@pytest.mark.parametrize("variables", LOCALES.values(), ids=LOCALES)
def test_arguments_and_output_are_utf8_whatever_the_locale(tmp_path, variables):
    named, other = os.fsencode(tmp_path / "中文.txt"), os.fsencode(tmp_path) + b"/caf\xe9.txt"
    Path(os.fsdecode(named)).write_text("北京\n", encoding="utf-8")
    Path(os.fsdecode(other)).write_text("Größe\n", encoding="utf-8")
    done = shell("$ECHO", "Größe", "北京市", named, other, **variables)
    assert done.returncode == 0, done.stderr
    arguments, *content = done.stdout.decode("utf-8").splitlines()
    assert json.loads(arguments) == ["Größe", "北京市", os.fsdecode(named), os.fsdecode(other)]
    assert content == ["北京", "Größe"] and done.stderr == b"to people\n"


def test_arguments_are_what_was_typed_in_a_latin_1_locale(tmp_path):
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.ISO-8859-1")], capture_output=True
    )
    if made.returncode:
        pytest.skip("this machine cannot make a Latin-1 locale")
    done = shell("$ECHO", "Größe", "北京市", LOCPATH=str(tmp_path), LC_ALL="en_US.ISO-8859-1")
    assert json.loads(done.stdout.decode("utf-8")) == ["Größe", "北京市"]


def test_the_program_starts_anew_once_at_most():
    done = shell("$ECHO", "a", LC_ALL="C", PYTHONUTF8="1", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stdout) == (0, b'["a"]\n')


def test_closed_standard_streams_end_in_no_traceback(tmp_path):
    path = str(tmp_path / "file")
    Path(path).write_text("content\n", encoding="utf-8")
    expected = f'["{path}"]\ncontent\n'.encode()
    done = shell("$ECHO >&-", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"to people\n")
    done = shell("$ECHO 2>&-", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")
    done = shell("$ECHO <&-", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"to people\n")
    done = shell("$ECHO <&-")
    assert (done.returncode, done.stderr) == (2, b"to people\nerror: standard input is closed\n")
    assert shell("$ECHO <&- >&- 2>&-", path).returncode == 0


def test_a_file_that_is_opened_later_does_not_become_a_closed_stream(tmp_path):
    program = """
import os, sys
from src.model_utils.runtime import run
def main():
    with open(sys.argv[1], "w") as file:
        os.write(1, b"noise of a library")
        os.write(2, b"noise of a library")
        print("answer")
        file.write("data")
run(main)
"""
    done = shell('"$PYTHON" -c "$PROGRAM" "$1" <&- >&- 2>&-', str(tmp_path / "file"), PROGRAM=program)
    assert done.returncode == 0 and (tmp_path / "file").read_text(encoding="utf-8") == "data"


def test_a_full_disk_behind_the_output_gets_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    done = shell("$ECHO >/dev/full", "a")
    assert done.returncode == 2 and b"no space left on the disk" in done.stderr and done.stderr.count(b"\n") == 2
    assert shell("$ECHO >/dev/full 2>&1", "a").returncode == 2


def test_no_workers_are_as_many_as_the_cores_of_the_process():
    assert resolve_workers(3) == 3
    assert resolve_workers(0) == len(os.sched_getaffinity(0))
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert resolve_workers(0) == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(("variable", "expected"), [("3", [3]), ("0", [1]), (None, [])])
def test_kernels_of_mindspore_get_no_more_threads_than_those_of_the_project(monkeypatch, variable, expected):
    import mindspore as ms

    numbers: list[int] = []
    monkeypatch.setattr(ms.device_context.cpu.op_tuning, "threads_num", numbers.append)
    monkeypatch.delenv("NATIVE_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("NATIVE_THREADS", variable)
    runtime.init_device("CPU")
    assert numbers == expected


def test_a_line_of_the_log_is_written_in_one_piece(monkeypatch):
    pieces: list[str] = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=pieces.append, flush=lambda: None))
    runtime.log("epoch: 1")
    assert [piece for piece in pieces if piece] == ["epoch: 1\n"]
