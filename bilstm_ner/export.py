"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place.

The files hold the network up to the emissions; processing.py, which lies beside them, then finds the best path with the
transitions in transitions.npz.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src import config as config_module
from src.config import bilstm_ner_cfg
from src.dataset import Inputs, Sample, Vocabulary, collate, encode, lengths_of, save_vocabulary
from src.decoding import viterbi
from src.inference import Decoder, load_trained, path_scores
from src.model_utils.configuration import Parser
from src.model_utils.exporting import Run, export, largest_difference, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.files import write_json, write_yaml
from src.model_utils.runtime import init_device, run
from src.network import Tagger, dynamic_inputs
from src.resume_ner import find_file, read_corpus
from src.tagged_lines import Sentence

TOLERANCE = 1e-5  # largest difference of an emission, relative to the largest emission if that is above 1
TEXT = "常建良，男，1963年出生，工科学士，高级工程师。"
COMPARED = 64  # sentences, where a corpus is given


class ExportedNet(nn.Cell):
    """The network from ids to emissions, batch first."""

    def __init__(self, network: Tagger):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, characters: Tensor, bigrams: Tensor, lengths: Tensor) -> Tensor:
        """Map characters (B, T), bigrams (B, T + 1) and lengths (B,), all int32, to emissions (B, T, K)."""
        emissions = self.network(characters.T, bigrams.T, lengths, lengths, True)  # dropout, which needs keys, is off
        return emissions.astype(ms.float32).transpose(1, 0, 2)


def parse_arguments(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False, native=False)
    parser.add_checkpoint_options(config_module, bilstm_ner_cfg, ())
    text = f"compare on {COMPARED} of its test sentences besides built-in ones"
    parser.add_argument("--data_path", metavar="DIR", help=text)
    return parse_export_arguments(parser, argv)


def samples_to_compare(args: Namespace, vocabulary: Vocabulary) -> list[Sample]:
    """Return sentences of many lengths, of one and of 500 characters among them, and test sentences."""
    sentences = [Sentence(list(text), [], []) for text in (TEXT[0], TEXT, TEXT * 20)]
    if args.data_path:
        corpus = read_corpus(find_file(args.data_path, "test"), scheme=vocabulary.scheme)
        sentences += corpus.sentences[:: -(-len(corpus) // COMPARED)]
    return encode(sentences, vocabulary)


def difference(
    exported: Run, samples: list[Sample], expected: list[np.ndarray], scores: tuple[np.ndarray, ...]
) -> float:
    """Return the largest difference of an exported file from the emissions (n, K) of each sample.

    It is relative to the largest emission of the sentence if that is above 1, and inf where the best paths differ.
    """
    scales = [max(1.0, float(np.abs(emissions).max())) for emissions in expected]

    def outputs(indices: list[int]) -> Iterator[np.ndarray]:
        batch = collate([samples[i] for i in indices], int(max(len(expected[i]) for i in indices)))
        rows = exported(*map(np.ascontiguousarray, (batch.characters.T, batch.bigrams.T, batch.lengths)))[0]
        for i, row, length in zip(indices, rows, batch.lengths):
            emissions = row[:length]
            if emissions.shape == expected[i].shape:
                paths = [viterbi(e[:, None], np.array([length]), *scores)[0] for e in (emissions, expected[i])]
                emissions = emissions if np.array_equal(*paths) else np.full_like(emissions, np.nan)
            yield emissions / scales[i]

    return largest_difference(outputs, [emissions / scale for emissions, scale in zip(expected, scales)])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse_arguments(argv)
    init_device(args.device_target, args.device_id, native=False)  # whose libraries are on this machine only
    network, config, vocabulary = load_trained(args.ckpt_path)
    samples, scores = samples_to_compare(args, vocabulary), path_scores(network, vocabulary)
    expected = Decoder(network, vocabulary, config).decoded(samples)

    def mindir(folder: Path) -> float:
        written = write_mindir(ExportedNet(network), dynamic_inputs()[:3], folder / "bilstm_ner.mindir")
        return difference(written, samples, expected, scores)

    def onnx(folder: Path) -> float:
        from src.onnx_export import build_onnx

        names = Inputs._fields[:3]
        return difference(write_onnx(build_onnx(network), folder / "bilstm_ner.onnx", names), samples, expected, scores)

    def save_company(folder: Path) -> None:
        np.savez(folder / "transitions.npz", **dict(zip(("transitions", "start", "end"), scores)))
        save_vocabulary(folder / "vocab.json", vocabulary)
        write_yaml(folder / "config.yaml", config)
        write_json(folder / "processing.json", {"units": config.units})

    lengths = lengths_of(samples)
    compared = f"on {len(samples)} sentences of {lengths.min()} to {lengths.max()} {config.units}, with the same paths"
    return export(args, {"MINDIR": mindir, "ONNX": onnx}, TOLERANCE, save_company, compared, ["text_units.py"])


if __name__ == "__main__":
    run(main)
