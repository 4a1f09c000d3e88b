"""The MindSpore side of elmo/: its batches and starting weights, and its training step and inference to be timed.

Runs in a worker whose sys.path begins with elmo/, so every name below is the model's own. Samples are rows of text,
tokens the words that each direction reads.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import Tensor, nn, ops
from mindspore_training import MindSporeSide, load_weights

from src.arguments import parse_arguments, resolve_configuration, resolve_options
from src.data.reader import Corpus, convert
from src.data.tokenizer import read_documents
from src.data.vocabulary import build_vocabulary, load_vocabulary
from src.dataset import TrainingBatches, TrainingInputs
from src.inference import build_model
from src.lr_schedule import warmup_decay
from src.model_options import ModelOptions
from src.model_utils.checkpoint import InitialWeights
from src.model_utils.runtime import init_device
from src.sample_data import write_sample_corpus
from src.train_step import TrainOneStep

TEXT = 4  # the first inputs of a batch: short and long character ids, forward and backward index


def prepare_measurement(preset: str, changes: list[str], preprocess_path: str | None, steps: int) -> dict:
    """Return what every side gets: config, rates, weights by name, `steps` batches and the output of the first.

    The rates are those of two passes over the batches. `changes` are further options of train.py, and dropout, which
    belongs to options.json. Without `preprocess_path` the synthetic sample is written and used.
    """
    target = init_device("CPU")
    replaced = {}
    while "--dropout" in changes:
        place = changes.index("--dropout")
        replaced["dropout"] = float(changes[place + 1])
        changes = changes[:place] + changes[place + 2 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(preprocess_path or folder)
        args = parse_arguments(["--preset", preset, "--data_url", str(path), *changes], "")
        config = resolve_configuration(args, target)
        if not preprocess_path:
            write_sample_corpus(f"{folder}/text", 100)
            vocabulary, _ = build_vocabulary(read_documents(f"{folder}/text"))
            vocabulary.save(path / "vocab.txt")
            convert(f"{folder}/text", path / "train.mindrecord", vocabulary, 50, "words", 100_000)
        vocabulary = load_vocabulary(path / "vocab.txt")
        corpus = Corpus(path / "train.mindrecord", vocabulary)
        options = resolve_options(args, config, len(vocabulary), corpus.counts["tokens"], InitialWeights())
        options = dataclasses.replace(options, **replaced)
        batches = TrainingBatches(
            corpus=corpus,
            vocabulary=vocabulary,
            options=options,
            seed=config.seed,
            multiples=(config.short_words_multiple, config.long_words_multiple),
        )
        every = itertools.chain.from_iterable(batches(epoch) for epoch in itertools.count(1))
        chosen = list(itertools.islice(every, steps))
    model = build_model(options, len(vocabulary), config.seed)
    rates = warmup_decay(2 * steps, min(config.warmup_steps, steps), config.lr, config.lr_shape)
    return {
        "config": {**config, "options": dataclasses.asdict(options)},
        "rates": rates,
        "weights": {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()},
        "batches": chosen,
        "logits": top_layers(Inference(model.bilm, options), chosen[0].inputs),
    }


def rows(name: str, inputs: TrainingInputs, weights: dict[str, np.ndarray]) -> float:
    """Return how many vectors a weight is multiplied with in the forward pass: characters, distinct words or steps.

    Of the softmax each step meets the sampled words only.
    """
    short, long, steps = inputs.char_ids, inputs.long_char_ids, inputs.forward_index.size
    part, weight = name.split(".")[0], weights[name]
    if weight.ndim != 2 or name == "char_encoder.char_embed":
        return 0
    if part == "softmax":
        return 2 * steps * inputs.classes.size / len(weight)
    if "w_cnn" in name:
        width = len(weight) // weights["char_encoder.char_embed"].shape[1]
        return sum(len(ids) * (ids.shape[1] - width + 1) for ids in (short, long))
    return len(short) + len(long) if part == "char_encoder" else steps


class Inference(nn.Cell):
    """The top layer of both directions (2, T, B, P), from a zero state."""

    def __init__(self, bilm, options):
        super().__init__(auto_prefix=False)
        self.bilm = bilm
        self.layers, self.sizes = options.n_layers, (options.projection_dim, options.lstm_dim)
        self.set_train(False)

    def construct(self, char_ids, long_char_ids, forward_index, backward_index) -> Tensor:
        batch = forward_index.shape[1]
        h, c = (ops.zeros((2, self.layers, batch, size), ms.float32) for size in self.sizes)
        keys = ops.zeros((2, batch), ms.int32)
        forward, backward, _, _ = self.bilm(char_ids, long_char_ids, forward_index, backward_index, h, c, keys)
        return ops.stack((forward[-1], backward[-1]))


def top_layers(network: Inference, inputs: tuple) -> np.ndarray:
    """Return the top layers of a batch."""
    network.set_train(False)
    return network(*[Tensor(array) for array in inputs[:TEXT]]).asnumpy()


class Side(MindSporeSide):
    """Training and inference as train.py and eval.py build them."""

    def __init__(self, variant: str, config, rates: list[float], weights: dict[str, np.ndarray]):
        super().__init__(config.seed)
        values = vars(config)["options"]
        options = ModelOptions(**{**values, "filters": tuple(tuple(pair) for pair in values["filters"])})
        model = build_model(options, len(weights["softmax.weight"]), config.seed)
        load_weights(model, weights)
        self.step = TrainOneStep(model=model, options=options, config=EasyDict(vars(config)), rates=rates)
        self.network = Inference(model.bilm, options)

    def logits(self, batch: tuple) -> np.ndarray:
        """Return the top layers without dropout."""
        return top_layers(self.network, batch)
