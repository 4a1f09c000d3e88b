"""Tagged files to samples: characters and tags as codes in MindRecord files, of which a batch reads what it needs.

A code is the place of a character or tag in the order of their first occurrence. Ids of a vocabulary follow from it.
"""

from __future__ import annotations

import json
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.model_utils import conversion
from src.model_utils.conversion import convert_once, digest_of_files, open_split_with_arrays
from src.model_utils.files import read_json, write_json
from src.model_utils.mindrecord import SMALL_PAGE, Rows, write_mindrecord
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import UserError, log, resolve_workers
from src.resume_ner import TaggedFile, find_file, warn_of_unseen_tags
from src.tagged_lines import Chunk, good_sentences, longer
from src.tagging import OUTSIDE, entities

VERSION = 1  # of the files below; raise it when their content changes
EDGE = "\n"  # what stands before the first and behind the last character of a sentence, in bigrams
EDGE_CODE = 0
LARGEST = SMALL_PAGE // 4 - 1000  # codes of a row
_SCHEMA = {"length": {"type": "int32"}, "codes": {"type": "bytes"}}
CONTENT = "content.json"


@dataclass(frozen=True)
class Split:
    """The sentences of a converted file: what plans need is in memory, characters and tags are read when needed."""

    rows: Rows
    lengths: np.ndarray  # (N,) int32
    entity_ends: np.ndarray  # (N,) int64, how many of all entities end before the next sentence
    entity_kinds: np.ndarray  # (entities,) int32, equal for equal types
    entity_lengths: np.ndarray  # (entities,) int32

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the codes (n,) of a sentence's characters and tags, and (k, 2) where its entities start and end."""
        codes, length = np.frombuffer(self.rows[int(index)]["codes"], np.int32), self.lengths[index]
        return codes[:length], codes[length : 2 * length], codes[2 * length :].reshape(-1, 2)


@dataclass(frozen=True)
class Prepared:
    """A converted corpus: its splits, and what the vocabulary of its training sentences is built from."""

    train: Split
    valid: Split
    scheme: str
    characters: list[str]  # by code, of both splits; the first is EDGE
    tags: list[str]  # by code, of both splits
    training_tags: list[str]
    character_counts: Counter[str]  # in training
    bigram_counts: Counter[str]  # in training, of two characters with a tab between them


def prepare(data_path, preprocess_path, config) -> None:
    """Convert the training and development file of a folder in `preprocess_path`, unless that is done already.

    Raises UserError for what `TaggedFile` refuses, and where either holds no entity.
    """
    if not Path(data_path).is_dir() and Path(data_path).exists():
        raise UserError(f"{data_path}: not a folder; training needs one with train.char.bmes and dev.char.bmes")
    files = {split: find_file(data_path, split) for split in ("train", "dev")}
    fingerprint = {
        "version": VERSION,
        "corpus": digest_of_files((split, path) for split, path in files.items()),
        "on_bad_input": config.on_bad_input,
    }
    convert_once(preprocess_path, fingerprint, lambda folder: _convert(files, folder, config.on_bad_input))


def _convert(files: dict[str, Path], folder: Path, on_bad_input: str) -> None:
    start, codes, tag_codes = time.monotonic(), {EDGE: EDGE_CODE}, {}
    train = TaggedFile(files["train"], on_bad_input, workers=resolve_workers(0))
    characters, bigrams, tags = _write(folder, "train", train, codes, tag_codes)
    valid = TaggedFile(files["dev"], on_bad_input, train.scheme, workers=resolve_workers(0))
    *_, valid_tags = _write(folder, "dev", valid, codes, tag_codes)
    warn_of_unseen_tags(files["dev"], valid_tags, tags)
    content = {
        "scheme": train.scheme,
        "characters": list(codes),
        "tags": list(tag_codes),
        "training_tags": sorted(tags),
        "character_counts": characters,
        "bigram_counts": bigrams,
    }
    write_json(folder / CONTENT, {**content, "checksum": _checksum(content)}, indent=None)
    log(f"preprocessing took {time.monotonic() - start:.1f} s")


class Encoded(NamedTuple):
    """The good sentences of a chunk, one behind the other; a code is a place in the lists of this chunk."""

    characters: list[str]
    tags: list[str]
    kinds: list[str]
    lengths: np.ndarray  # (n,) int32
    character_codes: np.ndarray  # (sum of lengths,) int32
    tag_codes: np.ndarray  # (sum of lengths,) int32
    entity_counts: np.ndarray  # (n,) int32
    entity_kinds: np.ndarray  # (entities,) int32
    entity_bounds: np.ndarray  # (entities, 2) int32
    bigrams: Counter[str]
    problems: list[str]
    longest: tuple[int, int]  # its size and its line


