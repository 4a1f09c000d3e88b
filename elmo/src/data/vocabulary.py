"""The words that the softmax knows, most frequent first; run as a program it counts them in tokenized text."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from src.data.chunks import encode_chunk, map_chunks
from src.data.token_indexer import SPECIAL
from src.data.tokenizer import add_tokenizer_option, text_files
from src.model_utils.configuration import Parser, at_least
from src.model_utils.files import atomic_write, read_lines
from src.model_utils.runtime import UserError, run
from src.output_files import check_output_file

BEGIN, END, UNKNOWN = range(3)


class Vocabulary:
    """Words and their ids, which are the line numbers of the vocabulary file counted from 0.

    The log-uniform sampler of the training relies on the order: a word must not be rarer than those below it.
    """

    def __init__(self, words: list[str]):
        self.words = words
        self.ids = {word: number for number, word in enumerate(words)}

    def __len__(self) -> int:
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the vocabulary file."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """Return the content of the vocabulary file."""
        return "".join(word + "\n" for word in self.words)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary file atomically."""
        with atomic_write(path) as file:
            file.write(self.text())


def load_vocabulary(path: str | Path) -> Vocabulary:
    """Read a vocabulary file: one word a line, the first three `<S>`, `</S>`, `<UNK>`.

    Raises UserError naming file and line for anything else.
    """
    words = [word for _, word in read_lines(path)]
    for number, special in enumerate(SPECIAL):
        if words[number : number + 1] != [special]:
            raise UserError(f"{path}:{number + 1}: must be {special}; the first three lines are {' '.join(SPECIAL)}")
    seen: set[str] = set()
    for number, word in enumerate(words, 1):
        if word in seen or len(word.split()) != 1:
            what = "occurs twice" if word in seen else "is not one word"
            raise UserError(f"{path}:{number}: '{word}' {what}; one word a line, each once")
        seen.add(word)
    return Vocabulary(words)


def check_same_vocabulary(path: str | Path, vocabulary: Vocabulary, data) -> None:
    """Raise UserError where the vocabulary beside the weights that a training starts from is not that of its data."""
    words = load_vocabulary(path).words
    if words != vocabulary.words:
        pairs = itertools.zip_longest(words, vocabulary.words)
        number, (word, other) = next((k, pair) for k, pair in enumerate(pairs, 1) if pair[0] != pair[1])
        raise UserError(
            f"{path}:{number}: is '{word or ''}', but '{other or ''}' in {data}; weights mean something with their own"
            " vocabulary only: convert the text with it (VOCAB=... script/convert_dataset.sh)"
        )


def build_vocabulary(
    documents: Iterable[Iterable[list[str]]], min_count: int = 1, max_size: int = 0
) -> tuple[Vocabulary, Counter[str]]:
    """Count the words of documents and return the vocabulary of `most_frequent`, and all counts."""
    counts: Counter = Counter()
    for document in documents:
        counts.update(itertools.chain.from_iterable(document))
    return most_frequent(counts, min_count, max_size), counts


def count_words(path: str | Path, tokenizer: str, progress: str) -> Counter[str]:
    """Count the words of a text file, or of all files of a folder, by processes on all cores; see `map_chunks`."""
    counts: Counter = Counter()
    for chunk in map_chunks(encode_chunk, text_files(path), tokenizer, progress):
        counts.update(dict(zip(chunk.words, np.bincount(chunk.codes).tolist())))
    return counts


def most_frequent(counts: Counter[str], min_count: int, max_size: int) -> Vocabulary:
    """Return the words seen `min_count` times, at most `max_size` with the special ones (0: any number).

    Most frequent first, equals in alphabetical order.
    """
    kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIAL]
    kept.sort(key=lambda word: (-counts[word], word))
    if max_size:
        kept = kept[: max_size - len(SPECIAL)]
    return Vocabulary([*SPECIAL, *kept])


def main(argv: Sequence[str] | None = None) -> Vocabulary:
    """Build a vocabulary as the command line says."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.data.vocabulary")
    parser.add_argument("input", metavar="FILE|DIR", help="text file, or folder of text files")
    parser.add_argument("output", metavar="FILE", help="vocabulary file to write")
    add_tokenizer_option(parser)
    parser.add_argument("--min_count", type=at_least(1), default=3, help="a word seen less often is <UNK> (default 3)")
    parser.add_argument("--max_size", type=at_least(0), default=0, help="words at most; 0 for any number (default)")
    args = parser.parse_args(argv)
    if 0 < args.max_size <= len(SPECIAL):
        raise UserError(f"--max_size {args.max_size}: must be 0 or more than {len(SPECIAL)}")
    check_output_file(args.output, text=args.input)
    counts = count_words(args.input, args.tokenizer, "counting words")
    if not counts:
        raise UserError(f"{args.input}: holds no words")
    vocabulary = most_frequent(counts, args.min_count, args.max_size)
    vocabulary.save(args.output)
    total, known = sum(counts.values()), sum(counts[word] for word in vocabulary.words)
    print(
        f"{args.output}: {len(vocabulary)} words of {len(counts)} different ones;"
        f" {100 * (1 - known / total):.2f} % of {total} words are <UNK>"
    )
    return vocabulary


if __name__ == "__main__":
    run(main)
