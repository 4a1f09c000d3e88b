"""Train the CTC network on TIMIT or on any manifest: features, training, validation, the best checkpoint."""

from __future__ import annotations

import itertools
from pathlib import Path

import mindspore as ms
from easydict import EasyDict

from src.arguments import configure, parse
from src.dataset import TrainingBatches, build_vocabulary, load_vocabulary, save_vocabulary, training_samples
from src.inference import Recognizer, build_network
from src.metrics import error_rate
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import write_yaml
from src.model_utils.launch import launch
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.training import Trainer, claim_folder, measure_throughput
from src.ngram import save_ngram, train_ngram
from src.preparation import check_prepared, load_samples, prepare
from src.timit import scored
from src.train_step import build_step, learning_rates

NAME = "ctc_lstm"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv, __doc__)
    launch(args, argv, __file__)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed)
    config = configure(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    lock = claim_folder(folder, NAME, args.resume, args.overwrite) if not args.performance_steps else None
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))

    if args.data_path:
        prepare(args.data_path, args.preprocess_path, config)
    check_prepared(args.preprocess_path, config)
    train = training_samples(load_samples(args.preprocess_path, "train"), config)
    valid = load_samples(args.preprocess_path, "valid", missing_ok=True)
    pre_trained = load_checkpoint(args.pre_trained)[0] if args.pre_trained else None
    vocabulary = build_vocabulary(sample.labels for sample in train)
    earlier = folder if args.resume else Path(args.pre_trained).parent if pre_trained else None
    if earlier and load_vocabulary(earlier / "vocab.json") != vocabulary:
        raise UserError(f"{earlier / 'vocab.json'}: not the labels of {args.preprocess_path}; train on those data anew")
    batches = TrainingBatches(train, vocabulary, config, rank, size)
    log(f"train: {len(train)} utterances, {int(batches.lengths.sum())} frames, {len(vocabulary) - 1} different labels")
    log(f"validation: {f'{len(valid)} utterances' if len(valid) else 'none, the last checkpoint counts'}")

    network = build_network(config, len(vocabulary))
    if rank == 0 and not args.performance_steps:
        write_yaml(folder / "config.yaml", config)
        save_vocabulary(folder / "vocab.json", vocabulary)
        if config.ngram_order:
            save_ngram(folder / "ngram.json", train_ngram([sample.labels for sample in train], config.ngram_order))
    if pre_trained:
        load_into(network.get_parameters(), pre_trained, args.pre_trained, averaged=True)
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, config, rates)
    log(f"parameters: {sum(parameter.size for parameter in network.trainable_params())} trained")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    if args.performance_steps:
        every = (batch for epoch in itertools.count(1) for batch in batches(epoch))
        shapes = batches.one_of_each_shape()  # so that all are compiled before the timing
        result = measure_throughput(step, itertools.chain(shapes, every), args.performance_steps, len(shapes))
        log(", ".join(f"{key} {value}" for key, value in result.items()))
        return result

    recognizer = Recognizer(network, EasyDict(config, decoder="greedy"), vocabulary)
    frames = [sample.frames for sample in valid]
    references = [scored(sample.labels, config.phone_set) for sample in valid]

    def validate() -> dict:
        answers = [scored(labels, config.phone_set) for labels in recognizer.labels(frames, "validation")]
        return {"valid_per": error_rate(references, answers)}

    trainer = Trainer(
        name=NAME,
        folder=folder,
        network=network,
        step=step,
        batches=batches,
        steps_per_epoch=batches.steps_per_epoch,
        num_epochs=config.num_epoches,
        learning_rate=lambda step_: rates[step_],
        validate=validate if len(valid) else None,
        metric="valid_per",
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
