"""Show the contexts of a text that are nearest to that of a word, as in table 4 of Peters et al. (2018)."""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Iterator, Sequence

import numpy as np

from src.data.sentences import add_text_options, count_lines, read_sentences
from src.data.tokenizer import split_line
from src.inference import Embedder, add_model_options, load_model
from src.model_utils.configuration import Parser, at_least
from src.model_utils.progress import with_progress
from src.model_utils.runtime import UserError, init_device, run

MARK = "*"
AROUND = 8  # words shown on each side


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, config_file=False)
    parser.add_argument("sentence", help="a sentence with the word in question between asterisks: He *left* early .")
    add_model_options(parser)
    add_text_options(parser)
    parser.add_argument("--count", type=at_least(1), default=5, metavar="N", help="contexts to show (default: 5)")
    parser.add_argument("--layer", type=int, default=-1, metavar="K", help="0 is the word alone; default: the last")
    parser.add_argument("--same_word", action="store_true", help="only contexts of the same word: its senses")
    parser.add_argument("--json", action="store_true", help="one JSON object a context")
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


def contexts_of(
    embedder: Embedder, sentences, excluded: list[str], query: np.ndarray, word: str | None, layer: int
) -> Iterator[tuple[float, list[str], int]]:
    """Yield (cosine, words, position) of the context in each sentence that is nearest to the vector `query`.

    `sentences` yields lists of (line, words); the query's own sentence, `excluded`, is left out; `word` restricts the
    search to its occurrences.
    """
    query = query / np.linalg.norm(query)
    for chunk in sentences:
        texts = [words for _, words in chunk if words != excluded and (word is None or word in words)]
        for i, layers in embedder(texts):
            vectors = layers[layer]  # (words, 2P)
            cosines = vectors @ query / np.linalg.norm(vectors, axis=1)
            if word is not None:
                cosines = np.where(np.array(texts[i]) == word, cosines, -2)
            position = int(cosines.argmax())
            yield float(cosines[position]), texts[i], position


def main(argv: Sequence[str] | None = None) -> list[dict]:
    """Show the contexts nearest to that on the command line; returns them."""
    args = parse_arguments(argv)
    words, position = marked_word(args.sentence, args.tokenizer)
    init_device(args.device_target, args.device_id, native=args.native)
    network, options = load_model(args.ckpt_path, args.options_path)
    if not -options.n_layers - 1 <= args.layer <= options.n_layers:
        raise UserError(f"--layer {args.layer}: the model has layers 0 to {options.n_layers}")
    embedder = Embedder(network, options, args.batch_size)
    ((_, layers),) = embedder([words])
    word = words[position] if args.same_word else None
    sentences = read_sentences(args.input_file, args.tokenizer, skip_blank=True)
    contexts = contexts_of(embedder, sentences, words, layers[args.layer, position], word, args.layer)
    contexts = with_progress(contexts, count_lines(args.input_file), "sentences")
    nearest = heapq.nlargest(args.count, contexts, key=lambda context: context[0])
    if not nearest:
        raise UserError(f"{args.input_file}: holds no other '{word}'; leave out --same_word")
    answers = []
    for cosine, context, at in nearest:
        answers.append({"cosine": round(cosine, 4), "word": context[at], "place": at, "sentence": " ".join(context)})
        left, right = " ".join(context[max(at - AROUND, 0) : at]), " ".join(context[at + 1 : at + 1 + AROUND])
        line = f"{cosine:.3f}  {left} {MARK}{context[at]}{MARK} {right}"
        print(json.dumps(answers[-1], ensure_ascii=False) if args.json else line)
    return answers


if __name__ == "__main__":
    run(main)
