"""A trained model from its checkpoint: network, configuration and vocabulary, and the tags of any sentences."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
from easydict import EasyDict
from mindspore import Tensor, nn
from tqdm import tqdm

from src.config import added_later, bilstm_ner_cfg
from src.dataset import Inputs, Sample, Vocabulary, evaluation_batches, load_vocabulary
from src.decoding import best_paths, viterbi
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.configuration import Parser, read_yaml, require, resolve
from src.model_utils.recurrent import BesideTheCaller
from src.model_utils.runtime import UserError
from src.network import Tagger
from src.tagging import constraints

SETTINGS = {  # keys that may differ from those of the training
    "eval_batch_size": "sentences per step",
    "on_bad_input": "sentences with unreadable lines or illegal tags: error or skip",
}


def build_network(config, vocabulary: Vocabulary) -> Tagger:
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


def load_trained(ckpt_path) -> tuple[Tagger, EasyDict, Vocabulary]:
    """Return (network, configuration, vocabulary) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for a missing or
    damaged file and for the checkpoint of another model.
    """
    parameters, _ = load_checkpoint(ckpt_path)
    folder = Path(ckpt_path).parent
    saved = {**added_later, **read_yaml(folder / "config.yaml")}
    absent = [key for key in bilstm_ner_cfg if key not in saved]
    if absent:
        raise UserError(f"{folder / 'config.yaml'}: has no '{absent[0]}'; it was written for another model or version")
    config = EasyDict(saved)
    vocabulary = load_vocabulary(folder / "vocab.json")
    network = build_network(config, vocabulary)
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, config, vocabulary


def add_checkpoint_options(parser: Parser, *settings: str) -> None:
    """Add --ckpt_path, and options for those of SETTINGS that the program uses."""
    parser.add_argument("--ckpt_path", metavar="FILE", required=True, help="a checkpoint that train.py wrote")
    for key in settings:
        metavar = type(bilstm_ner_cfg[key]).__name__.upper()
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
        on_bad_input=(lambda value: value in ("error", "skip"), "error or skip"),
    )
    return resolved


def path_scores(network: Tagger, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return transitions (K, K), start (K,) and end (K,) for decoding, without what the scheme does not allow."""
    scores = constraints(vocabulary.tags, vocabulary.scheme)
    if not network.crf:
        return scores
    learned = (network.transitions, network.start, network.end)
    return tuple(parameter.asnumpy() + fixed for parameter, fixed in zip(learned, scores))


class Decoder:
    """Tags sentences in length-sorted batches; the network is compiled once for all batch sizes and lengths."""

    def __init__(self, network: Tagger, vocabulary: Vocabulary, config):
        self.network = _Emissions(network)
        self.network.set_train(False)
        self.network.set_inputs(*Inputs.dynamic())
        self.tagger, self.vocabulary, self.config = network, vocabulary, config

    def emissions(self, samples: list[Sample], progress: str = ""):
        """Yield (indices, emissions (T, B, K), lengths (B,)); `progress` names a bar on a terminal."""
        with tqdm(total=len(samples), desc=progress, disable=None if progress else True, leave=False) as bar:
            for indices, inputs in evaluation_batches(samples, self.config.eval_batch_size):
                yield indices, self.network(*[Tensor(array) for array in inputs]).asnumpy(), inputs.lengths
                bar.update(len(indices))

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


class _Emissions(nn.Cell):
    """The network under a compilation of its own, so that training and evaluation do not disturb each other."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        self.beside_the_caller = BesideTheCaller()

    def construct(self, characters, bigrams, lengths, dropout_keys):
        emissions = self.network(characters, bigrams, lengths, dropout_keys, True).astype(ms.float32)
        return self.beside_the_caller(emissions, lengths)
