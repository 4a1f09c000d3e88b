"""Find the named entities of sentences from arguments, a file or a pipe: as text, JSON lines, CoNLL or an HTML page."""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from easydict import EasyDict

from src import config as config_module
from src.config import bilstm_ner_cfg
from src.dataset import Vocabulary, encode
from src.highlight import page
from src.inference import Decoder, load_trained
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.files import atomic_write, output_file
from src.model_utils.runtime import UserError, init_device, log, run
from src.model_utils.text_input import TextInput, add_input_options
from src.network import Tagger
from src.tagged_lines import Sentence
from src.tagging import entities, split_tag
from src.text_units import WORDS, split_text

SETTINGS = ("eval_batch_size",)  # keys that may differ from those of the training


class Predictor:
    """Finds the entities of raw texts with a trained network."""

    def __init__(self, network: Tagger, config: EasyDict, vocabulary: Vocabulary, *, best: int = 1):
        self.decoder = Decoder(network, vocabulary, config)
        self.vocabulary, self.units, self.count = vocabulary, config.units, best

    def __call__(self, texts: list[str], with_tags: bool = False) -> list[dict]:
        """Return text and entities of each text, and with several `best` answers all of them with their scores.

        An entity is a dict of text, type, start and end, which count characters of the text from 0, the end excluded.
        White space is not read: the corpus has none. `with_tags` adds the units that are read with their best tags.
        """
        units = [split_text(text, self.units, self.vocabulary.character_ids) for text in texts]
        not_empty = [i for i, units_of_text in enumerate(units) if units_of_text]
        samples = encode([Sentence([unit for unit, _ in units[i]], [], []) for i in not_empty], self.vocabulary)
        answers = [{"text": text, "entities": []} for text in texts]
        several = self.count > 1
        decoded = self.decoder.best(samples, self.count) if several else [[(t, 0.0)] for t in self.decoder(samples)]
        for i, paths in zip(not_empty, decoded):
            best = [
                {"score": round(score, 4), "entities": self._entities(texts[i], units[i], tags)}
                for tags, score in paths
            ]
            answers[i]["entities"] = best[0]["entities"]
            if with_tags:
                answers[i]["tags"] = [(unit, tag) for (unit, _), tag in zip(units[i], paths[0][0])]
            if several:
                answers[i]["best"] = best
        return answers

    def _entities(self, text: str, units: list[tuple[str, int]], tags: list[str]) -> list[dict]:
        answer = []
        for entity in entities(tags, self.vocabulary.scheme):
            last, offset = units[entity.end - 1]
            start, end = units[entity.start][1], offset + len(last)
            answer.append({"text": text[start:end], "type": entity.type, "start": start, "end": end})
        return answer


def parse_arguments(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = Parser(__doc__)
    add_input_options(parser, "sentence")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per sentence")
    text = "one line per character or word with its tag, as in the corpus, and an empty line behind each sentence"
    form.add_argument("--conll", action="store_true", help=text)
    form.add_argument("--html", type=output_file, metavar="FILE", help="write a page with the entities marked")
    parser.add_argument("--best", type=int, default=1, metavar="N", help="the N best answers for each sentence")
    text = "tag words that blanks separate (default: as in training)"
    parser.add_argument("--words", action="store_true", help=text)
    parser.add_checkpoint_options(config_module, bilstm_ner_cfg, SETTINGS)
    args = parser.parse_args(argv)
    if args.best < 1:
        raise UserError(f"--best {args.best}: choose 1 or more")
    if args.conll and args.best > 1:
        raise UserError(f"--best {args.best}: CoNLL has room for one answer; leave out --best, or take --json")
    if args.html and args.input_file and args.html.resolve() == Path(args.input_file).resolve():
        raise UserError(f"--html {args.html}: is the file that is read; choose another")
    return args


def shown(answer: dict) -> str:
    """Return an answer as lines for people."""
    lines = [answer["text"]]
    for rank, path in enumerate(answer.get("best", [answer]), 1):
        if "score" in path:
            lines.append(f"  {rank}. score {path['score']:.4f}")
        lines += [f"    {e['start']}-{e['end']} {e['type']} {e['text']}" for e in path["entities"]]
    return "\n".join(lines)


def conll(answer: dict) -> str:
    """Return an answer as lines of a unit and its tag, the form of the corpus, and the empty line behind them."""
    return "".join(f"{unit} {tag}\n" for unit, tag in answer.get("tags", ()))


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the sentences that the command line names; returns their number."""
    args = parse_arguments(argv)
    source = TextInput(args, "sentence")
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        config.units = WORDS if args.words else config.units
        predictor = Predictor(network, config, vocabulary, best=args.best)
    count = 0

    def answers() -> Iterator[dict]:
        nonlocal count
        for texts in source.chunks():
            yield from predictor(texts, args.conll)
            count += len(texts)
            sys.stdout.flush()

    if args.html:
        types = sorted({split_tag(tag)[1] for tag in vocabulary.tags} - {""})
        with atomic_write(args.html) as file:
            file.writelines(page(answers(), types))
        log(f"{args.html}: {count} sentences")
    else:
        form = conll if args.conll else shown
        for answer in answers():
            print(json.dumps(answer, ensure_ascii=False) if args.json else form(answer))
    return count


if __name__ == "__main__":
    run(main)
