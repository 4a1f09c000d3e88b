"""A trained model from its checkpoint: network, configuration and vocabulary, and the tags of any sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from easydict import EasyDict

from src import config as config_module
from src.dataset import Sample, Vocabulary, evaluation_batches, load_vocabulary
from src.decoding import best_paths, viterbi
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import load_config
from src.model_utils.evaluation import Forward
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


class Decoder:
    """Tags sentences in length-sorted batches; the network is compiled once for all batch sizes and lengths."""

    def __init__(self, network: Tagger, vocabulary: Vocabulary, config: EasyDict):
        self.network = Forward(network, dynamic_inputs())
        self.tagger, self.vocabulary, self.config = network, vocabulary, config

    def emissions(
        self, samples: list[Sample], progress: str = ""
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (indices, emissions (T, B, K), lengths (B,)); `progress` names a bar on a terminal."""
        batches = evaluation_batches(samples, self.config.eval_batch_size)
        for indices, inputs, emissions in self.network.outputs(batches, len(samples), progress):
            yield indices, emissions, inputs.lengths

    def __call__(self, samples: list[Sample], progress: str = "") -> list[list[str]]:
        """Return the best tags of every sample, in their order."""
        answers: list[list[str]] = [[] for _ in samples]
        scores = path_scores(self.tagger, self.vocabulary)
        for indices, emissions, lengths in self.emissions(samples, progress):
            for i, path in zip(indices, viterbi(emissions, lengths, *scores)[0]):
                answers[i] = [self.vocabulary.tags[tag] for tag in path]
        return answers

    def best(self, samples: list[Sample], count: int) -> list[list[tuple[list[str], float]]]:
        """Return the `count` best tag sequences of every sample with their scores, the best first."""
        answers: list[list] = [[] for _ in samples]
        scores = path_scores(self.tagger, self.vocabulary)
        for indices, emissions, lengths in self.emissions(samples):
            for column, i in enumerate(indices):
                paths = best_paths(emissions[: lengths[column], column], *scores, count)
                answers[i] = [([self.vocabulary.tags[tag] for tag in path], score) for path, score in paths]
        return answers
