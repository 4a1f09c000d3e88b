"""Raw text to documents of sentences of words."""

from __future__ import annotations

import argparse
import functools
import html
import itertools
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from src.model_utils.files import read_lines
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, log

T = TypeVar("T")
Place = tuple[int, bool]  # of a line: the number of its file, and whether the line is empty
SENTENCE_MARKS = ("<S>", "</S>")  # every sentence gets them later, so in a text they are no words

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
    lines = ((place, sentences_of(line, tokenizer)) for place, line in numbered_lines(text_files(path), progress))
    return (document for _, document in join_documents(lines))


def numbered_lines(files: list[Path], progress: str) -> Iterator[tuple[Place, str]]:
    """Yield the lines of files with their places; `progress` names a bar."""
    with bytes_bar(files, progress) as bar:
        for number, file in enumerate(files):
            for _, line in read_lines(file):
                yield (number, not line.strip()), line
                bar.update(len(line.encode()) + 1)


def bytes_bar(files: list[Path], name: str) -> tqdm:
    """Return a bar of the bytes of files, whose number is not known where there is a pipe."""
    total = sum(file.stat().st_size for file in files) if all(file.is_file() for file in files) else None
    return progress_bar(total, name, "B")


def join_documents(lines: Iterable[tuple[Place, Iterable[T]]]) -> Iterator[tuple[int, Iterator[T]]]:
    """Join the sentences of lines to documents, which they yield with the numbers of their files."""
    for (number, _), run_of_lines in itertools.groupby(lines, lambda line: line[0]):
        document = (sentence for _, sentences in run_of_lines for sentence in sentences)
        first = next(document, None)
        if first:
            yield number, itertools.chain([first], document)


def sentences_of(line: str, tokenizer: str) -> list[list[str]]:
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
