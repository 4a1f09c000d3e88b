"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place.

The files hold the network up to the emissions; the best path is then found by src/decoding.py, which needs NumPy only,
with the transitions in transitions.npz.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.dataset import Sample, Vocabulary, collate, encode, lengths_of, save_vocabulary
from src.decoding import viterbi
from src.inference import Decoder, add_checkpoint_options, load_trained, path_scores
from src.model_utils.configuration import Parser, write_yaml
from src.model_utils.runtime import UserError, init_device, log, run
from src.resume_ner import Sentence, find_file, read_corpus

FILES = {"MINDIR": "bilstm_ner.mindir", "ONNX": "bilstm_ner.onnx"}
TOLERANCE = 1e-5  # largest difference of an emission, relative to the largest emission if that is above 1
TEXT = "常建良，男，1963年出生，工科学士，高级工程师。"
COMPARED = 64  # sentences, where a corpus is given


class ExportedNet(nn.Cell):
    """The network from ids to emissions, batch first."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, characters, bigrams, lengths):
        """Map characters (B, T), bigrams (B, T + 1) and lengths (B,), all int32, to emissions (B, T, K)."""
        emissions = self.network(characters.T, bigrams.T, lengths, lengths, True)  # dropout, which needs keys, is off
        return emissions.astype(ms.float32).transpose(1, 0, 2)


def write_mindir(network: ExportedNet, path: Path):
    """Write the MINDIR file of any batch size and length; returns what maps the three inputs to its emissions.

    It holds the LSTM kernel of the device it is exported on, so it runs on devices of that kind only.
    """
    inputs = [Tensor(shape=shape, dtype=ms.int32) for shape in ([None, None], [None, None], [None])]
    ms.export(network, *inputs, file_name=str(path), file_format="MINDIR")
    os.chmod(path, 0o644)
    loaded = nn.GraphCell(ms.load(str(path)))
    loaded.set_inputs(*inputs)  # else it would be compiled for every new shape
    return lambda *arrays: loaded(*map(Tensor, arrays)).asnumpy()


def write_onnx(network: ExportedNet, path: Path):
    """Write the ONNX file of any batch size and length; returns what maps the three inputs to its emissions."""
    import onnxruntime

    from src.onnx_export import build_onnx

    path.write_bytes(build_onnx(network.network).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = {argument.name for argument in session.get_inputs()}

    def emissions(*arrays):
        inputs = zip(("characters", "bigrams", "lengths"), arrays)
        return session.run(None, {name: array for name, array in inputs if name in names})[0]

    return emissions


WRITERS = {"MINDIR": write_mindir, "ONNX": write_onnx}


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    add_checkpoint_options(parser)
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    parser.add_argument("--formats", default="MINDIR,ONNX", metavar="LIST", help="default: MINDIR,ONNX")
    parser.add_argument(
        "--data_path", metavar="DIR", help=f"compare on {COMPARED} of its test sentences besides built-in ones"
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


def samples_to_compare(args, vocabulary: Vocabulary) -> list[Sample]:
    """Return sentences of many lengths, of one and of 500 characters among them, and test sentences."""
    sentences = [Sentence(list(text), [], []) for text in (TEXT[0], TEXT, TEXT * 20)]
    if args.data_path:
        corpus = read_corpus(find_file(args.data_path, "test"), scheme=vocabulary.scheme)
        sentences += corpus.sentences[:: -(-len(corpus) // COMPARED)]
    return encode(sentences, vocabulary)


def largest_difference(exported, samples: list[Sample], expected: list[np.ndarray], scores) -> float:
    """Compare `exported` with the emissions (n, K) of each sample, alone and in one batch; inf where paths differ."""
    every, difference = range(len(samples)), 0.0
    for chosen in [*([i] for i in every), list(every)]:
        batch = collate([samples[i] for i in chosen], int(lengths_of([samples[i] for i in chosen]).max()))
        lengths = batch.lengths
        rows = exported(np.ascontiguousarray(batch.characters.T), np.ascontiguousarray(batch.bigrams.T), lengths)
        for row, i in enumerate(chosen):
            emissions = rows[row, : lengths[row]]
            if emissions.shape != expected[i].shape or not np.isfinite(emissions).all():
                return float("inf")
            size = max(1.0, float(np.abs(expected[i]).max()))
            difference = max(difference, float(np.abs(emissions - expected[i]).max()) / size)
            paths = [viterbi(e[:, None], lengths[[row]], *scores)[0][0] for e in (emissions, expected[i])]
            if not np.array_equal(*paths):
                return float("inf")
    return difference


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse(argv)
    init_device(args.device_target, args.device_id)
    network, config, vocabulary = load_trained(args.ckpt_path)
    samples = samples_to_compare(args, vocabulary)
    expected: list = [None] * len(samples)
    for indices, emissions, lengths in Decoder(network, vocabulary, config).emissions(samples):
        for column, i in enumerate(indices):
            expected[i] = emissions[: lengths[column], column]
    lengths = lengths_of(samples)
    exported, scores = ExportedNet(network), path_scores(network, vocabulary)
    exported.set_train(False)
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    differences = {}
    try:
        for name in args.formats:
            path = unfinished / FILES[name]
            differences[name] = largest_difference(WRITERS[name](exported, path), samples, expected, scores)
            if not differences[name] <= TOLERANCE:
                raise SystemExit(
                    f"error: {name} differs from {args.ckpt_path} by {differences[name]:.1e}, more than"
                    f" {TOLERANCE:.0e}; nothing was exported"
                )
        np.savez(unfinished / "transitions.npz", **dict(zip(("transitions", "start", "end"), scores)))
        save_vocabulary(output / "vocab.json", vocabulary)
        write_yaml(output / "config.yaml", config)
        os.replace(unfinished / "transitions.npz", output / "transitions.npz")
        for name in args.formats:
            os.replace(unfinished / FILES[name], output / FILES[name])
            log(
                f"{output / FILES[name]}: ok, emissions differ by {differences[name]:.1e} at most from the checkpoint's"
                f" on {len(samples)} sentences of {lengths.min()} to {lengths.max()} {config.units}, the best"
                " paths are the same"
            )
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return differences


if __name__ == "__main__":
    run(main)
