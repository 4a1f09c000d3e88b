"""Score a checkpoint on a tagged file: of tags and of entities, which published numbers mix; and what went wrong."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from itertools import zip_longest

from src.dataset import encode
from src.inference import Decoder, add_checkpoint_options, apply_settings, load_trained
from src.metrics import entity_report, tag_report
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, atomic_write, init_device, log, run
from src.resume_ner import SPLITS, find_file, read_corpus, unseen_tags
from src.tagging import entities


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
    add_checkpoint_options(parser, "eval_batch_size", "on_bad_input")
    parser.add_argument("--data_path", metavar="DIR", help="folder of test.char.bmes, or a tagged file")
    parser.add_argument("--split", choices=list(SPLITS), default="test", help="file of the folder (default: test)")
    parser.add_argument("--lenient", action="store_true", help="leave bad sentences out and count them")
    parser.add_argument(
        "--errors", metavar="FILE", help="write the sentences with errors, gold and answer side by side"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    args = parser.parse_args(argv)
    if not args.data_path:
        raise UserError("--data_path is missing: the folder that holds test.char.bmes, or a tagged file")
    return args


def show(result: dict) -> None:
    """Print the metrics as tables."""
    print(f"\n{result['sentences']} sentences of {result['file']}, {result['sentences_per_second']:.0f} sentences/s")
    head = f"{'precision':>10}{'recall':>10}{'f1':>10}"
    print(f"\n{'':36}{head}")
    names = {
        "tag": "tags, weighted by support, with O",
        "entity": "entities, strict, micro average",
    }
    for key, name in names.items():
        print(f"{name:36}" + "".join(f"{result[key][score]:10.4f}" for score in ("precision", "recall", "f1")))
    print(f"\n{'entities of type':36}{head}{'gold':>7}{'answer':>7}")
    for kind, row in result["entity"]["types"].items():
        scores = "".join(f"{row[score]:10.4f}" for score in ("precision", "recall", "f1"))
        print(f"{kind:36}{scores}{row['gold']:7}{row['predicted']:7}")
    print("\nwrong: " + ", ".join(f"{kind} {count}" for kind, count in result["entity"]["errors"].items()))


def write_errors(path, corpus, answers) -> int:
    """Write the sentences whose entities are not all right: `character gold answer` a line; returns their number."""
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
                for name, entity in (("gold", missed), ("answer", spurious)):
                    if entity:
                        file.write(f"# {name}: {entity.type} {''.join(text[entity.start : entity.end])}\n")
            file.writelines(f"{c} {g} {a}\n" for c, g, a in zip(text, sentence.tags, answer))
            file.write("\n")
    return wrong


def main(argv=None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse(argv)
    with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
        init_device(args.device_target, args.device_id)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args)
        path = find_file(args.data_path, args.split)
        corpus = read_corpus(path, "skip" if args.lenient else config.on_bad_input, vocabulary.scheme)
        unseen = unseen_tags(corpus, vocabulary.tags)
        if unseen:
            log(f"warning: {path}: {', '.join(unseen)} not seen in training, so these cannot be predicted")
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
    if args.json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    else:
        show(result)
    return result


if __name__ == "__main__":
    run(main)
