"""Feeds damaged files to every reader of users' files; each must give an answer or refuse in one line, soon.

python tools/fuzz.py [--minutes N] [--seed N] [--only TEXT] needs the packages of requirements.txt. The readers, each
with a small valid file, are those of <folder>/tests/readers.py. Their files get random edits: bits flipped, bytes cut
out, put in and repeated, other numbers, sizes and encodings. A fault is

- any exception but those that the programs turn into one line and exit code 2, and such a line of 1,000 characters,
- more than 10 seconds, or more than 1 GiB of memory,
- a death of the process, as native libraries die.

A table counts cases by reader. A file that showed a fault is kept in a folder of its own, as few of the edits as are
needed in it, and --replay FILE --only READER reads it again. A seed and a number of --cases give the same cases.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import importlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("common", "lstm", "bilstm_ner", "ctc_lstm", "gru_seq2seq", "elmo")
SECONDS = 10  # for one file; no reader needs one, but a machine may be busy
MEMORY = 2**30  # bytes on top of what is taken before the first case
EDITS = (1, 1, 1, 2, 3, 5)  # in a file
MOST_ADDED = 2**22  # bytes of a damaged file
LONGEST_LINE = 1000  # characters of a complaint
NUMBERS = (0, 1, 2, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
WORDS = (  # what some format may take for more than text
    *(
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\t",
        b" ",
        b"\x1b[2J",
        b"\xff",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
    ),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\\ud800", b"\\u0000", "\u2028".encode(), "e\u0301".encode(), b"\xe9"),
    *(b"NaN", b"Infinity", b"-Infinity", b"-1", b"1e999", b"1e-999", b"0x10", b"1_0", b"9" * 30, b"9" * 5000),
    *(b"null", b"true", b"{}", b"[]", b'""', b'"', b"'", b",", b":", b"- ", b"{", b"[" * 2000, b"[" * 100_000),
    *(
        b"{a: " * 2000,
        b"&a [*a, *a]",
        b"*a",
        b"!!python/object/apply:os.getcwd []",
        b"!!binary x",
        b"2026-99-99",
        b"<<: 1",
    ),
    *(
        b"<S>",
        b"</S>",
        b"<UNK>",
        b"<pad>",
        b"<blank>",
        b"-DOCSTART-",
        b"\xe2\x96\x81",
        b"../../../etc/passwd",
        b"/dev/zero",
    ),
    *(b"%s%n", b"x" * 5000, b"x " * 5000, b"PK\x03\x04", b"\x1f\x8b\x08", b"RIFF", b"fLaC", b"\x89HDF\r\n\x1a\n"),
)
Edit = Callable[[bytes], bytes]


class TooSlow(BaseException):
    """A reader has taken more than SECONDS; no `except Exception` of it may catch that."""


class Fault(NamedTuple):
    """What a reader did that it must not."""

    kind: str  # equal for what seems to be the same fault
    details: str


def an_edit(draw: random.Random) -> Edit:
    """Draw one edit; it does the same to any content."""
    kind = draw.choice(
        ("flip", "byte", "cut", "drop", "insert", "replace", "repeat", "copy", "number", "size", "line", "recode")
    )
    share, other, exact = draw.random(), draw.random(), draw.random() < 0.5
    length = draw.choice((1, 1, 2, 4, 8, 16, 64, 256, 1024))
    bit, byte, word, value = 1 << draw.randrange(8), draw.randrange(256), draw.choice(WORDS), draw.choice(NUMBERS)
    width, order, times = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big")), draw.choice((2, 3, 10, 1000))
    encoding = draw.choice(("utf-16", "utf-16-le", "utf-32-be", "latin-1", "upper", "crlf", "cr", "mark"))

    def edit(content: bytes) -> bytes:
        place = int(share * len(content))
        if exact:  # headers deserve as many edits as what follows
            place = min(place, int(share * 512))
        elif len(content) > 2**16:  # such as MindRecord, of which the most is empty
            filled = np.flatnonzero(np.frombuffer(content, np.uint8))
            place = int(filled[int(share * len(filled))]) if len(filled) else place
        before, chunk, after = content[:place], content[place : place + length], content[place + length :]
        if kind == "cut":
            return before
        if kind == "insert":
            return before + word + content[place:]
        if kind == "replace":
            return before + word + content[place + len(word) :]
        if kind == "size":
            return before + (value % 256**width).to_bytes(width, order) + content[place + width :]
        if kind == "number":
            numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", content[:65536]))
            if numbers:
                start, end = numbers[int(share * len(numbers))].span()
                text = str(value).encode() if exact else word
                return content[:start] + text + content[end:]
        if kind == "line":
            lines = content.split(b"\n")
            one, two = int(share * len(lines)), int(other * len(lines))
            lines[one : one + 1] = [lines[two]] * min(times, 10) if exact else []
            return b"\n".join(lines)
        if kind == "recode":
            text = content.decode("utf-8", "replace")
            forms = {
                "upper": content.upper(),
                "crlf": content.replace(b"\n", b"\r\n"),
                "cr": content.replace(b"\n", b"\r"),
            }
            forms["mark"] = b"\xef\xbb\xbf" + content
            return forms[encoding] if encoding in forms else text.encode(encoding, "replace")
        if kind == "copy":
            place = int(other * len(content))
            return before + content[place : place + length] + after
        changed = {"flip": bytes([chunk[0] ^ bit]) + chunk[1:] if chunk else b"", "byte": bytes([byte]) + chunk[1:]}
        changed.update(drop=b"", repeat=chunk * times)
        return before + changed.get(kind, chunk) + after

    return edit


def damaged(content: bytes, edits: list[Edit]) -> bytes:
    """Return a content after the edits, one behind the other."""
    most = len(content) + MOST_ADDED
    for edit in edits:
        content = edit(content)[:most]
    return content


def attempt(read: Callable[[], object]) -> tuple[str, Fault | None]:
    """Let a reader read; returns accepted, refused or faults, and the fault."""
    user_error = importlib.import_module("src.model_utils.runtime").UserError

    def stop(*_) -> None:
        raise TooSlow(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # where native code never returns
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        read()
        return "accepted", None
    except (user_error, OSError) as error:
        line = str(error)
        if isinstance(error, user_error) and not (0 < len(line) < LONGEST_LINE and "\n" not in line):
            return "faults", Fault("a complaint that is empty or too long", line)
        return "refused", None
    except (Exception, TooSlow) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/src/" in frame.filename]
        place = f" in {Path(frames[-1].filename).name}, {frames[-1].name}" if frames else ""
        return "faults", Fault(f"{type(error).__name__}{place}", traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def limit_memory() -> None:
    """Let this process take no more than MEMORY bytes on top of what it has."""
    taken = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    most = int(taken[1]) * 1024 + MEMORY if taken else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def fuzz(name: str, path: Path, read: Callable, seed: int, seconds: float, cases: int) -> Iterator[dict]:
    """Read damaged forms of the file at `path` until the time is over or so many are read; yields what happened."""
    content, counts, seen = path.read_bytes(), collections.Counter(), collections.Counter()
    read()  # the valid file; whatever it raises is a mistake of readers.py
    limit_memory()
    end, number = time.monotonic() + seconds, 0
    while number < cases or (not cases and time.monotonic() < end):
        draw = random.Random(f"{seed} {name} {number}")
        edits = [an_edit(draw) for _ in range(draw.choice(EDITS))]
        path.write_bytes(damaged(content, edits))
        outcome, fault = attempt(read)
        if fault:
            seen[fault.kind] += 1
            if seen[fault.kind] == 1:
                edits = _needed(
                    edits, lambda fewer: path.write_bytes(damaged(content, fewer)) and attempt(read)[1], fault
                )
                details = f"case {number}\n{fault.details}"
                yield {"fault": fault.kind, "details": details, "content": damaged(content, edits)}
        counts[outcome] += 1
        number += 1
    path.write_bytes(content)
    yield {"reader": name, "cases": number, **counts}


def _needed(edits: list[Edit], fault_of: Callable[[list[Edit]], Fault | None], fault: Fault) -> list[Edit]:
    """Leave out the edits without which the fault remains."""
    for edit in list(edits):
        fewer = [each for each in edits if each is not edit]
        again = fault_of(fewer)
        if again and again.kind == fault.kind:
            edits = fewer
    return edits


def load_readers(folder: str) -> dict[str, Callable]:
    """Return the readers of a folder of the repository, by their names; imports its `src` and nothing else."""
    sys.path[:0] = [str(ROOT / folder), str(ROOT / folder / "tests")]
    return importlib.import_module("readers").READERS


def work(args: argparse.Namespace) -> None:
    """Fuzz the readers of one folder, and say in lines of JSON what happens."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for name, prepare in load_readers(args.worker).items():
        title = f"{args.worker}: {name}"
        if args.only not in title or title in args.skip:
            continue
        folder = Path(args.work) / name.replace(" ", "_").replace("/", "_")
        folder.mkdir(parents=True)
        path, read = prepare(folder)
        print(json.dumps({"reader": title, "path": str(path)}), file=answers)
        if args.replay:
            path.write_bytes(Path(args.replay).read_bytes())
            outcome, fault = attempt(read)
            sys.stderr.write(f"{title}: {outcome}\n{fault.details if fault else ''}")
            continue
        for line in fuzz(title, path, read, args.seed, args.seconds, args.cases):
            if "content" in line:  # in a file of its own, as the reader's changes while it is copied
                kept = Path(tempfile.mkstemp(dir=args.work)[1])
                kept.write_bytes(line.pop("content"))
                line["file"] = str(kept)
            print(json.dumps(line), file=answers)


