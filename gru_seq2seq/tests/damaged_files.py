"""Files as accidents leave them: cut off, garbled, in another encoding, something else altogether.

Shared by the tests of all models: whatever is in a file, its reader takes it or says in one line what is wrong.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

from src.model_utils.runtime import UserError


def mutations(content: bytes) -> dict[str, bytes]:
    """Return damaged forms of a file's content by name, always the same ones."""
    draw = random.Random(len(content))
    lines = content.split(b"\n")
    middle, line = len(content) // 2, len(lines) // 2
    forms = {
        "empty": b"",
        "one line end": b"\n",
        "blanks": b"  \t \n \n",
        "no last line end": content.rstrip(b"\n"),
        "last byte gone": content[:-1],
        "first byte gone": content[1:],
        "CRLF": content.replace(b"\n", b"\r\n"),
        "CR": content.replace(b"\n", b"\r"),
        "byte order mark": b"\xef\xbb\xbf" + content,
        "UTF-16": content.decode("utf-8", "replace").encode("utf-16"),
        "UTF-16 without mark": content.decode("utf-8", "replace").encode("utf-16-le"),
        "UTF-32 without mark": content.decode("utf-8", "replace").encode("utf-32-le"),
        "Latin-1 in the middle": content[:middle] + "Größe".encode("latin-1") + content[middle:],
        "NUL in the middle": content[:middle] + b"\0\0" + content[middle:],
        "NULs alone": b"\0" * 100,
        "all bytes": bytes(range(256)),
        "one very long line": content.replace(b"\n", b" ") * 20,
        "a line a million bytes long": content + b"x" * 10**6,
        "blank line in the middle": b"\n".join([*lines[:line], b"", *lines[line:]]),
        "line gone": b"\n".join([*lines[:line], *lines[line + 1 :]]),
        "line doubled": b"\n".join([*lines[:line], *lines[line : line + 1] * 2, *lines[line + 1 :]]),
        "lines reversed": b"\n".join(reversed(lines)),
        "tabs for blanks": content.replace(b" ", b"\t"),
        "blanks for tabs": content.replace(b"\t", b" "),
        "blanks doubled": content.replace(b" ", b"  "),
        "no blanks": content.replace(b" ", b""),
        "line separators of Unicode": content.replace(b"\n", "\u2028".encode()),
        "control characters": content.replace(b" ", b"\x1b\x07\x0c"),
        "upper case": content.upper(),
        "other numbers": content.replace(b"1", b"-99999999999999999999"),
        "no numbers": bytes(byte for byte in content if not 48 <= byte <= 57),
        "infinite numbers": content.replace(b"0.", b"inf"),
        "compressed": gzip.compress(content, mtime=0),
        "a page that says not found": b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n",
        "JSON of something else": b'{"message": "Not Found", "status": 404}\n',
        "JSON list": b"[]\n",
        "JSON number": b"3\n",
        "deep JSON": b"[" * 100_000,
        "YAML of something else": b"a: [1, 2]\nb: {c: d}\n",
    }
    for share in (0.1, 0.5, 0.9):
        forms[f"cut at {share}"] = content[: int(len(content) * share)]
    for number in range(5):
        garbled = bytearray(content)
        for _ in range(1 + len(content) // 200):
            if garbled:
                garbled[draw.randrange(len(garbled))] = draw.randrange(256)
        forms[f"garbled {number}"] = bytes(garbled)
    return forms


def read_damaged(path: Path, read: Callable) -> int:
    """Put every mutation into the file at `path` and call `read()`; returns how many it refused.

    A refusal is a UserError of one line. Any other exception is a fault of the reader: it is raised with the name of
    the mutation. The file is restored at the end.
    """
    content, refused = path.read_bytes(), 0
    try:
        for name, damaged in mutations(content).items():
            path.write_bytes(damaged)
            try:
                read()
            except UserError as error:
                refused += 1
                assert len(str(error)) < 1000, f"{name}: {str(error)[:2000]}"
            except BaseException as error:
                raise AssertionError(f"{path.name}, {name}: {error!r}") from error
    finally:
        path.write_bytes(content)
    return refused
