"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place."""

from __future__ import annotations

import argparse
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src import config as config_module
from src.config import lstm_cfg
from src.dataset import Sample, encode_reviews, pad, truncate
from src.imdb import read_reviews
from src.inference import SENTIMENTS, SETTINGS, Classifier, load_trained
from src.metrics import log_softmax
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.exporting import Run, export, largest_difference, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.files import write_json, write_yaml
from src.model_utils.runtime import init_device, run
from src.network import SentimentNet
from src.onnx_export import build_onnx
from src.preparation import encode, save_vocabulary
from src.tokenizer import tokenize

TOLERANCE = 1e-5  # largest difference of a probability
SENTENCES = (
    "Great!",
    "A waste of time.",
    "It isn't a good film, but I loved the music and the last scene.",
    "I can't remember when I last saw such a boring film. The actors were bad, the story was worse, and 2/10 is kind.",
)
REVIEWS = 64  # compared where a corpus is given


class ExportedNet(nn.Cell):
    """The network from plain ids to probabilities, with the finished vector of every word in one table (V, D)."""

    def __init__(self, network: SentimentNet):
        super().__init__(auto_prefix=False)
        self.network = network
        words = Tensor(np.arange(network.embedding.vectors.shape[0], dtype=np.int32))
        self.table = Parameter(network.embedding.table(words), name="table")

    def construct(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map ids (B, T), padded on the right, and lengths (B,), both int32, to probabilities (B, C)."""
        x = ops.gather(self.table, ids.T, 0)  # (T, B, D)
        logits = self.network.classify(x, lengths, lengths, True)  # (B, C); dropout, which needs keys, is off
        return ops.softmax(logits.astype(ms.float32), 1)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, native=False)
    parser.add_checkpoint_options(config_module, lstm_cfg, SETTINGS[1:])  # no eval_batch_size: nothing is evaluated
    parser.add_argument("--aclimdb_path", metavar="DIR", help=f"compare on {REVIEWS} of its test reviews, too")
    return parse_export_arguments(parser, argv)


def samples_to_compare(aclimdb_path: str | None, config, vocabulary: dict[str, int]) -> list[Sample]:
    """Return reviews of many lengths, cut as in training: the sentences, one of full length, and test reviews."""
    tokens = [tokenize(sentence) for sentence in SENTENCES]
    tokens.append(sum(tokens, []) * (1 + config.max_length // len(sum(tokens, []))))
    ids = [encode(words, vocabulary) for words in tokens]
    if aclimdb_path:
        reviews = read_reviews(aclimdb_path, "test", config.on_bad_input)
        samples = encode_reviews(reviews[:: -(-len(reviews) // REVIEWS)], vocabulary)
        ids += [sample.ids for sample in samples]
    return [Sample(truncate(sequence, config.max_length, config.truncation)) for sequence in ids]


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse_arguments(argv)
    init_device(args.device_target, args.device_id, native=False)  # whose libraries are on this machine only
    network, config, vocabulary = load_trained(args.ckpt_path)
    config = apply_settings(config, args, config_module, SETTINGS)
    samples = samples_to_compare(args.aclimdb_path, config, vocabulary)
    expected = np.exp(log_softmax(Classifier(network, config).logits(samples)))
    exported = ExportedNet(network)

    def difference(answer: Run) -> float:
        def probabilities(indices: list[int]) -> np.ndarray:
            words, tokens, lengths = pad([samples[i].ids for i in indices])
            return answer(np.ascontiguousarray(words[tokens].T), lengths)[0]

        return largest_difference(probabilities, expected)

    def to_mindir(folder: Path) -> float:
        inputs = Tensor(shape=[None, None], dtype=ms.int32), Tensor(shape=[None], dtype=ms.int32)
        return difference(write_mindir(exported, inputs, folder / "lstm.mindir"))

    def to_onnx(folder: Path) -> float:
        return difference(write_onnx(build_onnx(network, exported.table.asnumpy()), folder / "lstm.onnx"))

    def save_company(folder: Path) -> None:
        save_vocabulary(folder / "vocab.json", vocabulary)
        write_yaml(folder / "config.yaml", config)
        head = config.max_length if config.truncation == "head" else config.max_length // 2
        settings = {"labels": SENTIMENTS, "head": head, "tail": config.max_length - head}
        write_json(folder / "processing.json", settings)

    lengths = [len(sample.ids) for sample in samples]
    compared = f"in the probabilities of {len(samples)} reviews of {min(lengths)} to {max(lengths)} tokens"
    return export(args, {"MINDIR": to_mindir, "ONNX": to_onnx}, TOLERANCE, save_company, compared, ["tokenizer.py"])


if __name__ == "__main__":
    run(main)
