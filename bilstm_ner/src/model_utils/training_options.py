"""The options that every train.py has, and what they make of its configuration."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from easydict import EasyDict

from src.model_utils import ranks
from src.model_utils.aliases import own_name
from src.model_utils.configuration import Parser, boolean, load_config, resolve
from src.model_utils.event_files import check_tensorboard
from src.model_utils.runtime import UserError


def parse_training_arguments(
    parser: Parser,
    argv: Sequence[str] | None,
    config_module,
    defaults: dict,
    presets: Collection[str],
    output: str = "ckpt_path",
) -> argparse.Namespace:
    """Add the options of every train.py and one for each key of `defaults`, and parse and check a command line.

    The first of `presets` is the default. The folder of the checkpoints is --ckpt_path or --train_url, `output` being
    the folder's own word; its value is `args.ckpt_path`. --amp becomes a level of precision. Raises UserError for
    options that do not go together.
    """
    parser.add_argument("--preset", choices=list(presets), default=next(iter(presets)), help="recipe")
    words = [f"--{output}", *(word for word in ("--ckpt_path", "--train_url") if word != f"--{output}")]
    text = "output folder (default: ./outputs)"
    parser.add_argument(*words, dest="ckpt_path", metavar="DIR", default="./outputs", help=text)
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help=f"continue from the newest checkpoint in {words[0]}")
    parser.add_argument("--overwrite", action="store_true", help=f"delete an earlier training in {words[0]}")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    text = "write TensorBoard's event files, by the package tensorboardX"
    parser.add_argument("--tensorboard", metavar="DIR", help=text)
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    precision = own_name("amp_level", defaults)
    if precision in defaults:
        text = f"mixed precision on GPU and Ascend, the same as --{precision} O1"
        parser.add_argument("--amp", action="store_true", help=text)
    parser.add_config_options(config_module, defaults)
    args = parser.parse_args(argv)
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.tensorboard:
        check_tensorboard(args.tensorboard)
        if args.performance_steps:
            raise UserError("--tensorboard does not go with --performance_steps, which trains nothing")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    if getattr(args, "amp", False):
        key = own_name("amp_level", args.config_keys)
        if getattr(args, key) == "O0":
            raise UserError(f"--amp and {args.typed[key]} O0 contradict each other; give one")
        if getattr(args, key) is None:
            setattr(args, key, "O1")
    return args


def resolve_training_config(
    args: argparse.Namespace,
    target: str,
    config_module,
    defaults: dict,
    presets: dict[str, dict],
    changeable: Collection[str],
) -> EasyDict:
    """Resolve the configuration of a training on a device.

    With --resume the config.yaml of the training stands in the place of the preset, and only the keys in `changeable`
    may differ from it. Raises UserError as `resolve` does, and for what has no use on the device.
    """
    foreign = [args.typed[key] for key in args.config_keys if key in args.typed and key not in defaults]
    if foreign:
        raise UserError(f"{foreign[0]} has no effect on {target}; leave it out there")
    preset, source = presets[args.preset], f"preset {args.preset}"
    if args.resume:
        preset = EasyDict(ranks.from_first(lambda: dict(load_config(args.ckpt_path, config_module, defaults))))
        source = str(Path(args.ckpt_path) / "config.yaml")
    config = resolve(defaults, args, config_module, preset, source)
    changed = [key for key in config if args.resume and key not in changeable and config[key] != preset[key]]
    if changed:
        raise UserError(
            f"--resume continues with {changed[0]} {preset[changed[0]]} from {source}, which cannot be changed on the"
            f" way by {args.typed.get(changed[0], args.config_path)}; start a new training with another"
            f" {args.typed.get('ckpt_path', '--ckpt_path')}"
        )
    precision = own_name("amp_level", config)
    if target == "CPU" and config.get(precision, "O0") != "O0":
        raise UserError(
            f"{args.typed.get(precision, precision)} {config[precision]}: mixed precision is for GPU and Ascend; on CPU"
            " leave it at O0"
        )
    return config
