"""Convert text to MindRecord: words as ids of a vocabulary, in shards that are read one at a time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from src.data.reader import convert
from src.data.tokenizer import add_tokenizer_option
from src.data.vocabulary import load_vocabulary
from src.model_options import load_options
from src.model_utils.configuration import Parser, at_least
from src.model_utils.runtime import run
from src.output_files import check_output_file


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False, device=False)
    parser.add_argument("--vocab_path", metavar="FILE", required=True, help="vocabulary of script/build_vocab.sh")
    parser.add_argument("--options_path", metavar="FILE", required=True, help="options.json, or the name of a preset")
    parser.add_argument("--input_file", metavar="FILE|DIR", required=True, help="text file, or folder of text files")
    parser.add_argument("--output_file", metavar="FILE", required=True, help="MindRecord file to write")
    add_tokenizer_option(parser)
    parser.add_argument("--shard_tokens", type=at_least(1), default=1_000_000, metavar="N", help="tokens of a shard")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict:
    """Convert as the command line says; returns the counts."""
    args = parse_arguments(argv)
    check_output_file(args.output_file, **{"--input_file": args.input_file, "--vocab_path": args.vocab_path})
    vocabulary = load_vocabulary(args.vocab_path)
    width = load_options(args.options_path, len(vocabulary)).max_characters_per_token
    counts = convert(args.input_file, args.output_file, vocabulary, width, args.tokenizer, args.shard_tokens)
    divided = f" ({counts['divided']} divided among shards)" if counts["divided"] else ""
    print(
        f"{Path(args.output_file)}: {counts['documents']} documents{divided}, {counts['sentences']} sentences,"
        f" {counts['words']} words ({100 * counts['unknown'] / counts['words']:.2f} % <UNK>, {counts['cut']} cut to"
        f" {width - 2} bytes), {counts['tokens']} tokens with <S> and </S>, {len(counts['shard_tokens'])} shards"
    )
    return counts


if __name__ == "__main__":
    run(main)
