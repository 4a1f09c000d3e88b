"""Processes started by msrun, asked for by the options that users of PyTorch scripts know."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from src.model_utils.runtime import UserError, resolve_workers

FLAG = "--multiprocessing_distributed"
COMMON = Path(__file__).resolve().parents[2] / "script" / "common.sh"
VALUED = ("--world_size", "--device_list", "--addr", "--nnodes", "--node_rank")


def add_launch_options(group) -> None:
    """Add FLAG and VALUED to a parser, or to a group of one."""
    group.add_argument(FLAG, action="store_true", help="start the processes by msrun")
    group.add_argument("--world_size", type=int, metavar="N", help="processes in all (default: one for each device)")
    group.add_argument("--device_list", metavar="0,1,...", help="GPUs or NPUs of this machine, one a process")
    group.add_argument("--nnodes", type=int, metavar="N", help="machines (default: 1)")
    group.add_argument("--node_rank", type=int, metavar="K", help="number of this machine, from 0")
    group.add_argument("--addr", metavar="HOST[:PORT]", help="address of machine 0 (default: 127.0.0.1:8118)")


def launch(args: argparse.Namespace, program: str) -> None:
    """Become a shell that runs msrun with the processes that the options ask for; return if they ask for none."""
    command = msrun_command(args, os.path.abspath(program))
    if command:
        shell = ["bash", "-c", '. "$0" && run_msrun "$@"', str(COMMON)]
        os.execvpe("bash", [*shell, *command[0]], {**os.environ, **command[1]})


def msrun_command(args: argparse.Namespace, program: str) -> tuple[list[str], dict[str, str]] | None:
    """Return the msrun command and the environment that FLAG asks for, None without it.

    The processes get the command line without the options that are msrun's. Raises UserError where the options do not
    fit together.
    """
    if not args.multiprocessing_distributed:
        given = [option for option in VALUED if getattr(args, option[2:]) is not None]
        if given and not args.distributed:
            raise UserError(f"{given[0]} needs {FLAG}")
        return None
    if "MS_ROLE" in os.environ:
        raise UserError(f"{FLAG} starts msrun itself; under msrun use --distributed true")
    devices = [] if args.device_list is None else args.device_list.split(",")
    if not all(re.fullmatch(r"\d+", device) for device in devices) or len(set(devices)) < len(devices):
        raise UserError(f"--device_list {args.device_list}: expected different numbers, such as 0,1")
    machines = 1 if args.nnodes is None else args.nnodes
    size = len(devices) * machines if args.world_size is None else args.world_size
    if machines < 1 or size < 1 or size % machines or (devices and len(devices) * machines != size):
        raise UserError(
            f"--world_size {args.world_size}, --nnodes {args.nnodes} and --device_list {args.device_list}: give the"
            " number of processes, which all machines have the same part of, or one device for each"
        )
    number, local = args.node_rank or 0, size // machines
    if not 0 <= number < machines or (machines > 1 and (args.node_rank is None or args.addr is None)):
        raise UserError(
            f"--node_rank {args.node_rank} and --addr {args.addr}: give the number of this machine, from 0 to"
            f" {machines - 1}, and the address of machine 0"
        )
    host, _, port = (args.addr or "127.0.0.1").partition(":")
    beside = Path(sys.executable).with_name("msrun")
    msrun = str(beside) if beside.exists() else shutil.which("msrun")
    if not msrun:
        raise UserError(f"there is no msrun beside {sys.executable}; install MindSpore there")
    valued = (*VALUED, "--distributed")
    rest, skip = [], False
    for word in args.argv:
        if not skip and word.split("=")[0] not in (FLAG, *valued):
            rest.append(word)
        skip = not skip and word in valued
    command = [msrun, f"--worker_num={size}", f"--local_worker_num={local}", f"--node_rank={number}"]
    command += [f"--master_addr={host}", f"--master_port={port or 8118}", "--join=True"]
    command += [f"--tail_worker_log={number * local}", "--log_dir=msrun_log"]
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    if "NATIVE_THREADS" not in os.environ:  # of the CPU kernels, so that the processes share the cores
        environment["NATIVE_THREADS"] = str(max(1, resolve_workers(0) // local))
    if devices:  # whichever is in use; the other variable is not read
        environment.update(CUDA_VISIBLE_DEVICES=args.device_list, ASCEND_RT_VISIBLE_DEVICES=args.device_list)
    return [*command, program, "--distributed", "true", *rest], environment
