"""What train.py may be told: its command line, and the checked configuration of a device."""

from __future__ import annotations

import sys
from pathlib import Path

from src import config as config_module
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve
from src.model_utils.launch import add_launch_options
from src.model_utils.runtime import UserError

CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "workers")
ALIASES = {  # other names of options, as PyTorch scripts and the other models here have them
    "--epoch": "--num_epochs",
    "--epochs": "--num_epochs",
    "--lr": "--learning_rate",
    "--data_path": "--data_dir",
    "--num_workers": "--workers",
    "--opt_level": "--amp_level",
    "--print_freq": "--print_steps",
}
INSTEAD = {  # options of such scripts that mean nothing here
    "--dist_url": "--addr HOST names the first machine",
    "--dist_backend": "leave it out: MindSpore takes the one of the device (HCCL, NCCL, or its own on CPU)",
    "--rank": "leave it out: msrun numbers the processes",
    "--local_rank": "leave it out: msrun numbers the processes",
    "--gpu": "--device_target GPU --device_id N",
    "--use_gpu": "--device_target GPU",
    "--no_cuda": "--device_target CPU",
    "--keep_batchnorm_fp32": "leave it out: the network has no batch normalisation",
    "--loss_scale": "leave it out: the loss scale is dynamic",
    "--pin_memory": "leave it out: the corpus is held in memory",
}


def parse(argv, description: str):
    """Read and check the command line of train.py; options may be written with - or _."""
    parser = Parser(description)
    parser.add_argument("--preset", choices=list(config_module.presets), default="default", help="recipe")
    parser.add_argument("--data_dir", metavar="DIR", help="folder of train.de, train.en, val.de, val.en, ...")
    parser.add_argument("--preprocess_path", metavar="DIR", default="./preprocess", help="folder of the prepared data")
    parser.add_argument("--ckpt_path", metavar="DIR", default="./outputs", help="output folder (default: ./outputs)")
    parser.add_argument("--pre_trained", metavar="FILE", help="checkpoint whose weights training starts from")
    parser.add_argument("--resume", action="store_true", help="continue from the newest checkpoint in --ckpt_path")
    parser.add_argument("--overwrite", action="store_true", help="delete an earlier training in --ckpt_path")
    parser.add_argument(
        "--distributed", type=boolean, default=False, metavar="BOOL", help="data-parallel, under msrun (default: false)"
    )
    parser.add_argument("--performance_steps", type=int, default=0, metavar="N", help="time N steps and leave")
    group = parser.add_argument_group("as in PyTorch scripts (--epoch is --num_epochs)")
    group.add_argument("--amp", action="store_true", help="mixed precision on GPU and Ascend, --amp_level O1")
    add_launch_options(group)
    parser.add_config_options(config_module, {**config_module.gru_seq2seq_cfg_ascend, **config_module.gru_seq2seq_cfg})
    args = parser.parse_args(usual_spelling(sys.argv[1:] if argv is None else argv))
    if args.amp:
        if args.amp_level not in (None, "O1", "O2", "O3"):
            raise UserError(f"--amp and --amp_level {args.amp_level} contradict each other; give one")
        args.amp_level = args.amp_level or "O1"
    if args.resume and (args.overwrite or args.pre_trained):
        raise UserError("--resume goes neither with --overwrite nor with --pre_trained: it continues what is there")
    if args.performance_steps < 0:
        raise UserError(f"--performance_steps {args.performance_steps}: must be 1 or more, or 0 to train")
    if not args.data_dir and not Path(args.preprocess_path).is_dir():
        raise UserError("--data_dir is missing: the folder that holds train.de, train.en, val.de and val.en")
    return args


def usual_spelling(argv: list[str]) -> list[str]:
    """Return the command line with options spelled by underscores and under their own names.

    Raises UserError for one of INSTEAD, with what to use.
    """
    words = []
    for word in map(str, argv):
        name, equals, value = word.partition("=")
        if name.startswith("--") and len(name) > 2:
            name = "--" + name[2:].replace("-", "_")
            if name in INSTEAD:
                raise UserError(f"{name} has no meaning here: {INSTEAD[name]}")
            word = ALIASES.get(name, name) + equals + value
        words.append(word)
    return words


def configure(args, target: str):
    """Resolve and check the configuration for a device."""
    defaults = config_module.gru_seq2seq_cfg_ascend if target == "Ascend" else config_module.gru_seq2seq_cfg
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
    check_values(config)
    if target == "CPU" and config.amp_level != "O0":
        raise UserError(f"amp_level {config.amp_level}: mixed precision is for GPU and Ascend; on CPU leave it at O0")
    return config


def check_values(config) -> None:
    """Raise UserError for a configuration value that makes no sense."""
    positive = ["vocab_size", "min_count", "buckets", "workers", "embed_size", "hidden_size", "encoder_layers"]
    positive += ["decoder_layers", "num_epochs", "batch_size", "learning_rate", "average_every", "beam_size"]
    positive += ["valid_beam_size"]
    zero_or_more = ["warmup_epochs", "weight_decay", "gradient_clip", "length_penalty", "max_length_ratio", "seed"]
    zero_or_more += ["max_length_extra", "early_stop_patience", "validate_steps", "save_checkpoint_steps"]
    zero_or_more += ["keep_checkpoint_max", "print_steps", "subword_sampling"]

    def one_of(*values):
        return (lambda value: value in values), f"{', '.join(values[:-1])} or {values[-1]}"

    require(
        config,
        **dict.fromkeys(positive, (lambda value: value > 0, "positive")),
        **dict.fromkeys(zero_or_more, (lambda value: value >= 0, "0 or more")),
        **dict.fromkeys(
            ("dropout", "label_smoothing", "weight_average"), (lambda x: 0 <= x < 1, "at least 0, below 1")
        ),
        max_length=(lambda value: value >= 2, "2 or more"),
        target=(lambda value: value != config.source, f"another language than source, {config.source}"),
        tokenizer=one_of("sentencepiece", "spacy"),
        on_bad_pair=one_of("error", "skip"),
        attention=one_of("luong", "bahdanau"),
        tied_embeddings=one_of("none", "decoder", "all"),
        lr_shape=one_of("cosine", "linear"),
        amp_level=one_of("O0", "O1", "O2", "O3"),
        unknown_words=one_of("keep", "forbid", "copy"),
    )
    if config.tokenizer == "spacy" and config.tied_embeddings == "all":
        raise UserError(
            "tied_embeddings all needs one vocabulary for both languages, tokenizer spacy makes two; add"
            " --tied_embeddings decoder"
        )
    if config.tokenizer == "spacy" and config.subword_sampling:
        raise UserError("subword_sampling draws subwords, tokenizer spacy makes words; leave it at 0")
