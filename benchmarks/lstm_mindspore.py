"""The MindSpore side of lstm/: its batches and starting weights, and its training step and inference for the timing.

Runs in a worker whose sys.path begins with lstm/, so every name below is the model's own.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
from mindspore import Tensor
from mindspore_training import MindSporeSide, load_weights

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import TrainingBatches, TrainingInputs, load_train
from src.inference import Classifier, build_network
from src.model_utils.runtime import init_device
from src.preparation import load_vectors, load_vocabulary, prepare
from src.sample_data import write_sample_corpus
from src.train_step import build_step, learning_rates


def prepare_measurement(preset: str, changes: list[str], preprocess_path: str | None, steps: int) -> dict:
    """Return what every side is given: config, rates, weights by name, `steps` batches and the logits of the first.

    The rates are those of two passes over the batches. `changes` are further options of train.py. Without
    `preprocess_path` the synthetic sample is written and used.
    """
    target = init_device("CPU")
    with tempfile.TemporaryDirectory() as folder:
        path = preprocess_path or f"{folder}/preprocess"
        options = ["--preset", preset, "--preprocess", "false", "--preprocess_path", path, *changes]
        config = resolve_configuration(parse_arguments(options, ""), target)
        if not preprocess_path:
            write_sample_corpus(f"{folder}/aclImdb")
            prepare(f"{folder}/aclImdb", None, path, config)
        samples, _ = load_train(path, config)
        words = len(load_vocabulary(Path(path) / "vocab.json"))
        vectors = load_vectors(path, words, config.embed_size)
    batches = TrainingBatches(samples, config)
    epochs = (batches(epoch) for epoch in itertools.count(1))
    network = build_network(config, words)
    network.embedding.set_vectors(vectors)
    rates = np.resize(learning_rates(config, batches.steps_per_epoch), 2 * steps)
    chosen = list(itertools.islice(itertools.chain.from_iterable(epochs), steps))
    first = [Tensor(array) for array in chosen[0].inputs]
    return {
        "config": dict(config),
        "rates": [float(rate) for rate in rates],
        "weights": {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()},
        "batches": chosen,
        "logits": Classifier(network, config).network(*first[:4]).asnumpy(),
    }


def rows(name: str, inputs: TrainingInputs, weights: dict[str, np.ndarray]) -> int:
    """Return how many vectors a weight is multiplied with in the forward pass: distinct words, steps or reviews."""
    if weights[name].ndim != 2:
        return 0
    if name == "embedding.projection":
        return len(inputs.words)
    return {"lstm": inputs.tokens.size, "weight": len(inputs.lengths)}.get(name.split(".")[0], 0)


class Side(MindSporeSide):
    """Training and inference as train.py and eval.py build them."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(config.seed)
        network = build_network(config, len(weights["embedding.vectors"]))
        load_weights(network, weights)
        self.step = build_step(network, config, rates if config.dynamic_lr else rates[0])
        self.classifier = Classifier(network, config).network

    def logits(self, batch: tuple) -> np.ndarray:
        """Return the logits (B, C) without dropout."""
        self.classifier.set_train(False)
        return self.classifier(*[Tensor(array) for array in batch[:4]]).asnumpy()
