"""Reads a Markdown page into what tools/check_readme.py compares: headings, links, code, commands, tables, numbers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# What users supply or a run writes: the first folder of a path, and the names of files without a folder.
FOREIGN_FOLDERS = {"aclimdb", "glove", "glove_dir", "data", "path", "quickstart", ".venv", "venv"}
FOREIGN_FOLDERS |= {"outputs", "preprocess", "plots", "checkpoints", "export", "exported", "msrun_log"}
FOREIGN_FILES = {"metrics.jsonl", "curves.png", "config.yaml", "options.json", "vocab.json"}
FOREIGN_FILES |= {"result.json", "results.json"}
FOREIGN_START = ("my", "your", "some")

UNCOMMENTED = re.compile(r"""(?:"[^"]*"|'[^']*'|(?<=\S)\#|[^\#])*""")  # a # inside quotes or a word begins no comment
REDIRECTION = re.compile(r"\d?[<>]+&?\s*[^\s();|&]+")
RESULTS = re.compile(r"\s*<!--\s*results:\s*(.*?)\s*-->\s*$")
COMMIT = re.compile(r"(?<![\w./-])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}(?![\w.-])")
NUMBER = re.compile(
    r"(?<![A-Za-z_\d.])(?<![A-Za-z][-−])"  # not inside H100, F1, GPT-2 or 2.10.0
    r"(?P<sign>[-−+]?)(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?(?:[eE](?P<exponent>[-+]?\d+))?"
    r"(?=(?P<percent>\s*(?:±\s*[\d.]+\s*)?%)?)",  # of 90.5 ± 0.1 % both numbers are percentages
    re.ASCII,
)


class Command(NamedTuple):
    """Words of a command, or of a listing or inline code, which may leave out src/ or script/."""

    line: int
    words: list[str]
    folders: list[Path]  # where it may be run: the README's folder or the root, then what `cd` says
    exact: bool


@dataclass
class Table:
    """A table; `source` is what the results comment above it names."""

    line: int
    section: str  # the heading above
    source: str
    rows: list[tuple[int, list[str]]] = field(default_factory=list)


