"""Train the sentiment network on IMDB reviews: preprocess, train, validate, keep the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import TrainingBatches, load_samples, load_train
from src.inference import Classifier, build_network
from src.language_model import VECTORS, PretrainingBatches, initial_stage, pretrain
from src.metrics import accuracy_and_loss
from src.model_utils import native
from src.model_utils.agreement import check_agreement
from src.model_utils.checkpoint import InitialWeights, check_output_folder, initial_weights, output_folder
from src.model_utils.files import write_yaml
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.throughput import measure_throughput
from src.model_utils.trainer import Cadence, Trainer
from src.preparation import has_split, load_vectors, load_vocabulary, prepare, save_vocabulary
from src.train_step import build_step, learning_rates

NAME = "lstm"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    # Arguments and device
    args = parse_arguments(argv, __doc__)
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
    if args.preprocess and args.aclimdb_path:
        prepare(args.aclimdb_path, args.glove_path, args.preprocess_path, config)
    vocabulary = load_vocabulary(Path(args.preprocess_path) / "vocab.json")
    stage = initial_stage(folder, NAME, args.resume)
    weights = initial_weights(*stage, args.pre_trained, args.resume)
    if weights.folder and load_vocabulary(weights.folder / "vocab.json") != vocabulary:
        raise UserError(f"{weights.folder}/vocab.json: not the vocabulary of {args.preprocess_path}; preprocess again")
    train, valid = load_train(args.preprocess_path, config)
    vectors = load_vectors(args.preprocess_path, len(vocabulary), config.embed_size)
    batches = TrainingBatches(train, config, rank, size)
    tokens = int(batches.lengths.sum())
    log(f"train: {len(train)} reviews, {tokens} tokens of at most {config.max_length} a review")
    log(f"validation: {f'{len(valid)} reviews' if valid else 'none, the last checkpoint counts'}")
    pretraining = None
    if config.pretrain_epochs and not args.performance_steps and (weights.path is None or stage != (folder, NAME)):
        reviews = [train]
        if has_split(args.preprocess_path, "unsup"):
            reviews.append(load_samples(args.preprocess_path, "unsup"))
        pretraining = PretrainingBatches(reviews, config, rank, size)

    # Network and its initial weights
    network = build_network(config, len(vocabulary))
    network.embedding.set_vectors(vectors)
    weights.load_pre_trained(network)
    check_agreement(network, config, args.preprocess_path, vocabulary=vocabulary, word_vectors=vectors)

    # Training step
    rates = learning_rates(config, batches.steps_per_epoch)
    trained = sum(parameter.size for parameter in network.trainable_params())
    log(f"parameters: {trained} trained, {sum(p.size for p in network.get_parameters()) - trained} fixed")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    # Measure speed and leave
    if args.performance_steps:
        return measure_throughput(build_step(network, config, rates), batches, args.performance_steps)

    # Claim the output folder and train
    classifier = Classifier(network, config)

    def validate() -> dict:
        accuracy, loss = accuracy_and_loss(classifier.logits(valid, "validation"), valid.labels)
        return {"valid_accuracy": accuracy, "valid_loss": loss}

    with output_folder(folder, NAME, args.resume, args.overwrite):
        if rank == 0:
            write_yaml(folder / "config.yaml", config)
            save_vocabulary(folder / "vocab.json", vocabulary)
        if pretraining:
            pretrain(network, pretraining, vocabulary, config, folder, weights, args.tensorboard)
            weights = InitialWeights()  # a training that was stopped before has no others
        step = build_step(network, config, rates)  # its weight average starts from the weights of now
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
            cadence=Cadence.of(config),
            tensorboard=args.tensorboard,
            fixed={VECTORS: network.embedding.vectors},
        )
        trainer.resume(weights)
        result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    return result


if __name__ == "__main__":
    run(main)