class Keeper:
    """Keeps the files that showed faults, in a folder that is made for the first of them."""

    def __init__(self, folder: str):
        self.folder, self.count = folder, 0

    def keep(self, reader: str, name: str, file: Path, what: str, details: str) -> None:
        """Copy a file under the name that the reader knows, and say beside it what it did."""
        self.folder = self.folder or tempfile.mkdtemp(prefix="fuzz-")
        self.count += 1
        target = Path(self.folder) / f"{self.count:03}_{name}"
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            target.write_bytes(file.read_bytes())
        again = f"python tools/fuzz.py --only '{reader}' --replay {target}"
        Path(f"{target}.txt").write_text(f"{reader}: {what}\n{again}\n\n{details}\n", encoding="utf-8")
        print(f"  {reader}: {what}\n    {target}", flush=True)


def drive(folder: str, args: argparse.Namespace, keeper: Keeper) -> Iterator[dict]:
    """Fuzz the readers of a folder in a process of their own, and in another one those behind one that killed it."""
    skip: list[str] = []
    while True:
        with tempfile.TemporaryDirectory() as place, open(Path(place) / "errors", "w+") as errors:
            command = [sys.executable, __file__, "--worker", folder, "--work", place, "--seed", str(args.seed)]
            command += [
                "--seconds",
                str(args.seconds),
                "--cases",
                str(args.cases),
                "--only",
                args.only,
                "--skip",
                *skip,
            ]
            command += ["--replay", args.replay] if args.replay else []
            process = subprocess.Popen(
                command,
                cwd=place,  # MindSpore leaves folders where it runs
                env={**os.environ, "GLOG_v": "4", "PYTHONPATH": "", "PYTHONWARNINGS": "ignore"},
                stdout=subprocess.PIPE,
                stderr=None if args.replay else errors,
                text=True,
            )
            reader, path, finished = "", Path(), True
            for line in process.stdout or ():
                message = json.loads(line)
                if "path" in message:
                    reader, path, finished = message["reader"], Path(message["path"]), False
                elif "fault" in message:
                    keeper.keep(reader, path.name, Path(message["file"]), message["fault"], message["details"])
                else:
                    finished = True
                    skip.append(reader)
                    yield message
            code = process.wait()
            if code == 0 or args.replay:
                return
            errors.seek(0)
            details = errors.read()[-5000:]
            if finished:  # not because of a damaged file
                raise RuntimeError(f"{folder}: ended with {code}\n{details}")
            what = f"killed by signal {-code}" if code < 0 else f"ended with {code}"
            keeper.keep(reader, path.name, path, what, details)
            skip.append(reader)
            yield {"reader": reader, "cases": 0, "faults": 1}