@dataclass
class Page:
    """A page with what it holds, and the line of each; `home` is the folder that it is about."""

    path: Path
    home: Path  # its own folder, or the root for a page of docs/
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)  # of code blocks
    mentions: list[Command] = field(default_factory=list)  # of inline code and other code blocks
    links: list[tuple[int, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    python: list[tuple[int, str]] = field(default_factory=list)  # lines of code in blocks of it, without comments
    commits: list[tuple[int, str]] = field(default_factory=list)  # hashes outside of code blocks
    visible: int = 0  # lines that are not folded away
    problems: list[tuple[int, str]] = field(default_factory=list)


def parse(path: Path, root: Path) -> Page:
    """Read a Markdown file into what the checks need; lines count from 1."""
    page = Page(path, root if path.parent == root / "docs" else path.parent)
    folders = list(dict.fromkeys([page.home, root]))
    lines = path.read_text(encoding="utf-8").splitlines()
    fence, language = 0, ""  # the line that opened the code block, and what it says
    folded = 0  # how many <details> are open
    for number, (before, line) in enumerate(zip(["", *lines], [*lines, ""]), 1):
        folded += line.count("<details") if not fence else 0
        page.visible += not folded and number <= len(lines)
        folded -= line.count("</details>") if not fence else 0
        if RESULTS.match(before) and not line.startswith("|"):
            page.problems.append((number - 1, "a results comment must stand directly above a table"))
        mark = re.match(r"\s*```(\w*)", line)
        if mark and not fence:
            fence, language = number, mark[1]
            if not language:
                page.problems.append((number, "a code block without a language, such as ```bash or ```text"))
        elif mark:
            if language == "bash":
                _read_commands(page, "\n".join(lines[fence : number - 1]), fence + 1, folders)
            fence = 0
        elif fence and language == "python":
            if code := UNCOMMENTED.match(line)[0].rstrip():
                page.python.append((number, code))
        elif fence and language != "bash":
            words = re.split(r"[\s=│├└─]+", UNCOMMENTED.match(line)[0].strip(" │├└─"))
            page.mentions.append(Command(number, words, folders, False))
        elif not fence:
            _read_line(page, number, line, before, folders)
    if fence:
        page.problems.append((fence, "a code block is not closed"))
    return page


def _read_line(page: Page, number: int, line: str, before: str, folders: list[Path]) -> None:
    """Add what a line outside of code blocks holds."""
    if line.startswith("|"):
        if not before.startswith("|"):
            source = RESULTS.match(before)
            section = page.headings[-1][2] if page.headings else ""
            page.tables.append(Table(number, section, source[1] if source else ""))
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        if not all(re.fullmatch(r"\s*:?-+:?\s*", cell) for cell in cells):
            page.tables[-1].rows.append((number, [cell.strip() for cell in cells]))
    if heading := re.match(r"(#{1,6})\s+(.*)", line):
        page.headings.append((number, len(heading[1]), heading[2]))
    for span in re.findall(r"`+([^`]+)`+", line):
        page.mentions += [Command(number, words, folders, False) for words in simple_commands(span)]
    page.commits += [(number, commit) for commit in COMMIT.findall(line)]
    text = re.sub(r"`+[^`]+`+", "code", line)
    page.links += [(number, link) for link in re.findall(r"(?:\]\(\s*<?|<img src=\")([^)\s>\"]+)", text)]


def _read_commands(page: Page, block: str, first: int, folders: list[Path]) -> None:
    """Add the commands of a code block; `cd` holds to its end."""
    root, cloned = folders[-1], False
    for line in re.finditer(r"(?:.*\\\n)*.+", block):  # with the lines that continue it
        number = first + block.count("\n", 0, line.start())
        text = UNCOMMENTED.match(re.sub(r"\s*\\\n\s*", " ", line[0]).strip())[0]
        for words in simple_commands(text):
            page.commands.append(Command(number, words, folders, True))
            cloned |= words[:2] == ["git", "clone"]
            if words[0] == "cd" and len(words) > 1:
                inside = [folder / words[1] for folder in folders if (folder / words[1]).is_dir()]
                if not inside and not cloned and not is_foreign(words[1]):
                    page.problems.append((number, f"cd {words[1]}: no such folder"))
                folders, cloned = inside or [root], False


def simple_commands(text: str) -> list[list[str]]:
    """The words of each command of a line with pipes and lists, without redirections and variables."""
    lexer = shlex.shlex(REDIRECTION.sub("", text), posix=True, punctuation_chars="();|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:  # an unbalanced quote, as in a sentence
        tokens = text.split()
    commands: list[list[str]] = [[]]
    for token in tokens:
        if re.fullmatch(r"[();|&]+", token):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", token):
            commands[-1].append(token)
    return [words for words in commands if words]


def is_foreign(path: str) -> bool:
    """Whether users supply this or a run writes it."""
    name = re.sub(r"^(\.{1,2}/)+", "", path)
    first = name.split("/")[0].lower()
    if name.startswith("/") or first.startswith(FOREIGN_START) or not re.fullmatch(r"[\w.+*{},/-]*", name):
        return True
    return first.rstrip("0123456789_") in FOREIGN_FOLDERS or name in FOREIGN_FILES


def table_numbers(table: Table) -> Iterator[tuple[int, str, float, float, bool]]:
    """Line, text, value, half a unit of the last digit and whether it is a percentage, for each number in the body."""
    for line, cells in table.rows[1:]:
        for head, cell in zip(table.rows[0][1], cells):
            cell = re.sub(r"`[^`]*`|<[^>]*>", " ", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell))
            for match in NUMBER.finditer(cell):
                part, exponent = match["part"] or "", int(match["exponent"] or 0)
                digits = match["whole"].replace(",", "") + "." + (part or "0")
                sign = -1 if match["sign"] in ("-", "−") else 1
                percent = bool(match["percent"]) or "%" in head
                text = match[0].replace("−", "-") + ("%" if percent else "")
                half_unit = 0.5 * 10.0 ** (exponent - len(part))
                if match[0].isdigit() and float(digits) < 10 and not percent:
                    half_unit = 0.0  # a count; nobody rounds 0.9 to 1
                yield line, text, sign * float(digits) * 10.0**exponent, half_unit, percent
