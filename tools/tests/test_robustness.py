"""robustness.py tells good endings from bad ones, on a toy program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import robustness
from robustness import Bench, Failed, Model, interrupt, kills, two_at_once

# Counts to 6 in a file, a number every 0.2 s, and knows --resume, a lock and Ctrl-C.
PROGRAM = """
import fcntl, os, sys, time
from pathlib import Path

out = Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True)
lock = open(out / ".lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("error: another training writes here", file=sys.stderr)
    sys.exit(2)
counted = out / "toy-1.ckpt"
done = len(counted.read_text()) if "--resume" in sys.argv and counted.exists() else 0
try:
    print("loss is", flush=True)
    for number in range(done, 6):
        time.sleep(0.2)
        (out / "new").write_text("x" * (number + 1)); os.replace(out / "new", counted)
except KeyboardInterrupt:
    print("error: saved, continue with --resume", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "ROOT", tmp_path)
    monkeypatch.setattr(robustness, "weights", lambda out: {path.name: path.read_text() for path in out.glob("*.ckpt")})
    monkeypatch.setitem(robustness.MODELS, "toy", Model("python -c pass", "python {source}/train.py {out}"))
    for folder in ("toy", "plain/out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "plain" / "out" / "toy-1.ckpt").write_text("x" * 6)

    def make(program=PROGRAM):
        (tmp_path / "toy" / "train.py").write_text(program)
        return Bench("toy", tmp_path, SimpleNamespace(uniform=lambda low, high: high))

    return make


def test_a_good_program_passes(bench):
    lines = list(kills(bench(), 0.8, 3))
    assert sum(int(line.split()[0]) for line in lines) == 3 and all("the same weights" in line for line in lines)
    assert interrupt(bench()) == "error: saved, continue with --resume"
    assert two_at_once(bench()) == "error: another training writes here"


def test_weights_that_differ_after_kills_are_reported(bench):
    with pytest.raises(Failed, match="weights differ"):
        list(kills(bench(PROGRAM.replace("range(done, 6)", "range(done, 6 + done)")), 0.8, 3))


@pytest.mark.parametrize(
    ("program", "code", "good"),
    [
        ("print('fine')", 0, True),
        ("print('fine')", 2, False),
        ("print('error: no file'); raise SystemExit(2)", 2, True),
        ("print('error: no file\\nerror: again'); raise SystemExit(2)", 2, False),
        ("raise SystemExit(2)", 2, False),
        ("1 / 0", 1, False),
    ],
)
def test_endings(bench, program, code, good):
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if good:
        bench().wait_for(process, code)
    else:
        with pytest.raises(Failed, match="ended with"):
            bench().wait_for(process, code)