def encode_chunk(chunk: Chunk) -> Encoded:
    """Encode the good sentences of a chunk; UserError for one that a row cannot hold."""
    codes, tag_codes, kinds = {}, {}, {}
    lengths, row, row_tags = array("i"), array("i"), array("i")
    entity_counts, entity_kinds, bounds = array("i"), array("i"), array("i")
    bigrams, problems, longest = Counter(), [], (0, 0)
    for sentence in good_sentences(chunk, problems):
        size, spans = len(sentence.tags), entities(sentence.tags, chunk.scheme)
        if 2 * size + 2 * len(spans) > LARGEST:
            place = f"{chunk.path}:{sentence.lines[0]}"
            raise UserError(f"{place}: {size} lines are too many for one sentence; cut it")
        longest = longer(longest, sentence)
        bigrams.update(bigrams_of(sentence.characters))
        lengths.append(size)
        row.extend([codes.setdefault(character, len(codes)) for character in sentence.characters])
        row_tags.extend([tag_codes.setdefault(tag, len(tag_codes)) for tag in sentence.tags])
        entity_counts.append(len(spans))
        entity_kinds.extend([kinds.setdefault(span.type, len(kinds)) for span in spans])
        bounds.extend([place for span in spans for place in (span.start, span.end)])
    numbers = [lengths, row, row_tags, entity_counts, entity_kinds, bounds]
    lengths, row, row_tags, entity_counts, entity_kinds, bounds = (np.array(each, np.int32) for each in numbers)
    return Encoded(
        characters=list(codes),
        tags=list(tag_codes),
        kinds=list(kinds),
        lengths=lengths,
        character_codes=row,
        tag_codes=row_tags,
        entity_counts=entity_counts,
        entity_kinds=entity_kinds,
        entity_bounds=bounds.reshape(-1, 2),
        bigrams=bigrams,
        problems=problems,
        longest=longest,
    )


def _write(
    folder: Path, split: str, file: TaggedFile, codes: dict[str, int], tag_codes: dict[str, int]
) -> tuple[Counter[str], Counter[str], set[str]]:
    """Write a split, give codes to what is new, and return the counts of its characters and bigrams, and its tags."""
    kinds: dict[str, int] = {}
    arrays = {name: [] for name in ("entity_counts", "entity_kinds", "entity_lengths")}
    characters, bigrams, tags, problems, longest = Counter(), Counter(), set(), [], (0, 0)

    def rows(bar) -> Iterator[dict]:
        nonlocal longest
        for part in file.map_chunks(encode_chunk):
            problems.extend(part.problems)
            longest = max(longest, part.longest, key=lambda pair: pair[0])
            characters.update(dict(zip(part.characters, np.bincount(part.character_codes).tolist())))
            bigrams.update(part.bigrams)
            tags.update(part.tags)
            arrays["entity_counts"].append(part.entity_counts)
            arrays["entity_kinds"].append(_codes(part.kinds, kinds)[part.entity_kinds])
            arrays["entity_lengths"].append(part.entity_bounds[:, 1] - part.entity_bounds[:, 0])
            columns = (
                (_codes(part.characters, codes)[part.character_codes], part.lengths),
                (_codes(part.tags, tag_codes)[part.tag_codes], part.lengths),
                (part.entity_bounds, part.entity_counts),
            )
            pieces = (np.split(values, np.cumsum(sizes)[:-1]) for values, sizes in columns)
            for length, *row in zip(part.lengths.tolist(), *pieces):
                bar.update()
                yield {"length": length, "codes": b"".join(piece.tobytes() for piece in row)}

    with progress_bar(file.sentences, f"converting {split}") as bar:
        path = folder / f"{split}.mindrecord"
        write_mindrecord(path, _SCHEMA, "sentences as codes", rows(bar), page_size=SMALL_PAGE)
    file.check(problems, longest)
    if not kinds:
        raise UserError(f"{file.path}: holds no entity, every tag is {OUTSIDE}; is the second column that of the tags?")
    np.savez(folder / f"{split}.npz", **{name: np.concatenate(parts) for name, parts in arrays.items()})
    return characters, bigrams, tags


def _codes(values: list[str], codes: dict[str, int]) -> np.ndarray:
    """Return the codes of values (n,) int32; those that are new get the next ones."""
    return np.array([codes.setdefault(value, len(codes)) for value in values], np.int32)


def bigrams_of(characters: list[str]) -> list[str]:
    """Return the length + 1 pairs of neighbours of a sentence, its edges included."""
    return [a + "\t" + b for a, b in zip([EDGE, *characters], [*characters, EDGE])]


def load_prepared(preprocess_path) -> Prepared:
    """Open what `prepare` wrote; UserError where it is missing, damaged or of an older version."""
    conversion.check_prepared(preprocess_path, {"version": VERSION}, "data_path")
    path, advice = Path(preprocess_path) / CONTENT, f"delete the folder {preprocess_path} and preprocess again"
    content = read_json(path, advice)
    try:
        checksum = content.pop("checksum", None)  # older data have none
        if checksum not in (None, _checksum(content)):
            raise ValueError
        counts = {name: Counter(content.pop(name)) for name in ("character_counts", "bigram_counts")}
        prepared = Prepared(_open(preprocess_path, "train"), _open(preprocess_path, "dev"), **content, **counts)
        texts = [*prepared.characters, *prepared.tags, *prepared.training_tags, *counts["character_counts"]]
        numbers = [number for each in counts.values() for number in each.values()]
        if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
            raise ValueError
    except (LookupError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: damaged; {advice}") from None
    return prepared


def _checksum(content: dict) -> int:
    return zlib.crc32(json.dumps(content).encode())


def _open(preprocess_path, split: str) -> Split:
    rows, arrays = open_split_with_arrays(preprocess_path, split, "give train.py --data_path", "entity_counts")
    ends = np.cumsum(arrays.pop("entity_counts"))
    return Split(rows=rows, lengths=rows.column("length").astype(np.int32), entity_ends=ends, **arrays)
