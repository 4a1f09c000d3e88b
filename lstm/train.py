"""Train the sentiment network on IMDB reviews: preprocess, train, validate, keep the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
from mindspore import nn

from src import config as config_module
from src.dataset import (
    TrainingBatches,
    load_samples,
    load_vectors,
    load_vocabulary,
    prepare,
    save_vocabulary,
    split_train,
)
from src.imdb import BAD_FILE_POLICIES
from src.inference import Classifier, build_network, dynamic_inputs
from src.language_model import pretrain
from src.loss import AdversarialGradient, ClassificationLoss
from src.lr_schedule import warmup_decay
from src.lstm import POOLINGS
from src.metrics import accuracy_and_loss
from src.model_utils.checkpoint import load_checkpoint, load_into, training_checkpoints
from src.model_utils.configuration import Parser, boolean, read_yaml, require, resolve, write_yaml
from src.model_utils.runtime import UserError, init_device, log, quiet, rank_and_size, run
from src.model_utils.training import Trainer, TrainStep, claim_folder, measure_throughput

NAME = "lstm"
CHANGEABLE = ("print_steps", "keep_checkpoint_max", "save_checkpoint_steps", "eval_batch_size", "vector_workers")


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
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
    parser.add_config_options(config_module, config_module.lstm_cfg_ascend)
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
    positive = (lambda value: value > 0, "positive")
    zero_or_more = (lambda value: value >= 0, "0 or more")
    counts = ("projection_size", "early_stop_patience", "validate_steps", "save_checkpoint_steps")
    counts += ("keep_checkpoint_max", "print_steps", "seed", "split_seed", "vector_seed", "warmup_epochs")
    counts += (
        "weight_decay",
        "gradient_clip",
        "adversarial_epsilon",
        *(set(config) & {"lr_adjust_epoch", "global_step"}),
    )
    share = (lambda value: 0 <= value < 1, "at least 0 and below 1")
    require(
        config,
        **dict.fromkeys(
            ("embed_size", "num_hiddens", "num_layers", "max_length", "min_count", "vector_window"), positive
        ),
        **dict.fromkeys(("learning_rate", "num_epochs", "batch_size", "eval_batch_size", "vector_epochs"), positive),
        **dict.fromkeys(("pretrain_batch_size", "pretrain_learning_rate"), positive),
        **dict.fromkeys((*counts, "pretrain_epochs", "trained_words"), zero_or_more),
        pretrain_length=(lambda value: value >= 2, "2 or more"),
        **dict.fromkeys(("dropout", "embedding_dropout", "word_dropout", "validation_fraction"), share),
        **dict.fromkeys(("weight_average", "label_smoothing", "momentum"), share),
        num_classes=(lambda value: value >= 2, "2 or more"),
        on_bad_file=(lambda value: value in BAD_FILE_POLICIES, " or ".join(BAD_FILE_POLICIES)),
        pooling=(lambda value: value in POOLINGS, "one of " + ", ".join(POOLINGS)),
        truncation=(lambda value: value in ("head", "head_tail"), "head or head_tail"),
        optimizer=(lambda value: value in ("adam", "momentum"), "adam or momentum"),
        lr_shape=(lambda value: value in ("cosine", "linear"), "cosine or linear"),
        amp_level=(lambda value: value in ("O0", "O1", "O2", "O3"), "O0, O1, O2 or O3"),
    )
    return config


def learning_rates(config, steps_per_epoch: int):
    """Return the constant rate, or the list of the rates of every step."""
    if not config.dynamic_lr:
        return config.learning_rate
    total = config.num_epochs * steps_per_epoch
    adjust_epoch = config.get("lr_adjust_epoch", 0) or config.num_epochs
    return warmup_decay(
        total + config.get("global_step", 0),
        round(config.warmup_epochs * steps_per_epoch),
        adjust_epoch * steps_per_epoch,
        config.get("lr_init", 0.0),
        config.get("lr_max", config.learning_rate),
        config.get("lr_end", 0.0),
        config.lr_shape,
        config.get("global_step", 0),
    )


def build_step(network, config, rates) -> TrainStep:
    """Put loss, gradients and optimizer of a configuration around the network."""
    loss_network = ClassificationLoss(network, config.label_smoothing)
    weights = network.trainable_params()
    if config.optimizer == "adam":
        with quiet():  # of a deprecated operator inside it
            optimizer = nn.Adam(
                weights, learning_rate=rates, beta1=config.momentum, beta2=0.98, weight_decay=config.weight_decay
            )
    else:
        optimizer = nn.Momentum(weights, rates, config.momentum, config.weight_decay)
    scaler = None
    if config.amp_level != "O0":
        ms.amp.auto_mixed_precision(network, config.amp_level)
        scaler = ms.amp.DynamicLossScaler(2**15, 2, 1000)
    gradient = None
    if config.adversarial_epsilon > 0:
        if scaler:
            raise UserError("adversarial_epsilon needs float32; set --amp_level O0 or --adversarial_epsilon 0")
        gradient = AdversarialGradient(loss_network, optimizer.parameters, config.adversarial_epsilon)
    step = TrainStep(loss_network, optimizer, config.gradient_clip, config.weight_average, gradient, scaler)
    step.set_inputs(*dynamic_inputs())
    return step


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed)
    config = configure(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    lock = claim_folder(folder, NAME, args.resume, args.overwrite) if not args.performance_steps else None
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))

    if args.preprocess and args.aclimdb_path:
        prepare(args.aclimdb_path, args.glove_path, args.preprocess_path, config)
    vocabulary = load_vocabulary(Path(args.preprocess_path) / "vocab.json")
    pre_trained = load_checkpoint(args.pre_trained)[0] if args.pre_trained else None
    earlier = folder if args.resume else Path(args.pre_trained).parent if pre_trained else None
    if earlier and load_vocabulary(earlier / "vocab.json") != vocabulary:
        raise UserError(f"{earlier / 'vocab.json'}: not the vocabulary of {args.preprocess_path}; preprocess again")
    train, valid = split_train(load_samples(args.preprocess_path, "train"), config)
    batches = TrainingBatches(train, config, rank, size)
    tokens = int(batches.lengths.sum())
    log(f"train: {len(train)} reviews, {tokens} tokens of at most {config.max_length} a review")
    log(f"validation: {f'{len(valid)} reviews' if valid else 'none, the last checkpoint counts'}")

    network = build_network(config, len(vocabulary))
    vectors = load_vectors(args.preprocess_path)
    if vectors.shape != (len(vocabulary), config.embed_size):
        raise UserError(
            f"{args.preprocess_path}: holds vectors {vectors.shape} but embed_size {config.embed_size} and"
            f" {len(vocabulary)} words are configured; run with --preprocess true"
        )
    network.embedding.set_vectors(vectors)
    if rank == 0 and not args.performance_steps:
        write_yaml(folder / "config.yaml", config)
        save_vocabulary(folder / "vocab.json", vocabulary)
    if pre_trained:
        load_into(network.get_parameters(), pre_trained, args.pre_trained, averaged=True)
    elif config.pretrain_epochs and not args.performance_steps:
        claim_folder(folder / "pretraining", "lm", args.resume, overwrite=not args.resume)
        save_vocabulary(folder / "pretraining" / "vocab.json", vocabulary)
        unlabelled = load_samples(args.preprocess_path, "unsup", missing_ok=True)
        pretrain(network, train + unlabelled, config, folder / "pretraining", args.resume)
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, config, rates)
    trained = sum(parameter.size for parameter in network.trainable_params())
    log(f"parameters: {trained} trained, {sum(p.size for p in network.get_parameters()) - trained} fixed")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    if args.performance_steps:
        every = (batch for epoch in range(1, 1 + config.num_epochs) for batch in batches(epoch))
        result = measure_throughput(step, every, args.performance_steps)
        log(", ".join(f"{key} {value}" for key, value in result.items()))
        return result

    classifier = Classifier(network, config)

    def validate() -> dict:
        accuracy, loss = accuracy_and_loss(classifier.logits(valid, "validation"), valid.labels)
        return {"valid_accuracy": accuracy, "valid_loss": loss}

    trainer = Trainer(
        name=NAME,
        folder=folder,
        network=network,
        step=step,
        batches=batches,
        steps_per_epoch=batches.steps_per_epoch,
        num_epochs=config.num_epochs,
        learning_rate=lambda step_: rates[step_] if config.dynamic_lr else rates,
        validate=validate if valid else None,
        metric="valid_accuracy",
        print_steps=config.print_steps,
        validate_steps=config.validate_steps,
        save_checkpoint_steps=config.save_checkpoint_steps,
        keep_checkpoint_max=config.keep_checkpoint_max,
        patience=config.early_stop_patience,
    )
    only_pretrained = training_checkpoints(folder / "pretraining", "lm") and not training_checkpoints(folder, NAME)
    if args.resume and not only_pretrained:
        trainer.resume()
    result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    if lock:
        lock.close()
    return result


if __name__ == "__main__":
    run(main)
