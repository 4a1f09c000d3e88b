"""The MindSpore side of gru_seq2seq/: its batches and starting weights, its training step and inference to be timed.

Runs in a worker whose sys.path begins with gru_seq2seq/, so every name below is the model's own. Samples are sentence
pairs, tokens those of source and target. Inference is the forward pass that gives the logits of a known translation.
"""

from __future__ import annotations

import itertools
import tempfile

import numpy as np
from easydict import EasyDict
from mindspore import Tensor
from mindspore_training import MindSporeSide, load_weights

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import TrainingBatches
from src.inference import build_network
from src.model_utils.runtime import init_device
from src.preparation import check_prepared, load_samples, prepare
from src.sample_data import write_sample_corpus
from src.tokenization import PAD
from src.tokenizer_files import load_tokenizers
from src.train_step import build_step, learning_rates


def prepare_measurement(preset: str, changes: list[str], preprocess_path: str | None, steps: int) -> dict:
    """Return what every side is given: config, rates, weights by name, `steps` batches and the output of the first.

    The rates are those of two passes over the batches. `changes` are further options of train.py. Without
    `preprocess_path` the synthetic sample is written and used.
    """
    target = init_device("CPU")
    with tempfile.TemporaryDirectory() as folder:
        path = preprocess_path or f"{folder}/preprocess"
        arguments = ["--preset", preset, "--data_dir", folder, *changes]
        config = resolve_configuration(parse_arguments(arguments, ""), target)
        if not preprocess_path:
            write_sample_corpus(f"{folder}/multi30k")
            prepare(f"{folder}/multi30k", path, config)
        check_prepared(path, config)
        samples, tokenizers = load_samples(path, "train"), load_tokenizers(path)
    batches = TrainingBatches(samples, config, tokenizers=tokenizers)
    network = build_network(config, *map(len, tokenizers))
    rates = np.resize(learning_rates(config, batches.steps_per_epoch), 2 * steps)
    every = itertools.chain.from_iterable(batches(epoch) for epoch in itertools.count(1))
    chosen = list(itertools.islice(every, steps))
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    return {
        "config": dict(config),
        "rates": [float(rate) for rate in rates],
        "weights": weights,
        "batches": chosen,
        "logits": logits(network.set_train(False), chosen[0].inputs),
    }


def logits(network, inputs: tuple) -> np.ndarray:
    """Return the logits of the target tokens of a batch, (tokens, V), by time."""
    source, source_lengths, target_input, target_output, dropout_keys = inputs
    arrays = source, source_lengths, target_input, dropout_keys
    return network(*map(Tensor, arrays)).asnumpy()[target_output.reshape(-1) != PAD]


def rows(name: str, inputs: tuple, weights: dict[str, np.ndarray]) -> int:
    """Return how many vectors a weight is multiplied with in the forward pass; attention has products besides."""
    source, lengths, target, *_ = inputs
    output = "output_embedding" if "output_embedding" in weights else "target_embedding"
    counts = {"encoder": source.size, "attention": source.size, "bridge": len(lengths)}
    counts.update({"decoder": target.size, "joint": target.size, output: target.size})
    return counts.get(name.split(".")[0], 0) if weights[name].ndim == 2 else 0


class Side(MindSporeSide):
    """Training and inference as train.py builds them."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(config.seed)
        self.config = EasyDict(vars(config))
        sizes = [
            len(weights.get(name, weights["target_embedding"])) for name in ("source_embedding", "target_embedding")
        ]
        self.network = build_network(self.config, *sizes)
        load_weights(self.network, weights)
        self.step = build_step(self.network, self.config, rates)

    def logits(self, batch: tuple) -> np.ndarray:
        """Return the logits of the target tokens without dropout."""
        self.network.set_train(False)
        return logits(self.network, batch)
