"""Command-line options and validated configuration of train.py."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from src import config as config_module
from src.config import bilstm_ner_cfg, bilstm_ner_cfg_ascend, presets
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments, resolve_training_config

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_batch_size", "on_bad_input")


def parse_arguments(argv: Sequence[str] | None, description: str) -> Namespace:
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument(
        "--data_path", metavar="DIR", help="folder of train.char.bmes and dev.char.bmes, or other two-column files"
    )
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the converted data")
    parser.add_argument("--char_vectors", metavar="FILE", help="pretrained vectors in the format of word2vec or GloVe")
    parser.add_argument("--lenient", action="store_true", help="the same as --on_bad_input skip")
    parser.add_argument("--local_rank", type=int, metavar="N", help="the same as --device_id; msrun sets its own")
    defaults = {**bilstm_ner_cfg_ascend, **bilstm_ner_cfg}
    args = parse_training_arguments(parser, argv, config_module, defaults, presets)
    if args.local_rank is not None:
        args.device_id = args.local_rank
    if args.lenient:
        args.on_bad_input = "skip"
    if not args.data_path and not Path(args.preprocess_path).is_dir():
        raise UserError("--data_path is missing: the folder that holds train.char.bmes and dev.char.bmes")
    return args


def resolve_configuration(args: Namespace, target: str) -> EasyDict:
    """Resolve and check the configuration for a device."""
    defaults = bilstm_ner_cfg_ascend if target == "Ascend" else bilstm_ner_cfg
    return resolve_training_config(args, target, config_module, defaults, presets, CHANGEABLE)
