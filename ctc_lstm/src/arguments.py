"""What train.py may be told: its command line, and the checked configuration of a device."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from src import config as config_module
from src.inference import check_settings
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve
from src.model_utils.launch import add_launch_options
from src.model_utils.runtime import UserError
from src.network import FRONT_ENDS
from src.timit import PHONE_SETS

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_frames", "num_workers")
INSTEAD = {  # options of PyTorch scripts that mean nothing here, or go by another name
    "--dist_url": "--addr HOST names the first machine",
    "--dist_backend": "leave it out: MindSpore takes the one of the device (HCCL, NCCL, or its own on CPU)",
    "--rank": "leave it out: msrun numbers the processes",
    "--local_rank": "leave it out: msrun numbers the processes",
    "--gpu": "--device_target GPU --device_id N",
    "--use_gpu": "--device_target GPU",
    "--no_cuda": "--device_target CPU",
    "--keep_batchnorm_fp32": "leave it out: the statistics of batch normalisation are always float32",
    "--loss_scale": "leave it out: the loss scale is dynamic",
    "--lr": "--learning_rate",
    "--epochs": "--num_epoches",
    "--num_epochs": "--num_epoches",
}


def parse(argv, description: str):
    """Read and check the command line of train.py."""
    parser = Parser(description)
    parser.add_argument("--preset", choices=list(config_module.presets), default="default", help="recipe")
    parser.add_argument("--data_path", metavar="DIR", help="TIMIT (TRAIN/, TEST/), or a folder with manifests")
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the features")
    parser.add_argument("--ckpt_path", metavar="DIR", default="./outputs", help="output folder (default: ./outputs)")
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --ckpt_path")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier training in --ckpt_path")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    group = parser.add_argument_group("as in PyTorch scripts")
    group.add_argument("--amp", action="store_true", help="mixed precision on GPU and Ascend, --opt_level O1")
    group.add_argument("--opt_level", choices=["O0", "O1", "O2", "O3"], help="the same as --amp_level")
    add_launch_options(group)
    parser.add_config_options(config_module, {**config_module.ctc_cfg_ascend, **config_module.ctc_cfg})
    for word in sys.argv[1:] if argv is None else argv:
        name = word.split("=")[0].replace("-", "_").replace("__", "--", 1)
        if name in INSTEAD:
            raise UserError(f"{name} has no meaning here: {INSTEAD[name]}")
    args = parser.parse_args(argv)
    _map_precision(args)
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    if not args.data_path and not Path(args.preprocess_path).is_dir():
        raise UserError(
            "--data_path is missing: TIMIT with TRAIN/ and TEST/, or a folder with train.jsonl or train.tsv"
        )
    return args


def _map_precision(args) -> None:
    if args.amp or args.opt_level:
        level = args.opt_level or "O1"
        if args.amp_level not in (None, level):
            raise UserError(f"--amp_level {args.amp_level} and --opt_level {level} contradict each other; give one")
        args.amp_level = level


def configure(args, target: str):
    """Resolve and check the configuration for a device."""
    defaults = config_module.ctc_cfg_ascend if target == "Ascend" else config_module.ctc_cfg
    preset, source = config_module.presets[args.preset], f"preset {args.preset}"
    if args.resume:
        source = f"{args.ckpt_path}/config.yaml"
        preset = read_yaml(source)
    config = resolve(defaults, args, preset, source)
    changed = [key for key in config if args.resume and key not in CHANGEABLE and config[key] != preset.get(key)]
    if changed:
        raise UserError(
            f"--resume continues with {changed[0]} {preset.get(changed[0])} from {args.ckpt_path}/config.yaml, which"
            " cannot be changed on the way; start a new training with another --ckpt_path"
        )
    _check_values(config)
    if target == "CPU" and config.amp_level != "O0":
        raise UserError(f"amp_level {config.amp_level}: mixed precision is for GPU and Ascend; on CPU leave it at O0")
    return config


def _is_speeds(text: str) -> bool:
    try:
        speeds = [float(word) for word in text.split(",")]
    except ValueError:
        return False
    return all(0.5 <= speed <= 2 for speed in speeds) and len(set(speeds)) == len(speeds) and 1.0 in speeds


def _check_values(config) -> None:
    positive = ["sample_rate", "num_mels", "frame_length_ms", "frame_shift_ms", "num_workers"]
    positive += ["conv_channels", "hidden_size", "num_layers", "num_epoches", "batch_size", "batch_frames"]
    positive += ["num_buckets", "learning_rate", "lr_decay", "lr_decay_epochs"]
    zero_or_more = ["warmup_epochs", "weight_decay", "gradient_clip", "feature_noise", "freq_masks", "time_masks"]
    zero_or_more += ["freq_mask_width", "time_mask_width", "ngram_order", "seed", "split_seed", "print_steps"]
    zero_or_more += ["early_stop_patience", "validate_steps", "save_checkpoint_steps", "keep_checkpoint_max"]
    shares = ["dropout", "intermediate_ctc", "validation_fraction", "weight_average"]
    require(
        config,
        **dict.fromkeys(positive, (lambda value: value > 0, "positive")),
        **dict.fromkeys(zero_or_more, (lambda value: value >= 0, "0 or more")),
        **dict.fromkeys(shares, (lambda value: 0 <= value < 1, "at least 0 and below 1")),
        features=(lambda value: value in ("fbank", "mfcc"), "fbank or mfcc"),
        num_ceps=(lambda value: 0 < value <= config.num_mels, "1 to num_mels"),
        deltas=(lambda value: value in (0, 1, 2), "0, 1 or 2"),
        cmvn=(lambda value: value in ("speaker", "utterance", "none"), "speaker, utterance or none"),
        speed_perturbation=(_is_speeds, "different speeds of 0.5 to 2 with 1.0 among them, such as 0.9,1.0,1.1"),
        phone_set=(lambda value: value in PHONE_SETS, ", ".join(PHONE_SETS)),
        front_end=(lambda value: re.fullmatch(r"none|conv|stack-[2-9]", value), FRONT_ENDS),
        lr_shape=(lambda value: value in ("cosine", "linear", "step"), "cosine, linear or step"),
        amp_level=(lambda value: value in ("O0", "O1", "O2", "O3"), "O0, O1, O2 or O3"),
    )
    check_settings(config)
