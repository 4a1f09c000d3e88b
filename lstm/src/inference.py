"""A trained model from its checkpoint: the network, its configuration and vocabulary, and logits of any samples."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import Tensor, nn
from tqdm import tqdm

from src.config import lstm_cfg
from src.dataset import Sample, evaluation_batches, load_vocabulary
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import Parser, read_yaml, require, resolve
from src.model_utils.recurrent import BesideTheCaller
from src.model_utils.runtime import UserError
from src.network import SentimentNet, build_network, dynamic_inputs

SETTINGS = {  # the configuration keys that may differ from the training's, as none changes the network
    "eval_batch_size": "reviews a step",
    "max_length": "tokens of a review that are read",
    "truncation": "which tokens of a longer review: head, or head_tail for half from each end",
    "on_bad_file": "empty, unreadable or badly named files: error or skip",
}


def load_trained(ckpt_path: str | os.PathLike) -> tuple[SentimentNet, EasyDict, dict[str, int]]:
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


def add_checkpoint_options(parser: Parser, *settings: str) -> None:
    """Add --ckpt_path, and options for those of SETTINGS that the program uses."""
    parser.add_argument("--ckpt_path", metavar="FILE", required=True, help="a checkpoint that train.py wrote")
    for key in settings:
        metavar = type(lstm_cfg[key]).__name__.upper()
        parser.add_argument(f"--{key}", metavar=metavar, help=f"{SETTINGS[key]} (default: as in training)")


def apply_settings(config: EasyDict, args) -> EasyDict:
    """Return a checkpoint's configuration with the SETTINGS that the command line or --config_path changes.

    Raises UserError for any other change: it would describe another model than the checkpoint's.
    """
    resolved = resolve(config, args)
    changed = [key for key in config if key not in SETTINGS and resolved[key] != config[key]]
    if changed:
        raise UserError(
            f"{args.config_path}: {changed[0]} is {resolved[changed[0]]}, but the checkpoint was trained with"
            f" {config[changed[0]]}; only {', '.join(SETTINGS)} can be changed here"
        )
    require(
        resolved,
        eval_batch_size=(lambda value: value > 0, "positive"),
        max_length=(lambda value: value > 0, "positive"),
        truncation=(lambda value: value in ("head", "head_tail"), "head or head_tail"),
    )
    return resolved


def beginning(text: str, characters: int) -> str:
    """Return the first characters of a text as one line, with `...` where it goes on."""
    text = " ".join(text[: 4 * characters].replace("<br />", " ").split())
    return text if len(text) <= characters else text[: characters - 3] + "..."


class Classifier:
    """Runs a network on samples sorted by length; compiled once for all batch sizes and lengths."""

    def __init__(self, network: SentimentNet, config):
        self.network = _Logits(network)
        self.network.set_train(False)
        self.network.set_inputs(*dynamic_inputs())
        self.config = config

    def logits(self, samples: Sequence[Sample], progress: str = "") -> np.ndarray:
        """Return (N, C) float32 logits in the order of the samples; `progress` names a bar on a terminal."""
        rows = np.zeros((len(samples), self.config.num_classes), np.float32)
        with tqdm(total=len(samples), desc=progress, disable=None if progress else True, leave=False) as bar:
            for indices, inputs in evaluation_batches(samples, self.config):
                rows[indices] = self.network(*[Tensor(array) for array in inputs]).asnumpy()
                bar.update(len(indices))
        return rows


class _Logits(nn.Cell):
    """The network with a compilation of its own, so that training and evaluation do not disturb each other."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.beside_the_caller = BesideTheCaller()

    def construct(self, words, tokens, lengths, dropout_keys):
        """Map the network's inputs to logits (B, C) float32."""
        logits = self.network(words, tokens, lengths, dropout_keys, True).astype(ms.float32)
        return self.beside_the_caller(logits, lengths)
