"""Checks that READMEs, CONTRIBUTING.md and docs/ are true: links, paths, options, figures, both languages alike.

- Every relative link, and every path in code that looks like a file of this repository, exists.
- A long option that is shown with a program is in its --help; one that is shown alone, in some program of the folder.
- Every number in a table of results is in the file that a comment directly above the table names, relative to the
  README: <!-- results: results/default.json -->. It is compared as rounded in the table; with a per cent sign, in the
  cell or its column's head, it is 100 times the file's. What stands in code font is not compared.
- README.md and README_CN.md have the same levels of headings, commands, and numbers in tables of results.
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from readme_page import FOREIGN_FOLDERS, Command, Page, Table, is_foreign, parse, simple_commands, table_numbers

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = {".py", ".sh", ".md", ".yaml", ".yml", ".toml", ".png", ".jsonl", ".json"}
PAGES = ("*/README*.md", "/CONTRIBUTING.md", "/docs/*.md")
OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
NUMBER_IN_FILE = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)  # in 2026-05-17, - is no sign
PROGRAM = re.compile(r"[\w./-]+\.(?:py|sh)\b")


def _expand(text: str) -> list[str]:
    """Expand braces as bash does: run_{a,b}.sh -> run_a.sh, run_b.sh."""
    pieces = re.split(r"\{([^{}]*,[^{}]*)\}", text)
    choices = [piece.split(",") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def long_options(words: list[str]) -> list[str]:
    """Return the long options among the words of a command."""
    return [option for word in words if OPTION.fullmatch(option := word.split("=")[0])]


class Checker:
    """Collects the problems of READMEs below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []
        self._helps: dict[Path, str | None] = {}
        self._paths = sorted(_tracked(root))

    def report(self, page: Page, line: int, message: str) -> None:
        problem = f"{page.path.relative_to(self.root)}:{line}: {message}"
        if problem not in self.problems:
            self.problems.append(problem)

    def check(self, page: Page) -> None:
        for line, message in page.problems:
            self.report(page, line, message)
        self.check_links(page)
        self.check_code(page)
        self.check_option_tables(page)
        for table in page.tables:
            if table.source is not None:
                self.check_results(page, table)

    # -- paths

    def check_links(self, page: Page) -> None:
        for line, link in page.links:
            target = link.split("#")[0]
            if not target or re.match(r"[a-z][a-z+.-]*:", target, re.I):
                continue
            base = self.root if target.startswith("/") else page.path.parent
            if not (base / target.lstrip("/")).exists():
                self.report(page, line, f"link to {target}: no such file")

    def find(self, path: str, folders: list[Path], exact: bool) -> Path | None:
        """The file that a path in code means; inexact ones may leave out the folders above it."""
        for folder in folders:
            if (folder / path).exists() or ("*" in path and any(folder.glob(path))):
                return folder / path
        if not exact:
            below = folders[0].relative_to(self.root).as_posix()
            prefix = "" if below == "." else below + "/"
            for known in self._paths:
                if known.startswith(prefix) and fnmatch.fnmatch(known, "*/" + path.strip("/").replace("[", "[[]")):
                    return self.root / known
        return None

    def check_path(self, page: Page, line: int, word: str, folders: list[Path], exact: bool) -> None:
        word = re.sub(r"(::\S*|:\d[\d-]*)$", "", word.strip("\"'`,;:()").rstrip("."))
        for path in _expand(word):
            path = path[2:] if path.startswith("./") else path
            parts = path.split("/")
            if not path or is_foreign(path) or path.startswith("-"):
                continue
            known_name = os.path.splitext(path)[1] in EXTENSIONS or re.fullmatch(r"(.*/)?requirements[\w-]*\.txt", path)
            known_folder = len(parts) > 1 and any((folder / parts[0]).is_dir() for folder in folders)
            if (known_name or known_folder) and self.find(path, folders, exact) is None:
                self.report(page, line, f"{path}: no such file")

    # -- options

    def check_code(self, page: Page) -> None:
        folders = list(dict.fromkeys([page.home, self.root]))
        for line, text in page.listings:
            for word in re.split(r"[\s=│├└─]+", text):
                self.check_path(page, line, word, folders, exact=False)
        commands = list(page.commands)
        for line, text in page.spans:
            commands += [Command(line, words, folders, exact=False) for words in simple_commands(text)]
        for command in commands:
            for word in command.words:
                for part in word.split("="):
                    self.check_path(page, command.line, part, command.folders, command.exact)
            self.check_call(page, command)

    def check_call(self, page: Page, command: Command) -> None:
        words, program = command.words, None
        is_python = re.fullmatch(r"(.*/)?python[\d.]*", words[0])
        if is_python and words[1:2] == ["-m"] and len(words) > 2:
            arguments = words[3:]
            program = self.find(words[2].replace(".", "/") + ".py", command.folders, True)
            package = words[2].split(".")[0]
            if program is None and any(known.split("/")[-1] == package for known in self._paths):
                self.report(page, command.line, f"python -m {words[2]}: no such module")
        else:
            is_run = is_python or words[0] in ("bash", "sh", "source", ".")
            name, *arguments = (words[1:] or [""]) if is_run else words
            if re.fullmatch(PROGRAM, name) and not is_foreign(name):
                program = self.find(name, command.folders, command.exact)
        if program is not None:
            self.check_arguments(page, command.line, program, arguments)
        elif not command.exact and words[0].startswith("--"):
            for option in long_options(words):
                self.check_any(page, command.line, option)

    def check_arguments(self, page: Page, line: int, program: Path, arguments: list[str]) -> None:
        if program.suffix == ".sh" and "--" in arguments:
            split = arguments.index("--")
            inner = re.search(r"go to (\w+\.py)", self.help(program) or "")
            if inner and (called := self.find(inner[1], [program.parent.parent, program.parent], True)):
                self.check_arguments(page, line, called, arguments[split + 1 :])
            arguments = arguments[:split]
        for option in long_options(arguments):
            self.check_option(page, line, program, option)

    def check_option(self, page: Page, line: int, program: Path, option: str) -> None:
        text = self.help(program)
        name = program.resolve().relative_to(self.root.resolve())
        if text is None:
            self.report(page, line, f"{name} --help fails, so {option} cannot be checked")
        elif option not in OPTION.findall(text) and option != "--help":
            self.report(page, line, f"{name} has no option {option}")

    def check_any(self, page: Page, line: int, option: str) -> None:
        texts = (self.help(program) for program in self.programs(page.home))
        if option != "--help" and not any(option in OPTION.findall(text or "") for text in texts):
            self.report(page, line, f"no program of this folder has the option {option}")

    def check_option_tables(self, page: Page) -> None:
        """Options in a table belong to the programs that the row, the table's head or the heading names."""
        folders = [page.home, self.root]
        for table in page.tables:
            head = " ".join(table.rows[0][1]) if table.rows else ""
            for line, cells in table.rows:
                row = " ".join(cells)
                for text in (row, head, table.section):
                    paths = (self.find(name, folders, False) for name in PROGRAM.findall(text))
                    programs = [path for path in paths if path is not None]
                    if programs:
                        break
                for option in OPTION.findall(row):
                    if not programs:
                        self.check_any(page, line, option)
                    elif not any(option in OPTION.findall(self.help(program) or "") for program in programs):
                        self.check_option(page, line, programs[0], option)

    def programs(self, folder: Path) -> Iterator[Path]:
        """What can be run in a folder; in the root, what can be run anywhere."""
        for known in self._paths:
            path = self.root / known
            if folder in path.parents and "tests" not in path.parts and path.suffix in (".py", ".sh"):
                text = path.read_text(encoding="utf-8")
                if "__main__" in text if path.suffix == ".py" else text.startswith("#!"):
                    yield path

    def help(self, program: Path) -> str | None:
        """What `program --help` prints, None if it fails; each program runs once."""
        program = program.resolve()
        if program not in self._helps:
            folder, call = program.parent, [sys.executable, str(program)]
            if program.suffix == ".sh":
                call = ["bash", str(program)]
            elif (folder / "__init__.py").exists():  # a module of a package: python -m src.name
                while (folder / "__init__.py").exists():
                    folder = folder.parent
                call = [sys.executable, "-m", ".".join(program.relative_to(folder).with_suffix("").parts)]
            environment = {**os.environ, "COLUMNS": "200", "MPLBACKEND": "Agg", "GLOG_v": "3"}
            done = subprocess.run([*call, "--help"], cwd=folder, env=environment, capture_output=True, text=True)
            self._helps[program] = None if done.returncode else done.stdout
        return self._helps[program]

    # -- results

    def check_results(self, page: Page, table: Table) -> None:
        values: list[float] = []
        for name in re.split(r"[,\s]+", table.source or ""):
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
        """Both languages have the same headings' levels, commands, and numbers in tables of results."""
        expected = outline(english)
        for what, here in outline(chinese).items():
            pairs = zip(here, expected[what])
            different = [(line, text, other) for (line, text), (_, other) in pairs if text != other]
            if different:
                line, text, other = different[0]
                self.report(chinese, line, f"{what} {text} here, {other} in {english.path.name}")
            elif len(here) != len(expected[what]):
                counts = f"{len(here)} here, {len(expected[what])} in {english.path.name}"
                self.report(chinese, 1, f"{what}s: {counts}")


