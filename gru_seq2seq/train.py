"""Train the translation network on Multi30k or any parallel text: tokenizers, training, validation by BLEU."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import TrainingBatches
from src.inference import NAME, Translator, build_network
from src.metrics import bleu
from src.model_utils import native
from src.model_utils.agreement import check_agreement
from src.model_utils.batching import one_of_each_shape
from src.model_utils.checkpoint import check_output_folder, initial_weights, output_folder
from src.model_utils.files import write_yaml
from src.model_utils.launch import launch
from src.model_utils.runtime import UserError, init_device, log, rank_and_size, run
from src.model_utils.throughput import measure_throughput
from src.model_utils.trainer import Cadence, Trainer
from src.preparation import check_prepared, load_samples, load_texts, prepare
from src.tokenizer_files import contents, load_tokenizers, same_tokenizers, save_tokenizers
from src.train_step import build_step, learning_rates


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
    if args.data_dir:
        prepare(args.data_dir, args.preprocess_path, config)
    check_prepared(args.preprocess_path, config)
    tokenizers = load_tokenizers(args.preprocess_path)
    weights = initial_weights(folder, NAME, args.pre_trained, args.resume)
    if weights.folder and not same_tokenizers(load_tokenizers(weights.folder), tokenizers):
        raise UserError(f"{weights.folder}: its tokenizers are not those of {args.preprocess_path}; train anew")
    train = load_samples(args.preprocess_path, "train")
    valid = load_texts(args.preprocess_path, "val")
    batches = TrainingBatches(train, config, rank, size, tokenizers)
    longer = f"{batches.left_out} longer than {config.max_length} tokens left out"
    log(f"train: {len(batches.kept)} pairs, {batches.tokens} tokens of both languages; {longer}")
    log(f"validation: {f'{len(valid)} pairs' if len(valid) else 'none, the last checkpoint counts'}")
    log("batches are padded to source x target: " + ", ".join(f"{s} x {t}" for s, t in batches.shapes))

    # Network and its initial weights
    network = build_network(config, *map(len, tokenizers))
    weights.load_pre_trained(network)
    check_agreement(network, config, args.preprocess_path, tokenizers=contents(tokenizers))
    log(f"parameters: {sum(parameter.size for parameter in network.trainable_params())} trained")

    # Training step
    rates = learning_rates(config, batches.steps_per_epoch)
    step = build_step(network, config, rates)
    log(f"steps per epoch: {batches.steps_per_epoch}, device: {target}, processes: {size}")

    # Measure speed and leave
    if args.performance_steps:
        return measure_throughput(step, batches, args.performance_steps, shapes=one_of_each_shape(batches(1)))

    # Claim the output folder and train
    translator = Translator(network, tokenizers, config)

    def validate() -> dict:
        results = translator.translate(valid.sources, beam_size=config.valid_beam_size, progress="validation")
        score = bleu([best.text for best, *_ in results], valid.targets)
        return {
            "valid_bleu": score,
            "valid_perplexity": float(translator.perplexity(valid.sources, valid.targets, "perplexity")),
        }

    with output_folder(folder, NAME, args.resume, args.overwrite):
        if rank == 0:
            write_yaml(folder / "config.yaml", config)
            save_tokenizers(folder, tokenizers)
        trainer = Trainer(
            name=NAME,
            folder=folder,
            network=network,
            step=step,
            batches=batches,
            steps_per_epoch=batches.steps_per_epoch,
            num_epochs=config.num_epochs,
            learning_rate=lambda k: rates[k],
            validate=validate if len(valid) else None,
            metric="valid_bleu",
            cadence=Cadence.of(config),
            tensorboard=args.tensorboard,
        )
        trainer.resume(weights)
        result = trainer.train()
    log(f"checkpoints, metrics.jsonl and curves.png: {folder}")
    return result


if __name__ == "__main__":
    run(main)
