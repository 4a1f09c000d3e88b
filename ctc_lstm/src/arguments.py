"""Command-line options and validated configuration of train.py."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

from easydict import EasyDict

from src import config as config_module
from src.config import ctc_cfg, ctc_cfg_ascend, presets
from src.model_utils.configuration import Parser, require
from src.model_utils.launch import add_launch_options
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments, resolve_training_config
from src.network import FRONT_ENDS

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_frames", "num_workers")


def parse_arguments(argv, description: str) -> Namespace:
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--data_path", metavar="DIR", help="TIMIT (TRAIN/, TEST/), or a folder with manifests")
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the features")
    add_launch_options(parser)
    args = parse_training_arguments(parser, argv, config_module, {**ctc_cfg_ascend, **ctc_cfg}, presets)
    if not args.data_path and not Path(args.preprocess_path).is_dir():
        raise UserError("--data_path is missing: TIMIT with TRAIN/ and TEST/, or a folder of train.jsonl or train.tsv")
    return args


def resolve_configuration(args: Namespace, target: str) -> EasyDict:
    """Resolve and check the configuration for a device."""
    defaults = ctc_cfg_ascend if target == "Ascend" else ctc_cfg
    config = resolve_training_config(args, target, config_module, defaults, presets, CHANGEABLE)
    require(
        config,
        front_end=(lambda value: re.fullmatch(r"none|conv|stack-[2-9]", value), FRONT_ENDS),
        num_ceps=(lambda value: value <= config.num_mels, "at most num_mels"),
        speed_perturbation=(_are_speeds, "different speeds of 0.5 to 2 with 1.0 among them, such as 0.9,1.0,1.1"),
    )
    return config


def _are_speeds(text: str) -> bool:
    try:
        speeds = [float(word) for word in text.split(",")]
    except ValueError:
        return False
    return all(0.5 <= speed <= 2 for speed in speeds) and len(set(speeds)) == len(speeds) and 1.0 in speeds
