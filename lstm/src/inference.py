"""A trained model from its checkpoint: the network, its configuration and vocabulary, and logits of any samples."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import Tensor, nn
from tqdm import tqdm

from src.config import lstm_cfg
from src.dataset import Samples, evaluation_batches, load_vocabulary
from src.lstm import SentimentNet
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import read_yaml
from src.model_utils.runtime import UserError


def build_network(config, vocabulary_size: int) -> SentimentNet:
    """Build the network of a configuration; its word vectors are zero until they are set or loaded."""
    return SentimentNet(
        vocabulary_size,
        config.embed_size,
        config.num_hiddens,
        config.num_layers,
        config.bidirectional,
        config.num_classes,
        config.pooling,
        config.projection_size,
        config.train_embedding,
        config.embedding_dropout,
        config.dropout,
        config.seed,
    )


def load_trained(ckpt_path) -> tuple[SentimentNet, EasyDict, dict[str, int]]:
    """Return (network, configuration, vocabulary) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for a missing or
    damaged file and for the checkpoint of another model.
    """
    parameters, _ = load_checkpoint(ckpt_path)
    folder = Path(ckpt_path).parent
    saved = read_yaml(folder / "config.yaml")
    absent = [key for key in lstm_cfg if key not in saved]
    if absent:
        raise UserError(f"{folder / 'config.yaml'}: has no '{absent[0]}'; it was written for another model or version")
    config = EasyDict(saved)
    vocabulary = load_vocabulary(folder / "vocab.json")
    network = build_network(config, len(vocabulary))
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, config, vocabulary


class Classifier:
    """Runs a network on samples in length-sorted batches; compiled once for all batch sizes and lengths."""

    def __init__(self, network: SentimentNet, config):
        self.network = _Logits(network)
        self.network.set_train(False)
        self.network.set_inputs(*dynamic_inputs()[:4])
        self.config = config

    def logits(self, samples: Samples, progress: str = "") -> np.ndarray:
        """Return (N, C) float32 logits in the order of the samples; `progress` names a bar on a terminal."""
        rows = np.zeros((len(samples), self.config.num_classes), np.float32)
        with tqdm(total=len(samples), desc=progress, disable=None if progress else True, leave=False) as bar:
            for indices, inputs in evaluation_batches(samples, self.config):
                rows[indices] = self.network(*[Tensor(array) for array in inputs]).asnumpy()
                bar.update(len(indices))
        return rows


class _Logits(nn.Cell):
    """The network under a compilation of its own, so that training and evaluation do not disturb each other."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, words, tokens, lengths, dropout_keys):
        return self.network(words, tokens, lengths, dropout_keys).astype(ms.float32)


def dynamic_inputs() -> list[Tensor]:
    """The dynamic shapes of words (U,), tokens (T, B), lengths (B,), dropout_keys (B,), labels (B,)."""
    shapes = [None], [None, None], [None], [None], [None]
    return [Tensor(shape=shape, dtype=ms.int32) for shape in shapes]
