"""Convert weights of the published HDF5 format (bilm-tf, allennlp) to a checkpoint, or a checkpoint to that format."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from src.inference import load_model
from src.model_options import free_options_path, save_options
from src.model_utils.checkpoint import save_checkpoint
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, init_device, run
from src.published_weights import write_weights


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False, device=False)
    parser.add_argument("--input", metavar="FILE", required=True, help="weights to read: .hdf5 or .ckpt")
    parser.add_argument("--output", metavar="FILE", required=True, help="weights to write, in the other format")
    parser.add_argument("--options_path", metavar="FILE", help="options.json (default: the one beside --input)")
    args = parser.parse_args(argv)
    suffixes = {Path(args.input).suffix, Path(args.output).suffix}
    if suffixes != {".hdf5", ".ckpt"}:
        raise UserError(f"--input {args.input} --output {args.output}: one must end in .hdf5, the other in .ckpt")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Convert as the command line says, and write the options beside the output; returns the number of weights."""
    args = parse_arguments(argv)
    init_device("CPU")
    network, options = load_model(args.input, args.options_path)
    options_path = free_options_path(args.output, options)
    weights = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    if args.output.endswith(".ckpt"):
        save_checkpoint(args.output, network.get_parameters())
    else:
        write_weights(args.output, weights, options)
    if not options_path.exists():
        save_options(options_path, options)
    count = sum(values.size for values in weights.values())
    print(f"{args.output}: {len(weights)} arrays, {count} weights; options in {options_path}")
    return count


if __name__ == "__main__":
    run(main)
