"""Ranks of a training: what they tell each other, and that all end when one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_training import Line

from src.model_utils import ranks
from src.model_utils.agreement import check_agreement, check_weights
from src.model_utils.runtime import UserError

# exchange() by a file stands for the collective of MindSpore; step() for a training step, which needs all ranks
PROGRAM = """
import os, pathlib, socket, sys, time
from src.model_utils import ranks

rank, size, place = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])

def exchange(content):
    file = place / "exchanged"
    if rank == 0:
        (place / "new").write_bytes(content)
        os.replace(place / "new", file)
    while not file.exists():
        time.sleep(0.01)
    return file.read_bytes()

def step():
    ranks.barrier()
    print("step", flush=True)

if rank == 1:  # somebody who is not of this training comes first
    port = int.from_bytes(exchange(b"")[:2], "big")
    stranger = socket.create_connection(("127.0.0.1", port))
    stranger.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
ranks.join(rank, size, exchange, lambda: print("ending", flush=True))
"""


@pytest.fixture
def run(tmp_path):
    """Start a program as several ranks; the folder of the tests is the working directory."""
    started = []

    def start(program, size=3):
        environment = {**os.environ, "PYTHONPATH": str(Path(ranks.__file__).parents[2])}
        environment.pop("MS_SCHED_HOST", None)
        for rank in range(size):
            command = [sys.executable, "-c", PROGRAM + program, str(rank), str(size), str(tmp_path)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, env=environment, **pipes))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def endings(processes):
    """The exit code, standard output and standard error of each."""
    printed = [process.communicate(timeout=30) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, printed)]


def test_values_go_to_all_ranks(run):
    program = """
assert ranks.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
assert ranks.from_first(lambda: [rank, "first"]) == [0, "first"]
assert sorted(sum(ranks.gather(list(ranks.share(range(8)))), [])) == list(range(8))
assert ranks.count() == 3 and ranks.own_name().startswith(f"rank {rank} on ")
assert len(ranks.from_first(lambda: bytes(5_000_000))) == 5_000_000
ranks.close()
time.sleep(0.2 * rank)
"""
    for code, _, errors in endings(run(program)):
        assert code == 0, errors


@pytest.mark.parametrize("killed", [0, 2])
def test_all_end_when_one_is_killed(run, killed):
    processes = run("print('ready', flush=True)\nwhile True: step()")
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    processes[killed].kill()
    for rank, (code, printed, errors) in enumerate(endings(processes)):
        if rank != killed:
            assert code == 1 and printed.endswith("ending\n")
            assert errors.startswith(f"error: rank {killed} on ") and errors.count("\n") == 1
            assert "has ended or is out of reach" in errors


@pytest.mark.parametrize("failing", [0, 1])
def test_all_say_why_one_ends(run, failing):
    program = f"""
if rank == {failing}:
    ranks.leave(2, "no such file")
    os._exit(2)
ranks.barrier()
"""
    for rank, (code, _, errors) in enumerate(endings(run(program))):
        assert code == 2
        if rank != failing:
            assert errors.startswith(f"error: rank {failing} on ") and errors.endswith("): no such file\n")


def test_all_stop_after_the_same_step(run):
    program = """
import signal
signal.signal(signal.SIGTERM, lambda *_: ranks.request_stop())
number = 0
while True:
    step()
    number += 1
    time.sleep(0.003 * rank)  # not all are equally fast
    if ranks.stops_after(number):
        break
ranks.barrier()
ranks.close()
print(f"stopped after {number}", flush=True)
"""
    processes = run(program)
    for _ in range(5):
        assert processes[1].stdout.readline() == "step\n"
    processes[1].send_signal(signal.SIGTERM)
    last = {(code, printed.splitlines()[-1]) for code, printed, _ in endings(processes)}
    assert len(last) == 1 and next(iter(last))[1].startswith("stopped after ")


def test_a_rank_that_cannot_stop_in_time_ends(run):
    program = "ranks.STOPPING = 0.2\nif rank == 1: ranks.request_stop()\nprint('ready', flush=True)\ntime.sleep(60)"
    for rank, (code, _, errors) in enumerate(endings(run(program))):
        assert code == 1 and errors.startswith("error: rank 1 on ") and "no time to save" in errors, rank


def test_a_process_alone_answers_for_itself():
    assert ranks.gather(3) == [3] and ranks.from_first(lambda: 4) == 4 and list(ranks.share("ab")) == ["a", "b"]
    assert ranks.count() == 1 and not ranks.stops_after(1)
    ranks.close()


@pytest.fixture
def two_ranks(monkeypatch):
    """What another rank has for an agreement; it is the first one's answers with these changes."""
    changes: dict = {}
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "own_name", lambda: "rank 0 on a")
    monkeypatch.setattr(ranks, "gather", lambda own: [own, ("rank 1 on b", {**own[1], **changes})])
    return changes


def test_ranks_that_start_from_the_same_agree(two_ranks):
    check_agreement(Line(), {"seed": 1}, vocabulary=["a"], word_vectors=np.ones(2))
    check_weights(Line())


@pytest.mark.parametrize("part", ["configuration", "vocabulary", "word vectors", "initial weights", "prepared data"])
def test_what_differs_is_named_with_its_rank(two_ranks, tmp_path, part):
    two_ranks[part] = "another"
    with pytest.raises(UserError, match=f"^rank 1 on b and rank 0 on a differ in: {part}; give all machines the same"):
        check_agreement(Line(), {"seed": 1}, tmp_path, vocabulary=["a"], word_vectors=np.ones(2))


def digests(monkeypatch, *args, **parts):
    """The digests that this rank hands in."""
    handed_in = []
    monkeypatch.setattr(ranks, "gather", lambda own: handed_in.append(own[1]) or [own])
    check_agreement(*args, **parts)
    return handed_in[0]


def test_digests_depend_on_what_matters_alone(two_ranks, monkeypatch, tmp_path):
    def of(config=(), table=(1.0, 2.0), weight=0.5, fingerprint='{"corpus": "x changed y", "size": 1}'):
        (tmp_path / "fingerprint.json").write_text(fingerprint, encoding="utf-8")
        network = Line()
        network.bias.set_data(network.bias + weight)
        return digests(monkeypatch, network, {"seed": 1, **dict(config)}, tmp_path, table=np.array(table))

    assert of() == of(
        {"num_workers": 3, "options_path": "x"}.items(), fingerprint='{"corpus": "x changed z", "size": 1}'
    )
    for name, other in {
        "configuration": of({"seed": 2}.items()),
        "table": of(table=(1.0, 2.5)),
        "initial weights": of(weight=0.25),
        "prepared data": of(fingerprint='{"corpus": "z changed y", "size": 1}'),
    }.items():
        assert {key for key, digest in of().items() if other[key] != digest} == {name}
