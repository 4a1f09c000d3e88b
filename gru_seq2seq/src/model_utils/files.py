"""Files: written whole or not at all, and read line by line in one way; JSON and YAML."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import yaml

from src.model_utils.runtime import UserError, log

MARK = b"\xef\xbb\xbf"  # the byte order mark in UTF-8
PROBLEMS_LOGGED = 10


@contextlib.contextmanager
def atomic_write(path, mode: str = "w") -> Iterator[IO]:
    """Open a file that takes its place only when complete: written beside `path`, synced, renamed at the end.

    Text is UTF-8. After an error nothing new is left behind and an older `path` is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        error.filename = str(path) if error.filename in (None, str(unfinished)) else error.filename
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def output_file(name: str) -> Path:
    """Return the path of a file that is to be written, as the type of an option.

    UserError for a folder and for a place where none can be made, before the work whose result it is to hold.
    """
    path = Path(name)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "cannot be written to" if folder.is_dir() else "is no folder"
        raise UserError(f"{path}: cannot be made, as {folder} {why}; choose another place")
    return path


@contextlib.contextmanager
def new_folder(directory) -> Iterator[Path]:
    """Give a folder to fill that takes the place `directory` only when complete; UserError if that holds something."""
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory}: exists already; remove it or choose another folder")
    unfinished = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        os.replace(unfinished, directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def open_binary(path) -> BinaryIO:
    """Open a file for reading bytes; UserError where it is missing or a folder."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, but a file is expected") from None


def binary_lines(path, part: BinaryIO | None = None, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line) of a file: a line ends at a line feed only; a carriage return before it is dropped.

    A byte order mark at the start of the file is no part of the first line. The file is read once, from its start to
    its end, so it may be a pipe; or `part` has some of its lines, which begin with the line of the number `first`.
    Raises UserError where there is no such file, and where lines end in carriage returns alone, as on old Macs: the
    file would be one line.
    """
    with part or open_binary(path) as file:
        for number, line in enumerate(file, first):
            if number == 1:
                if not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
                    raise UserError(f"{path}:1: the lines end in carriage returns alone; convert it by tr '\\r' '\\n'")
                line = line.removeprefix(MARK)
            yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def refuse_utf16(data: bytes, path, number: int = 1) -> None:
    """Raise UserError `path:line: ...` for UTF-16 and what is no text; `data` begins with the line of this number."""
    marked = number == 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff")
    at = 0 if marked else data.find(b"\0")
    if at >= 0:
        number += data.count(b"\n", 0, at)
        mend = f"convert the file, such as by iconv -f UTF-16 -t UTF-8 {Path(path).name}"
        raise UserError(f"{path}:{number}: not UTF-8 but UTF-16, or not text at all; {mend}")


def decode(data: bytes, path, number: int = 1, encoding: str = "utf-8") -> str:
    """Return `data` as text, which begins with the line of this number; UserError `path:line: ...` if it is not."""
    refuse_utf16(data, path, number)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        number, column = number + before.count(b"\n"), error.start - before.rfind(b"\n")
        mend = f"convert the file, such as by iconv -f ISO-8859-1 -t UTF-8 {Path(path).name}"
        raise UserError(f"{path}:{number}: byte {column} of the line is not UTF-8; {mend}") from None


def read_lines(path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text) of the lines of a file as `binary_lines` and `decode` find them.

    A reader that leaves out bad lines calls those two itself and catches the UserError of `decode`.
    """
    for number, line in binary_lines(path):
        yield number, decode(line, path, number, encoding)


def report_bad(problems: list[str], on_bad_input: str, noun: str) -> None:
    """Raise UserError for the first of the problems with samples, or with `on_bad_input` skip log what is left out."""
    if problems and on_bad_input == "error":
        advice = "mend them, or leave them out by --on_bad_input skip"
        raise UserError(f"{problems[0]}; bad {noun}: {len(problems)}; {advice}")
    for problem in problems[:PROBLEMS_LOGGED]:
        log(f"warning: left out {problem}")
    if problems:
        log(f"warning: left out {len(problems)} bad {noun}")


def read_text(path) -> str:
    """Return the text of a UTF-8 file without its byte order mark; UserError as `read_lines` raises it."""
    with open_binary(path) as file:
        return decode(file.read().removeprefix(MARK), path)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError for all else, also for what is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path, hint: str = "") -> Any:
    """Return the value of a JSON file; UserError, with a hint how to mend it, where it is missing or no JSON."""
    try:
        return parse_json(read_text(path))
    except UserError as error:
        problem = str(error)
    except json.JSONDecodeError as error:
        problem = f"{path}:{error.lineno}: not valid JSON: {error.msg}"
    except ValueError as error:  # nested too deeply, or a number of too many digits
        problem = f"{path}: not valid JSON: {error}"
    raise UserError(f"{problem}; {hint}" if hint else problem)


def read_vocabulary(path, special: Sequence[str]) -> list[str]:
    """Return a JSON list of tokens in the order of their ids; UserError unless it is one that starts with `special`."""
    tokens = read_json(path, "it lies beside the checkpoint that train.py wrote, keep them together")
    is_list = isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
    if not is_list or tokens[: len(special)] != list(special):
        raise UserError(f"{path}: not a vocabulary, expected a list of tokens that starts with {', '.join(special)}")
    return tokens


def write_json(path, content, indent: int | None = 0) -> None:
    """Write a value as JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=indent)


class _WithoutAliases(yaml.SafeLoader):
    """Refuses `*name`, by which a few lines stand for more values than memory can hold."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", self.peek_event().start_mark)
        return super().compose_node(parent, index)


def read_yaml(path) -> dict:
    """Read a YAML mapping safely; UserError names the file, and the line where the syntax breaks."""
    text = read_text(path)
    try:
        content = yaml.load(text, _WithoutAliases)
    except Exception as error:  # besides its own, the library lets through what int() or a date complains of
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected lines of the form `key: value`")
    return content


def write_yaml(path, content: dict) -> None:
    """Write a mapping of plain values in its own order, atomically."""
    with atomic_write(path) as file:
        yaml.safe_dump(dict(content), file, sort_keys=False, allow_unicode=True)
