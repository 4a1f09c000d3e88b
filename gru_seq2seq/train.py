"""Train the translation network on Multi30k or any parallel text: tokenizers, training, validation by BLEU."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import mindspore as ms

from src.arguments import configure, parse, usual_spelling
from src.dataset import TrainingBatches, check_prepared, load_samples, prepare
from src.inference import Translator, build_network
from src.metrics import bleu
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import write_yaml
from src.model_utils.launch import launch
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.training import Trainer, claim_folder, measure_throughput
from src.tokenization import load_tokenizers, same_tokenizers, save_tokenizers
from src.train_step import build_step, learning_rates

NAME = "gru_seq2seq"


def main(argv=None) -> dict:
    """Train as the command line says; returns the last metrics, or the throughput with --performance_steps."""
    args = parse(argv, __doc__)
    launch(args, usual_spelling(sys.argv[1:] if argv is None else argv), __file__)
    folder = Path(args.ckpt_path)
    target = init_device(args.device_target, args.device_id, args.distributed)
    config = configure(args, target)
    rank, size = rank_and_size()
    ms.set_seed(config.seed)
    lock = claim_folder(folder, NAME, args.resume, args.overwrite) if not args.performance_steps else None
    log("configuration: " + ", ".join(f"{key} {value}" for key, value in config.items()))

    if args.data_dir:
        prepare(args.data_dir, args.preprocess_path, config)
    check_prepared(args.preprocess_path, config)
    tokenizers = load_tokenizers(args.preprocess_path)
    pre_trained = load_checkpoint(args.pre_trained)[0] if args.pre_trained else None
    earlier = folder if args.resume else Path(args.pre_trained).parent if pre_trained else None
    if earlier and not same_tokenizers(load_tokenizers(earlier), tokenizers):
        raise UserError(f"{earlier}: its tokenizers are not those of {args.preprocess_path}; train on those data anew")
    train = load_samples(args.preprocess_path, "train")
    valid = load_samples(args.preprocess_path, "val", missing_ok=True)
    batches = TrainingBatches(train, config, rank, size, tokenizers)
    longer = f"{batches.left_out} longer than {config.max_length} tokens left out"
    log(f"train: {len(batches.samples)} pairs, {batches.tokens} tokens of both languages; {longer}")
    log(f"validation: {f'{len(valid)} pairs' if len(valid) else 'none, the last checkpoint counts'}")
    log("batches are padded to source x target: " + ", ".join(f"{s} x {t}" for s, t in batches.shapes))

    network = build_network(config, *map(len, tokenizers))
    if rank == 0 and not args.performance_steps:
        write_yaml(folder / "config.yaml", config)
        save_tokenizers(folder, tokenizers)
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

    translator = Translator(network, tokenizers, config)

    def validate() -> dict:
        results = translator.translate(valid.sources, beam_size=config.valid_beam_size, progress="validation")
        score = bleu([best.text for best, *_ in results], valid.targets)
        return {"valid_bleu": score, "valid_perplexity": float(translator.perplexity(valid.sources, valid.targets))}

    trainer = Trainer(
        name=NAME,
        folder=folder,
        network=network,
        step=step,
        batches=batches,
        steps_per_epoch=batches.steps_per_epoch,
        num_epochs=config.num_epochs,
        learning_rate=lambda step_: rates[step_],
        validate=validate if len(valid) else None,
        metric="valid_bleu",
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
