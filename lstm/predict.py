"""Say whether reviews are positive or negative, and which words moved the decision: arguments, a file, or a pipe."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

import numpy as np

from src import config as config_module
from src.config import lstm_cfg
from src.dataset import Sample, truncate
from src.explain import Explainer, sums_by_word
from src.inference import SENTIMENTS, SETTINGS, Classifier, beginning, load_trained
from src.metrics import log_softmax
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import TextInput, add_input_options
from src.preparation import encode
from src.tokenizer import tokenize

TEXT_SHOWN = 80  # characters
EXPLAINED = 5  # words of a text given as an argument


class Predictor:
    """Answers texts with a trained network."""

    def __init__(self, network, config, vocabulary: dict[str, int], explain: int = 0, tokens: bool = False):
        self.vocabulary, self.words, self.explain, self.tokens = vocabulary, list(vocabulary), explain, tokens
        self.config, self.classifier = config, Classifier(network, config)
        self.explainer = Explainer(network, config) if explain or tokens else None

    def __call__(self, texts: list[str]) -> list[dict]:
        """Return label, probability of the label and beginning of each text, and with `explain` the words.

        `words` are [word, contribution] pairs, the largest first; a positive contribution speaks for a positive review.
        With `tokens` all tokens follow in their order as such pairs, with None for those that are cut off.
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
                if self.tokens:
                    answer["tokens"] = []
            for i, (ids, values) in zip(nonempty, self.explainer.places(samples)):
                largest = sorted(sums_by_word(ids, values).items(), key=lambda pair: -abs(pair[1]))[: self.explain]
                answers[i]["words"] = [[self.words[word], round(value, 4)] for word, value in largest]
                if self.tokens:
                    answers[i]["tokens"] = [[token, None] for token in tokens[i]]
                    read = truncate(np.arange(len(tokens[i])), self.config.max_length, self.config.truncation)
                    for place, value in zip(read, values.tolist()):
                        answers[i]["tokens"][place][1] = round(value, 4)
        return answers


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__)
    add_input_options(parser, "review")
    parser.add_checkpoint_options(config_module, lstm_cfg, SETTINGS[:3])  # there are no bad files here
    parser.add_argument("--json", action="store_true", help="one JSON object a review")
    text = f"name the N words that moved the decision most (default: {EXPLAINED} for TEXT, 0 for files and pipes)"
    parser.add_argument("--explain", type=int, metavar="N", help=text)
    text = "with --json, add all tokens with what each contributes, null where --max_length cuts it off"
    parser.add_argument("--tokens", action="store_true", help=text)
    args = parser.parse_args(argv)
    if args.tokens and not args.json:
        raise UserError("--tokens goes with --json; add it")
    if args.explain is None:
        args.explain = EXPLAINED if args.texts else 0
    if args.explain < 0:
        raise UserError(f"--explain {args.explain}: choose 0 or more")
    return args


def shown(answer: dict) -> str:
    """Return the lines for people of an answer."""
    if answer["label"] is None:
        return "empty"
    line = f"{answer['label']} {answer['probability']:.4f}  {answer['text']}"
    words = "   ".join(f"{word} {value:+.2f}" for word, value in answer.get("words", ()))
    return f"{line}\n    {words}" if words else line


def main(argv=None) -> int:
    """Answer the reviews that the command line names; returns their number."""
    args = parse_arguments(argv)
    source = TextInput(args, "review")
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        predictor = Predictor(network, config, vocabulary, args.explain, args.tokens)
    count = 0
    for texts in source.chunks():
        for answer in predictor(texts):
            print(json.dumps(answer, ensure_ascii=False) if args.json else shown(answer))
        sys.stdout.flush()
        count += len(texts)
    return count


if __name__ == "__main__":
    run(main)
