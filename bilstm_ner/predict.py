"""Find the named entities of sentences from arguments, a file or a pipe: as text, JSON lines or a HTML page."""

from __future__ import annotations

import contextlib
import json
import sys

from src.dataset import Vocabulary, encode
from src.highlight import page
from src.inference import Decoder, add_checkpoint_options, apply_settings, load_trained
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, atomic_write, init_device, log, run
from src.model_utils.text_input import text_chunks
from src.resume_ner import Sentence
from src.tagging import entities, split_tag
from src.text_units import WORDS, split_text


class Predictor:
    """Finds the entities of raw texts with a trained network."""

    def __init__(self, network, vocabulary: Vocabulary, config, *, best: int = 1):
        self.decoder = Decoder(network, vocabulary, config)
        self.vocabulary, self.units, self.count = vocabulary, config.units, best

    def __call__(self, texts: list[str]) -> list[dict]:
        """Return text and entities of each text, and with several `best` answers all of them with their scores.

        An entity is a dict of text, type, start and end, which count characters of the text from 0, the end excluded.
        White space is not read: the corpus has none.
        """
        units = [split_text(text, self.units, self.vocabulary.character_ids) for text in texts]
        asked = [i for i, units_of_text in enumerate(units) if units_of_text]
        samples = encode([Sentence([unit for unit, _ in units[i]], [], []) for i in asked], self.vocabulary)
        answers = [{"text": text, "entities": []} for text in texts]
        if self.count == 1:
            for i, tags in zip(asked, self.decoder(samples) if asked else ()):
                answers[i]["entities"] = self._entities(texts[i], units[i], tags)
            return answers
        for i, paths in zip(asked, self.decoder.best(samples, self.count) if asked else ()):
            answers[i]["best"] = [
                {"score": round(score, 4), "entities": self._entities(texts[i], units[i], tags)}
                for tags, score in paths
            ]
            answers[i]["entities"] = answers[i]["best"][0]["entities"]
        return answers

    def _entities(self, text: str, units: list[tuple[str, int]], tags: list[str]) -> list[dict]:
        answer = []
        for entity in entities(tags, self.vocabulary.scheme):
            last, offset = units[entity.end - 1]
            start, end = units[entity.start][1], offset + len(last)
            answer.append({"text": text[start:end], "type": entity.type, "start": start, "end": end})
        return answer


def parse(argv=None):
    """Read the command line."""
    parser = Parser(__doc__)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a sentence; without any, standard input is read")
    add_checkpoint_options(parser, "eval_batch_size")
    parser.add_argument("--input_file", metavar="FILE", help="file with one sentence a line, in UTF-8")
    parser.add_argument("--json", action="store_true", help="one JSON object a sentence")
    parser.add_argument("--html", metavar="FILE", help="write a page with the entities marked")
    parser.add_argument("--best", type=int, default=1, metavar="N", help="the N best answers of each sentence")
    parser.add_argument("--words", action="store_true", help="tag words (default: what the model was trained on)")
    args = parser.parse_args(argv)
    if args.texts and args.input_file:
        raise UserError("give either texts or --input_file, not both")
    if args.best < 1:
        raise UserError(f"--best {args.best}: choose 1 or more")
    return args


def chunks(args, source):
    """Yield the texts of the command line, or those of the lines of `source` as they come."""
    if args.texts:
        yield [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in args.texts]
        return
    yield from text_chunks(source, args.input_file or "standard input")


def shown(answer: dict) -> str:
    """Return the lines for people of an answer."""
    lines = [answer["text"]]
    for rank, one in enumerate(answer.get("best", [answer]), 1):
        if "score" in one:
            lines.append(f"  {rank}. score {one['score']:.4f}")
        lines += [f"    {e['start']}-{e['end']} {e['type']} {e['text']}" for e in one["entities"]]
    return "\n".join(lines)


def main(argv=None) -> int:
    """Answer the sentences that the command line names; returns their number."""
    args = parse(argv)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(args.input_file, "rb")) if args.input_file else sys.stdin
        with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
            init_device(args.device_target, args.device_id)
            network, config, vocabulary = load_trained(args.ckpt_path)
            config = apply_settings(config, args)
            config.units = WORDS if args.words else config.units
            predictor = Predictor(network, vocabulary, config, best=args.best)
        if not args.texts and source.isatty():
            print("type one sentence a line; Ctrl-D ends", file=sys.stderr)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character of a text
        count, kept = 0, []
        for texts in chunks(args, source):
            answers = predictor(texts)
            count += len(texts)
            if args.html:
                kept += answers
                continue
            for answer in answers:
                print(json.dumps(answer, ensure_ascii=False) if args.json else shown(answer))
            sys.stdout.flush()
    if args.html:
        types = sorted({split_tag(tag)[1] for tag in vocabulary.tags} - {""})
        with atomic_write(args.html) as file:
            file.write(page(kept, types))
        log(f"{args.html}: {count} sentences")
    return count


if __name__ == "__main__":
    run(main)
