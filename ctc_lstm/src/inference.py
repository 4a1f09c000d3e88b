"""A trained model from its checkpoint: the network, its configuration and labels, log-probabilities and decoding."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import Tensor, nn, ops
from tqdm import tqdm

from src import decoding
from src.config import ctc_cfg
from src.dataset import evaluation_batches, load_vocabulary
from src.features import feature_size
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import Parser, read_yaml, require, resolve
from src.model_utils.recurrent import BesideTheCaller
from src.model_utils.runtime import UserError, rank_and_size
from src.network import CTCNet, dynamic_inputs, output_lengths
from src.ngram import NGram, load_ngram

SETTINGS = (  # the configuration keys that may differ from the training's, as none changes the network or its features
    "decoder",
    "beam_width",
    "beam_prune",
    "lm_weight",
    "label_bonus",
    "eval_frames",
    "max_seconds",
    "num_workers",
    "on_bad_file",
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
    saved = read_yaml(folder / "config.yaml")
    absent = [key for key in ctc_cfg if key not in saved]
    if absent:
        raise UserError(f"{folder / 'config.yaml'}: has no '{absent[0]}'; it was written for another model or version")
    config = EasyDict(saved)
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


def add_checkpoint_options(parser: Parser) -> None:
    """Add --ckpt_path, and an option for each of SETTINGS."""
    from src import config as config_module

    parser.add_argument("--ckpt_path", metavar="FILE", required=True, help="a checkpoint that train.py wrote")
    parser.add_config_options(config_module, {key: ctc_cfg[key] for key in SETTINGS})


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
    check_settings(resolved)
    return resolved


def check_settings(config) -> None:
    """Raise UserError for a value of SETTINGS that makes no sense."""
    positive = (lambda value: value > 0, "positive")
    zero_or_more = (lambda value: value >= 0, "0 or more")
    require(
        config,
        **dict.fromkeys(("beam_width", "eval_frames", "num_workers"), positive),
        **dict.fromkeys(("max_seconds", "lm_weight"), zero_or_more),
        decoder=(lambda value: value in ("greedy", "beam"), "greedy or beam"),
        beam_prune=(lambda value: 0 <= value < 1, "at least 0 and below 1"),
        on_bad_file=(lambda value: value in ("error", "skip"), "error or skip"),
    )


class Recognizer:
    """Runs a network on samples in length-sorted batches; compiled once for all batch sizes and lengths."""

    def __init__(self, network: CTCNet, config, vocabulary: list[str], ngram: NGram | None = None):
        self.network = _LogProbs(network)
        self.network.set_train(False)
        self.network.set_inputs(*dynamic_inputs(feature_size(config))[:2])
        self.config, self.vocabulary, self.ngram = config, vocabulary, ngram

    def log_probs(self, frames: list[np.ndarray], progress: str = "") -> list[np.ndarray]:
        """Return (T_i', V) float32 for each of `frames` (T_i, D), in their order; `progress` names a bar."""
        results: list[np.ndarray] = [np.zeros(0, np.float32)] * len(frames)
        with tqdm(total=len(frames), desc=progress, disable=None if progress else True, leave=False) as bar:
            for indices, inputs in evaluation_batches(frames, self.config):
                log_probs = self.network(*[Tensor(array) for array in inputs]).asnumpy()  # (T', B, V)
                for column, i in enumerate(indices):
                    results[i] = log_probs[: output_lengths(len(frames[i]), self.config.front_end), column]
                bar.update(len(indices))
        return results

    def decode(self, log_probs: np.ndarray) -> list[int]:
        """Return the ids of the labels that the configured decoder makes of (T', V)."""
        if self.config.decoder == "greedy":
            return decoding.greedy(log_probs)
        return decoding.beam_search(
            log_probs,
            self.config.beam_width,
            self.vocabulary,
            self.ngram,
            self.config.lm_weight,
            self.config.label_bonus,
            self.config.beam_prune,
        )

    def labels(self, frames: list[np.ndarray], progress: str = "") -> list[tuple[str, ...]]:
        """Return the recognised labels of each of `frames` (T_i, D)."""
        return [
            tuple(self.vocabulary[i] for i in self.decode(log_probs)) for log_probs in self.log_probs(frames, progress)
        ]


class _LogProbs(nn.Cell):
    """The network under a compilation of its own, so that training and evaluation do not disturb each other."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.beside_the_caller = BesideTheCaller()

    def construct(self, frames, lengths):
        log_probs = self.network(frames, lengths, lengths, True).astype(ms.float32)  # dropout, which needs keys, is off
        return self.beside_the_caller(log_probs, lengths)
