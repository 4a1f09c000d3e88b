"""Say whether reviews are positive or negative, and which words moved the decision: arguments, a file, or a pipe."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import numpy as np

from src.dataset import Sample, encode
from src.explain import Explainer
from src.imdb import tokenize
from src.inference import Classifier, add_checkpoint_options, apply_settings, beginning, load_trained
from src.metrics import log_softmax
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import line_chunks

SENTIMENTS = ("negative", "positive")
TEXT_SHOWN = 80  # characters
EXPLAINED = 5  # words of a text given as an argument


class Predictor:
    """Answers texts with a trained network."""

    def __init__(self, network, config, vocabulary: dict[str, int], explain: int = 0):
        self.vocabulary, self.words, self.explain = vocabulary, list(vocabulary), explain
        self.classifier = Classifier(network, config)
        self.explainer = Explainer(network, config) if explain else None

    def __call__(self, texts: list[str]) -> list[dict]:
        """Return label, probability of the label and beginning of each text, and with `explain` the words.

        `words` are [word, contribution] pairs, the largest first; a positive contribution speaks for a positive review.
        Label and probability of a text without any token are None.
        """
        answers = [{"label": None, "probability": None, "text": beginning(text, TEXT_SHOWN)} for text in texts]
        tokens = [tokenize(text) for text in texts]
        nonempty = [i for i in range(len(texts)) if tokens[i]]
        samples = [Sample(encode(tokens[i], self.vocabulary)) for i in nonempty]
        probabilities = np.exp(log_softmax(self.classifier.logits(samples))) if samples else ()
        for i, row in zip(nonempty, probabilities):
            answers[i].update(label=SENTIMENTS[row.argmax()], probability=round(float(row.max()), 6))
        if self.explainer:
            for answer in answers:
                answer["words"] = []
            for i, contributions in zip(nonempty, self.explainer(samples)):
                largest = sorted(contributions.items(), key=lambda pair: -abs(pair[1]))[: self.explain]
                answers[i]["words"] = [[self.words[word], round(value, 4)] for word, value in largest]
        return answers


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a review; without any, standard input is read")
    add_checkpoint_options(parser, "eval_batch_size", "max_length", "truncation")
    parser.add_argument("--input_file", metavar="FILE", help="file with one review a line, in UTF-8")
    parser.add_argument("--json", action="store_true", help="one JSON object a review")
    parser.add_argument(
        "--explain",
        type=int,
        metavar="N",
        help=f"name the N words that moved the decision most (default: {EXPLAINED} for TEXT, 0 for files and pipes)",
    )
    args = parser.parse_args(argv)
    if args.texts and args.input_file:
        raise UserError("give either texts or --input_file, not both")
    if args.explain is None:
        args.explain = EXPLAINED if args.texts else 0
    if args.explain < 0:
        raise UserError(f"--explain {args.explain}: choose 0 or more")
    return args


class Decoder:
    """Turns lines into text; bytes that are not UTF-8 are replaced and their lines counted.

    One bad byte must not end a job of thousands of lines, nor pass unseen: `warn` says at the end how many there were.
    """

    def __init__(self, name: str):
        self.name, self.lines, self.bad, self.first_bad = name, 0, 0, 0

    def __call__(self, lines: list[bytes]) -> list[str]:
        texts = []
        for line in lines:
            self.lines += 1
            try:
                text = line.decode("utf-8-sig" if self.lines == 1 else "utf-8")
            except UnicodeDecodeError:
                text = line.decode("utf-8", "replace")
                self.bad += 1
                self.first_bad = self.first_bad or self.lines
            texts.append(text)
        return texts

    def warn(self) -> None:
        """Say on standard error how many lines were not UTF-8."""
        if self.bad:
            print(
                f"warning: {self.name}:{self.first_bad}: not UTF-8; what could not be read was replaced in {self.bad}"
                f" of {self.lines} lines",
                file=sys.stderr,
            )


def chunks(args, source) -> Iterator[list[str]]:
    """Yield the texts of the command line, or those of the lines of `source` as they come."""
    if args.texts:
        yield [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in args.texts]
        return
    name = args.input_file or "standard input"
    decode = Decoder(name)
    try:
        for lines in line_chunks(source, name):
            yield decode(lines)
    finally:
        decode.warn()


def shown(answer: dict) -> str:
    """Return the lines for people of an answer."""
    if answer["label"] is None:
        return "empty"
    line = f"{answer['label']} {answer['probability']:.4f}  {answer['text']}"
    words = "   ".join(f"{word} {value:+.2f}" for word, value in answer.get("words", ()))
    return f"{line}\n    {words}" if words else line


def main(argv=None) -> int:
    """Answer the reviews that the command line names; returns their number."""
    args = parse(argv)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(args.input_file, "rb")) if args.input_file else sys.stdin
        with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
            init_device(args.device_target, args.device_id)
            network, config, vocabulary = load_trained(args.ckpt_path)
            predictor = Predictor(network, apply_settings(config, args), vocabulary, args.explain)
        if not args.texts and source.isatty():
            print("type one review a line; Ctrl-D ends", file=sys.stderr)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character of a review
        count = 0
        for texts in chunks(args, source):
            for answer in predictor(texts):
                print(json.dumps(answer, ensure_ascii=False) if args.json else shown(answer))
            sys.stdout.flush()
            count += len(texts)
    return count


if __name__ == "__main__":
    run(main)
