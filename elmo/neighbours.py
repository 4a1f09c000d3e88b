"""Show the contexts of a text that are nearest to that of a word, as in table 4 of Peters et al. (2018).

Sentences from a pipe are answered one by one. The text is embedded once for all; its vectors stay in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from src.data.sentences import add_text_options, count_lines, read_sentences
from src.data.tokenizer import split_line
from src.inference import Embedder, add_model_options, load_model
from src.model_utils.configuration import Parser, at_least
from src.model_utils.progress import with_progress
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import TextInput

MARK = "*"
AROUND = 8  # words shown on each side


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    text = (
        "a sentence with the word in question between asterisks: He *left* early .; without it, standard input is read"
    )
    parser.add_argument("sentence", nargs="?", help=text)
    add_model_options(parser)
    add_text_options(parser)
    parser.add_argument("--count", type=at_least(1), default=5, metavar="N", help="contexts to show (default: 5)")
    parser.add_argument("--layer", type=int, default=-1, metavar="K", help="0 is the word alone; default: the last")
    parser.add_argument("--same_word", action="store_true", help="only contexts of the same word: its senses")
    text = "one JSON object a context; for standard input one a sentence, with all its contexts"
    parser.add_argument("--json", action="store_true", help=text)
    return parser.parse_args(argv)


def marked_word(sentence: str, tokenizer: str) -> tuple[list[str], int]:
    """Return the words of a sentence and the position of the one between asterisks; UserError unless there is one."""
    if not sentence.isascii() and any("\ud800" <= sign <= "\udfff" for sign in sentence):
        raise UserError(f"'{sentence}': not UTF-8 text")
    before, *rest = sentence.split(MARK)
    if len(rest) != 2 or len(split_line(rest[0], tokenizer)) != 1:
        raise UserError(f"'{sentence}': put asterisks around one word, such as: He *left* early .")
    left, word, right = (split_line(part, tokenizer) for part in (before, *rest))
    return [*left, *word, *right], len(left)


def vectors_of(
    embedder: Embedder, sentences: Iterable[list[tuple[str, list[str]]]], word: str | None, layer: int
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield (words, vectors (words, 2P)) of the sentences, those without `word` left out."""
    for chunk in sentences:
        texts = [words for _, words in chunk if word is None or word in words]
        for i, layers in embedder(texts):
            yield texts[i], layers[layer]


def contexts_of(
    vectors_of_sentences: Iterable[tuple[list[str], np.ndarray]],
    excluded: list[str],
    query: np.ndarray,
    word: str | None,
) -> Iterator[tuple[float, list[str], int]]:
    """Yield (cosine, words, position) of the context in each sentence that is nearest to the vector `query`.

    The query's own sentence, `excluded`, is left out; `word` restricts the search to its occurrences.
    """
    query = query / np.linalg.norm(query)
    for words, vectors in vectors_of_sentences:
        if words == excluded or (word is not None and word not in words):
            continue
        cosines = vectors @ query / np.linalg.norm(vectors, axis=1)
        if word is not None:
            cosines = np.where(np.array(words) == word, cosines, -2)
        position = int(cosines.argmax())
        yield float(cosines[position]), words, position


def shown(answer: dict) -> str:
    """Return the line for people of a context, with AROUND words on each side."""
    words, at = answer["sentence"].split(" "), answer["place"]
    left, right = " ".join(words[max(at - AROUND, 0) : at]), " ".join(words[at + 1 : at + 1 + AROUND])
    return f"{answer['cosine']:.3f}  {left} {MARK}{words[at]}{MARK} {right}"


def main(argv: Sequence[str] | None = None) -> list[dict]:
    """Show the contexts nearest to that on the command line, or to those of standard input; returns them."""
    args = parse_arguments(argv)
    from_a_pipe = args.sentence is None
    source = TextInput(argparse.Namespace(texts=[] if from_a_pipe else [args.sentence], input_file=None), "sentence")
    words, position = ([], 0) if from_a_pipe else marked_word(args.sentence, args.tokenizer)  # before all the work
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
        init_device(args.device_target, args.device_id, native=args.native)
        network, options = load_model(args.ckpt_path, args.options_path)
    if not -options.n_layers - 1 <= args.layer <= options.n_layers:
        raise UserError(f"--layer {args.layer}: the model has layers 0 to {options.n_layers}")
    embedder = Embedder(network, options, args.batch_size)
    sentences = read_sentences(args.input_file, args.tokenizer, skip_blank=True)
    wanted = words[position] if args.same_word and not from_a_pipe else None
    text = vectors_of(embedder, sentences, wanted, args.layer)
    text = with_progress(text, count_lines(args.input_file), "sentences")
    if from_a_pipe:
        text = list(text)  # for every sentence that comes

    def nearest(sentence: str) -> list[dict]:
        words, position = marked_word(sentence, args.tokenizer)
        ((_, layers),) = embedder([words])
        word = words[position] if args.same_word else None
        contexts = contexts_of(text, words, layers[args.layer, position], word)
        best = heapq.nlargest(args.count, contexts, key=lambda context: context[0])
        if not best:
            raise UserError(f"{args.input_file}: holds no other '{word}'; leave out --same_word")
        return [
            {"cosine": round(cosine, 4), "word": context[at], "place": at, "sentence": " ".join(context)}
            for cosine, context, at in best
        ]

    answers = []
    for sentence in (sentence for chunk in source.chunks() for sentence in chunk):
        try:
            contexts = nearest(sentence)
        except UserError as error:
            if not from_a_pipe:
                raise
            print(f"warning: left out {error}", file=sys.stderr)
            continue
        if args.json:
            rows = [{"query": sentence, "contexts": contexts}] if from_a_pipe else contexts
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        else:
            lines = [*[sentence] * from_a_pipe, *map(shown, contexts), *[""] * from_a_pipe]
        print("\n".join(lines), flush=True)
        answers += contexts
    return answers


if __name__ == "__main__":
    run(main)
