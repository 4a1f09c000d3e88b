"""Score a checkpoint on labelled reviews: accuracy, F1, ROC AUC, loss, and the reviews it is most wrong about."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from src import config as config_module
from src.config import lstm_cfg
from src.dataset import Sample, Samples, labels_of, load_samples, split_train
from src.explain import Explainer
from src.imdb import LABELS, stream_reviews, tokenize
from src.inference import SETTINGS, Classifier, beginning, load_trained
from src.metrics import classification_report, log_softmax
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.files import read_text
from src.model_utils.html_page import add_report_option, write_report
from src.model_utils.reporting import messages_to_stderr, print_result
from src.model_utils.runtime import UserError, init_device, log, run
from src.preparation import encode, load_vocabulary, tokenized
from src.report import STYLE, sections

SPLITS = ("test", "valid", "train")
REPORTED = 10  # wrong reviews in a report, unless --worst is more


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_checkpoint_options(config_module, lstm_cfg, SETTINGS)
    parser.add_argument("--aclimdb_path", metavar="DIR", help="the unpacked aclImdb folder")
    parser.add_argument("--preprocess_path", metavar="DIR", help="the converted corpus, used without --aclimdb_path")
    text = "accepted because the zoo's scripts pass it, but not read: the vectors are beside the checkpoint"
    parser.add_argument("--glove_path", metavar="DIR", help=text)
    parser.add_argument("--split", choices=SPLITS, default="test", help="valid, train: sides of the training's split")
    parser.add_argument("--worst", type=int, default=3, metavar="N", help="N confidently wrong reviews (default 3)")
    add_report_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, messages elsewhere")
    args = parser.parse_args(argv)
    if not args.aclimdb_path and not args.preprocess_path:
        raise UserError("no reviews given: --aclimdb_path DIR, or --preprocess_path DIR that train.py has filled")
    if args.glove_path and not Path(args.glove_path).exists():
        raise UserError(f"{args.glove_path}: no such file or folder; check --glove_path, or leave it out")
    if args.worst < 0:
        raise UserError(f"--worst {args.worst}: choose 0 or more")
    return args


def read_samples(args: argparse.Namespace, config, vocabulary: dict[str, int]) -> tuple[Sequence[Sample], list[str]]:
    """Return the samples of --split and the paths of their files."""
    folder = "test" if args.split == "test" else "train"
    if args.aclimdb_path:
        files, samples = [], []
        on_bad_input = config.on_bad_input
        for file, tokens in stream_reviews(args.aclimdb_path, folder, on_bad_input, tokenized):
            files.append(file)
            samples.append(Sample(encode(tokens.split(), vocabulary), file.label))
    else:
        prepared = Path(args.preprocess_path)
        if load_vocabulary(prepared / "vocab.json") != vocabulary:
            raise UserError(
                f"{prepared / 'vocab.json'}: not the vocabulary of {args.ckpt_path}; give the folder of that training,"
                " or --aclimdb_path"
            )
        samples = load_samples(prepared, folder)
        files = samples.files()
    if folder == "train":
        train, valid = split_train(files, config)
        if args.split == "valid" and valid is None:
            raise UserError("--split valid: the checkpoint was trained without validation (validation_fraction 0)")
        chosen = train if args.split == "train" else valid
        samples = Samples(samples.rows, chosen) if isinstance(samples, Samples) else [samples[i] for i in chosen]
        files = [files[i] for i in chosen]
    return samples, [file.path for file in files]


def most_wrong(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the indices of the wrong answers, the one that the network was most confident of first."""
    wrong = np.flatnonzero(logits.argmax(1) != labels)
    return wrong[np.argsort(-log_softmax(logits)[wrong, logits[wrong].argmax(1)], kind="stable")]


def wrong_rows(wrong: np.ndarray, logits: np.ndarray, labels: np.ndarray, paths: list[str], read: bool) -> list[dict]:
    """Return what there is to say of the wrong answers with these indices.

    `read` says that the paths are those of files, whose beginnings are part of the rows.
    """
    probabilities = np.exp(log_softmax(logits))
    answers = logits.argmax(1)
    return [
        {
            "path": paths[i],
            "label": LABELS[labels[i]],
            "answer": LABELS[answers[i]],
            "probability": float(probabilities[i, answers[i]]),
            "text": beginning(read_text(paths[i]), 200) if read else None,
        }
        for i in wrong
    ]


def explained(
    wrong: np.ndarray, rows: list[dict], samples: Sequence[Sample], classifier: Classifier, words: list[str], read: bool
) -> Iterator[tuple[dict, list[str], dict[str, float]]]:
    """Yield the rows of wrong answers with the tokens of the review and the contribution of each word."""
    chosen = [samples[i] for i in wrong]
    explainer = Explainer(classifier.network.network, classifier.config)
    for row, sample, contributions in zip(rows, chosen, explainer(chosen) if chosen else ()):
        tokens = tokenize(read_text(row["path"])) if read else [words[word] for word in sample.ids]
        yield row, tokens, {words[word]: value for word, value in contributions.items()}


def show_table(result: dict) -> None:
    """Print the metrics as a table."""
    print(f"\n{result['reviews']} {result['split']} reviews, {result['reviews_per_second']:.0f} reviews/s")
    for key in ("accuracy", "precision", "recall", "f1", "roc_auc", "loss"):
        print(f"{key.replace('_', ' '):12}{result[key]:8.4f}")
    print("\nconfusion   " + "".join(f"{'predicted ' + label:>15}" for label in LABELS))
    for label, row in zip(LABELS, result["confusion_matrix"]):
        print(f"{label:12}" + "".join(f"{count:15}" for count in row))
    if result["worst"]:
        print("\nmost confidently wrong")
    for review in result["worst"]:
        print(f"{review['path']}: {review['label']}, predicted {review['answer']} with {review['probability']:.4f}")
        if review["text"]:
            print(f"    {review['text']}")


def main(argv=None) -> dict:
    """Evaluate as the command line says; returns the metrics."""
    args = parse_arguments(argv)
    with messages_to_stderr(args.json):
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        samples, paths = read_samples(args, config, vocabulary)
        log(f"{args.ckpt_path}: {len(samples)} {args.split} reviews of {args.aclimdb_path or args.preprocess_path}")
        classifier = Classifier(network, config)
        classifier.logits([samples[0]])  # compiles, which is not part of the speed
        start = time.monotonic()
        logits = classifier.logits(samples, "evaluation")
        seconds = time.monotonic() - start
        labels = labels_of(samples)
        count = max(args.worst, REPORTED if args.report else 0)
        wrong, read = most_wrong(logits, labels)[:count], bool(args.aclimdb_path)
        worst = wrong_rows(wrong, logits, labels, paths, read)
        result = {
            "checkpoint": str(args.ckpt_path),
            "split": args.split,
            **classification_report(logits, labels),
            "reviews_per_second": round(len(samples) / seconds, 1),
            "worst": worst[: args.worst],
        }
        if args.report:
            rows = explained(wrong, worst, samples, classifier, list(vocabulary), read)
            title = f"lstm: sentiment of {args.split} reviews"
            write_report(
                args.report, title, args.ckpt_path, config, "valid_accuracy", sections(result, rows), style=STYLE
            )
    print_result(result, args.json, show_table)
    return result


if __name__ == "__main__":
    run(main)
