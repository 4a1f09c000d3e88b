"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.dataset import Sample, encode, encode_reviews, pad, save_vocabulary, truncate
from src.imdb import read_reviews, tokenize
from src.inference import Classifier, add_checkpoint_options, apply_settings, load_trained
from src.metrics import log_softmax
from src.model_utils.configuration import Parser, write_yaml
from src.model_utils.runtime import UserError, init_device, log, run

FILES = {"MINDIR": "lstm.mindir", "ONNX": "lstm.onnx"}
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

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network
        words = Tensor(np.arange(network.embedding.vectors.shape[0], dtype=np.int32))
        self.table = Parameter(network.embedding.table(words), name="table")

    def construct(self, ids, lengths):
        """Map ids (B, T), padded on the right, and lengths (B,), both int32, to probabilities (B, C)."""
        x = ops.gather(self.table, ids.T, 0)  # (T, B, D)
        logits = self.network.classify(x, lengths, lengths, True)  # (B, C); dropout, which needs keys, is off
        return ops.softmax(logits.astype(ms.float32), 1)


def write_mindir(network: ExportedNet, path: Path):
    """Write the MINDIR file of any batch size and length; returns what maps ids and lengths to its probabilities.

    It holds the LSTM kernel of the device it is exported on, so it runs on devices of that kind only.
    """
    inputs = Tensor(shape=[None, None], dtype=ms.int32), Tensor(shape=[None], dtype=ms.int32)
    ms.export(network, *inputs, file_name=str(path), file_format="MINDIR")
    os.chmod(path, 0o644)
    loaded = nn.GraphCell(ms.load(str(path)))
    loaded.set_inputs(*inputs)  # else it would be compiled for every new shape
    return lambda ids, lengths: loaded(Tensor(ids), Tensor(lengths)).asnumpy()


def write_onnx(network: ExportedNet, path: Path):
    """Write the ONNX file of any batch size and length; returns what maps ids and lengths to its probabilities."""
    import onnxruntime

    from src.onnx_export import build_onnx

    path.write_bytes(build_onnx(network.network, network.table.asnumpy()).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda ids, lengths: session.run(None, {"ids": ids, "lengths": lengths})[0]


WRITERS = {"MINDIR": write_mindir, "ONNX": write_onnx}


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
    add_checkpoint_options(parser, "max_length", "truncation", "on_bad_file")
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    parser.add_argument("--formats", default="MINDIR,ONNX", metavar="LIST", help="default: MINDIR,ONNX")
    parser.add_argument(
        "--aclimdb_path", metavar="DIR", help=f"compare on {REVIEWS} of its test reviews besides built-in sentences"
    )
    args = parser.parse_args(argv)
    args.formats = list(dict.fromkeys(name.strip().upper() for name in args.formats.split(",")))
    for name in args.formats:
        if name not in FILES:
            raise UserError(f"--formats: unknown format '{name}'; choose from {', '.join(FILES)}")
    output, training = Path(args.output_dir).resolve(), Path(args.ckpt_path).resolve().parent
    if output != training and any(output.glob("*.ckpt")):
        raise UserError(f"{args.output_dir}: holds checkpoints of another training; choose another --output_dir")
    return args


def samples_to_compare(args, config, vocabulary: dict[str, int]) -> list[Sample]:
    """Return reviews of many lengths, cut as in training: the sentences, one of full length, and test reviews."""
    tokens = [tokenize(sentence) for sentence in SENTENCES]
    tokens.append(sum(tokens, []) * (1 + config.max_length // len(sum(tokens, []))))
    ids = [encode(words, vocabulary) for words in tokens]
    if args.aclimdb_path:
        reviews = read_reviews(args.aclimdb_path, "test", config.on_bad_file)
        samples = encode_reviews(reviews[:: -(-len(reviews) // REVIEWS)], vocabulary)
        ids += [sample.ids for sample in samples]
    return [Sample(truncate(sequence, config.max_length, config.truncation)) for sequence in ids]


def largest_difference(exported, samples: list[Sample], expected: np.ndarray) -> float:
    """Compare `exported` with the probabilities (N, C), on every sample alone and on all of them in one batch."""
    every = list(range(len(samples)))
    difference = 0.0
    for indices in [*([i] for i in every), every]:
        words, tokens, lengths = pad([samples[i].ids for i in indices])
        probabilities = exported(np.ascontiguousarray(words[tokens].T), lengths)
        if probabilities.shape != expected[indices].shape or not np.isfinite(probabilities).all():
            return float("inf")
        difference = max(difference, float(np.abs(probabilities - expected[indices]).max()))
    return difference


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse(argv)
    init_device(args.device_target, args.device_id)
    network, config, vocabulary = load_trained(args.ckpt_path)
    config = apply_settings(config, args)
    samples = samples_to_compare(args, config, vocabulary)
    expected = np.exp(log_softmax(Classifier(network, config).logits(samples)))
    exported = ExportedNet(network)
    exported.set_train(False)
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    differences = {}
    lengths = [len(sample.ids) for sample in samples]
    try:
        for name in args.formats:
            path = unfinished / FILES[name]
            differences[name] = largest_difference(WRITERS[name](exported, path), samples, expected)
            if not differences[name] <= TOLERANCE:
                raise SystemExit(
                    f"error: {name} differs from {args.ckpt_path} by {differences[name]:.1e}, more than"
                    f" {TOLERANCE:.0e}; nothing was exported"
                )
        save_vocabulary(output / "vocab.json", vocabulary)
        write_yaml(output / "config.yaml", config)
        for name in args.formats:
            os.replace(unfinished / FILES[name], output / FILES[name])
            log(
                f"{output / FILES[name]}: ok, differs by {differences[name]:.1e} at most from the checkpoint's"
                f" probabilities on {len(samples)} reviews of {min(lengths)} to {max(lengths)} tokens"
            )
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return differences


if __name__ == "__main__":
    run(main)
