"""A trained model from its checkpoint: network, configuration and vocabulary, and the tags of any sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from easydict import EasyDict

from src import config as config_module
from src.dataset import Sample, Vocabulary, evaluation_batches, load_vocabulary
from src.decoding import best_paths, viterbi
from src.model_utils import native
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import load_config
from src.model_utils.evaluation import Forward, everyones
from src.network import Tagger, dynamic_inputs
from src.tagging import constraints

SETTINGS = ("eval_batch_size", "on_bad_input")  # keys that may differ from those of the training


def build_network(config: EasyDict, vocabulary: Vocabulary) -> Tagger:
    """Build the network of a configuration."""
    return Tagger(
        characters=len(vocabulary.characters),
        bigrams=len(vocabulary.bigrams),
        tags=len(vocabulary.tags),
        character_size=config.character_size,
        bigram_size=config.bigram_size,
        num_hiddens=config.num_hiddens,
        num_layers=config.num_layers,
        embedding_dropout=config.embedding_dropout,
        dropout=config.dropout,
        crf=config.crf,
        seed=config.seed,
    )


def load_trained(ckpt_path: str | os.PathLike) -> tuple[Tagger, EasyDict, Vocabulary]:
    """Return (network, configuration, vocabulary) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for a missing or
    damaged file and for the checkpoint of another model.
    """
    parameters, _ = load_checkpoint(ckpt_path)
    folder = Path(ckpt_path).parent
    config = load_config(folder, config_module, config_module.bilstm_ner_cfg)
    vocabulary = load_vocabulary(folder / "vocab.json")
    network = build_network(config, vocabulary)
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, config, vocabulary


def path_scores(network: Tagger, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return transitions (K, K), start (K,) and end (K,) for decoding, without what the scheme does not allow."""
    scores = constraints(vocabulary.tags, vocabulary.scheme)
    if not network.crf:
        return scores
    learned = (network.transitions, network.start, network.end)
    return tuple(parameter.asnumpy() + fixed for parameter, fixed in zip(learned, scores))


def real_emissions(emissions: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Return the emissions (n, K) of each sentence of a batch: (T, B, K), lengths (B,)."""
    return [emissions[:length, row] for row, length in enumerate(lengths)]


class Decoder:
    """Tags sentences in length-sorted batches; the network is compiled once for all batch sizes and lengths."""

    def __init__(self, network: Tagger, vocabulary: Vocabulary, config: EasyDict):
        self.network = Forward(network, dynamic_inputs(), in_thread_pool=not native.enabled())
        self.tagger, self.vocabulary, self.config = network, vocabulary, config

    def decoded(self, samples: Sequence[Sample], decode: Callable = real_emissions, progress: str = "") -> list:
        """Return what `decode` makes of emissions (T, B, K) and lengths (B,), for every sample in their order.

        By default those are its emissions (n, K). `progress` names a bar on a terminal.
        """
        answers: dict = {}
        batches = evaluation_batches(samples, self.config.eval_batch_size)
        for indices, inputs, emissions in self.network.outputs(batches, len(samples), progress):
            answers.update(zip(indices.tolist(), decode(emissions, inputs.lengths)))
        return everyones(answers)

    def __call__(self, samples: Sequence[Sample], progress: str = "") -> list[list[str]]:
        """Return the best tags of every sample, in their order."""
        scores = path_scores(self.tagger, self.vocabulary)
        paths = self.decoded(samples, lambda emissions, lengths: viterbi(emissions, lengths, *scores), progress)
        return [self._tags(path) for path in paths]

    def best(self, samples: list[Sample], count: int) -> list[list[tuple[list[str], float]]]:
        """Return the `count` best tag sequences of every sample with their scores, the best first."""
        scores = path_scores(self.tagger, self.vocabulary)
        answers = (best_paths(emissions, *scores, count) for emissions in self.decoded(samples))
        return [[(self._tags(path), score) for path, score in paths] for paths in answers]

    def _tags(self, path: np.ndarray) -> list[str]:
        return [self.vocabulary.tags[tag] for tag in path]
