"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.dataset import pad_frames, save_vocabulary
from src.features import feature_size
from src.inference import Recognizer, add_checkpoint_options, apply_settings, load_trained
from src.model_utils.configuration import Parser, write_yaml
from src.model_utils.runtime import UserError, init_device, log, run
from src.network import CTCNet, output_lengths
from src.preparation import load_samples

FILES = {"MINDIR": "ctc_lstm.mindir", "ONNX": "ctc_lstm.onnx"}
TOLERANCE = 1e-5  # largest difference of a probability
LENGTHS = (1, 2, 7, 30, 100, 101, 333)  # frames of the random utterances that are compared
COMPARED = 32  # real utterances that are compared where features are given


class ExportedNet(nn.Cell):
    """The network from features of any length to log-probabilities (B, T', V)."""

    def __init__(self, network: CTCNet):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, frames, lengths):
        """Map frames (B, T, D), zero behind the lengths (B,), to log-probabilities; T' = T / subsampling rounded up."""
        count = self.network.subsampling
        if count > 1:
            batch, steps, size = frames.shape
            frames = ops.cat((frames, ops.zeros((batch, count - 1, size), ms.float32)), 1)
            frames = frames[:, : (steps + count - 1) // count * count]
        return self.network(frames, lengths, lengths, True).swapaxes(0, 1)  # dropout, which needs keys, is off


def write_mindir(network: ExportedNet, size: int, path: Path):
    """Write the MINDIR file of any batch size and length; returns what maps frames and lengths to its output.

    It holds the LSTM kernel of the device it is exported on, so it runs on devices of that kind only.
    """
    inputs = Tensor(shape=[None, None, size], dtype=ms.float32), Tensor(shape=[None], dtype=ms.int32)
    ms.export(network, *inputs, file_name=str(path), file_format="MINDIR")
    os.chmod(path, 0o644)
    loaded = nn.GraphCell(ms.load(str(path)))
    loaded.set_inputs(*inputs)  # else it would be compiled for every new shape
    return lambda frames, lengths: loaded(Tensor(frames), Tensor(lengths)).asnumpy()


def write_onnx(network: ExportedNet, size: int, path: Path):
    """Write the ONNX file of any batch size and length; returns what maps frames and lengths to its output."""
    import onnxruntime

    from src.onnx_export import build_onnx

    path.write_bytes(build_onnx(network.network, size).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda frames, lengths: session.run(None, {"frames": frames, "lengths": lengths})[0]


WRITERS = {"MINDIR": write_mindir, "ONNX": write_onnx}


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
    add_checkpoint_options(parser)
    parser.add_argument("--output_dir", metavar="DIR", default="./export", help="where to (default: ./export)")
    parser.add_argument("--formats", default="MINDIR,ONNX", metavar="LIST", help="default: MINDIR,ONNX")
    parser.add_argument(
        "--preprocess_path", metavar="DIR", help=f"compare on {COMPARED} of its utterances besides random ones"
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


def frames_to_compare(args, config) -> list[np.ndarray]:
    """Return random utterances of many lengths, and real ones where there are any."""
    random = np.random.default_rng(0)
    frames = [random.standard_normal((length, feature_size(config)), np.float32) for length in LENGTHS]
    if args.preprocess_path:
        for split in ("test", "valid", "train"):
            real = [sample.frames for sample in load_samples(args.preprocess_path, split, missing_ok=True)]
            if real:
                return frames + real[:: -(-len(real) // COMPARED)]
    return frames


def largest_difference(exported, frames: list[np.ndarray], expected: list[np.ndarray], config) -> float:
    """Compare the probabilities of `exported` with the expected log ones, each utterance alone and all at once."""
    difference = 0.0
    for chosen in [*([i] for i in range(len(frames))), list(range(len(frames)))]:
        padded, lengths = pad_frames([frames[i] for i in chosen], 1)
        log_probs = exported(padded, lengths)
        for row, i in enumerate(chosen):
            real = log_probs[row, : output_lengths(len(frames[i]), config.front_end)]
            if real.shape != expected[i].shape or not np.isfinite(real).all():
                return float("inf")
            difference = max(difference, float(np.abs(np.exp(real) - np.exp(expected[i])).max()))
    return difference


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse(argv)
    init_device(args.device_target, args.device_id)
    network, config, vocabulary = load_trained(args.ckpt_path)
    config = apply_settings(config, args)
    frames = frames_to_compare(args, config)
    expected = Recognizer(network, config, vocabulary).log_probs(frames)
    exported = ExportedNet(network)
    exported.set_train(False)
    output = Path(args.output_dir)
    unfinished = output / f".unfinished-{os.getpid()}"
    unfinished.mkdir(parents=True)
    differences = {}
    try:
        for name in args.formats:
            path = unfinished / FILES[name]
            compute = WRITERS[name](exported, feature_size(config), path)
            differences[name] = largest_difference(compute, frames, expected, config)
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
                f" probabilities on {len(frames)} utterances of {min(map(len, frames))} to"
                f" {max(map(len, frames))} frames"
            )
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return differences


if __name__ == "__main__":
    run(main)
