"""Checks that READMEs, CONTRIBUTING.md and docs/ are true: links, paths, options, figures, both languages alike.

- Every relative link, and every path in code that looks like a file of this repository, exists.
- A long option that is shown with a program is in its --help; one that is shown alone, in some program of the folder.
- Every number in a table of results is in the file that a comment directly above the table names, relative to the
  README: <!-- results: results/default.json -->. It is compared as rounded in the table; with a per cent sign, in the
  cell or its column's head, it is 100 times the file's. What stands in code font is not compared.
- README.md and README_CN.md have the same levels of headings, commands, Python, and numbers in tables of results.
- A model's README shows Python, has at most MOST_VISIBLE lines outside of <details>, and leaves commits to results/.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from readme_page import FOREIGN_FOLDERS, Command, Page, Table, is_foreign, parse, table_numbers

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = {".py", ".sh", ".md", ".yaml", ".yml", ".toml", ".png", ".jsonl", ".json"}
MOST_VISIBLE = 130
PAGES = ("README*.md", "*/README*.md", "CONTRIBUTING.md", "docs/*.md")
OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
NUMBER_IN_FILE = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)  # in 2026-05-17, - is no sign
PROGRAM = re.compile(r"[\w./-]+\.(?:py|sh)\b")


def _expand(text: str) -> list[str]:
    """Expand braces as bash does: run_{a,b}.sh -> run_a.sh, run_b.sh."""
    pieces = re.split(r"\{([^{}]*,[^{}]*)\}", text)
    choices = [piece.split(",") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return ["".join(choice) for choice in itertools.product(*choices)]


@functools.cache
def help_of(program: Path) -> str:
    """Return what `program --help` prints, --help itself included."""
    folder = program.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    module = ".".join(program.relative_to(folder).with_suffix("").parts)
    call = ["bash", str(program)] if program.suffix == ".sh" else [sys.executable, "-m", module]
    environment = {**os.environ, "COLUMNS": "200", "MPLBACKEND": "Agg", "GLOG_v": "3"}
    done = subprocess.run([*call, "--help"], cwd=folder, env=environment, capture_output=True, text=True)
    return "--help " + done.stdout


class Checker:
    """Collects the problems of READMEs below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []
        self._paths = sorted(_tracked(root))

    def report(self, page: Page, line: int, message: str) -> None:
        self.problems.append(f"{page.path.relative_to(self.root)}:{line}: {message}")

    def check(self, page: Page) -> None:
        for line, message in page.problems:
            self.report(page, line, message)
        self.check_links(page)
        for command in page.mentions + page.commands:
            for word in command.words:
                for part in word.split("="):
                    self.check_path(page, command, part)
            self.check_call(page, command)
        if (page.path.parent / "train.py").is_file():
            self.check_model_page(page)
        for table in page.tables:
            self.check_option_table(page, table)
            if table.source:
                self.check_results(page, table)

    def check_model_page(self, page: Page) -> None:
        """What is asked of a model's README alone."""
        if page.visible > MOST_VISIBLE:
            self.report(page, 1, f"{page.visible} lines outside of <details>, {MOST_VISIBLE} at most")
        if not page.python:
            self.report(page, 1, "no block of Python")
        for line, commit in page.commits:
            self.report(page, line, f"commit {commit}: belongs in results/*.json")

    # -- paths

    def check_links(self, page: Page) -> None:
        for line, link in page.links:
            target = link.split("#")[0]
            is_relative = target and not re.match(r"[a-z][a-z+.-]*:", target, re.I)
            if is_relative and not (page.path.parent / target).exists():
                self.report(page, line, f"link to {target}: no such file")

    def find(self, path: str, folders: list[Path], exact: bool) -> Path | None:
        """The file that a path in code means; inexact ones may leave out the folders above it."""
        for folder in folders:
            if (folder / path).exists() or ("*" in path and any(folder.glob(path))):
                return (folder / path).resolve()
        below = (known for known in self._paths if not exact and folders[0] in known.parents)
        return next((known for known in below if known.match(path.replace("[", "[[]"))), None)

    def check_path(self, page: Page, command: Command, word: str) -> None:
        word = re.sub(r"(::\S*|:\d[\d-]*)$", "", word.strip("\"'`,;:()").rstrip("."))
        for path in _expand(word):
            path = path.removeprefix("./")
            if not path or is_foreign(path) or path.startswith("-"):
                continue
            first, slash, _ = path.partition("/")
            known_name = os.path.splitext(path)[1] in EXTENSIONS or re.fullmatch(r"(.*/)?requirements[\w-]*\.txt", path)
            known_folder = slash and any((folder / first).is_dir() for folder in command.folders)
            if (known_name or known_folder) and self.find(path, command.folders, command.exact) is None:
                self.report(page, command.line, f"{path}: no such file")

    # -- options

    def check_call(self, page: Page, command: Command) -> None:
        """The options of a command are those of its program; options alone, in running text, those of any."""
        line, words, folders, exact = command
        is_python = re.fullmatch(r"(.*/)?python[\d.]*", words[0])
        if is_python and words[1:2] == ["-m"] and len(words) > 2:
            program, arguments = self.find(words[2].replace(".", "/") + ".py", folders, True), words[3:]
            package = words[2].split(".")[0]
            if program is None and any(known.name == package for known in self._paths):
                self.report(page, line, f"python -m {words[2]}: no such module")
        else:
            is_run = is_python or words[0] in ("bash", "sh", "source", ".")
            name, *arguments = (words[1:] or [""]) if is_run else words
            program = self.find(name, folders, exact) if PROGRAM.fullmatch(name) else None
        if program is None:
            if not exact and words[0].startswith("--"):
                self.check_options(page, line, words, [])
            return
        if program.suffix == ".sh" and "--" in arguments:
            split = arguments.index("--")
            inner = re.search(r"go to (\w+\.py)", help_of(program))
            if inner and (called := self.find(inner[1], [program.parent.parent, program.parent], True)):
                self.check_options(page, line, arguments[split + 1 :], [called])
            arguments = arguments[:split]
        self.check_options(page, line, arguments, [program])

    def check_option_table(self, page: Page, table: Table) -> None:
        """Options in a table belong to the programs that the row, the table's head or the heading names."""
        for line, cells in table.rows:
            row = " ".join(cells)
            programs: list[Path] = []
            for text in (row, " ".join(table.rows[0][1]), table.section):
                paths = (self.find(name, [page.home, self.root], False) for name in PROGRAM.findall(text))
                programs = programs or [path for path in paths if path is not None]
            self.check_options(page, line, OPTION.findall(row), programs)

    def check_options(self, page: Page, line: int, words: list[str], programs: list[Path]) -> None:
        """Every long option among the words is in the --help of one of `programs`, or of any here if there are none."""
        for option in (word.split("=")[0] for word in words):
            texts = (help_of(program) for program in programs or self.programs(page.home))
            if OPTION.fullmatch(option) and not any(option in OPTION.findall(text) for text in texts):
                names = " or ".join(str(program.relative_to(self.root)) for program in programs)
                self.report(page, line, f"{option} is not in the --help of {names or 'any program here'}")

    def programs(self, folder: Path) -> Iterator[Path]:
        """What can be run in a folder; in the root, what can be run anywhere."""
        for path in self._paths:
            if folder in path.parents and path.parent.name != "tests" and path.suffix in (".py", ".sh"):
                text = path.read_text(encoding="utf-8")
                if "__main__" in text if path.suffix == ".py" else text.startswith("#!"):
                    yield path

    # -- results

    def check_results(self, page: Page, table: Table) -> None:
        values: list[float] = []
        for name in re.split(r"[,\s]+", table.source):
            try:
                content = (page.path.parent / name).read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                self.report(page, table.line, f"results file {name} cannot be read: {error}")
                return
            values += map(float, NUMBER_IN_FILE.findall(content))
        for line, text, value, tolerance, percent in table_numbers(table):
            scale = 100 if percent else 1
            if not any(abs(known * scale - value) <= tolerance * (1 + 1e-9) + 1e-12 for known in values):
                self.report(page, line, f"{text} is not in {table.source}")

    def check_pair(self, english: Page, chinese: Page) -> None:
        """Both languages have the same headings' levels, commands, Python, and numbers in tables of results."""
        expected = outline(english)
        for what, here in outline(chinese).items():
            for (line, text), (_, other) in itertools.zip_longest(here, expected[what], fillvalue=(1, "none")):
                if text != other:
                    self.report(chinese, line, f"{what} {text} here, {other} in {english.path.name}")
                    break


