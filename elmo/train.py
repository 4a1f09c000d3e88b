"""Pre-train a biLM on converted text: train, validate, keep the best checkpoint."""

from __future__ import annotations

import itertools
from pathlib import Path

import mindspore as ms

from src.arguments import configure, parse, training_options
from src.data.reader import Corpus
from src.data.vocabulary import load_vocabulary
from src.dataset import TrainingBatches
from src.inference import build_model
from src.lr_schedule import warmup_decay
from src.metrics import Evaluator
from src.model_options import save_options
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import write_yaml
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.training import Trainer, claim_folder, measure_throughput
from src.train_step import TrainOneStep

NAME = "elmo"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv, __doc__)
    data, folder = Path(args.data_url), Path(args.train_url)
    target = init_device(args.device_target, args.device_id, args.distributed)
    config = configure(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    lock = claim_folder(folder, NAME, args.resume, args.overwrite) if not args.performance_steps else None
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))

    vocabulary = load_vocabulary(data / "vocab.txt")
    if args.resume and load_vocabulary(folder / "vocab.txt").words != vocabulary.words:
        raise UserError(f"{folder / 'vocab.txt'}: not the vocabulary of {data}; give the data of that training")
    train = Corpus(data / "train.mindrecord", vocabulary)
    valid = Corpus(data / "valid.mindrecord", vocabulary) if (data / "valid.mindrecord").exists() else None
    options = training_options(args, config, len(vocabulary), train.counts["tokens"])
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
    log("biLM: " + ", ".join(f"{key} {value}" for key, value in vars(options).items()))
    counted = ", ".join(f"{train.counts[key]} {key}" for key in ("documents", "sentences", "words", "tokens"))
    log(f"train: {counted} in {len(train.shard_tokens)} shards, vocabulary of {len(vocabulary)}")
    log(f"validation: {f'{sum(valid.shard_tokens)} tokens' if valid else 'none, the last checkpoint counts'}")

    model = build_model(options, len(vocabulary), config.seed)
    if args.pre_trained:
        load_into(model.get_parameters(), load_checkpoint(args.pre_trained)[0], args.pre_trained)
    if rank == 0 and not args.performance_steps:
        write_yaml(folder / "config.yaml", config)
        vocabulary.save(folder / "vocab.txt")
        save_options(folder / "options.json", options)
    epochs, steps_per_epoch = options.n_epochs, batches.steps_per_epoch
    if config.max_steps:  # the whole training is one epoch of the Trainer then
        epochs, steps_per_epoch = 1, config.max_steps
    rates = warmup_decay(epochs * steps_per_epoch, config.warmup_steps, config.lr, config.lr_shape)
    step = TrainOneStep(model=model, options=options, config=config, rates=rates)
    dense = sum(parameter.size for parameter in step.weights)
    log(f"parameters: {dense} of the biLM, {model.weight.size + model.bias.size} of the softmax")
    log(f"steps: {epochs * steps_per_epoch}, per epoch: {steps_per_epoch}, device: {target}, processes: {size}")

    if args.performance_steps:
        every = (batch for epoch in itertools.count(1) for batch in batches(epoch))
        result = measure_throughput(step, every, args.performance_steps)
        log(", ".join(f"{key} {value}" for key, value in result.items()))
        return result

    evaluator = Evaluator(
        model=model, vocabulary=vocabulary, options=options, rows=config.eval_batch_size, multiples=multiples
    )

    def validate() -> dict:
        result = evaluator.perplexity(valid)
        return {f"valid_{key}": value for key, value in result.items() if key.startswith("perplexity")}

    trainer = Trainer(
        name=NAME,
        folder=folder,
        network=model,
        step=step,
        batches=batches.endless if config.max_steps else batches,
        steps_per_epoch=steps_per_epoch,
        num_epochs=epochs,
        learning_rate=lambda step_: rates[step_],
        validate=validate if valid else None,
        metric="valid_perplexity",
        higher_is_better=False,
        print_steps=config.print_steps,
        validate_steps=config.validate_steps,
        save_checkpoint_steps=config.save_checkpoint_steps,
        keep_checkpoint_max=config.keep_checkpoint_max,
        patience=config.early_stop_patience,
    )
    if args.resume:
        trainer.resume()
    result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    if lock:
        lock.close()
    return result


if __name__ == "__main__":
    run(main)
