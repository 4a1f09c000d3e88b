"""Command-line options and validated configuration of train.py."""

from __future__ import annotations

import argparse

from easydict import EasyDict

from src import config as config_module
from src.config import lstm_cfg, lstm_cfg_ascend, presets
from src.imdb import LABELS
from src.model_utils.configuration import Parser, boolean, require
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments, resolve_training_config

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_batch_size", "vector_workers")


def parse_arguments(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--aclimdb_path", metavar="DIR", help="the unpacked aclImdb folder")
    text = "folder with glove.6B.*d.txt, or any file of GloVe's or word2vec's vectors, text or binary; without it,"
    parser.add_argument("--glove_path", metavar="PATH", help=f"{text} vectors are trained on the reviews")
    parser.add_argument("--preprocess", type=boolean, default=True, metavar="BOOL", help="convert the corpus if needed")
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="the converted corpus")
    # the defaults of CPU and GPU where both have a key
    args = parse_training_arguments(parser, argv, config_module, {**lstm_cfg_ascend, **lstm_cfg}, presets["CPU"])
    if args.preprocess and not args.aclimdb_path and not args.resume:
        raise UserError("--aclimdb_path is missing: the folder that holds train/pos, train/neg, test/pos and test/neg")
    return args


def resolve_configuration(args: argparse.Namespace, target: str) -> EasyDict:
    """Resolve and check the configuration for a device."""
    defaults = lstm_cfg_ascend if target == "Ascend" else lstm_cfg
    if target == "Ascend" and args.learning_rate is not None and args.lr_max is None and not args.resume:
        args.lr_max = 0.0  # the peak is the rate on the command line, whatever lr_max of a file says
    config = resolve_training_config(args, target, config_module, defaults, presets[target], CHANGEABLE)
    classes = len(LABELS)
    require(config, num_classes=(lambda value: value == classes, f"{classes}, for the labels {' and '.join(LABELS)}"))
    if config.adversarial_epsilon and config.amp_level != "O0":
        raise UserError("adversarial_epsilon needs float32; set --amp_level O0 or --adversarial_epsilon 0")
    return config
