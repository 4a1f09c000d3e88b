"""A trained biLM from its files, and the vectors of its layers for sentences of any lengths."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from src.data.token_indexer import encode_words, group_words
from src.data.vocabulary import SPECIAL, Vocabulary, load_vocabulary
from src.model_options import ModelOptions, load_options, options_path_of
from src.model_utils.checkpoint import load_checkpoint, load_into
from src.model_utils.runtime import UserError
from src.network import BiLanguageModel, LanguageModel
from src.published_weights import read_weights

STEPS = 8  # of the LSTM that are compiled into one graph; longer sentences run it several times
WORDS = (256, 32)  # short and long words that are encoded at once
KNOWN_WORDS = 100_000  # whose vectors are kept
ROUNDS = 16  # sentences of each row that are held in memory where the state is carried on


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a trained model."""
    parser.add_argument(
        "--ckpt_path", metavar="FILE", required=True, help="a .ckpt of train.py, or published weights (.hdf5)"
    )
    parser.add_argument("--options_path", metavar="FILE", help="its options.json (default: the one beside it)")


def load_model(ckpt_path: str | Path, options_path: str | Path | None = None) -> tuple[BiLanguageModel, ModelOptions]:
    """Return the network of a checkpoint or of published HDF5 weights, and its options.

    A training checkpoint that holds a weight average gives the averaged weights. Raises UserError for missing or
    damaged files and for options of another model.
    """
    options = load_options(options_path or find_options(ckpt_path))
    if Path(ckpt_path).suffix in (".hdf5", ".h5"):
        parameters = {name: Tensor(values) for name, values in read_weights(ckpt_path, options).items()}
    else:
        parameters, _ = load_checkpoint(ckpt_path)
    network = build_bilm(options)
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, options


def build_bilm(options: ModelOptions, seed: int = 0) -> BiLanguageModel:
    """Return a new biLM without a softmax."""
    return BiLanguageModel(**options.network_arguments, seed=seed)


def build_model(options: ModelOptions, vocabulary_size: int, seed: int = 0) -> LanguageModel:
    """Return a new biLM with its softmax."""
    return LanguageModel(bilm=build_bilm(options, seed), vocabulary_size=vocabulary_size, seed=seed)


def load_trained(ckpt_path: str | Path) -> tuple[LanguageModel, ModelOptions, Vocabulary]:
    """Return the model of a checkpoint with its weights, and the options and vocabulary that lie beside it."""
    parameters, _ = load_checkpoint(ckpt_path)
    options, vocabulary = load_options(find_options(ckpt_path)), load_vocabulary(Path(ckpt_path).with_name("vocab.txt"))
    model = build_model(options, len(vocabulary))
    if model.weight.name not in parameters:
        raise UserError(
            f"{ckpt_path}: holds no softmax, as published ELMo weights do not; only train.py's can be scored"
        )
    load_into(model.get_parameters(), parameters, ckpt_path)
    return model, options, vocabulary


