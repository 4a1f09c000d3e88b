"""What train.py may be told: its command line, and the checked configuration of a device."""

from __future__ import annotations

from pathlib import Path

from src import config as config_module
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve
from src.model_utils.runtime import UserError

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_batch_size")


def parse(argv, description: str):
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--preset", choices=list(config_module.presets), default="bilstm_crf", help="recipe")
    parser.add_argument(
        "--data_path", metavar="DIR", help="folder of train.char.bmes and dev.char.bmes, or other two-column files"
    )
    parser.add_argument("--char_vectors", metavar="FILE", help="pretrained character vectors in word2vec's text format")
    parser.add_argument("--lenient", action="store_true", help="leave bad sentences out and count them")
    parser.add_argument("--ckpt_path", metavar="DIR", default="./outputs", help="output folder (default: ./outputs)")
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --ckpt_path")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier training in --ckpt_path")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    parser.add_argument(
        "--local_rank", type=int, metavar="N", help="device number of this process, as --device_id; msrun sets its own"
    )
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    parser.add_config_options(config_module, config_module.bilstm_ner_cfg)
    args = parser.parse_args(argv)
    if args.local_rank is not None:
        args.device_id = args.local_rank
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    if not args.data_path:
        raise UserError("--data_path is missing: the folder that holds train.char.bmes and dev.char.bmes")
    return args


def configure(args, target: str):
    """Resolve and check the configuration for a device."""
    defaults = config_module.bilstm_ner_cfg_ascend if target == "Ascend" else config_module.bilstm_ner_cfg
    preset, source = config_module.presets[args.preset], f"preset {args.preset}"
    if args.resume:
        source = f"{args.ckpt_path}/config.yaml"
        preset = read_yaml(Path(source))
    config = resolve(defaults, args, preset, source)
    changed = [key for key in config if args.resume and key not in CHANGEABLE and config[key] != preset.get(key)]
    if changed:
        raise UserError(
            f"--resume continues with {changed[0]} {preset.get(changed[0])} from {source}, which cannot be changed on"
            " the way; start a new training with another --ckpt_path"
        )
    _check_values(config)
    return config


def _check_values(config) -> None:
    positive = ["character_size", "num_hiddens", "num_layers", "learning_rate", "train_epochs", "batch_size"]
    positive += ["eval_batch_size", "language_model_characters", "character_min_count", "bigram_min_count"]
    positive += ["average_every"]
    zero_or_more = ["bigram_size", "warmup_epochs", "weight_decay", "seed", "gradient_clip", "adversarial_epsilon"]
    zero_or_more += ["early_stop_patience", "validate_steps", "save_checkpoint_steps", "keep_checkpoint_max"]
    zero_or_more += ["print_steps", "language_model"]
    shares = ["mention_replacement", "dropout", "embedding_dropout", "character_dropout", "bigram_dropout"]
    shares += ["weight_average"]
    require(
        config,
        **dict.fromkeys(positive, (lambda value: value > 0, "positive")),
        **dict.fromkeys(zero_or_more, (lambda value: value >= 0, "0 or more")),
        **dict.fromkeys(shares, (lambda value: 0 <= value < 1, "at least 0 and below 1")),
        on_bad_input=(lambda value: value in ("error", "skip"), "error or skip"),
        units=(lambda value: value in ("auto", "characters", "words"), "auto, characters or words"),
        amp_opt_level=(lambda value: value in ("O0", "O1", "O2", "O3"), "O0, O1, O2 or O3"),
    )
