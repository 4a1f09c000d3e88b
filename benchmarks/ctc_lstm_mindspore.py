"""The MindSpore side of ctc_lstm/: its batches and starting weights, and its training step and inference to be timed.

Runs in a worker whose sys.path begins with ctc_lstm/, so every name below is the model's own. Tokens are frames.
"""

from __future__ import annotations

import itertools
import tempfile

import numpy as np
from easydict import EasyDict
from mindspore import Tensor
from mindspore_training import MindSporeSide, load_weights

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import TrainingBatches, TrainingInputs, build_vocabulary, training_samples
from src.inference import Recognizer, build_network
from src.model_utils.runtime import init_device
from src.network import output_lengths
from src.preparation import check_prepared, load_samples, prepare
from src.sample_data import write_sample_corpus
from src.train_step import build_step, learning_rates


def prepare_measurement(preset: str, changes: list[str], preprocess_path: str | None, steps: int) -> dict:
    """Return what every side is given: config, rates, weights by name, `steps` batches and the output of the first.

    The rates are those of two passes over the batches. `changes` are further options of train.py. Without
    `preprocess_path` the synthetic sample is written and used.
    """
    target = init_device("CPU")
    with tempfile.TemporaryDirectory() as folder:
        path = preprocess_path or f"{folder}/preprocess"
        args = parse_arguments(["--preset", preset, "--data_path", folder, *changes], "")
        config = resolve_configuration(args, target)
        if not preprocess_path:
            write_sample_corpus(f"{folder}/TIMIT", sentences=10)
            prepare(f"{folder}/TIMIT", path, config)
        check_prepared(path, config)
        samples = training_samples(load_samples(path, "train"), config)
    vocabulary = build_vocabulary([samples.label_names])
    batches = TrainingBatches(samples, vocabulary, config)
    network = build_network(config, len(vocabulary))
    rates = np.resize(learning_rates(config, batches.steps_per_epoch), 2 * steps)
    every = itertools.chain.from_iterable(batches(epoch) for epoch in itertools.count(1))
    chosen = list(itertools.islice(every, steps))
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    return {
        "config": dict(config),
        "rates": [float(rate) for rate in rates],
        "weights": weights,
        "batches": chosen,
        "logits": log_probs(Recognizer(network, config, vocabulary).network, chosen[0].inputs, config),
    }


def log_probs(network, inputs: TrainingInputs, config) -> np.ndarray:
    """Return the log-probabilities of the real output steps of a batch, (steps of all utterances, V), by time."""
    answers = network(Tensor(inputs.frames), Tensor(inputs.lengths)).asnumpy()  # (T', B, V)
    return answers[np.arange(len(answers))[:, None] < output_lengths(inputs.lengths, config.front_end)]


def rows(name: str, inputs: TrainingInputs, weights: dict[str, np.ndarray]) -> int:
    """Return how many vectors a weight is multiplied with in the forward pass: the frames that the network sees."""
    batch, steps, size = inputs.frames.shape
    if "front_end.weight_1" in weights:  # which sees three stacked frames at once
        stacked = weights["front_end.weight_1"].shape[1] // (3 * size)
    else:
        stacked = weights["layers.0.weight_ih"].shape[1] // size
    return steps // stacked * batch if weights[name].ndim == 2 else 0


class Side(MindSporeSide):
    """Training and inference as train.py and eval.py build them."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(config.seed)
        self.config = EasyDict(vars(config))
        vocabulary = [str(label) for label in range(len(weights["bias"]))]
        network = build_network(self.config, len(vocabulary))
        load_weights(network, weights)
        self.step = build_step(network, self.config, rates)
        self.network = Recognizer(network, self.config, vocabulary).network

    def collate(self, inputs: tuple) -> TrainingInputs:
        """Return the arrays of a batch under their names; not timed."""
        return TrainingInputs(*inputs)

    def logits(self, batch: TrainingInputs) -> np.ndarray:
        """Return the log-probabilities of the real output steps without dropout."""
        self.network.set_train(False)
        return log_probs(self.network, batch, self.config)
