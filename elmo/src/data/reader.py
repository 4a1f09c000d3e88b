"""Text to shards of MindRecord and back: a row is a shard of about a million words, and one is read at a time.

A shard keeps its words as ids of the vocabulary. Words outside it get ids from the vocabulary's size on and are
kept as text in the shard, because the character encoder reads even what the softmax cannot predict.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.data.chunks import Encoded, encode_chunk, map_chunks
from src.data.tokenizer import text_files
from src.data.vocabulary import BEGIN, END, Vocabulary
from src.model_utils.files import read_json, write_json
from src.model_utils.mindrecord import SMALL_PAGE, Rows, write_mindrecord
from src.model_utils.runtime import UserError, log

VERSION = 2  # of the files below; raise it when their content changes
_SCHEMA = dict.fromkeys(("ids", "starts", "unknown"), {"type": "bytes"})


@dataclass(frozen=True)
class Shard:
    """ids (n,) int32 of a stream of sentences, each between BEGIN and END; starts: where its documents begin.

    `unknown`: the words outside the vocabulary; their ids follow those of the vocabulary.
    """

    ids: np.ndarray
    starts: np.ndarray
    unknown: list[str]


class _Filling:
    """A shard that is being filled with the ids of sentences; `size` is how many they are."""

    def __init__(self, known: int):
        self.known, self.size = known, 0
        self.ids, self.starts, self.unknown = [], [], {}

    def add(self, ids: np.ndarray, unknown: list[str]) -> None:
        """Append ids; those from `known` on are places in `unknown`, and become places in that of the shard."""
        ids = ids.copy()
        places = np.flatnonzero(ids >= self.known)
        distinct, first, inverse = np.unique(ids[places], return_index=True, return_inverse=True)
        numbers = np.zeros(len(distinct), np.int32)
        for k in np.argsort(first):  # in the order of their first occurrence
            numbers[k] = self.unknown.setdefault(unknown[distinct[k] - self.known], len(self.unknown))
        ids[places] = self.known + numbers[inverse]
        self.ids.append(ids)
        self.size += len(ids)

    def shard(self) -> Shard:
        return Shard(np.concatenate(self.ids), np.array(self.starts, np.int32), list(self.unknown))


def make_shards(
    chunks: Iterable[Encoded], vocabulary: Vocabulary, max_bytes: int, shard_tokens: int, counts: dict
) -> Iterator[Shard]:
    """Turn the sentences of a text into shards of at least `shard_tokens` ids; `counts` is filled on the way.

    Shards hold whole documents, but one of more than `shard_tokens` ids is divided behind a sentence.
    Unknown words are cut to `max_bytes` bytes of UTF-8, which is all that the character encoder can read.
    """
    counts.update(documents=0, divided=0, sentences=0, words=0, unknown=0, cut=0, shard_tokens=[])
    filling, place, start, pieces = _Filling(len(vocabulary)), None, 0, 0
    for chunk in chunks:
        ids, ends, unknown = _numbered(chunk, vocabulary, max_bytes, counts)
        first = 0
        for its_place, count in chunk.runs:
            if its_place != place:
                place, start, pieces = its_place, 0, 0
            last = first + count
            while first < last:
                is_full = filling.size - start >= shard_tokens  # with this document, or with those before it
                if is_full:
                    counts["shard_tokens"].append(filling.size)
                    yield filling.shard()
                    filling = _Filling(len(vocabulary))
                if is_full or not pieces:
                    start, pieces = filling.size, pieces + 1
                    filling.starts.append(start)
                    counts["documents"] += pieces == 1
                    counts["divided"] += pieces == 2
                begin = ends[first]
                room = shard_tokens - (filling.size - start)
                first = min(last, first + 1 + int(np.searchsorted(ends[first + 1 : last + 1], begin + room)))
                filling.add(ids[begin : ends[first]], unknown)
    if filling.size:
        counts["shard_tokens"].append(filling.size)
        yield filling.shard()


def _numbered(
    chunk: Encoded, vocabulary: Vocabulary, max_bytes: int, counts: dict
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the ids (n,) int32 of the sentences between BEGIN and END, where sentences begin and the last one ends
    (sentences + 1,), and the unknown words, whose ids follow those of the vocabulary.
    """
    unknown, is_cut = [], np.zeros(len(chunk.words), bool)
    table = np.zeros(len(chunk.words), np.int32)
    for k, word in enumerate(chunk.words):
        number = vocabulary.ids.get(word)
        if number is None:
            data = word.encode()
            is_cut[k] = len(data) > max_bytes
            if is_cut[k]:
                word = data[:max_bytes].decode(errors="ignore") or word  # not even one character fits
            number = len(vocabulary) + len(unknown)
            unknown.append(word)
        table[k] = number
    words = table[chunk.codes]
    counts["sentences"] += len(chunk.lengths)
    counts["words"] += len(words)
    counts["unknown"] += int((words >= len(vocabulary)).sum())
    counts["cut"] += int(is_cut[chunk.codes].sum())
    ends = np.append(0, np.cumsum(chunk.lengths + 2))
    ids = np.full(ends[-1], END, np.int32)
    ids[ends[:-1]] = BEGIN
    is_word = np.ones(len(ids), bool)
    is_word[ends[:-1]] = is_word[ends[1:] - 1] = False
    ids[is_word] = words
    return ids, ends, unknown


