"""Manifests: one utterance a line, its audio file and its labels, as JSON lines or tab-separated values.

    {"audio": "wav/a.wav", "labels": "three one four", "speaker": "ann", "name": "a"}
    wav/a.wav<TAB>three one four<TAB>ann<TAB>a

Speaker and name may be left out. A TSV file may begin with the line `audio<TAB>labels<TAB>speaker<TAB>name`; blanks
beside its tabs are ignored. Labels are separated by white space, in JSON also a list of strings. Paths are relative to
the manifest's folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from src.model_utils.files import binary_lines, decode, parse_json, read_lines
from src.model_utils.runtime import UserError
from src.utterance import SPLITS, Utterance

FIELDS = ("audio", "labels", "speaker", "name")
RESERVED = ("<blank>", "<s>", "</s>")  # what CTC and the n-gram model add to the labels of a corpus


def find_manifests(folder: Path) -> dict[str, Path]:
    """Return the manifest of each split that the folder has; UserError where a split has two."""
    manifests = {}
    for split in SPLITS:
        paths = [path for path in (folder / f"{split}.jsonl", folder / f"{split}.tsv") if path.is_file()]
        if len(paths) > 1:
            raise UserError(f"{paths[0]}: there is {paths[1].name} as well; keep one of them")
        if paths:
            manifests[split] = paths[0]
    return manifests


def read_manifest(path: Path, problems: list[str]) -> list[Utterance]:
    """Read a manifest; what is wrong with a line is added to `problems` as `path:line: ...`.

    Raises UserError where the file is missing or empty, and where two lines have one name.
    """
    fields_of = _json_fields if path.suffix.lower() == ".jsonl" else _tsv_fields
    utterances, names = [], {}
    for number, data in binary_lines(path):
        try:
            line = decode(data, path, number)
            if not line.strip() or (number == 1 and _columns(line)[:2] == list(FIELDS[:2])):
                continue
            if "\r" in line:
                raise ValueError("holds a carriage return; save the file with line feeds")
            fields = fields_of(line)
            audio = path.parent / fields["audio"]
            if not os.path.isfile(audio):
                raise ValueError(f"there is no audio file {audio}")
        except (UserError, ValueError) as error:
            problems.append(str(error) if isinstance(error, UserError) else f"{path}:{number}: {error}")
            continue
        name = fields.get("name") or Path(fields["audio"]).with_suffix("").as_posix()
        name = os.fsencode(name).decode(errors="replace")  # a path may hold bytes that are not UTF-8
        if name in names:
            raise UserError(f"{path}:{number}: '{name}' is the name on line {names[name]} too; give each its own")
        names[name] = number
        utterances.append(
            Utterance(name, fields.get("speaker") or "", str(audio), tuple(map(sys.intern, fields["labels"].split())))
        )
    if not utterances and not problems:
        raise UserError(f"{path}: holds no utterance")
    return utterances


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Read a table of utterances and the groups they belong to: group, by its column, of each name.

    Tab-separated, with a first line of titles, of which the first stands for the names:

        name<TAB>age<TAB>gender
        a<TAB>child<TAB>female

    Raises UserError, with the line, for another number of columns and for a name that is there twice.
    """
    titles: list[str] = []
    groups: dict[str, dict[str, str]] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        name, *columns = _columns(line)
        if not titles:
            titles = columns
        elif len(columns) != len(titles) or name in groups:
            raise UserError(f"{path}:{number}: expected a new name and {len(titles)} groups, not '{line}'")
        else:
            groups[name] = dict(zip(titles, columns))
    if not titles or not groups:
        raise UserError(f"{path}: expected a line of titles and lines of a name and its groups, separated by tabs")
    return groups


def _json_fields(line: str) -> dict[str, str]:
    try:
        fields = parse_json(line)
    except ValueError:
        raise ValueError("not valid JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("expected a JSON object with the fields audio and labels")
    if isinstance(fields.get("labels"), list):
        if not all(isinstance(label, str) and len(label.split()) == 1 for label in fields["labels"]):
            raise ValueError("labels must be strings without spaces")
        fields["labels"] = " ".join(fields["labels"])
    unknown = [key for key in fields if key not in FIELDS]
    if unknown:
        raise ValueError(f"unknown field '{unknown[0]}'; expected {', '.join(FIELDS)}")
    return _checked(fields)


def _tsv_fields(line: str) -> dict[str, str]:
    columns = _columns(line)
    if not 2 <= len(columns) <= len(FIELDS):
        raise ValueError(f"{len(columns)} columns, expected audio and labels, and perhaps speaker and name")
    return _checked(dict(zip(FIELDS, columns)))


def _columns(line: str) -> list[str]:
    return [column.strip() for column in line.split("\t")]


def _checked(fields: dict) -> dict[str, str]:
    for key in FIELDS:
        value = fields.get(key, "")
        if key in FIELDS[:2] and (not isinstance(value, str) or not value.strip()):
            raise ValueError(f"has no {key}")
        if not isinstance(value, str):
            raise ValueError(f"{key} must be a string")
        if key != "audio" and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ValueError(f"{key} holds half a surrogate pair, which is no text")
    reserved = [label for label in fields["labels"].split() if label in RESERVED]
    if reserved:
        raise ValueError(f"the label {reserved[0]} has a meaning of its own; rename it")
    return fields
