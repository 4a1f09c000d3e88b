"""Score a checkpoint: phone error rate with its kinds of errors, accuracy, and the most frequent confusions."""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path

from src import config as config_module
from src.config import ctc_cfg
from src.corpus import read_split
from src.dataset import scored_labels, warn_of_unseen_labels
from src.inference import SETTINGS, Recognizer, load_ngram_of, load_trained
from src.manifest import read_groups
from src.metrics import score, score_groups
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.html_page import add_report_option, write_report
from src.model_utils.reporting import messages_to_stderr, print_result
from src.model_utils.runtime import UserError, init_device, log, run
from src.preparation import Samples, check_prepared, load_samples, write_samples
from src.report import STYLE, sections
from src.timit import scored
from src.utterance import SPLITS


def parse_arguments(argv=None) -> Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__)
    parser.add_checkpoint_options(config_module, ctc_cfg, SETTINGS)
    parser.add_argument("--data_path", metavar="DIR|FILE", help="as for train.py, or one manifest (.jsonl, .tsv)")
    parser.add_argument("--preprocess_path", metavar="DIR", help="folder of the features, used without --data_path")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: test")
    text = "most frequent errors of each kind to show (default: 10)"
    parser.add_argument("--confusions", type=int, default=10, metavar="N", help=text)
    text = "table of utterances and their groups, such as that of prepare_speechocean.sh; each group gets its rate"
    parser.add_argument("--groups", metavar="FILE", help=text)
    add_report_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    args = parser.parse_args(argv)
    if not args.data_path and not args.preprocess_path:
        raise UserError(
            "no utterances to evaluate: give --data_path DIR, or --preprocess_path DIR that train.py has filled"
        )
    if args.confusions < 0:
        raise UserError(f"--confusions {args.confusions}: choose 0 or more")
    return args


def read_samples(args: Namespace, config, folder: str) -> Samples | None:
    """Return the samples of the split to evaluate, from its features or from the corpus, by way of a folder."""
    if args.data_path:
        utterances = read_split(args.data_path, args.split, config)
        return write_samples(Path(folder) / f"{args.split}.mindrecord", utterances, config, progress="features")
    check_prepared(args.preprocess_path, config)
    return load_samples(args.preprocess_path, args.split)


def groups_of(samples: Samples, path: str) -> list[dict[str, str]]:
    """Return the groups of all samples; UserError naming one that the table leaves out."""
    groups = read_groups(Path(path))
    missing = next((name for name in map(samples.name, range(len(samples))) if name not in groups), None)
    if missing is not None:
        raise UserError(f"{path}: does not tell the groups of '{missing}'")
    return [groups[samples.name(i)] for i in range(len(samples))]


def show_table(result: dict) -> None:
    """Print the metrics as a table."""
    print(f"\n{result['utterances']} {result['split']} utterances, {result['frames_per_second']:.0f} frames/s")
    print(f"error rate   {100 * result['per']:7.2f} %  (accuracy {100 * result['accuracy']:.2f} %)")
    for kind in ("substitutions", "deletions", "insertions"):
        print(f"{kind:13}{100 * result[kind] / result['labels']:7.2f} %  {result[kind]} of {result['labels']} labels")
    print(f"{result['wrong_utterances']} utterances have an error")
    for title, errors in (
        ("label -> answer", [[f"{label} -> {answer}", count] for label, answer, count in result["confusions"]]),
        ("deleted", result["deleted"]),
        ("inserted", result["inserted"]),
    ):
        if errors:
            print(f"\n{title:16} count\n" + "\n".join(f"{error:16}{count:6}" for error, count in errors))
    for column, groups in result.get("groups", {}).items():
        print(f"\n{column:22} error rate  utterances  labels")
        for group, scores in groups.items():
            print(f"{group:22}{100 * scores['per']:9.2f} %{scores['utterances']:12}{scores['labels']:8}")


def main(argv=None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse_arguments(argv)
    with messages_to_stderr(args.json), tempfile.TemporaryDirectory() as folder:
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        samples = read_samples(args, config, folder)
        source = args.data_path or args.preprocess_path
        references = scored_labels(samples, config.phone_set) if samples else []
        if not any(references):
            raise UserError(f"{source}: has no labels to score")
        groups = groups_of(samples, args.groups) if args.groups else []
        log(f"{args.ckpt_path}: {len(samples)} {args.split} utterances of {source}")
        warn_of_unseen_labels(references, scored(vocabulary[1:], config.phone_set), source)
        recognizer = Recognizer(network, config, vocabulary, load_ngram_of(args.ckpt_path, config))
        recognizer.log_probs([samples.frames(0)])  # compiles, which is not part of the speed
        start = time.monotonic()
        answers = [scored(labels, config.phone_set) for labels in recognizer.labels(samples, "evaluation")]
        seconds = time.monotonic() - start
        result = {
            "checkpoint": str(args.ckpt_path),
            "split": args.split,
            "decoder": config.decoder,
            **score(references, answers, args.confusions),
            "frames_per_second": round(samples.lengths.sum() / seconds),
        }
        if groups:
            result["groups"] = score_groups(references, answers, groups)
        if args.report:
            parts = sections(result, references, answers, samples.name)
            title = f"ctc_lstm: {args.split} utterances"
            write_report(args.report, title, args.ckpt_path, config, "valid_per", parts, style=STYLE)
    print_result(result, args.json, show_table)
    return result


if __name__ == "__main__":
    run(main)
