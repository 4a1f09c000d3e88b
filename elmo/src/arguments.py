"""Command-line options and validated configuration of train.py, and the options of the biLM that it trains."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from src import config as config_module
from src.model_options import ModelOptions, load_options, options_path_of
from src.model_utils import ranks
from src.model_utils.checkpoint import InitialWeights
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, rank_and_size
from src.model_utils.training_options import parse_training_arguments, resolve_training_config

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "validate_steps", "eval_batch_size")


def parse_arguments(argv: Sequence[str] | None, description: str) -> argparse.Namespace:
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument(
        "--data_url",
        "--preprocess_path",
        metavar="DIR",
        required=True,
        help="folder of script/convert_dataset.sh: train.mindrecord, vocab.txt and, for validation, valid.mindrecord",
    )
    keys = {**config_module.elmo_cfg_ascend, **config_module.elmo_cfg}
    return parse_training_arguments(parser, argv, config_module, keys, config_module.presets, output="train_url")


def resolve_configuration(args: argparse.Namespace, target: str) -> EasyDict:
    """Resolve and check the configuration for a device."""
    defaults = config_module.elmo_cfg_ascend if target == "Ascend" else config_module.elmo_cfg
    return resolve_training_config(args, target, config_module, defaults, config_module.presets, CHANGEABLE)


def resolve_options(
    args: argparse.Namespace, config: EasyDict, words: int, tokens: int, weights: InitialWeights
) -> ModelOptions:
    """Return the options of the biLM, completed by the configuration and the data.

    `words` and `tokens` count the vocabulary and the training text. Raises UserError as `load_options` does, where
    pre-trained weights are those of another network, and where --train_url has the options of other weights.
    """
    own = Path(args.ckpt_path) / "options.json"
    if args.resume:
        options = ranks.from_first(lambda: load_options(own, words))
    else:
        options = load_options(config.options_path, words)
    options = dataclasses.replace(
        options,
        batch_size=config.batch_size or options.batch_size,
        n_epochs=config.epoch_num or options.n_epochs,
        n_tokens_vocab=words,
        n_train_tokens=tokens,
    )
    if args.pre_trained:
        their_path = options_path_of(weights.path)
        theirs, ours = ranks.from_first(lambda: load_options(their_path).network_arguments), options.network_arguments
        for key in theirs:  # most of a difference would not show in the shapes of the weights
            if theirs[key] != ours[key] and key != "dropout":
                raise UserError(
                    f"{their_path}: the weights of --pre_trained have {key} {theirs[key]}, the options of this training"
                    f" {ours[key]}; train with --options_path {their_path}"
                )
    fresh = not (args.resume or args.overwrite or args.performance_steps)
    if fresh and rank_and_size()[0] == 0 and own.is_file() and load_options(own) != options:
        raise UserError(f"{own}: the options of other weights; choose another --train_url, or --overwrite them")
    return options
