"""Score a checkpoint on a tagged file: tags and entities, which published numbers mix, and what went wrong."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from src import config as config_module
from src.config import bilstm_ner_cfg
from src.dataset import encode
from src.inference import SETTINGS, Decoder, load_trained
from src.metrics import entity_report, tag_report
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.files import atomic_write, output_file
from src.model_utils.html_page import add_report_option, write_report
from src.model_utils.reporting import messages_to_stderr, print_result
from src.model_utils.runtime import UserError, init_device, log, run
from src.report import sections, style
from src.resume_ner import SPLITS, Corpus, find_file, read_corpus, warn_of_unseen_tags
from src.tagging import entities
from src.text_units import WORDS


def parse_arguments(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("--data_path", metavar="DIR", help="folder of test.char.bmes, or a tagged file")
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="file of the folder (default: test)")
    parser.add_argument("--lenient", action="store_true", help="the same as --on_bad_input skip")
    text = "write the sentences with errors, gold and predicted tags side by side"
    parser.add_argument("--errors", type=output_file, metavar="FILE", help=text)
    add_report_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    parser.add_checkpoint_options(config_module, bilstm_ner_cfg, SETTINGS)
    args = parser.parse_args(argv)
    if args.lenient:
        args.on_bad_input = "skip"
    if not args.data_path:
        raise UserError("--data_path is missing: the folder that holds test.char.bmes, or a tagged file")
    return args


def show(result: dict) -> None:
    """Print the metrics as tables."""
    print(f"\n{result['sentences']} sentences of {result['file']}, {result['sentences_per_second']:.0f} sentences/s")
    head = f"{'precision':>10}{'recall':>10}{'f1':>10}"
    print(f"\n{'':36}{head}")
    for key, name in (("tag", "tags, weighted by support, with O"), ("entity", "entities, strict, micro average")):
        print(f"{name:36}" + "".join(f"{result[key][score]:10.4f}" for score in ("precision", "recall", "f1")))
    print(f"\n{'entities of type':36}{head}{'gold':>7}{'predicted':>10}")
    for kind, row in result["entity"]["types"].items():
        scores = "".join(f"{row[score]:10.4f}" for score in ("precision", "recall", "f1"))
        print(f"{kind:36}{scores}{row['gold']:7}{row['predicted']:10}")
    print("\nwrong: " + ", ".join(f"{kind} {count}" for kind, count in result["entity"]["errors"].items()))


def write_errors(path: Path, corpus: Corpus, answers: list[list[str]]) -> int:
    """Write the sentences whose entities are not all right, `character gold predicted` a line; returns their number."""
    wrong = 0
    with atomic_write(path) as file:
        for sentence, answer in zip(corpus.sentences, answers):
            gold, predicted = (set(entities(tags, corpus.scheme)) for tags in (sentence.tags, answer))
            if gold == predicted:
                continue
            wrong += 1
            text = sentence.characters
            pairs = zip_longest(*(sorted(s, key=lambda e: e.start) for s in (gold - predicted, predicted - gold)))
            file.write(f"# line {sentence.lines[0]}\n")
            for missed, spurious in pairs:
                for name, entity in (("gold", missed), ("predicted", spurious)):
                    if entity:
                        file.write(f"# {name}: {entity.type} {''.join(text[entity.start : entity.end])}\n")
            file.writelines(f"{c} {g} {a}\n" for c, g, a in zip(text, sentence.tags, answer))
            file.write("\n")
    return wrong


def main(argv: Sequence[str] | None = None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse_arguments(argv)
    with messages_to_stderr(args.json):
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        path = find_file(args.data_path, args.split)
        if args.errors and args.errors.exists() and path.samefile(args.errors):
            raise UserError(f"--errors {args.errors}: is the file that is scored; choose another")
        corpus = read_corpus(path, config.on_bad_input, vocabulary.scheme)
        warn_of_unseen_tags(path, corpus.tags, vocabulary.tags)
        if not corpus.has_entities:
            log(f"warning: {path}: holds no entity, so the scores of entities are 0")
        samples = encode(corpus.sentences, vocabulary)
        decoder = Decoder(network, vocabulary, config)
        decoder(samples)  # compiles, and makes the kernels of every shape, which is not part of the speed
        start = time.perf_counter()
        answers = decoder(samples, "evaluation")
        seconds = time.perf_counter() - start
        gold = [sentence.tags for sentence in corpus.sentences]
        result = {
            "checkpoint": str(args.ckpt_path),
            "file": str(path),
            "sentences": len(corpus),
            "skipped": corpus.skipped,
            "tag": tag_report(gold, answers),
            "entity": entity_report(gold, answers, corpus.scheme),
            "sentences_per_second": round(len(corpus) / seconds, 1),
        }
        if args.errors:
            result["sentences_with_errors"] = write_errors(args.errors, corpus, answers)
            log(f"{args.errors}: {result['sentences_with_errors']} sentences with errors")
        if args.report:
            parts = sections(result, corpus, answers, " " if config.units == WORDS else "")
            title = f"bilstm_ner: named entities of {path.name}"
            write_report(args.report, title, args.ckpt_path, config, "valid_entity_f1", parts, style=style(result))
    print_result(result, args.json, show)
    return result


if __name__ == "__main__":
    run(main)
