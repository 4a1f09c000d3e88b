"""Command-line options and validated configuration of train.py."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from easydict import EasyDict

from src import config as config_module
from src.config import gru_seq2seq_cfg, gru_seq2seq_cfg_ascend, presets
from src.model_utils.configuration import Parser, require
from src.model_utils.launch import add_launch_options
from src.model_utils.runtime import UserError
from src.model_utils.training_options import parse_training_arguments, resolve_training_config

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "workers")


def parse_arguments(argv, description: str) -> Namespace:
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--data_dir", metavar="DIR", help="folder of train.de, train.en, val.de, val.en, ...")
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the prepared data")
    add_launch_options(parser.add_argument_group("as in PyTorch scripts (--epoch is --num_epochs)"))
    defaults = {**gru_seq2seq_cfg_ascend, **gru_seq2seq_cfg}
    args = parse_training_arguments(parser, argv, config_module, defaults, presets)
    if not args.data_dir and not Path(args.preprocess_path).is_dir():
        raise UserError("--data_dir is missing: the folder that holds train.de, train.en, val.de and val.en")
    return args


def resolve_configuration(args: Namespace, target: str) -> EasyDict:
    """Resolve and check the configuration for a device."""
    defaults = gru_seq2seq_cfg_ascend if target == "Ascend" else gru_seq2seq_cfg
    config = resolve_training_config(args, target, config_module, defaults, presets, CHANGEABLE)
    require(
        config,
        target=(lambda value: value != config.source, f"another language than source, {config.source}"),
        hidden_size=(lambda value: value % 2 == 0, "even, as the two directions of the encoder share it"),
    )
    if config.tokenizer == "spacy" and config.tied_embeddings == "all":
        raise UserError(
            "tied_embeddings all needs one vocabulary for both languages, tokenizer spacy makes two; add"
            " --tied_embeddings decoder"
        )
    if config.tokenizer == "spacy" and config.subword_sampling:
        raise UserError("subword_sampling draws subwords, tokenizer spacy makes words; leave it at 0")
    return config