def count_readers(only: str) -> int:
    """Return the number of readers whose names hold `only`."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fuzz; print(*fuzz.load_readers(sys.argv[2]), sep='\\n')"
    count = 0
    for folder in FOLDERS:
        command = [sys.executable, "-c", code, str(Path(__file__).parent), folder]
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        count += sum(only in f"{folder}: {name}" for name in names)
    return count


def parse_arguments(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="for all readers together (default: 10)")
    parser.add_argument("--cases", type=int, default=0, metavar="N", help="files for each reader, in place of minutes")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--only", default="", metavar="TEXT", help="readers with this in their names, such as elmo:")
    parser.add_argument("--replay", metavar="FILE", help="let the reader that --only names read this file")
    parser.add_argument("--output", default="", metavar="DIR", help="for files with faults (default: a new folder)")
    for name in ("--worker", "--work"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--skip", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Fuzz as the command line says; returns the exit code: 1 where there is a fault."""
    args = parse_arguments(argv)
    if args.worker:
        work(args)
        return 0
    readers = count_readers(args.only)
    if not readers:
        print(f"error: no reader has '{args.only}' in its name", file=sys.stderr)
        return 2
    args.seconds = 60 * args.minutes / readers
    keeper, faults = Keeper(args.output), 0
    columns = ("cases", "accepted", "refused", "faults")
    print(f"{'reader':52}" + "".join(f"{column:>10}" for column in columns), flush=True)
    for folder in FOLDERS:
        for row in drive(folder, args, keeper):
            print(f"{row['reader']:52}" + "".join(f"{row.get(column, 0):10}" for column in columns), flush=True)
            faults += row.get("faults", 0)
    print(f"{faults} faults" + (f", {keeper.count} kinds in {keeper.folder}" if keeper.count else ""))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
