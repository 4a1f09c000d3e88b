"""What train.py may be told: its command line, and the checked configuration of a device."""

from __future__ import annotations

from pathlib import Path

from src import config as config_module
from src.imdb import BAD_FILE_POLICIES
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve
from src.model_utils.runtime import UserError
from src.network import POOLINGS

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_batch_size", "vector_workers")


def parse(argv, description: str):
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--preset", choices=list(config_module.presets["CPU"]), default="default", help="recipe")
    parser.add_argument("--aclimdb_path", metavar="DIR", help="the unpacked aclImdb folder")
    parser.add_argument(
        "--glove_path", metavar="DIR", help="glove.6B.*d.txt or its folder; without it, vectors are trained"
    )
    parser.add_argument("--preprocess", type=boolean, default=True, metavar="BOOL", help="convert the corpus if needed")
    parser.add_argument(
        "--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the converted corpus"
    )
    parser.add_argument("--ckpt_path", metavar="DIR", default="./outputs", help="output folder (default: ./outputs)")
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --ckpt_path")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier training in --ckpt_path")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    shown = {**config_module.lstm_cfg_ascend, **config_module.lstm_cfg}  # defaults of CPU and GPU where both have them
    parser.add_config_options(config_module, shown)
    args = parser.parse_args(argv)
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    if args.preprocess and not args.aclimdb_path and not args.resume:
        raise UserError("--aclimdb_path is missing: the folder that holds train/pos, train/neg, test/pos and test/neg")
    return args


def configure(args, target: str):
    """Resolve and check the configuration for a device."""
    defaults = config_module.lstm_cfg_ascend if target == "Ascend" else config_module.lstm_cfg
    foreign = [key for key in config_module.lstm_cfg_ascend if key not in defaults and getattr(args, key) is not None]
    if foreign:
        raise UserError(f"--{foreign[0]} belongs to lstm_cfg_ascend and has no effect on {target}; leave it out there")
    preset = config_module.presets[target][args.preset]
    if args.resume:
        preset = read_yaml(Path(args.ckpt_path) / "config.yaml")
    config = resolve(
        defaults, args, preset, f"{args.ckpt_path}/config.yaml" if args.resume else f"preset {args.preset}"
    )
    changed = [key for key in config if args.resume and key not in CHANGEABLE and config[key] != preset.get(key)]
    if changed:
        raise UserError(
            f"--resume continues with {changed[0]} {preset.get(changed[0])} from {args.ckpt_path}/config.yaml, which"
            " cannot be changed on the way; start a new training with another --ckpt_path"
        )
    _check_values(config)
    return config


def _check_values(config) -> None:
    positive = ["embed_size", "num_hiddens", "num_layers", "max_length", "min_count", "learning_rate", "num_epochs"]
    positive += ["batch_size", "eval_batch_size", "vector_epochs", "vector_window", "pretrain_batch_size"]
    positive += ["pretrain_learning_rate"]
    zero_or_more = ["projection_size", "trained_words", "pretrain_epochs", "warmup_epochs", "weight_decay", "seed"]
    zero_or_more += ["gradient_clip", "adversarial_epsilon", "early_stop_patience", "validate_steps", "split_seed"]
    zero_or_more += ["save_checkpoint_steps", "keep_checkpoint_max", "print_steps", "vector_seed"]
    zero_or_more += set(config) & {"lr_adjust_epoch", "global_step"}  # keys of Ascend only
    shares = ["dropout", "embedding_dropout", "word_dropout", "validation_fraction", "weight_average", "momentum"]
    shares += ["label_smoothing"]
    require(
        config,
        **dict.fromkeys(positive, (lambda value: value > 0, "positive")),
        **dict.fromkeys(zero_or_more, (lambda value: value >= 0, "0 or more")),
        **dict.fromkeys(shares, (lambda value: 0 <= value < 1, "at least 0 and below 1")),
        num_classes=(lambda value: value >= 2, "2 or more"),
        pretrain_length=(lambda value: value >= 2, "2 or more"),
        on_bad_file=(lambda value: value in BAD_FILE_POLICIES, " or ".join(BAD_FILE_POLICIES)),
        pooling=(lambda value: value in POOLINGS, "one of " + ", ".join(POOLINGS)),
        truncation=(lambda value: value in ("head", "head_tail"), "head or head_tail"),
        optimizer=(lambda value: value in ("adam", "momentum"), "adam or momentum"),
        lr_shape=(lambda value: value in ("cosine", "linear"), "cosine or linear"),
        amp_level=(lambda value: value in ("O0", "O1", "O2", "O3"), "O0, O1, O2 or O3"),
    )