def convert(source, target, vocabulary: Vocabulary, max_characters: int, tokenizer: str, shard_tokens: int) -> dict:
    """Convert a text file or folder into the MindRecord file `target` and return the counts.

    Written beside the target and moved there at the end; `<target>.json`, which says what is inside, comes last.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    counts: dict = {}

    def rows():
        chunks = map_chunks(encode_chunk, text_files(source), tokenizer, f"converting {Path(source).name}")
        for shard in make_shards(chunks, vocabulary, max_characters - 2, shard_tokens, counts):
            unknown = "\n".join(shard.unknown).encode() or b"\n"  # MindRecord has no empty values
            if shard.ids.nbytes + shard.starts.nbytes + len(unknown) > page_size - 2**16:  # of a long sentence
                raise UserError(f"{source}: {len(shard.ids)} tokens are too many for a shard; divide its longest lines")
            yield {"ids": shard.ids.tobytes(), "starts": shard.starts.tobytes(), "unknown": unknown}
            log(f"{counts['documents']} documents, {sum(counts['shard_tokens'])} tokens")
        if not counts["words"]:
            raise UserError(f"{source}: holds no words")

    page_size = SMALL_PAGE * min(128, -(-shard_tokens // 2**16))  # 32 bytes a token; 2^28 is MindRecord's largest
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write_mindrecord(work / target.name, _SCHEMA, "words as ids", rows(), at_once=1, page_size=page_size)
        description = Path(f"{target}.json")
        description.unlink(missing_ok=True)
        for name in (target.name, f"{target.name}.db"):
            os.replace(work / name, target.with_name(name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    content = {"version": VERSION, "vocabulary": vocabulary.fingerprint, "max_characters": max_characters, **counts}
    content["tokens"] = sum(counts["shard_tokens"])
    write_json(description, content, indent=None)
    return content


_NUMBERS = ("version", "tokens", "words", "sentences", "documents")  # of the description


def _is_description(counts) -> bool:
    """Whether this is what `convert` returned, as JSON brings it back."""
    numbers = [counts.get(key) for key in _NUMBERS] if isinstance(counts, dict) else [None]
    shards = counts.get("shard_tokens") if isinstance(counts, dict) else None
    return (
        isinstance(shards, list) and "vocabulary" in counts and all(type(n) is int and n > 0 for n in numbers + shards)
    )


class Corpus:
    """A converted text: `counts` as `convert` returned them, and its shards."""

    def __init__(self, path, vocabulary: Vocabulary):
        self.path = Path(path)
        if not self.path.exists():
            raise UserError(
                f"{self.path}: no such file; script/convert_dataset.sh writes it, unless VALID or HELDOUT is 0"
            )
        try:
            self.counts = read_json(f"{self.path}.json")
        except UserError:
            self.counts = None
        if not _is_description(self.counts) or not Path(f"{self.path}.db").is_file():
            raise UserError(f"{self.path}: not complete; make it with script/convert_dataset.sh")
        if self.counts["version"] != VERSION:
            raise UserError(f"{self.path}: of another version of this program; convert the text again")
        if self.counts["vocabulary"] != vocabulary.fingerprint:
            raise UserError(f"{self.path}: was converted with another vocabulary; convert the text again with this one")
        self.shard_tokens: list[int] = self.counts["shard_tokens"]
        self._rows = Rows(self.path)

    def shard(self, number: int) -> Shard:
        """Read one shard."""
        try:
            row = self._rows[number]
            ids, starts = (np.frombuffer(row[name], np.int32) for name in ("ids", "starts"))
            unknown = row["unknown"].decode().split("\n")
            good = len(ids) == self.shard_tokens[number]
        except (ValueError, LookupError):
            good = False
        if not good:
            raise UserError(f"{self.path}: shard {number} is damaged; convert the text again")
        return Shard(ids, starts, unknown if unknown != ["", ""] else [])
