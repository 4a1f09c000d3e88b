"""Translate sentences: arguments, the lines of a file, or a pipe; n-best lists, and pictures of the attention."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from src.arguments import usual_spelling
from src.attention_plot import draw_attention
from src.inference import Translation, Translator, add_checkpoint_options, apply_settings, load_trained
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import text_chunks


def parse(argv=None):
    """Read the command line; options may be written with - or _."""
    parser = Parser(__doc__)
    parser.add_argument("sentences", nargs="*", metavar="SENTENCE", help="without any, standard input is read")
    add_checkpoint_options(parser)
    parser.add_argument("--input_file", metavar="FILE", help="file with one sentence a line, in UTF-8")
    parser.add_argument("--n_best", type=int, default=1, metavar="N", help="translations of a sentence (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object a sentence")
    parser.add_argument("--plot", metavar="DIR", help="draw the attention of sentence N into DIR/N.png")
    args = parser.parse_args(usual_spelling(sys.argv[1:] if argv is None else argv))
    if args.sentences and args.input_file:
        raise UserError("give either sentences or --input_file, not both")
    if args.n_best < 1:
        raise UserError(f"--n_best {args.n_best}: choose 1 or more")
    return args


def chunks(args, source) -> Iterator[list[str]]:
    """Yield the sentences of the command line, or those on the lines of `source` as they come."""
    if args.sentences:
        yield [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in args.sentences]
    else:
        yield from text_chunks(source, args.input_file or "standard input", 2048)


def answer(number: int, sentence: str, translations: list[Translation], args) -> str:
    """Return the lines of an answer: the text, for n-best lists Moses's `number ||| text ||| score`, or JSON."""
    if args.json:
        rows = [{"text": translation.text, "score": round(translation.score, 4)} for translation in translations]
        return json.dumps({"source": sentence, "translations": rows}, ensure_ascii=False)
    if args.n_best == 1:
        return translations[0].text
    return "\n".join(f"{number} ||| {row.text} ||| {row.score:.4f}" for row in translations)


def draw(path: Path, translator: Translator, sentence: str, best: Translation) -> None:
    """Draw what the best translation of a sentence attended to."""
    source = [*translator.source_tokenizer.pieces(sentence), "</s>"]
    target = [*translator.target_tokenizer.tokens(best.ids), "</s>"]
    rows, columns = best.attention.shape  # a translation that was cut has no end, a source that was cut fewer pieces
    draw_attention(path, source[:columns], target[:rows], best.attention)


def main(argv=None) -> int:
    """Translate what the command line names; returns the number of sentences."""
    args = parse(argv)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(args.input_file, "rb")) if args.input_file else sys.stdin
        with contextlib.redirect_stdout(sys.stderr):  # standard output holds translations only
            init_device(args.device_target, args.device_id)
            network, tokenizers, config = load_trained(args.ckpt_path, args.average)
            config = apply_settings(config, args)
            translator = Translator(network, tokenizers, config)
        if args.n_best > config.beam_size:
            raise UserError(f"--n_best {args.n_best}: a beam of {config.beam_size} has no more; raise --beam_size")
        if not args.sentences and source.isatty():
            print("type one sentence a line; Ctrl-D ends", file=sys.stderr)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character
        count = 0
        for sentences in chunks(args, source):
            with contextlib.redirect_stdout(sys.stderr):
                results = translator.translate(sentences, n_best=args.n_best, attention=bool(args.plot))
            for sentence, translations in zip(sentences, results):
                count += 1
                print(answer(count - 1, sentence, translations, args))
                if args.plot and translations[0].attention is not None:
                    draw(Path(args.plot) / f"{count}.png", translator, sentence, translations[0])
            sys.stdout.flush()
    return count


if __name__ == "__main__":
    run(main)
