"""Train a BiLSTM or BiLSTM-CRF tagger on a tagged corpus: train, validate on dev, keep the best checkpoint."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms

from src.arguments import configure, parse
from src.char_vectors import set_vectors
from src.dataset import TrainingBatches, build_vocabulary, encode, load_vocabulary, save_vocabulary
from src.inference import Decoder, build_network
from src.metrics import entity_report, tag_report
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import write_yaml
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.training import Trainer, claim_folder, measure_throughput
from src.model_utils.vectors import read_vectors
from src.resume_ner import read_training_corpora, unseen_tags
from src.text_units import detect_units
from src.train_step import build_step, learning_rates

NAME = "bilstm_ner"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv, __doc__)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed)
    config = configure(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    lock = claim_folder(folder, NAME, args.resume, args.overwrite) if not args.performance_steps else None

    train, valid = read_training_corpora(args.data_path, "skip" if args.lenient else config.on_bad_input)
    if config.units == "auto":
        config.units = detect_units(train.sentences)
    vectors, vector_size = read_vectors(args.char_vectors) if args.char_vectors else ({}, config.character_size)
    config.character_size = vector_size
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))
    vocabulary = build_vocabulary(train, config.character_min_count, config.bigram_min_count, vectors)
    pre_trained = load_checkpoint(args.pre_trained)[0] if args.pre_trained else None
    earlier = folder if args.resume else Path(args.pre_trained).parent if pre_trained else None
    if earlier and load_vocabulary(earlier / "vocab.json") != vocabulary:
        raise UserError(f"{earlier / 'vocab.json'}: not the vocabulary of {args.data_path}; give the same data")
    for name, corpus in (("train", train), ("dev", valid)):
        log(f"{name}: {len(corpus)} sentences, {corpus.num_characters} {config.units}, scheme {corpus.scheme}")
    unseen = unseen_tags(valid, vocabulary.tags)
    if unseen:
        log(f"warning: dev: {', '.join(unseen)} not seen in training, so these cannot be predicted")
    log(
        f"vocabulary: {len(vocabulary.characters)} {config.units}, {len(vocabulary.bigrams)} bigrams,"
        f" {len(vocabulary.tags)} tags"
    )

    network = build_network(config, vocabulary)
    if vectors:
        known = set_vectors(network.embedding.character_table, vocabulary.characters, vectors)
        log(f"vectors: {known} of {len(vocabulary.characters)} {config.units} are in {args.char_vectors}")
    if rank == 0 and not args.performance_steps:
        write_yaml(folder / "config.yaml", config)
        save_vocabulary(folder / "vocab.json", vocabulary)
    if pre_trained:
        load_into(network.get_parameters(), pre_trained, args.pre_trained, averaged=True)
    batches = TrainingBatches(train, vocabulary, config, rank=rank, size=size)
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, vocabulary, config, rates)
    log(f"parameters: {sum(parameter.size for parameter in network.trainable_params())} trained")
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    if args.performance_steps:
        every = (batch for epoch in range(1, 1 + config.train_epochs) for batch in batches(epoch))
        result = measure_throughput(step, every, args.performance_steps, warm_up=100)
        log(", ".join(f"{key} {value}" for key, value in result.items()))
        return result

    decoder, samples = Decoder(network, vocabulary, config), encode(valid.sentences, vocabulary)
    gold = [sentence.tags for sentence in valid.sentences]

    def validate() -> dict:
        answers = decoder(samples, "validation")
        entity_f1 = entity_report(gold, answers, vocabulary.scheme)["f1"]
        return {"valid_entity_f1": entity_f1, "valid_tag_f1": tag_report(gold, answers)["f1"]}

    trainer = Trainer(
        name=NAME,
        folder=folder,
        network=network,
        step=step,
        batches=batches,
        steps_per_epoch=batches.steps_per_epoch,
        num_epochs=config.train_epochs,
        learning_rate=lambda step_: rates[step_],
        validate=validate,
        metric="valid_entity_f1",
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
