"""Score a checkpoint by sacreBLEU: BLEU cased and lower-cased, chrF, perplexity, and BLEU by the source's length."""

from __future__ import annotations

import time
from argparse import Namespace

from src import config as config_module
from src.inference import SETTINGS, Translator, add_checkpoint_options, load_trained
from src.metrics import NAMES, bleu_by_length, translation_scores, words_of
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.files import atomic_write, output_file
from src.model_utils.html_page import add_report_option, write_report
from src.model_utils.reporting import messages_to_stderr, print_result
from src.model_utils.runtime import UserError, init_device, log, run
from src.multi30k import SPLITS, read_pairs
from src.report import sections


def parse_arguments(argv=None) -> Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__)
    add_checkpoint_options(parser)
    parser.add_argument("--data_dir", metavar="DIR", help="folder of test.de and test.en, or of other --split files")
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="files of the folder (default: test)")
    text = "write source, translation and reference, tabs between them"
    parser.add_argument("--output", type=output_file, metavar="FILE", help=text)
    add_report_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    args = parser.parse_args(argv)
    if not args.data_dir:
        raise UserError("--data_dir is missing: the folder that holds the texts, such as test.de and test.en")
    return args


def show_table(result: dict) -> None:
    """Print the metrics as tables."""
    print(f"\n{result['sentences']} {result['split']} sentences, {result['sentences_per_second']:.0f} sentences/s")
    for key, name in NAMES.items():
        print(f"{name:20}{result[key]:8.2f}   {result[f'{key}_signature']}")
    print(f"{'perplexity':20}{result['perplexity']:8.2f}")
    precisions = "/".join(f"{value:.1f}" for value in result["precisions"])
    print(f"n-gram precisions {precisions}, brevity penalty {result['brevity_penalty']:.3f}")
    print(f"\n{'words of the source':20}{'sentences':>10}{'BLEU':>8}")
    for group in result["bleu_by_length"]:
        print(f"{words_of(group):20}{group['sentences']:10}{group['bleu']:8.2f}")


def write_texts(path, *columns: list[str]) -> None:
    """Write texts side by side, a row a line; a tab within one of them becomes a blank, which is counted."""
    with atomic_write(path) as file:
        file.writelines("\t".join(text.replace("\t", " ") for text in row) + "\n" for row in zip(*columns))
    tabs = sum("\t" in text for column in columns for text in column)
    log(f"{path}: source, translation and reference of {len(columns[0])} sentences")
    if tabs:
        log(f"warning: {path}: blanks stand for the tabs within {tabs} texts")


def main(argv=None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse_arguments(argv)
    with messages_to_stderr(args.json):
        init_device(args.device_target, args.device_id, native=args.native)
        network, tokenizers, config = load_trained(args.ckpt_path, args.average)
        config = apply_settings(config, args, config_module, SETTINGS)
        pairs = read_pairs(args.data_dir, args.split, config.source, config.target, config.on_bad_input)
        log(f"{args.ckpt_path}: {len(pairs)} {args.split} sentences of {args.data_dir}, beam {config.beam_size}")
        translator = Translator(network, tokenizers, config)
        translator.compile_for(pairs.sources)  # which is not part of the speed
        start = time.monotonic()
        translations = [best.text for best, *_ in translator.translate(pairs.sources, progress="evaluation")]
        seconds = time.monotonic() - start
        result = {
            "checkpoint": str(args.ckpt_path),
            "average": args.average,
            "split": args.split,
            "sentences": len(pairs),
            "beam_size": config.beam_size,
            "length_penalty": config.length_penalty,
            **translation_scores(translations, pairs.targets),
            "perplexity": translator.perplexity(pairs.sources, pairs.targets, "perplexity"),
            "bleu_by_length": bleu_by_length(pairs.sources, translations, pairs.targets),
            "sentences_per_second": round(len(pairs) / seconds, 1),
        }
        if args.output:
            write_texts(args.output, pairs.sources, translations, pairs.targets)
        if args.report:
            parts = sections(result, pairs.sources, translations, pairs.targets)
            title = f"gru_seq2seq: {config.source} to {config.target}, {args.split} sentences"
            write_report(args.report, title, args.ckpt_path, config, "valid_bleu", parts)
    print_result(result, args.json, show_table)
    return result


if __name__ == "__main__":
    run(main)
