"""Train the sentiment network on IMDB reviews: preprocess, train, validate, keep the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms

from src.arguments import configure, parse
from src.dataset import (
    TrainingBatches,
    labels_of,
    load_samples,
    load_vectors,
    load_vocabulary,
    prepare,
    save_vocabulary,
    split_train,
)
from src.inference import Classifier
from src.language_model import pretrain
from src.metrics import accuracy_and_loss
from src.model_utils.checkpoint import load_checkpoint, load_into, training_checkpoints
from src.model_utils.configuration import write_yaml
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.training import Trainer, claim_folder, measure_throughput
from src.network import build_network
from src.train_step import build_step, learning_rates

NAME = "lstm"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv, __doc__)
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
        accuracy, loss = accuracy_and_loss(classifier.logits(valid, "validation"), labels_of(valid))
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
