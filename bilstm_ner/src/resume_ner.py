"""Tagged corpora as ResumeNER is distributed (Zhang & Yang 2018): `character TAG` a line, blanks between sentences.

Any two-column CoNLL file in UTF-8 will do, of any language: what stands in the first column is one unit of the text.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from src.model_utils.runtime import UserError, log
from src.tagging import detect_scheme, illegal_step, split_tag

SPLITS = {"train": ("train",), "dev": ("dev", "valid", "val"), "test": ("test",)}  # split -> names of its file
ERRORS_LOGGED = 5


@dataclass(frozen=True)
class Sentence:
    """One sentence: its characters, and of each its tag and its line in the file."""

    characters: list[str]
    tags: list[str]
    lines: list[int]


@dataclass(frozen=True)
class Corpus:
    """The sentences of a file, the scheme of their tags, and how many sentences `lenient` left out."""

    sentences: list[Sentence]
    scheme: str
    skipped: int

    def __len__(self) -> int:
        return len(self.sentences)

    @property
    def characters(self) -> int:
        return sum(len(sentence.tags) for sentence in self.sentences)


def find_file(data_path, split: str) -> Path:
    """Return the file of a split: `data_path` itself, or `<split>.char.bmes` or the only `<split>.*` in that folder."""
    path = Path(data_path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; check --data_path or run script/download_dataset.sh")
    for name in SPLITS[split]:
        if (path / f"{name}.char.bmes").is_file():
            return path / f"{name}.char.bmes"
        found = sorted(file for file in path.glob(f"{name}.*") if file.is_file())
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise UserError(f"{path}: which one is the {split} file: {names}? Leave one, or name it {name}.char.bmes")
        if found:
            return found[0]
    nested = [inner for inner in path.iterdir() if (inner / "train.char.bmes").is_file()]
    hint = f"; did you mean {nested[0]}?" if nested else ""
    raise UserError(f"{path}: holds no {split}.char.bmes, nor another {split}.* file{hint}")


def read_corpus(path, lenient: bool = False, scheme: str | None = None) -> Corpus:
    """Read a tagged file; lines may end in CRLF, columns stand apart by blanks or tabs, `-DOCSTART-` lines are skipped.

    `scheme` is what the tags must be of; by default it is found from them. Raises UserError with file and line for a
    line without a tag, an unknown tag, a tag that its predecessor does not allow, bytes that are not UTF-8 and an empty
    file; with `lenient` such sentences are left out and counted.
    """
    path = Path(path)
    problems: list[str] = []
    sentences = list(_sentences(path, problems, lenient))
    if not sentences and not problems:
        raise UserError(f"{path}:1: the file is empty; expected a character and its tag on each line")
    if sentences:
        tags = {tag for sentence in sentences for tag in sentence.tags}
        try:
            found = detect_scheme(tags)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        scheme = found if scheme is None or found == "BIOES" and scheme == "BMES" else scheme
    legal = []
    for sentence in _join_cut(path, sentences):
        problem = _illegal(path, sentence, scheme)
        if problem and not lenient:
            raise UserError(f"{problem}; correct the tags, or leave such sentences out with --lenient")
        if problem:
            problems.append(problem)
        else:
            legal.append(sentence)
    for problem in problems[:ERRORS_LOGGED]:
        log(f"warning: left out a sentence: {problem}")
    if problems:
        log(f"warning: {path}: left out {len(problems)} bad sentences, kept {len(legal)}")
    if not legal:
        raise UserError(f"{path}: no good sentence is left, first problem: {problems[0]}")
    return Corpus(legal, scheme, len(problems))


def _join_cut(path: Path, sentences: list[Sentence]) -> list[Sentence]:
    """Join what a blank line cuts in the middle of an entity, as ResumeNER's training file does twice."""
    joined: list[Sentence] = []
    for sentence in sentences:
        before = joined[-1].tags[-1] if joined else "O"
        if before[0] in "BM" and sentence.tags[0][0] in "ME" and before[1:] == sentence.tags[0][1:]:
            log(f"{path}:{sentence.lines[0]}: joined to the sentence before, which ends within an entity")
            last = joined.pop()
            sentence = Sentence(*(a + b for a, b in zip(astuple(last), astuple(sentence))))
        joined.append(sentence)
    return joined


def _illegal(path: Path, sentence: Sentence, scheme: str) -> str | None:
    """Say where the tags of a sentence break the scheme."""
    step = illegal_step(sentence.tags, scheme)
    if step is None:
        return None
    line = sentence.lines[min(step, len(sentence.tags) - 1)]
    if step == len(sentence.tags):
        return f"{path}:{line}: a sentence cannot end with '{sentence.tags[-1]}' in {scheme}"
    before = f"follow '{sentence.tags[step - 1]}'" if step else "start a sentence"
    return f"{path}:{line}: '{sentence.tags[step]}' cannot {before} in {scheme}"


def _sentences(path: Path, problems: list[str], lenient: bool):
    """Yield the sentences whose lines are well formed; what is wrong with the others is raised or collected."""
    characters, tags, lines, bad = [], [], [], None
    with open(path, "rb") as file:
        for number, line in enumerate([*file, b"\n"], 1):
            text, problem = _decode(line, number, path)
            if not text.strip() and not problem:
                if bad:
                    problems.append(bad)
                elif tags:
                    yield Sentence(characters, tags, lines)
                characters, tags, lines, bad = [], [], [], None
                continue
            if text.startswith("-DOCSTART-"):
                continue
            character, tag, problem = (None, None, problem) if problem else _columns(text, number, path)
            if problem and not lenient:
                raise UserError(f"{problem}; mend it, or leave such sentences out with --lenient")
            bad = bad or problem
            characters.append(character)
            tags.append(tag)
            lines.append(number)


def _decode(line: bytes, number: int, path: Path) -> tuple[str, str | None]:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"), None
    except UnicodeDecodeError as error:
        mend = f"convert the file, such as by iconv -f GB18030 -t UTF-8 {path.name}"
        return "", f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8; {mend}"


def _columns(text: str, number: int, path: Path) -> tuple[str, str, str | None]:
    """Split a line into character and tag."""
    columns = text.split("\t") if "\t" in text else text.split(" ")
    columns = [column for column in columns if column]
    if len(columns) != 2:
        wanted = "a character and its tag, separated by one blank or tab"
        return "", "", f"{path}:{number}: expected {wanted}, found '{text[:40]}'"
    try:
        split_tag(columns[1])
    except ValueError:
        known = "O, or B-, M-, I-, E- or S- with a type, such as B-NAME"
        return "", "", f"{path}:{number}: unknown tag '{columns[1][:40]}', expected {known}"
    return columns[0], columns[1], None
