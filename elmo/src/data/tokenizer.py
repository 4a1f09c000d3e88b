"""Raw text to documents of sentences of words; run as a program it divides a corpus into plain tokenized text files.

Those files (one sentence a line, words separated by single spaces, an empty line between documents) are what the
vocabulary, the MindRecord files and any other language model to compare with are made from.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import html
import itertools
import random
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from src.model_utils.configuration import Parser
from src.model_utils.files import atomic_write, read_lines
from src.model_utils.processes import map_in_processes
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, log, resolve_workers, run

T = TypeVar("T")
Place = tuple[int, bool]  # of a line: the number of its file, and whether the line is empty
PARTS = ("train", "valid", "heldout")
SENTENCE_MARKS = ("<S>", "</S>")  # every sentence gets them later, so in a text they are no words
CHUNK = 2**19  # characters of the lines that a process divides at once
MANY = 100  # files or documents from which on a corpus is divided by them

_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|\w+);", re.IGNORECASE)
# Characters that show nothing and are no part of a word: zero-width space, byte order mark, marks of direction.
_INVISIBLE = re.compile("[\u200b\ufeff\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_JOINERS = "\u200c\u200d\u2060\u00ad"  # these show nothing either but join what is beside them; soft hyphen
_SKIN_TONES = "\U0001f3fb-\U0001f3ff"
_END = re.compile(r"^[.!?。！？]+$|^…$")
_CLOSING = {")", "]", "}", "”", "’", "»", "''"}
_QUOTES = {'"', "'"}  # these close where one of their kind is open


@functools.cache
def _joined() -> str:
    """Return the inside of a class of what joins what it follows: combining marks (Mn, Mc, Me) and joiners."""
    codes = map(chr, range(0x300, sys.maxunicode + 1))
    marks = "".join(code for code in codes if unicodedata.category(code) in ("Mn", "Mc", "Me"))
    return f"{marks}{_JOINERS}{_SKIN_TONES}"


@functools.cache
def _patterns(joined: str) -> tuple[re.Pattern, re.Pattern]:
    """Return the patterns of an English clitic with its word, and of a word, number or sign.

    A number keeps its points and commas, a word its inner hyphens and the full points of abbreviations; any other sign
    that is repeated stays together ("...", "--"). \\w is Unicode's, but for the marks and joiners that `joined` adds to
    it; a sign keeps those too, and emoji joined to one stay one.
    """
    letters = rf"[\w{joined}]+"
    more = rf"|[{joined}]+(?:(?<=\u200d)[^\w\s][{joined}]*)*" if joined else ""
    clitic = re.compile(rf"\b({letters}?)(n[’']t|[’'](?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
    word = re.compile(
        r"\d+(?:[.,:]\d+)+"
        r"|(?:[^\W\d_]\.){2,}"
        r"|(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs)\."
        rf"|{letters}(?:-{letters})*"
        rf"|([^\w\s])(?:\1+{more})?"
    )
    return clitic, word


def tokenize(text: str) -> list[str]:
    """Divide a line into words, numbers and signs; English clitics are words of their own, as in the Penn Treebank.

    A word keeps its combining marks and joiners, so any script with spaces between its words works. HTML's character
    references, `&amp;` and the like, become what they stand for.
    """
    text = _INVISIBLE.sub(" ", _ENTITY.sub(lambda entity: html.unescape(entity.group()), text))
    has_marks = not text.isascii() and re.search(f"[{_joined()}]", text)
    clitic, word = _patterns(_joined() if has_marks else "")
    words = []
    for piece in clitic.sub(r"\1 \2 ", text).split():
        if clitic.match("x" + piece) and len(piece) <= 3:
            words.append(piece)
        else:
            words += [match.group() for match in word.finditer(piece) if match.group().strip(_JOINERS)]
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


def split_line(line: str, tokenizer: str) -> list[str]:
    """Return the words of a line: what stands between blanks (`whitespace`), or those of `tokenize` (`words`).

    The marks `<S>` and `</S>` are left out, as every sentence gets them.
    """
    words = line.split() if tokenizer == "whitespace" else tokenize(line)
    return [word for word in words if word not in SENTENCE_MARKS]


def add_tokenizer_option(parser: argparse.ArgumentParser, default: str = "whitespace") -> None:
    """Add the option that names the tokenizer of `split_line`."""
    text = "whitespace: a line is a sentence of words between spaces; words: raw text (default: %(default)s)"
    parser.add_argument("--tokenizer", choices=("whitespace", "words"), default=default, help=text)


def read_documents(path: str | Path, tokenizer: str = "words", progress: str = "") -> Iterator[Iterator[list[str]]]:
    """Yield the documents of a text file, or of all files of a folder and those below it, in the order of their names.

    A document yields its sentences, of which it has at least one, and is over when the next one is asked for; a
    sentence is a list of words. A file is one document unless empty lines divide it.
    `whitespace` takes every line for a sentence whose words are separated by spaces; `words` removes HTML line breaks
    and looks for words and sentences itself. `progress` names a bar on a terminal. Raises UserError for a missing,
    empty or undecodable file.
    """
    lines = ((place, _sentences(line, tokenizer)) for place, line in _lines(text_files(path), progress))
    return (document for _, document in _documents(lines))


def _lines(files: list[Path], progress: str) -> Iterator[tuple[Place, str]]:
    with _bar(files, progress) as bar:
        for number, file in enumerate(files):
            for _, line in read_lines(file):
                yield (number, not line.strip()), line
                bar.update(len(line.encode()) + 1)


def _bar(files: list[Path], name: str) -> tqdm:
    """Return a bar of the bytes of files, whose number is not known where there is a pipe."""
    total = sum(file.stat().st_size for file in files) if all(file.is_file() for file in files) else None
    return progress_bar(total, name, "B")


def _documents(lines: Iterable[tuple[Place, Iterable[T]]]) -> Iterator[tuple[int, Iterator[T]]]:
    """Join the sentences of lines to documents, which they yield with the numbers of their files."""
    for (number, _), run_of_lines in itertools.groupby(lines, lambda line: line[0]):
        document = (sentence for _, sentences in run_of_lines for sentence in sentences)
        first = next(document, None)
        if first:
            yield number, itertools.chain([first], document)


def _sentences_by_processes(files: list[Path], tokenizer: str) -> Iterator[tuple[Place, list[str]]]:
    """Yield the place of each line and its sentences, whose words have single spaces between them."""
    chunks = _chunks(_lines(files, "dividing the text"))
    first = list(itertools.islice(chunks, 2))
    workers = resolve_workers(0) if len(first) > 1 else 1
    items = ((tokenizer, chunk) for chunk in itertools.chain(first, chunks))
    return itertools.chain.from_iterable(map_in_processes(divide_chunk, items, workers))


def _chunks(lines: Iterable[tuple[Place, str]]) -> Iterator[list[tuple[Place, str]]]:
    chunk, size = [], 0
    for place, line in lines:
        chunk.append((place, line))
        size += len(line)
        if size >= CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def divide_chunk(item: tuple[str, list[tuple[Place, str]]]) -> list[tuple[Place, list[str]]]:
    """Return the place of each line and its sentences, whose words have single spaces between them."""
    tokenizer, chunk = item
    return [(place, list(map(" ".join, _sentences(line, tokenizer)))) for place, line in chunk]


def _sentences(line: str, tokenizer: str) -> list[list[str]]:
    """Return the sentences of a line; a line without a word has none."""
    if tokenizer == "whitespace":
        return [words] if (words := split_line(line, tokenizer)) else []
    pieces = (split_line(piece, tokenizer) for piece in _LINE_BREAK.split(line))
    return [sentence for words in pieces for sentence in split_sentences(words)]


def text_files(path: str | Path) -> list[Path]:
    """Return the file itself, or the visible files in and below a folder, each once, in the order of their names.

    Links are followed, those to folders too; a file or folder that can be reached in several ways counts once. Raises
    UserError where there is no file, and for a link to nothing or what cannot be read like a file.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; give a text file or a folder of them")
        return [path]  # or a pipe
    files = sorted(_files_below(path, {path.resolve()}))
    if not files:
        raise UserError(f"{path}: holds no files; give a text file or a folder of them")
    real = {file.resolve(): file for file in reversed(files)}  # the first name of each file
    if len(real) < len(files):
        log(f"{path}: {len(files) - len(real)} files are links to others of the same folder and are read once")
    return sorted(real.values())


