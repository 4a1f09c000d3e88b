"""The MindSpore side of bilstm_ner/: its batches and starting weights, its training step and inference for the timing.

Runs in a worker whose sys.path begins with bilstm_ner/, so every name below is the model's own.
"""

from __future__ import annotations

import itertools
import tempfile
from types import SimpleNamespace

import numpy as np
from mindspore import Tensor
from mindspore_training import MindSporeSide, load_weights

from src.arguments import parse_arguments, resolve_configuration
from src.dataset import CodeTable, Inputs, TrainingBatches, TrainingInputs, build_vocabulary
from src.inference import Decoder, build_network
from src.model_utils.runtime import init_device
from src.preparation import load_prepared, prepare
from src.sample_data import write_sample_corpus
from src.tagging import constraints
from src.train_step import build_step, learning_rates


def prepare_measurement(preset: str, changes: list[str], preprocess_path: str | None, steps: int) -> dict:
    """Return what every side is given: config, rates, weights by name, `steps` batches and the emissions of the first.

    The rates are those of two passes over the batches. `changes` are further options of train.py. `preprocess_path` is
    the folder of the corpus; without it the synthetic sample is written and used.
    """
    target = init_device("CPU")
    preset = "bilstm_crf" if preset == "default" else preset
    with tempfile.TemporaryDirectory() as folder:
        path = preprocess_path or f"{folder}/sample"
        if not preprocess_path:
            write_sample_corpus(path)
        args = parse_arguments(["--preset", preset, "--data_path", path, *changes], "")
        config = resolve_configuration(args, target)
        prepare(path, f"{folder}/preprocess", config)
        prepared = load_prepared(f"{folder}/preprocess")
    vocabulary = build_vocabulary(prepared, config.character_min_count, config.bigram_min_count)
    network = build_network(config, vocabulary)
    batches = TrainingBatches(prepared.train, CodeTable(prepared, vocabulary), config)
    epochs = (batches(epoch) for epoch in itertools.count(1))
    chosen = list(itertools.islice(itertools.chain.from_iterable(epochs), steps))
    rates = np.resize(learning_rates(config, batches.steps_per_epoch), 2 * steps)
    first = chosen[0].inputs
    emissions = Decoder(network, vocabulary, config).network(*network_inputs(first)).asnumpy()  # (T, B, K)
    step = build_step(network, vocabulary, config, 1e-3)
    parameters = [*network.get_parameters(), *step.loss_network.get_parameters()]
    weights = {parameter.name: parameter.asnumpy() for parameter in parameters}
    names = ("forbidden", "forbidden_start", "forbidden_end")
    weights.update(zip(names, constraints(vocabulary.tags, vocabulary.scheme)))
    return {
        "config": {**config, "tags": vocabulary.tags, "scheme": vocabulary.scheme},
        "rates": [float(rate) for rate in rates],
        "weights": weights,
        "batches": chosen,
        "logits": real_rows(emissions, first.lengths),
    }


def network_inputs(batch: tuple) -> list[Tensor]:
    """Return those arrays of a TrainingInputs that the network itself reads."""
    return [Tensor(array) for array in batch[: len(Inputs._fields)]]


def real_rows(emissions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the rows of emissions (T, B, K) that are not padding."""
    return emissions[np.arange(len(emissions))[:, None] < lengths]


def rows(name: str, inputs: tuple, weights: dict[str, np.ndarray]) -> int:
    """Return how many vectors a weight is multiplied with in the forward pass, the CRF's small products left out."""
    is_product = name.split(".")[0] in ("lstm", "weight", "language_model") and weights[name].ndim == 2
    return TrainingInputs(*inputs).characters.size if is_product else 0


class Side(MindSporeSide):
    """Training and inference as train.py and eval.py build them."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(config.seed)
        sizes = {name: range(len(weights[f"embedding.{name[:-1]}_table"])) for name in ("characters", "bigrams")}
        vocabulary = SimpleNamespace(**sizes, tags=config.tags, scheme=config.scheme)
        network = build_network(config, vocabulary)
        self.step = build_step(network, vocabulary, config, rates)
        load_weights(self.step.loss_network, weights)
        self.network = Decoder(network, vocabulary, config).network

    def logits(self, batch: tuple) -> np.ndarray:
        """Return the emissions of all characters without dropout (N, K)."""
        self.network.set_train(False)
        return real_rows(self.network(*network_inputs(batch)).asnumpy(), TrainingInputs(*batch).lengths)
