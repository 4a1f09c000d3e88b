"""What train.py may be told: its command line, the checked configuration, and the options of the biLM."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from src import config as config_module
from src.lr_schedule import SHAPES
from src.model_options import ModelOptions, load_options, preset_path
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve
from src.model_utils.runtime import UserError
from src.train_step import OPTIMIZERS

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "validate_steps", "eval_batch_size")


def parse(argv, description: str):
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--preset", choices=list(config_module.presets), default="default", help="recipe")
    parser.add_argument(
        "--data_url",
        "--preprocess_path",
        metavar="DIR",
        required=True,
        help="folder of script/convert_dataset.sh: train.mindrecord, vocab.txt and, for validation, valid.mindrecord",
    )
    parser.add_argument(
        "--train_url", "--ckpt_path", metavar="DIR", default="./outputs", help="output folder (default: ./outputs)"
    )
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --train_url")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier training in --train_url")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    parser.add_config_options(config_module, {**config_module.elmo_cfg_ascend, **config_module.elmo_cfg})
    args = parser.parse_args(argv)
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    return args


def configure(args, target: str):
    """Resolve and check the configuration for a device."""
    defaults = config_module.elmo_cfg_ascend if target == "Ascend" else config_module.elmo_cfg
    preset, source = config_module.presets[args.preset], f"preset {args.preset}"
    if args.resume:
        source = f"{args.train_url}/config.yaml"
        preset = read_yaml(source)
    config = resolve(defaults, args, preset, source)
    changed = [key for key in config if args.resume and key not in CHANGEABLE and config[key] != preset.get(key)]
    if changed:
        raise UserError(
            f"--resume continues with {changed[0]} {preset.get(changed[0])} from {source}, which cannot be changed on"
            " the way; start a new training with another --train_url"
        )
    _check_values(config)
    return config


def _check_values(config) -> None:
    positive = "lr softmax_lr_factor adagrad_accumulator loss_factor eval_batch_size short_words_multiple"
    zero_or_more = "epoch_num batch_size max_steps warmup_steps seed early_stop_patience validate_steps"
    zero_or_more += " save_checkpoint_steps keep_checkpoint_max print_steps"
    require(
        config,
        **dict.fromkeys([*positive.split(), "long_words_multiple"], (lambda value: value > 0, "positive")),
        **dict.fromkeys(zero_or_more.split(), (lambda value: value >= 0, "0 or more")),
        adam_beta2=(lambda value: 0 <= value < 1, "at least 0 and below 1"),
        optimizer=(lambda value: value in OPTIMIZERS, " or ".join(OPTIMIZERS)),
        lr_shape=(lambda value: value in SHAPES, " or ".join(SHAPES)),
    )


def find_options(path) -> ModelOptions:
    """Read an options.json, or one of those in options/ by its name."""
    return load_options(preset_path(str(path)) if preset_path(str(path)).is_file() else path)


def training_options(args, config, words: int, tokens: int) -> ModelOptions:
    """Return the options of the biLM, with what the configuration overrides and the data say filled in."""
    path = Path(args.train_url) / "options.json" if args.resume else config.options_path
    options = load_options(path) if args.resume else find_options(path)
    if options.n_tokens_vocab not in (0, words):
        raise UserError(
            f"{path}: n_tokens_vocab is {options.n_tokens_vocab}, but the vocabulary of {args.data_url} has {words}"
            " words; mend it, or leave the key out"
        )
    return dataclasses.replace(
        options,
        batch_size=config.batch_size or options.batch_size,
        n_epochs=config.epoch_num or options.n_epochs,
        n_tokens_vocab=words,
        n_train_tokens=tokens,
    )