def _files_below(folder: Path, visited: set[Path]) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if entry.resolve() not in visited:  # a link may lead back
                visited.add(entry.resolve())
                yield from _files_below(entry, visited)
        elif entry.is_file():
            yield entry
        else:
            raise UserError(f"{entry}: a link to nothing, a pipe or a device; remove it from the folder of texts")


def divide(path, folder, valid: float, heldout: float, seed: int, tokenizer: str = "words") -> dict[str, dict]:
    """Write train.txt, valid.txt and heldout.txt into `folder`, files shuffled, and return the counts of each part.

    The shares are of files where `path` is a folder of MANY files, else of documents, and where there are not MANY of
    those either, of sentences; the draw depends on the seed alone. A file is one review, article or shard, so its
    neighbours in the folder do not end up beside it. Raises UserError, and writes nothing, where a part would remain
    empty, and where the next call would read what this one writes.
    """
    files, folder = text_files(path), Path(folder)
    _check_output(Path(path), folder)
    draw = random.Random(seed)
    draw.shuffle(files)
    unit = "files" if len(files) >= MANY else "documents"
    if unit == "documents" and valid + heldout > 0 and _has_few_documents(files):
        unit = "sentences"
        log(f"{path}: fewer than {MANY} files and documents, so it is divided by sentences")

    def part_of(position: float) -> str:
        return "heldout" if position < heldout else "valid" if position < heldout + valid else "train"

    counts = {part: {"documents": 0, "sentences": 0, "words": 0} for part in PARTS}
    with contextlib.ExitStack() as stack:
        outputs = {part: stack.enter_context(atomic_write(folder / f"{part}.txt")) for part in PARTS}
        for k, document in _documents(_sentences_by_processes(files, tokenizer)):
            pieces = ([sentence] for sentence in document) if unit == "sentences" else [document]
            drawn = ((part_of((k + 0.5) / len(files) if unit == "files" else draw.random()), p) for p in pieces)
            for part, run_of_pieces in itertools.groupby(drawn, key=lambda pair: pair[0]):
                sentences = (sentence for _, piece in run_of_pieces for sentence in piece)
                _write_document(outputs[part], sentences, counts[part])
        if not sum(count["documents"] for count in counts.values()):
            raise UserError(f"{path}: holds no words")
        for part, share in (("train", 1 - valid - heldout), ("valid", valid), ("heldout", heldout)):
            if share > 0 and not counts[part]["documents"]:
                raise UserError(
                    f"{path}: none of its {unit} came into {part}.txt, whose share is {share:g}; give more text, or"
                    " other shares (VALID and HELDOUT, --valid and --heldout; 0 for no such part)"
                )
    return counts