def find_options(ckpt_path: str | Path) -> Path:
    """Return the options file beside a weight file; UserError where there is none."""
    path = Path(ckpt_path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    options_path = options_path_of(path)
    if not options_path.is_file():
        raise UserError(f"{options_path}: no such file; name the options of {path.name} with --options_path")
    return options_path


class WordEncoder:
    """Context-free vectors of words, computed once for each distinct word."""

    def __init__(self, network: BiLanguageModel, options: ModelOptions):
        self.network, self.options = network.char_encoder, options
        self.vectors: dict[str, np.ndarray] = {}

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """Return the vectors (len(words), P) float32."""
        distinct = dict.fromkeys(words)
        if len(self.vectors) + len(distinct) > KNOWN_WORDS:
            self.vectors = {}
        new = [word for word in distinct if word not in self.vectors]
        if new:
            char_ids = encode_words(new, self.options.max_characters_per_token)
            *groups, row_of = group_words(char_ids, self.options.widest_filter, WORDS)
            parts = [part for group, count in zip(groups, WORDS) for part in np.split(group, len(group) // count)]
            table = np.concatenate([self.network(Tensor(part)).asnumpy() for part in parts])
            self.vectors.update(zip(new, table[row_of]))
        return np.array([self.vectors[word] for word in words])


class Embedder:
    """The layers of a biLM for sentences of any lengths.

    A sentence depends on itself alone, and those of similar lengths share a batch. Statefully, as published models are
    run, row b of a batch continues with the state in which row b of the batch before ended, both directions: a
    sentence's vectors then depend on what was embedded before it and on the batch size. The sentences of a row are
    therefore one text, which is run without padding between them. The graph has a fixed number of rows and steps, so it
    is compiled once.
    """

    def __init__(self, network: BiLanguageModel, options: ModelOptions, batch_size: int = 64, stateful: bool = False):
        self.options, self.batch_size, self.stateful = options, batch_size, stateful
        self.words = WordEncoder(network, options)
        self.network = _Steps(network)
        self.network.set_train(False)
        self.restart()

    def restart(self) -> None:
        """Begin a new text: forget the state, and put the next sentence into row 0."""
        shapes = self.options.state_shapes(self.batch_size)
        self.state, self.next_row = [Tensor(np.zeros(shape, np.float32)) for shape in shapes], 0

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (number of the sentence, layers (L + 1, words, 2P) float32), forward half first, as they are computed.

        Layer 0 is the word vector, twice. A sentence without words has layers of no words. Statefully in the order of
        the sentences, statelessly from short to long ones.
        """
        order = np.arange(len(sentences))
        if not self.stateful:
            order = np.argsort([len(sentence) for sentence in sentences], kind="stable")
        self.words([word for sentence in sentences for word in sentence])
        count = self.batch_size * (ROUNDS if self.stateful else 1)
        for start in range(0, len(order), count):
            chosen = order[start : start + count]
            yield from zip(chosen.tolist(), self._run([sentences[i] for i in chosen]))

    def _run(self, sentences: list[Sequence[str]]) -> list[np.ndarray]:
        """Run sentences in the rows in turn, each behind what its row holds before it; returns their layers."""
        if not self.stateful:
            self.restart()
        size, layers = self.options.projection_dim, self.options.n_layers
        begin, end = SPECIAL[:2]
        lengths = np.zeros(self.batch_size, np.int64)  # of the text of each row
        spans = []
        for k, sentence in enumerate(sentences, self.next_row):
            row = k % self.batch_size
            spans.append((row, lengths[row], lengths[row] + len(sentence) + 2))
            lengths[row] = spans[-1][2]
        total = -(-lengths.max() // STEPS) * STEPS
        inputs = np.zeros((2, total, self.batch_size, size), np.float32)  # in reading order
        for sentence, (row, first, last) in zip(sentences, spans):
            inputs[0, first:last, row] = self.words([begin, *sentence, end])
            inputs[1, first:last, row] = inputs[0, first:last, row][::-1]
        outputs = np.empty((2, layers + 1, total, self.batch_size, size), np.float32)
        for start in range(0, total, STEPS):
            steps = slice(start, start + STEPS)
            counts = np.clip(lengths - start, 0, STEPS).astype(np.int32)
            x = Tensor(np.ascontiguousarray(inputs[:, steps]))
            window, *self.state = self.network(x, *self.state, Tensor(counts))
            outputs[:, :, steps] = window.asnumpy()
        self.next_row = (self.next_row + len(sentences)) % self.batch_size
        results = []
        for row, first, last in spans:
            forward = outputs[0, :, first + 1 : last - 1, row]  # (L + 1, words, P)
            backward = outputs[1, :, first:last, row][:, ::-1][:, 1:-1]
            results.append(np.concatenate([forward, backward], 2))
        return results


class _Steps(nn.Cell):
    """Some steps of both directions, from word vectors."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x, h, c, counts):
        """Map x (2, T, B, P) and the state to layers (2, L + 1, T, B, P) and the state after `counts` (B,) steps."""
        keys = (counts, counts)  # of the dropout, which is off
        forward, backward, h, c = self.network.run(x, h, c, keys, counts, True)
        return ops.stack((ops.stack(forward), ops.stack(backward))), h, c
