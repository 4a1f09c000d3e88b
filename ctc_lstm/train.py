"""Train the CTC network on TIMIT or on any manifest: features, training, validation, the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
from easydict import EasyDict

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import (
    TrainingBatches,
    build_vocabulary,
    load_vocabulary,
    scored_labels,
    training_samples,
    warn_of_unseen_labels,
)
from src.inference import Recognizer, build_network
from src.metrics import error_rate
from src.model_utils import native
from src.model_utils.agreement import check_agreement
from src.model_utils.batching import one_of_each_shape
from src.model_utils.checkpoint import check_output_folder, initial_weights, output_folder
from src.model_utils.files import write_json, write_yaml
from src.model_utils.launch import launch
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.throughput import measure_throughput
from src.model_utils.trainer import Cadence, Trainer
from src.ngram import save_ngram, train_ngram
from src.preparation import check_prepared, load_samples, prepare
from src.timit import scored
from src.train_step import build_step, learning_rates

NAME = "ctc_lstm"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    # Arguments and device
    args = parse_arguments(argv, __doc__)
    launch(args, __file__)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed, args.native)
    if not args.performance_steps:
        check_output_folder(folder, NAME, args.resume, args.overwrite)
    native.start()
    config = resolve_configuration(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))

    # Data, with every check of it
    if args.data_path:
        prepare(args.data_path, args.preprocess_path, config)
    check_prepared(args.preprocess_path, config)
    train = training_samples(load_samples(args.preprocess_path, "train"), config)
    valid = load_samples(args.preprocess_path, "valid", missing_ok=True)
    vocabulary = build_vocabulary([train.label_names])
    weights = initial_weights(folder, NAME, args.pre_trained, args.resume)
    if weights.folder and load_vocabulary(weights.folder / "vocab.json") != vocabulary:
        raise UserError(f"{weights.folder / 'vocab.json'}: not the labels of {args.preprocess_path}; train anew")
    references = scored_labels(valid, config.phone_set) if valid else []
    warn_of_unseen_labels(references, scored(vocabulary[1:], config.phone_set), "validation")
    batches = TrainingBatches(train, vocabulary, config, rank, size)
    log(f"train: {len(train)} utterances, {int(batches.lengths.sum())} frames, {len(vocabulary) - 1} different labels")
    log(f"validation: {f'{len(valid)} utterances' if valid else 'none, the last checkpoint counts'}")

    # Network and its initial weights
    network = build_network(config, len(vocabulary))
    weights.load_pre_trained(network)
    check_agreement(network, config, args.preprocess_path, vocabulary=vocabulary)

    # Training step
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, config, rates)
    log(f"parameters: {sum(parameter.size for parameter in network.trainable_params())} trained")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    # Measure speed and leave
    if args.performance_steps:
        return measure_throughput(step, batches, args.performance_steps, shapes=one_of_each_shape(batches(1)))

    # Claim the output folder and train
    recognizer = Recognizer(network, EasyDict(config, decoder="greedy"), vocabulary)

    def validate() -> dict:
        answers = [scored(labels, config.phone_set) for labels in recognizer.labels(valid, "validation")]
        return {"valid_per": error_rate(references, answers)}

    with output_folder(folder, NAME, args.resume, args.overwrite):
        if rank == 0:
            write_yaml(folder / "config.yaml", config)
            write_json(folder / "vocab.json", vocabulary)
            if config.ngram_order:
                save_ngram(folder / "ngram.json", train_ngram(list(train.labels()), config.ngram_order))
        trainer = Trainer(
            name=NAME,
            folder=folder,
            network=network,
            step=step,
            batches=batches,
            steps_per_epoch=batches.steps_per_epoch,
            num_epochs=config.num_epoches,
            learning_rate=lambda step_: rates[step_],
            validate=validate if valid else None,
            metric="valid_per",
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