def outline(page: Page) -> dict[str, list[tuple[int, str]]]:
    """Return what a page has in both languages, with its lines."""
    results = [table for table in page.tables if table.source]
    return {
        "heading level": [(line, str(level)) for line, level, _ in page.headings],
        "command": [(command.line, " ".join(command.words)) for command in page.commands],
        "Python": page.python,
        "results file": [(table.line, table.source) for table in results],
        "number": [(line, text) for table in results for line, text, *_ in table_numbers(table)],
    }


def _tracked(root: Path) -> Iterator[Path]:
    """Paths of files and folders below the root, without hidden ones and what runs write there."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "." and name not in {"__pycache__", *FOREIGN_FOLDERS}]
        yield from (Path(folder) / name for name in folders + files)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Check the pages and print one line per problem; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="*", type=Path, help=f"default: every {', '.join(PAGES)}")
    root = root.resolve()
    checker = Checker(root)
    paths = [path.resolve() for path in parser.parse_args(argv).page]
    if not paths:
        paths = sorted({path for pattern in PAGES for path in root.glob(pattern)} & set(_tracked(root)))
    for path in paths:
        if not path.is_file() or root not in path.parents:
            print(f"error: {path}: not a file of this repository", file=sys.stderr)
            return 2
        page, chinese = parse(path, root), path.with_name("README_CN.md")
        checker.check(page)
        if path.name == "README.md" and chinese.is_file():
            checker.check_pair(page, parse(chinese, root))
    print("\n".join(dict.fromkeys(checker.problems)) or f"{len(paths)} pages checked, nothing to mend")
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())
