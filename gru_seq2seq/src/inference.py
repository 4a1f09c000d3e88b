"""A trained model from its checkpoint: the network, its tokenizers and configuration, and translations."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from easydict import EasyDict
from mindspore import Parameter, Tensor, nn

from src import config as config_module
from src.beam import Hypothesis
from src.config import gru_seq2seq_cfg
from src.decoding import BeamSearch
from src.model_utils import native
from src.model_utils.checkpoint import AVERAGE_PREFIX, load_checkpoint, load_into, training_checkpoints
from src.model_utils.configuration import Parser, load_config
from src.model_utils.layers import RunInThreadPool
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, log
from src.network import Seq2Seq, dynamic_inputs
from src.tokenization import BOS, PAD, UNK, Tokenizer
from src.tokenizer_files import load_tokenizers

NAME = "gru_seq2seq"
LONGEST = 128  # tokens of a source that are read: the encoder is compiled step by step, which takes long for more
PARTS_LOGGED = 5
# The configuration keys that may differ from the training's, as none changes the network
SETTINGS = ("beam_size", "length_penalty", "max_length_ratio", "max_length_extra", "unknown_words", "on_bad_input")


def add_checkpoint_options(parser: Parser) -> None:
    """Add --ckpt_path, --average, and an option for each of SETTINGS."""
    parser.add_checkpoint_options(config_module, gru_seq2seq_cfg, SETTINGS)
    text = "take the mean of the N newest training checkpoints beside --ckpt_path (default: 0, do not)"
    parser.add_argument("--average", type=int, default=0, metavar="N", help=text)


def build_network(config, source_size: int, target_size: int) -> Seq2Seq:
    """Build the network of a configuration for vocabularies of these sizes."""
    return Seq2Seq(
        source_vocabulary=source_size,
        target_vocabulary=target_size,
        embed_size=config.embed_size,
        hidden_size=config.hidden_size,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        attention=config.attention,
        dropout=config.dropout,
        tied_embeddings=config.tied_embeddings,
        layer_norm=config.layer_norm,
        seed=config.seed,
    )


def load_trained(ckpt_path, average: int = 0) -> tuple[Seq2Seq, tuple, EasyDict]:
    """Return (network, tokenizers, configuration) of a checkpoint, from the files that train.py left beside it.

    A training checkpoint that holds a weight average gives the averaged weights. With `average` N the weights are the
    mean of those of the N newest training checkpoints of its folder. Raises UserError for a missing or damaged file and
    for the checkpoint of another model.
    """
    folder = Path(ckpt_path).parent
    parameters = mean_parameters(folder, average) if average else load_checkpoint(ckpt_path)[0]
    config = load_config(folder, config_module, gru_seq2seq_cfg)
    tokenizers = load_tokenizers(folder)
    network = build_network(config, *map(len, tokenizers))
    load_into(network.get_parameters(), parameters, ckpt_path, averaged=True)
    network.set_train(False)
    return network, tokenizers, config


def mean_parameters(folder, count: int) -> dict[str, Parameter]:
    """Return the mean of the weights of the `count` newest training checkpoints of a folder, by name.

    Of a checkpoint that holds a weight average, that is taken. Raises UserError where there are fewer.
    """
    paths = training_checkpoints(folder, NAME)[-count:]
    if len(paths) < count:
        raise UserError(f"--average {count}: {folder} holds {len(paths)} training checkpoints; average so many at most")
    total: dict[str, np.ndarray] = {}
    for path in paths:
        loaded, _ = load_checkpoint(path)
        for name in loaded:
            if not name.startswith(AVERAGE_PREFIX):
                value = loaded.get(AVERAGE_PREFIX + name, loaded[name]).asnumpy().astype(np.float64)
                total[name] = total.get(name, 0.0) + value
    log(f"weights: mean of {', '.join(path.name for path in paths)}")
    return {name: Parameter(Tensor((value / count).astype(np.float32)), name=name) for name, value in total.items()}


class Part(nn.Cell):
    """A method of a network, `encode` or `decode_step`, as a graph of its own."""

    def __init__(self, network: Seq2Seq, method: str, in_thread_pool: bool = False):
        super().__init__(auto_prefix=False)
        self.network, self.method = network, getattr(network, method)
        self.run_in_thread_pool = RunInThreadPool() if in_thread_pool else None
        self.set_train(False)

    def construct(self, *inputs) -> tuple[Tensor, ...]:
        outputs = self.method(*inputs)
        if self.run_in_thread_pool is not None:  # the first input are ids
            outputs = (self.run_in_thread_pool(outputs[0], inputs[0]),) + outputs[1:]
        return outputs

    def run(self, *inputs) -> list[np.ndarray]:
        """Return the outputs for arrays or tensors as arrays."""
        return [output.asnumpy() for output in self(*map(Tensor, inputs))]


def compiled(network: Seq2Seq) -> tuple[Callable, Callable]:
    """Return `encode` and `step` of a BeamSearch, compiled once for every shape that they are given.

    With the project's own kernels `encode` needs one compilation; in `step`, which runs for every token, that would
    cost more time than it saves.
    """
    encode, step = (Part(network, method, in_thread_pool=True) for method in ("encode", "decode_step"))
    if native.enabled():
        encode.set_inputs(*dynamic_inputs()[:2])
    return encode.run, step.run


def forbidden_ids(unknown_words: str) -> tuple[int, ...]:
    """Return the ids that no translation has, by the key unknown_words of the configuration."""
    return (PAD, BOS, UNK) if unknown_words == "forbid" else (PAD, BOS)


class Translation(NamedTuple):
    """A translation: text, ids without the end, ln p normalised by the length, and attention (T, S).

    `source` is the sentence in the form in which it was read, and "" for a blank one.
    """

    text: str = ""
    ids: Sequence[int] = ()
    score: float = 0.0
    attention: np.ndarray | None = None
    source: str = ""


class Translator:
    """Translates sentences with a network and its tokenizers (source, target).

    `graphs` (encode, step) of an exported model may stand for the network. Sources are cut to `longest` tokens, their
    end included; `search_options` are `put` and `padded` of a BeamSearch.
    """

    def __init__(
        self,
        network: Seq2Seq | None,
        tokenizers,
        config,
        graphs: tuple[Callable, Callable] | None = None,
        longest: int = LONGEST,
        **search_options,
    ):
        self.source_tokenizer, self.target_tokenizer = tokenizers
        self.config, self.longest = config, longest
        self.reported: set[str] = set()  # unknown parts of texts, each of which is logged once
        self.search = BeamSearch(
            *(graphs or compiled(network)),
            alpha=config.length_penalty,
            max_length_ratio=config.max_length_ratio,
            max_length_extra=config.max_length_extra,
            forbidden=forbidden_ids(config.unknown_words),
            **search_options,
        )

    def translate(
        self, sentences: list[str], beam_size: int | None = None, n_best: int = 1, progress: str = ""
    ) -> list[list[Translation]]:
        """Return the `n_best` translations of each sentence, best first; fewer where the beam found no more.

        `beam_size` is that of the configuration where it is None; `progress` names a bar on a terminal. The only
        translation of a blank sentence is empty.
        """
        beam_size = beam_size or self.config.beam_size
        if n_best > beam_size:
            raise UserError(f"the {n_best} best of a beam of {beam_size} cannot be given; raise --beam_size")
        results = [[Translation()] for _ in sentences]
        sentences = [self._known_form(sentence) for sentence in sentences]
        places = [i for i, sentence in enumerate(sentences) if sentence]
        with progress_bar(len(places), progress) as bar:
            sources = self._encode(self.source_tokenizer, [sentences[i] for i in places])
            for i, hypotheses in zip(places, self.search(sources, beam_size, n_best, bar.update)):
                if hypotheses:  # there are none where the weights are not finite
                    results[i] = [self._translation(hypothesis, sentences[i]) for hypothesis in hypotheses]
        return results

    def compile_for(self, sentences: list[str], beam_size: int | None = None) -> None:
        """Compile what translating these sentences needs, which then takes no part of its time."""
        sentences = [self._known_form(sentence) for sentence in sentences]
        sources = self._encode(self.source_tokenizer, [sentence for sentence in sentences if sentence])
        self.search.compile_for(sources, beam_size or self.config.beam_size)

    def perplexity(self, sources: list[str], targets: list[str], progress: str = "") -> float:
        """Return exp(- ln p / tokens) of the targets given their sources, ends included; nan without any pair.

        `progress` names a bar on a terminal.
        """
        source_ids = self._encode(self.source_tokenizer, [self._known_form(source) for source in sources])
        target_ids = self._encode(self.target_tokenizer, targets)
        tokens = sum(len(ids) + 1 for ids in target_ids)
        with progress_bar(len(targets), progress) as bar:
            log_probs = self.search.log_probs(source_ids, target_ids, bar.update)
        return math.exp(-log_probs.sum() / tokens) if tokens else math.nan

    def _known_form(self, sentence: str) -> str:
        """Return a sentence without blanks at its ends, in the form of Unicode with the fewest unknown parts.

        It may differ from the sentence only where that has characters which the training text did not have.
        """
        tokenizer, sentence = self.source_tokenizer, sentence.strip()
        if UNK not in tokenizer.encode(sentence):
            return sentence
        forms = [sentence, *(unicodedata.normalize(form, sentence) for form in ("NFC", "NFD", "NFKC", "NFKD"))]
        return min(forms, key=lambda form: tokenizer.encode(form).count(UNK)).strip()

    def _encode(self, tokenizer: Tokenizer, sentences: list[str]) -> list[list[int]]:
        all_ids = [tokenizer.encode(sentence) for sentence in sentences]
        unknown = [sentence for sentence, ids in zip(sentences, all_ids) if UNK in ids]
        parts = dict.fromkeys(part for sentence in unknown for part in tokenizer.unknown(sentence))
        new = [part for part in parts if part not in self.reported]
        if new:  # so that they do not vanish unseen
            self.reported.update(new)
            names = ", ".join(map(repr, new[:PARTS_LOGGED])) + (", ..." if len(new) > PARTS_LOGGED else "")
            log(f"warning: {len(unknown)} sentences have parts that the model does not know: {names}")
        most = self.longest - 1
        cut = sum(len(ids) > most for ids in all_ids)
        if cut:
            log(f"warning: {cut} sentences are longer than {most} tokens, of which no more is read; split them")
        return [ids[:most] for ids in all_ids]

    def _translation(self, hypothesis: Hypothesis, sentence: str) -> Translation:
        """Put a hypothesis into words, those of the source where it has unknown tokens and they are to be copied."""
        ids, score, _, attention = hypothesis
        pieces = self.target_tokenizer.tokens(ids)
        if self.config.unknown_words == "copy" and UNK in ids:
            source_pieces = self.source_tokenizer.pieces(sentence)
            aligned = attention[:, :-1].argmax(1)  # which never is the end
            pieces = [source_pieces[at] if i == UNK else piece for i, piece, at in zip(ids, pieces, aligned)]
        return Translation(self.target_tokenizer.join(pieces), ids, score, attention, sentence)