def outline(page: Page) -> dict[str, list[tuple[int, str]]]:
    """Return what a page has in both languages, with its lines."""
    results = [table for table in page.tables if table.source is not None]
    return {
        "heading level": [(line, str(level)) for line, level, _ in page.headings],
        "command": [(command.line, " ".join(command.words)) for command in page.commands],
        "results file": [(table.line, table.source or "") for table in results],
        "number": [(line, text) for table in results for line, text, *_ in table_numbers(table)],
    }


def _tracked(root: Path) -> Iterator[str]:
    """Paths of files and folders below the root, without hidden ones and what runs write there."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "." and name not in {"__pycache__", *FOREIGN_FOLDERS}]
        here = Path(folder).relative_to(root)
        yield from ((here / name).as_posix() for name in folders + files)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """Check the pages and print one line per problem; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="*", type=Path, help=f"default: every {', '.join(PAGES)}")
    root = root.resolve()
    checker = Checker(root)
    paths = [path.resolve() for path in parser.parse_args(argv).page]
    if not paths:
        paths = [root / path for path in sorted(_tracked(root)) if any(fnmatch.fnmatch("/" + path, p) for p in PAGES)]
    pages = {}
    for path in paths:
        if not path.is_file() or root not in path.parents:
            print(f"error: {path}: not a file of this repository", file=sys.stderr)
            return 2
        pages[path] = parse(path, root)
        checker.check(pages[path])
    for folder in dict.fromkeys(path.parent for path in paths):
        pair = [folder / "README.md", folder / "README_CN.md"]
        if all(path.is_file() for path in pair):
            checker.check_pair(*(pages.get(path) or parse(path, root) for path in pair))
    print("\n".join(checker.problems) or f"{len(paths)} pages checked, nothing to mend")
    return 1 if checker.problems else 0


if __name__ == "__main__":
    sys.exit(main())
