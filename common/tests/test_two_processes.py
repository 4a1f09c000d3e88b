"""Two processes under msrun: long pauses, a request to stop, and validation that is divided among them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from src.model_utils import ranks

# Rank 0 validates for longer than a collective waits; then rank 1 gets SIGTERM, at a step that rank 0 has not done yet
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

sys.path[:0] = [{tests!r}, {common!r}]
from toy_training import batches, make_step
from src.model_utils import ranks
from src.model_utils.batching import Batch
from src.model_utils.runtime import init_device, rank_and_size, run
from src.model_utils.trainer import Cadence, Trainer


def main():
    init_device("CPU", distributed=True)
    rank, size = rank_and_size()
    step = make_step()

    def own_batches(epoch, first_step):
        for number, batch in enumerate(batches(epoch, first_step), first_step + 1):
            if rank == 1 and (epoch, number) == (2, 2):
                os.kill(os.getpid(), signal.SIGTERM)
            x, y = batch.inputs
            yield Batch((x[rank::size], y[rank::size]), 8, 24)

    def validate():
        if rank == 0:
            time.sleep(6)
        return {{"valid_loss": float(sum(ranks.gather(rank + 1)))}}

    trainer = Trainer(
        name="toy",
        folder=Path(sys.argv[1]) / str(rank),  # a disk of its own
        network=step.loss_network.network,
        step=step,
        batches=own_batches,
        steps_per_epoch=4,
        num_epochs=3,
        learning_rate=lambda _: 0.05,
        validate=validate,
        metric="valid_loss",
        cadence=Cadence(print_steps=1),
    )
    trainer.folder.mkdir(parents=True)
    trainer.train()


run(main)
"""


def test_ranks_wait_for_each_other_and_stop_together(tmp_path):
    msrun = Path(sys.executable).with_name("msrun")
    if not msrun.exists():
        pytest.skip("msrun, which MindSpore installs, is not beside this Python")
    tests = Path(__file__).resolve().parent
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=str(tests), common=str(Path(ranks.__file__).parents[2])), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # msrun starts `python`
    environment = {**os.environ, "PATH": path, "MS_CPU_COMM_OP_TIMEOUT": "4"}
    command = [str(msrun), "--worker_num=2", "--local_worker_num=2", f"--master_port={port}", "--join=True"]
    command += [f"--log_dir={tmp_path}", str(program), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    logs = [(tmp_path / f"worker_{rank}.log").read_text(encoding="utf-8") for rank in (0, 1)]
    assert done.returncode != 0
    assert "epoch 1 done: " in logs[0] and "valid_loss 3\n" in logs[0], logs
    ends = [
        re.findall(r"^error: .*(interrupted after epoch 2 step \d); all is saved", log, re.MULTILINE) for log in logs
    ]
    assert ends[0] == ends[1] and len(ends[0]) == 1, logs
    step = ends[0][0][-1]
    assert (tmp_path / f"out/0/toy-2_{step}.ckpt").exists() and not list((tmp_path / "out/1").glob("*.ckpt"))
