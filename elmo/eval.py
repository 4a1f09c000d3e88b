"""Score a checkpoint on held-out text: exact perplexity forward, backward and of both, and tokens per second."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from src import config as config_module
from src.data.reader import Corpus, convert
from src.data.tokenizer import add_tokenizer_option
from src.inference import load_trained
from src.metrics import Evaluator, HardestText
from src.model_utils.configuration import Parser, at_least
from src.model_utils.html_page import add_report_option, write_report
from src.model_utils.reporting import messages_to_stderr, print_result
from src.model_utils.runtime import UserError, init_device, log, run
from src.report import STYLE, sections

PARTS = ("heldout", "valid", "train")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    parser.add_argument("--ckpt_path", metavar="FILE", required=True, help="checkpoint of train.py")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--data_url", "--preprocess_path", metavar="DIR|FILE", help="folder of convert_dataset.sh, or a .mindrecord"
    )
    source.add_argument("--input_file", metavar="FILE|DIR", help="text, instead of converted text")
    parser.add_argument("--split", choices=PARTS, default="heldout", help="part of the folder (default: heldout)")
    add_tokenizer_option(parser)
    parser.add_argument(
        "--eval_batch_size",
        type=at_least(1),
        default=config_module.elmo_cfg.eval_batch_size,
        metavar="N",
        help="rows that the text is divided into, each of which starts without a context (default: %(default)s)",
    )
    add_report_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    args = parser.parse_args(argv)
    if not args.data_url and not args.input_file:
        raise UserError("no text given: --data_url DIR of script/convert_dataset.sh, or --input_file with text")
    return args


def read_corpus(args, vocabulary, options, folder) -> Corpus:
    """Return the text to score, converted into `folder` first where it is plain."""
    if args.input_file:
        target = Path(folder) / "text.mindrecord"
        convert(args.input_file, target, vocabulary, options.max_characters_per_token, args.tokenizer, 10**7)
        return Corpus(target, vocabulary)
    path = Path(args.data_url)
    return Corpus(path / f"{args.split}.mindrecord" if path.is_dir() else path, vocabulary)


def show_table(result: dict) -> None:
    """Print the result for people."""
    print(f"\n{result['tokens']} words and ends of sentences, {100 * result['unknown']:.2f} % of the words <UNK>")
    for key, name in (("_forward", "forward"), ("_backward", "backward"), ("", "both")):
        print(f"perplexity {name:9}{result['perplexity' + key]:10.2f}")
    print(f"{result['tokens_per_second'] or 'too few'} tokens/s")


def main(argv: Sequence[str] | None = None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse_arguments(argv)
    with messages_to_stderr(args.json):
        init_device(args.device_target, args.device_id, native=args.native)
        model, options, vocabulary = load_trained(args.ckpt_path)
        with tempfile.TemporaryDirectory() as folder:
            corpus = read_corpus(args, vocabulary, options, folder)
            text = args.input_file or corpus.path
            counts = corpus.counts
            log(f"{text}: {counts['documents']} documents, {counts['sentences']} sentences, {counts['words']} words")
            multiples = config_module.elmo_cfg.short_words_multiple, config_module.elmo_cfg.long_words_multiple
            evaluator = Evaluator(
                model=model, vocabulary=vocabulary, options=options, rows=args.eval_batch_size, multiples=multiples
            )
            hardest = HardestText(vocabulary) if args.report else None
            scores = evaluator.perplexity(corpus, hardest, "evaluation")
            result = {"checkpoint": str(args.ckpt_path), "text": str(text), **scores}
            result["unknown"] = counts["unknown"] / counts["words"]
        if args.report:
            parts = sections(result, hardest)
            title = "elmo: perplexity of held-out text"
            write_report(args.report, title, args.ckpt_path, vars(options), "valid_perplexity", parts, style=STYLE)
    print_result(result, args.json, show_table)
    return result


if __name__ == "__main__":
    run(main)
