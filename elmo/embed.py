"""Embed the sentences of a text file: HDF5 as `allennlp elmo` writes it, or NumPy, one array a sentence."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from src.data.sentences import add_text_options, count_lines, read_sentences
from src.inference import Embedder, add_model_options, load_model
from src.model_utils.configuration import Parser
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, init_device, run
from src.output_files import atomic_vectors, check_output_file

LAYERS = {"all": lambda layers: layers, "top": lambda layers: layers[-1], "average": lambda layers: layers.mean(0)}


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    add_model_options(parser)
    add_text_options(parser)
    parser.add_argument("--output_file", metavar="FILE", required=True, help="HDF5 file to write, or NumPy's .npz")
    parser.add_argument("--layers", choices=LAYERS, default="all", help="all (default), top, or their average")
    states = parser.add_mutually_exclusive_group()
    text = "let a sentence depend on those before it and on --batch_size, as the published programs do"
    states.add_argument("--stateful", action="store_true", help=text)
    states.add_argument("--stateless", action="store_true", help="let it depend on itself alone (default)")
    parser.add_argument("--forget_sentences", action="store_true", help="leave out sentence_to_index")
    args = parser.parse_args(argv)
    if Path(args.output_file).suffix == ".npy":
        raise UserError(f"{args.output_file}: one array has no room for many sentences; choose a name in .npz")
    return args


def main(argv: Sequence[str] | None = None) -> dict:
    """Embed as the command line says; returns the numbers of sentences and tokens and the tokens per second."""
    args = parse_arguments(argv)
    if not Path(args.input_file).exists():
        raise UserError(f"{args.input_file}: no such file")
    inputs = {f"--{name}": getattr(args, name) for name in ("input_file", "ckpt_path", "options_path")}
    check_output_file(args.output_file, **inputs)  # before all the work
    total = count_lines(args.input_file)
    init_device(args.device_target, args.device_id, native=args.native)
    network, options = load_model(args.ckpt_path, args.options_path)
    embedder = Embedder(network, options, args.batch_size, args.stateful)
    choose, tokens, first = LAYERS[args.layers], 0, 0
    begin = time.perf_counter()
    with (
        atomic_vectors(args.output_file) as vectors,
        tempfile.TemporaryFile(dir=Path(args.output_file).parent) as index,
        progress_bar(total, "embedding", " sentences") as bar,
    ):
        for sentences in read_sentences(args.input_file, args.tokenizer):
            for number, layers in embedder([words for _, words in sentences]):
                vectors.add(str(first + number), choose(layers))
                tokens += layers.shape[1]
                bar.update()
            if not args.forget_sentences:
                for number, (line, _) in enumerate(sentences, first):
                    index.write(f'{", " if number else "{"}{json.dumps(line)}: "{number}"'.encode())
            first += len(sentences)
        if not args.forget_sentences:
            index.write(b"}")
            vectors.add_text("sentence_to_index", index)
    rate = tokens / (time.perf_counter() - begin)
    print(f"{args.output_file}: {first} sentences, {tokens} tokens, {rate:.0f} tokens/s")
    return {"sentences": first, "tokens": tokens, "tokens_per_second": rate}


if __name__ == "__main__":
    run(main)
