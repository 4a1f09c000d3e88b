"""Train a BiLSTM or BiLSTM-CRF tagger on a tagged corpus: train, validate on dev, keep the best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mindspore as ms

from src.arguments import parse_arguments, resolve_configuration
from src.char_vectors import set_vectors
from src.dataset import CodeTable, Samples, TrainingBatches, build_vocabulary, check_vocabulary, save_vocabulary
from src.inference import Decoder, build_network
from src.metrics import entity_report, tag_report
from src.model_utils import native
from src.model_utils.agreement import check_agreement
from src.model_utils.checkpoint import check_output_folder, initial_weights, output_folder
from src.model_utils.files import write_yaml
from src.model_utils.runtime import init_device, log, rank_and_size, run
from src.model_utils.throughput import measure_throughput
from src.model_utils.trainer import Cadence, Trainer
from src.model_utils.vectors import read_vectors
from src.preparation import load_prepared, prepare
from src.text_units import detect_units
from src.train_step import build_step, learning_rates

NAME = "bilstm_ner"


def main(argv: Sequence[str] | None = None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    # Arguments and device
    args = parse_arguments(argv, __doc__)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed, args.native)
    native.start()
    config = resolve_configuration(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    if not args.performance_steps:
        check_output_folder(folder, NAME, args.resume, args.overwrite)

    # Data, with every check of it
    if args.data_path:
        prepare(args.data_path, args.preprocess_path, config)
    prepared = load_prepared(args.preprocess_path)
    if config.units == "auto":
        config.units = detect_units(prepared.character_counts)
    vectors, vector_size = read_vectors(args.char_vectors) if args.char_vectors else ({}, config.character_size)
    config.character_size = vector_size
    vocabulary = build_vocabulary(prepared, config.character_min_count, config.bigram_min_count, vectors)
    weights = initial_weights(folder, NAME, args.pre_trained, args.resume)
    if weights.folder:
        check_vocabulary(weights.folder / "vocab.json", vocabulary, args.data_path or args.preprocess_path)
    table = CodeTable(prepared, vocabulary)
    batches = TrainingBatches(prepared.train, table, config, rank=rank, size=size)
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))
    for name, split in (("train", prepared.train), ("dev", prepared.valid)):
        log(f"{name}: {len(split)} sentences, {split.lengths.sum()} {config.units}, scheme {prepared.scheme}")
    log(
        f"vocabulary: {len(vocabulary.characters)} {config.units}, {len(vocabulary.bigrams)} bigrams,"
        f" {len(vocabulary.tags)} tags"
    )

    # Network and its initial weights
    network = build_network(config, vocabulary)
    if vectors:
        known = set_vectors(network.embedding.character_table, vocabulary.characters, vectors)
        log(f"vectors: {known} of {len(vocabulary.characters)} {config.units} are in {args.char_vectors}")
    weights.load_pre_trained(network)
    check_agreement(network, config, args.preprocess_path, vocabulary=vocabulary)

    # Training step
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, vocabulary, config, rates)
    log(f"parameters: {sum(parameter.size for parameter in network.trainable_params())} trained")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    # Measure speed and leave
    if args.performance_steps:
        return measure_throughput(step, batches, args.performance_steps, warm_up=100)

    # Claim the output folder and train
    decoder, samples = Decoder(network, vocabulary, config), Samples(prepared.valid, table)
    gold = [[prepared.tags[tag] for tag in prepared.valid.read(i)[1]] for i in range(len(samples))]

    def validate() -> dict:
        answers = decoder(samples, "validation")
        entity_f1 = entity_report(gold, answers, vocabulary.scheme)["f1"]
        return {"valid_entity_f1": entity_f1, "valid_tag_f1": tag_report(gold, answers)["f1"]}

    with output_folder(folder, NAME, args.resume, args.overwrite):
        if rank == 0:
            write_yaml(folder / "config.yaml", config)
            save_vocabulary(folder / "vocab.json", vocabulary)
        trainer = Trainer(
            name=NAME,
            folder=folder,
            network=network,
            step=step,
            batches=batches,
            steps_per_epoch=batches.steps_per_epoch,
            num_epochs=config.train_epochs,
            learning_rate=lambda number: rates[number],
            validate=validate,
            metric="valid_entity_f1",
            cadence=Cadence.of(config),
            tensorboard=args.tensorboard,
        )
        trainer.resume(weights)
        result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    return result


if __name__ == "__main__":
    run(main)
