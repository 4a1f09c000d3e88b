"""Raw text to documents of sentences of words; run as a program it divides a corpus into plain tokenized text files.

Those files (one sentence a line, words separated by single spaces, an empty line between documents) are what the
vocabulary, the MindRecord files and any other language model to compare with are made from.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError, atomic_write, run

TOKENIZERS = ("words", "whitespace")
PARTS = ("train", "valid", "heldout")

_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# A number keeps its points and commas, a word its inner hyphens and the full points of abbreviations; any other sign
# that is repeated stays together ("...", "--"). \w is Unicode's: any script with spaces between its words works.
_WORD = re.compile(r"\d+(?:[.,:]\d+)+|(?:[^\W\d_]\.){2,}|(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs)\.|\w+(?:-\w+)*|([^\w\s])\1*")
_CLITIC = re.compile(r"\b(\w+?)(n[’']t|[’'](?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
_END = re.compile(r"^[.!?。！？]+$|^…$")
_CLOSING = {")", "]", "}", "”", "’", "»", "''"}
_QUOTES = {'"', "'"}  # these close where one of their kind is open


def tokenize(text: str) -> list[str]:
    """Divide a line into words, numbers and signs; English clitics are words of their own, as in the Penn Treebank."""
    words = []
    for piece in _CLITIC.sub(r"\1 \2 ", text).split():
        if _CLITIC.match("x" + piece) and len(piece) <= 3:
            words.append(piece)
        else:
            words += [match.group() for match in _WORD.finditer(piece)]
    return words


def split_sentences(words: list[str]) -> Iterator[list[str]]:
    """Divide words after a full stop, exclamation or question mark, and the quotes and brackets that close there.

    What follows must not begin in lower case, so that "e.g. this" and "Wow! said he" stay whole.
    """
    start, ended = 0, False
    for k, word in enumerate(words):
        closes = word in _CLOSING or (word in _QUOTES and words[start:k].count(word) % 2)
        if ended and not closes:
            if not word[0].islower():
                yield words[start:k]
                start = k
            ended = False
        ended = ended or bool(_END.match(word))
    if start < len(words):
        yield words[start:]


def read_documents(path, tokenizer: str = "words") -> Iterator[list[list[str]]]:
    """Yield the documents of a text file, or of all files of a folder and those below it, in the order of their names.

    A document is a list of sentences, a sentence a list of words. A file is one document unless empty lines divide it.
    `whitespace` takes every line for a sentence whose words are separated by spaces; `words` removes HTML line breaks
    and looks for words and sentences itself. Raises UserError for a missing, empty or undecodable file.
    """
    for file in text_files(path):
        document = []
        for line in _lines(file):
            if not line.strip():
                if document:
                    yield document
                document = []
            elif tokenizer == "whitespace":
                document.append(line.split())
            else:
                for piece in _LINE_BREAK.split(line):
                    document += split_sentences(tokenize(piece))
        if document:
            yield document


def text_files(path) -> list[Path]:
    """Return the file itself, or the visible files in and below a folder; UserError where there are none."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; give a text file or a folder of them")
    found = [Path(where) / name for where, _, names in os.walk(path) for name in names if not name.startswith(".")]
    if not found:
        raise UserError(f"{path}: holds no files; give a text file or a folder of them")
    return sorted(found)


def _lines(file: Path) -> Iterator[str]:
    number = 0
    try:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                number += 1
                yield line
    except UnicodeDecodeError:
        raise UserError(f"{file}:{number + 1}: not UTF-8 text; convert or remove the file") from None


def divide(path, folder, valid: float, heldout: float, seed: int, tokenizer: str = "words") -> dict[str, dict]:
    """Write train.txt, valid.txt and heldout.txt into `folder`, files shuffled, and return the counts of each part.

    The shares are of files where `path` is a folder of many files, else of documents; the draw depends on the seed
    alone. A file is one review, article or shard, so neighbours in its folder do not end up side by side.
    """
    files = text_files(path)
    draw = random.Random(seed)
    draw.shuffle(files)
    by_file = len(files) >= 100
    counts = {part: {"documents": 0, "sentences": 0, "words": 0} for part in PARTS}
    folder = Path(folder)
    number = 0
    with contextlib.ExitStack() as stack:
        outputs = {part: stack.enter_context(atomic_write(folder / f"{part}.txt")) for part in PARTS}
        for k, file in enumerate(files):
            for document in read_documents(file, tokenizer):
                place = (k + 0.5) / len(files) if by_file else draw.random()
                part = "heldout" if place < heldout else "valid" if place < heldout + valid else "train"
                if counts[part]["documents"]:
                    outputs[part].write("\n")
                for words in document:
                    outputs[part].write(" ".join(words) + "\n")
                number += 1
                counts[part]["documents"] += 1
                counts[part]["sentences"] += len(document)
                counts[part]["words"] += sum(map(len, document))
        if not number:
            raise UserError(f"{path}: holds no words")
    return counts


def main(argv=None) -> dict:
    """Divide a corpus as the command line says; returns the counts."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.data.tokenizer")
    parser.add_argument("input", metavar="FILE|DIR", help="text file, or folder of text files")
    parser.add_argument("output", metavar="DIR", help="folder of train.txt, valid.txt and heldout.txt")
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="words", help="default: words; whitespace for 1BW")
    parser.add_argument("--valid", type=float, default=0.002, metavar="SHARE", help="for validation (default 0.002)")
    parser.add_argument("--heldout", type=float, default=0.01, metavar="SHARE", help="held out (default 0.01)")
    parser.add_argument("--seed", type=int, default=0, help="of the division and the order (default 0)")
    args = parser.parse_args(argv)
    if min(args.valid, args.heldout) < 0 or args.valid + args.heldout >= 1:
        raise UserError(f"--valid {args.valid} --heldout {args.heldout}: both 0 or more, together below 1")
    counts = divide(args.input, args.output, args.valid, args.heldout, args.seed, args.tokenizer)
    for part, count in counts.items():
        print(f"{Path(args.output) / part}.txt: " + ", ".join(f"{value} {key}" for key, value in count.items()))
    return counts


if __name__ == "__main__":
    run(lambda: main(sys.argv[1:]))
