"""Export a checkpoint as MINDIR or ONNX, and compare each with the checkpoint before it takes its place."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src import config as config_module
from src.config import ctc_cfg
from src.dataset import pad
from src.features import feature_size, kaldi_arrays
from src.inference import Recognizer, load_trained
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.exporting import Run, export, largest_difference, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.files import write_json, write_yaml
from src.model_utils.runtime import init_device, run
from src.network import CTCNet, dynamic_inputs
from src.onnx_export import build_onnx
from src.preparation import load_samples

TOLERANCE = 1e-5  # largest difference of a probability
LENGTHS = (1, 2, 7, 30, 100, 101, 333)  # frames of the random utterances that are compared
COMPARED = 32  # real utterances that are compared where features are given


class ExportedNet(nn.Cell):
    """The network from features of any length to log-probabilities (B, T', V)."""

    def __init__(self, network: CTCNet):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Map frames (B, T, D), zero behind the lengths (B,), to log-probabilities; T' = T / subsampling rounded up."""
        count = self.network.subsampling
        if count > 1:
            batch, steps, size = frames.shape
            frames = ops.cat((frames, ops.zeros((batch, count - 1, size), ms.float32)), 1)
            frames = frames[:, : (steps + count - 1) // count * count]
        return self.network(frames, lengths, lengths, True).swapaxes(0, 1)  # dropout, which needs keys, is off


def parse_arguments(argv=None) -> Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__, native=False)
    parser.add_checkpoint_options(config_module, ctc_cfg, ())
    parser.add_argument("--preprocess_path", metavar="DIR", help=f"compare on {COMPARED} of its utterances, too")
    return parse_export_arguments(parser, argv)


def frames_to_compare(args: Namespace, config) -> list[np.ndarray]:
    """Return random utterances of many lengths, and real ones where there are any."""
    random = np.random.default_rng(0)
    frames = [random.standard_normal((length, feature_size(config)), np.float32) for length in LENGTHS]
    if args.preprocess_path:
        for split in ("test", "valid", "train"):
            real = load_samples(args.preprocess_path, split, missing_ok=True)
            if real:
                return frames + [real.frames(i) for i in range(0, len(real), -(-len(real) // COMPARED))]
    return frames


def write_processing(folder: Path, config) -> None:
    """Write what processing.py makes features with: processing.json and features.npz."""
    shift, arrays = kaldi_arrays(config)
    settings = {key: config[key] for key in ("sample_rate", "energy", "deltas")}
    write_json(folder / "processing.json", {**settings, "shift": shift, "normalize": config.cmvn != "none"})
    np.savez(folder / "features.npz", **arrays)


def main(argv=None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse_arguments(argv)
    init_device(args.device_target, args.device_id, native=False)  # whose libraries are on this machine only
    network, config, vocabulary = load_trained(args.ckpt_path)
    config = apply_settings(config, args, config_module, ())
    size = feature_size(config)
    frames = frames_to_compare(args, config)
    expected = [np.exp(log_probs) for log_probs in Recognizer(network, config, vocabulary).log_probs(frames)]
    cell, inputs = ExportedNet(network), dynamic_inputs(size)[:2]

    def difference(run: Run) -> float:
        def probabilities(indices: list[int]) -> list[np.ndarray]:
            padded, lengths = pad([frames[i] for i in indices], 1)
            log_probs = run(padded, lengths)[0]
            return [np.exp(log_probs[row, : len(expected[i])]) for row, i in enumerate(indices)]

        return largest_difference(probabilities, expected)

    def save_company(folder: Path) -> None:
        write_json(folder / "vocab.json", vocabulary)
        write_yaml(folder / "config.yaml", config)
        write_processing(folder, config)

    writers = {
        "MINDIR": lambda folder: difference(write_mindir(cell, inputs, folder / "ctc_lstm.mindir")),
        "ONNX": lambda folder: difference(write_onnx(build_onnx(network, size), folder / "ctc_lstm.onnx")),
    }
    steps = sorted(map(len, frames))
    compared = f"in probability on {len(frames)} utterances of {steps[0]} to {steps[-1]} frames"
    return export(args, writers, TOLERANCE, save_company, compared)


if __name__ == "__main__":
    run(main)
