"""Pre-train a biLM on converted text: train, validate, keep the best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mindspore as ms

from src.arguments import parse_arguments, resolve_configuration, resolve_options
from src.data.reader import Corpus
from src.data.vocabulary import check_same_vocabulary, load_vocabulary
from src.dataset import TrainingBatches
from src.inference import build_model
from src.lr_schedule import warmup_decay
from src.metrics import Evaluator
from src.model_options import save_options
from src.model_utils import native
from src.model_utils.agreement import check_agreement
from src.model_utils.checkpoint import check_output_folder, initial_weights, output_folder
from src.model_utils.files import write_yaml
from src.model_utils.runtime import init_device, log, rank_and_size, run
from src.model_utils.throughput import measure_throughput
from src.model_utils.trainer import Cadence, Trainer
from src.train_step import TrainOneStep

NAME = "elmo"


def main(argv: Sequence[str] | None = None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    # Arguments and device
    args = parse_arguments(argv, __doc__)
    target = init_device(args.device_target, args.device_id, args.distributed, args.native)
    native.start()
    config = resolve_configuration(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))
    data, folder = Path(args.data_url), Path(args.ckpt_path)
    if not args.performance_steps:
        check_output_folder(folder, NAME, args.resume, args.overwrite)

    # Data, with every check of it
    vocabulary = load_vocabulary(data / "vocab.txt")
    weights = initial_weights(folder, NAME, args.pre_trained, args.resume)
    if weights.folder:
        check_same_vocabulary(weights.folder / "vocab.txt", vocabulary, data)
    train = Corpus(data / "train.mindrecord", vocabulary)
    valid = Corpus(data / "valid.mindrecord", vocabulary) if (data / "valid.mindrecord").exists() else None
    options = resolve_options(args, config, len(vocabulary), train.counts["tokens"], weights)
    multiples = config.short_words_multiple, config.long_words_multiple
    batches = TrainingBatches(
        corpus=train,
        vocabulary=vocabulary,
        options=options,
        seed=config.seed,
        multiples=multiples,
        rank=rank,
        size=size,
    )
    counts = ", ".join(f"{train.counts[key]} {key}" for key in ("documents", "sentences", "words", "tokens"))
    log(f"train: {counts} in {len(train.shard_tokens)} shards, vocabulary of {len(vocabulary)}")
    log(f"validation: {f'{sum(valid.shard_tokens)} tokens' if valid else 'none, the last checkpoint counts'}")

    # Network and its initial weights
    model = build_model(options, len(vocabulary), config.seed)
    weights.load_pre_trained(model)
    prepared = [corpus and corpus.counts for corpus in (train, valid)]
    check_agreement(model, config, options=options, vocabulary=vocabulary.words, prepared_data=prepared)
    log("biLM: " + ", ".join(f"{key} {value}" for key, value in vars(options).items()))

    # Training step
    epochs, steps_per_epoch = options.n_epochs, batches.steps_per_epoch
    if config.max_steps:  # the whole training is one epoch of the Trainer then
        epochs, steps_per_epoch = 1, config.max_steps
    rates = warmup_decay(epochs * steps_per_epoch, config.warmup_steps, config.lr, config.lr_shape)
    step = TrainOneStep(model=model, options=options, config=config, rates=rates)
    of_bilm = sum(parameter.size for parameter in step.weights)
    log(f"parameters: {of_bilm} of the biLM, {model.weight.size + model.bias.size} of the softmax")
    log(f"steps: {epochs * steps_per_epoch}, per epoch: {steps_per_epoch}, device: {target}, processes: {size}")

    # Measure speed and leave
    if args.performance_steps:
        return measure_throughput(step, batches, args.performance_steps)

    # Claim the output folder and train
    evaluator = Evaluator(
        model=model, vocabulary=vocabulary, options=options, rows=config.eval_batch_size, multiples=multiples
    )

    def validate() -> dict:
        result = evaluator.perplexity(valid, progress="validation")
        return {f"valid_{key}": value for key, value in result.items() if key.startswith("perplexity")}

    with output_folder(folder, NAME, args.resume, args.overwrite):
        if rank == 0:
            write_yaml(folder / "config.yaml", config)
            vocabulary.save(folder / "vocab.txt")
            save_options(folder / "options.json", options)
        trainer = Trainer(
            name=NAME,
            folder=folder,
            network=model,
            step=step,
            batches=batches.endless if config.max_steps else batches,
            steps_per_epoch=steps_per_epoch,
            num_epochs=epochs,
            learning_rate=lambda step: rates[step],
            validate=validate if valid else None,
            metric="valid_perplexity",
            higher_is_better=False,
            cadence=Cadence.of(config),
            tensorboard=args.tensorboard,
        )
        trainer.resume(weights)
        result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    return result


if __name__ == "__main__":
    run(main)
