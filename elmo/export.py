"""Export the embeddings of a biLM as MINDIR or ONNX, compared with those of the checkpoint before a file appears."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.data.token_indexer import sentence_inputs
from src.inference import Embedder, add_model_options, load_model
from src.mindir_export import ExportedElmo
from src.model_options import save_options
from src.model_utils.configuration import Parser
from src.model_utils.exporting import Run, export, largest_difference, parse_export_arguments, write_mindir, write_onnx
from src.model_utils.runtime import init_device, run
from src.onnx_export import build_onnx

TOLERANCE = 1e-5  # largest difference of a value
SENTENCES = (
    "Great !",
    "A waste of time .",
    "It is n't a good film , but I loved the music , the colours and the last scene .",
    "Counter-revolutionaries and antidisestablishmentarianism stay 50 bytes long at most ; 诗 and Größe do , too .",
)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__, config_file=False)
    add_model_options(parser)
    return parse_export_arguments(parser, argv)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Export as the command line says; returns the largest difference of each format from the checkpoint."""
    args = parse_arguments(argv)
    init_device(args.device_target, args.device_id, native=args.native)
    network, options = load_model(args.ckpt_path, args.options_path)
    sentences = [sentence.split() for sentence in SENTENCES]
    embeddings = dict(Embedder(network, options, len(sentences))(sentences))

    def difference(run_file: Run) -> float:
        def outputs(indices: list[int]) -> list[np.ndarray]:
            inputs = sentence_inputs([sentences[i] for i in indices], options.max_characters_per_token)
            (layers,) = run_file(*inputs)  # (L + 1, T, B, 2P)
            return [layers[:, 1 : 1 + len(sentences[i]), column] for column, i in enumerate(indices)]

        return largest_difference(outputs, [embeddings[i] for i in range(len(sentences))])

    def mindir(folder: Path) -> float:
        shapes = [None, None], [None, None], [None]
        inputs = [Tensor(shape=shape, dtype=ms.int32) for shape in shapes]
        return difference(write_mindir(ExportedElmo(network), inputs, folder / "elmo.mindir"))

    def onnx(folder: Path) -> float:
        return difference(write_onnx(build_onnx(network), folder / "elmo.onnx"))

    def save_company(folder: Path) -> None:
        save_options(folder / "options.json", options)

    compared, modules = f"on {len(SENTENCES)} sentences", ["data/token_indexer.py"]
    return export(args, {"MINDIR": mindir, "ONNX": onnx}, TOLERANCE, save_company, compared, modules)


if __name__ == "__main__":
    run(main)
