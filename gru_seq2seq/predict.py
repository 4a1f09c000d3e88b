"""Translate sentences: arguments, the lines of a file, or a pipe; n-best lists, and pictures of the attention."""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from pathlib import Path

from src import config as config_module
from src.attention_plot import draw_attention
from src.inference import SETTINGS, Translation, Translator, add_checkpoint_options, load_trained
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import TextInput, add_input_options


def parse_arguments(argv=None) -> Namespace:
    """Read and check the command line."""
    parser = Parser(__doc__)
    add_input_options(parser, "sentence", "SENTENCE")
    add_checkpoint_options(parser)
    parser.add_argument("--n_best", type=int, default=1, metavar="N", help="translations of a sentence (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object a sentence")
    parser.add_argument("--plot", metavar="DIR", help="draw the attention of sentence N into DIR/N.png")
    text = "with --json, add what each piece of the best translation attends to"
    parser.add_argument("--attention", action="store_true", help=text)
    args = parser.parse_args(argv)
    if args.attention and not args.json:
        raise UserError("--attention goes with --json; add it")
    if args.n_best < 1:
        raise UserError(f"--n_best {args.n_best}: choose 1 or more")
    broken = [number for number, text in enumerate(args.texts, 1) if "\n" in text.strip()]
    if broken:
        raise UserError(f"sentence {broken[0]} has a line break within; give each sentence as an argument of its own")
    return args


def answer(number: int, sentence: str, translations: list[Translation], args, translator: Translator) -> str:
    """Return the lines of an answer: the text, for n-best lists Moses's `number ||| text ||| score`, or JSON."""
    if args.json:
        rows = [{"text": translation.text, "score": round(translation.score, 4)} for translation in translations]
        result = {"source": sentence, "translations": rows}
        if args.attention and translations[0].attention is not None:
            columns, lines = pieces_of(translator, translations[0])
            weights = translations[0].attention.round(4).tolist()
            result["attention"] = {"source_pieces": columns, "target_pieces": lines, "weights": weights}
        return json.dumps(result, ensure_ascii=False)
    if args.n_best == 1:
        return translations[0].text
    return "\n".join(f"{number} ||| {row.text} ||| {row.score:.4f}" for row in translations)


def pieces_of(translator: Translator, best: Translation) -> tuple[list[str], list[str]]:
    """Return the pieces of the source and of the translation that the columns and rows of its attention stand for."""
    source = [*translator.source_tokenizer.pieces(best.source), "</s>"]
    target = [*translator.target_tokenizer.tokens(best.ids), "</s>"]
    rows, columns = best.attention.shape  # a translation that was cut has no end, a source that was cut fewer pieces
    return source[:columns], target[:rows]


def main(argv=None) -> int:
    """Translate what the command line names; returns the number of sentences."""
    args = parse_arguments(argv)
    source = TextInput(args, "sentence")
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds translations only
        init_device(args.device_target, args.device_id, native=args.native)
        network, tokenizers, config = load_trained(args.ckpt_path, args.average)
        config = apply_settings(config, args, config_module, SETTINGS)
        translator = Translator(network, tokenizers, config)
    if args.n_best > config.beam_size:
        raise UserError(f"--n_best {args.n_best}: a beam of {config.beam_size} has no more; raise --beam_size")
    count = 0
    for sentences in source.chunks(2048):
        with contextlib.redirect_stdout(sys.stderr):
            results = translator.translate(sentences, n_best=args.n_best)
        for sentence, translations in zip(sentences, results):
            count += 1
            print(answer(count - 1, sentence, translations, args, translator))
            if args.plot and translations[0].attention is not None:
                path, best = Path(args.plot) / f"{count}.png", translations[0]
                draw_attention(path, *pieces_of(translator, best), best.attention)
        sys.stdout.flush()
    return count


if __name__ == "__main__":
    run(main)