def _has_few_documents(files: list[Path]) -> bool:
    """Whether the files have fewer than MANY documents, but more lines; False for a pipe, read only once."""
    if not all(file.is_file() for file in files):
        return False
    documents = (document for file in files for document in read_documents(file, "whitespace"))
    lines = [sum(1 for _ in document) for document in itertools.islice(documents, MANY)]
    return len(lines) < MANY and sum(lines) > len(lines)


def _write_document(output, sentences: Iterable[str], count: dict[str, int]) -> None:
    if count["documents"]:
        output.write("\n")
    count["documents"] += 1
    for sentence in sentences:
        output.write(sentence + "\n")
        count["sentences"] += 1
        count["words"] += 1 + sentence.count(" ")


def _check_output(source: Path, folder: Path) -> None:
    """Refuse to write where the text is read from: the next call would take the parts for text."""
    place = folder.resolve()
    if source.is_dir() and source.resolve() in (place, *place.parents):
        raise UserError(f"{folder}: lies in the folder of texts {source}; choose another place for the parts")
    if any(source.resolve() == place / f"{part}.txt" for part in PARTS):
        raise UserError(f"{source}: would be replaced by a part of itself; choose another folder than {folder}")


def main(argv: Sequence[str] | None = None) -> dict:
    """Divide a corpus as the command line says; returns the counts."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.data.tokenizer")
    parser.add_argument("input", metavar="FILE|DIR", help="text file, or folder of text files")
    parser.add_argument("output", metavar="DIR", help="folder of train.txt, valid.txt and heldout.txt")
    add_tokenizer_option(parser, default="words")
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
    run(main)
