"""A trained model from its checkpoint: the network, its configuration and vocabulary, and logits of any samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from easydict import EasyDict

from src import config as config_module
from src.config import lstm_cfg
from src.dataset import Sample, evaluation_batches
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import load_config
from src.model_utils.evaluation import Forward, everyones
from src.network import SentimentNet, dynamic_inputs
from src.preparation import load_vocabulary

SETTINGS = ("eval_batch_size", "max_length", "truncation", "on_bad_input")  # may differ from those of the training
SENTIMENTS = ("negative", "positive")  # what the labels of the corpus mean


def build_network(config, vocabulary_size: int) -> SentimentNet:
    """Build the network of a configuration; its word vectors are zero until they are set or loaded."""
    return SentimentNet(
        vocabulary_size=vocabulary_size,
        embed_size=config.embed_size,
        num_hiddens=config.num_hiddens,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        num_classes=config.num_classes,
        pooling=config.pooling,
        projection_size=config.projection_size,
        trained_words=config.trained_words,
        embedding_dropout=config.embedding_dropout,
        dropout=config.dropout,
        seed=config.seed,
    )


def load_trained(ckpt_path: str | os.PathLike) -> tuple[SentimentNet, EasyDict, dict[str, int]]:
    """Return (network, configuration, vocabulary) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for a missing or
    damaged file and for the checkpoint of another model.
    """
    parameters, _ = load_checkpoint(ckpt_path)
    folder = Path(ckpt_path).parent
    config = load_config(folder, config_module, lstm_cfg)
    vocabulary = load_vocabulary(folder / "vocab.json")
    network = build_network(config, len(vocabulary))
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, config, vocabulary


def beginning(text: str, characters: int) -> str:
    """Return the first characters of a text as one line, with `...` where it goes on."""
    text = " ".join(text[: 4 * characters].replace("<br />", " ").split())
    return text if len(text) <= characters else text[: characters - 3] + "..."


class Classifier:
    """Runs a network on samples sorted by length; compiled once for all batch sizes and lengths."""

    def __init__(self, network: SentimentNet, config):
        self.network = Forward(network, dynamic_inputs())
        self.config = config

    def logits(self, samples: Sequence[Sample], progress: str = "") -> np.ndarray:
        """Return (N, C) float32 logits in the order of the samples; `progress` names a bar on a terminal."""
        rows: dict[int, np.ndarray] = {}
        batches = evaluation_batches(samples, self.config)
        for indices, _, logits in self.network.outputs(batches, len(samples), progress):
            rows.update(zip(indices.tolist(), logits))
        return np.array(everyones(rows), np.float32).reshape(-1, self.config.num_classes)
