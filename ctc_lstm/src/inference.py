"""A trained model from its checkpoint: the network, its configuration and labels, log-probabilities and decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from easydict import EasyDict
from mindspore import ops

from src import config as config_module
from src import decoding
from src.config import ctc_cfg
from src.dataset import evaluation_batches, load_vocabulary
from src.features import feature_size
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import load_config
from src.model_utils.evaluation import Forward, everyones
from src.model_utils.runtime import rank_and_size
from src.network import CTCNet, dynamic_inputs, output_lengths
from src.ngram import NGram, load_ngram
from src.preparation import Samples

SETTINGS = (  # the configuration keys that may differ from the training's, as none changes the network or its features
    "decoder",
    "beam_width",
    "beam_prune",
    "lm_weight",
    "label_bonus",
    "eval_frames",
    "max_seconds",
    "num_workers",
    "on_bad_input",
)


def build_network(config, num_labels: int) -> CTCNet:
    """Build the network of a configuration for that number of labels, the blank included."""
    return CTCNet(
        feature_size=feature_size(config),
        num_labels=num_labels,
        front_end=config.front_end,
        conv_channels=config.conv_channels,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        batch_norm=config.batch_norm,
        dropout=config.dropout,
        seed=config.seed,
        sum_over_processes=ops.AllReduce() if rank_and_size()[1] > 1 else None,
    )


def load_trained(ckpt_path) -> tuple[CTCNet, EasyDict, list[str]]:
    """Return (network, configuration, vocabulary) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for a missing or
    damaged file and for the checkpoint of another model.
    """
    parameters, _ = load_checkpoint(ckpt_path)
    folder = Path(ckpt_path).parent
    config = load_config(folder, config_module, ctc_cfg)
    vocabulary = load_vocabulary(folder / "vocab.json")
    network = build_network(config, len(vocabulary))
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, config, vocabulary


def load_ngram_of(ckpt_path, config) -> NGram | None:
    """Return the n-gram model beside a checkpoint, None where the configuration does not use one."""
    if config.decoder != "beam" or not config.ngram_order or not config.lm_weight:
        return None
    return load_ngram(Path(ckpt_path).parent / "ngram.json")


class Recognizer:
    """Runs a network on samples in length-sorted batches; compiled once for all batch sizes and lengths."""

    def __init__(self, network: CTCNet, config, vocabulary: list[str], ngram: NGram | None = None):
        self.network = Forward(network, dynamic_inputs(feature_size(config))[:2], has_keys=False)
        self.config, self.vocabulary, self.ngram = config, vocabulary, ngram

    def _each(
        self, lengths: Sequence[int], read: Callable[[int], np.ndarray], progress: str = ""
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, (T_i', V) float32) of utterances, the longest first; `read` as for `evaluation_batches`."""
        batches = evaluation_batches(lengths, read, self.config)
        for indices, _, log_probs in self.network.outputs(batches, len(lengths), progress):  # (T', B, V)
            for column, i in enumerate(indices.tolist()):
                yield i, log_probs[: output_lengths(lengths[i], self.config.front_end), column]

    def log_probs(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """Return (T_i', V) float32 for each of `frames` (T_i, D), in their order."""
        return everyones(dict(self._each([len(each) for each in frames], frames.__getitem__)))

    def decode(self, log_probs: np.ndarray) -> list[int]:
        """Return the ids of the labels that the configured decoder makes of (T', V)."""
        vocabulary, ngram, config = self.vocabulary, self.ngram, self.config
        if config.decoder == "greedy":
            return decoding.greedy(log_probs)
        return decoding.beam_search(
            log_probs, config.beam_width, vocabulary, ngram, config.lm_weight, config.label_bonus, config.beam_prune
        )

    def labels(self, samples: Samples, progress: str = "") -> list[tuple[str, ...]]:
        """Return the recognised labels of all samples, in their order; `progress` names a bar."""
        each = self._each(samples.lengths, samples.frames, progress)
        return everyones({i: tuple(self.vocabulary[k] for k in self.decode(log_probs)) for i, log_probs in each})
