"""Reviews to MindRecord, once: tokens, vocabulary, word vectors."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from src.imdb import Content, stream_reviews, tokenize_files
from src.model_utils.conversion import convert_once, digest_of_files
from src.model_utils.files import atomic_write, read_vocabulary, write_json
from src.model_utils.mindrecord import SMALL_PAGE, write_mindrecord
from src.model_utils.processes import map_in_processes
from src.model_utils.progress import with_progress
from src.model_utils.runtime import UserError, log, resolve_workers
from src.word_vectors import find_vectors_file, read_pretrained_vectors, train_word_vectors

PADDING_ID, UNKNOWN_ID = 0, 1
NO_LABEL = -1
SPECIAL_TOKENS = ("<pad>", "<unk>")
SPLITS = ("train", "unsup", "test")
VERSION = 3  # of the files below; raise it when their content changes
CHUNK = 200  # files that a process reads and divides into tokens at a time
_SCHEMA = {
    "ids": {"type": "bytes"},
    **dict.fromkeys(("label", "length"), {"type": "int32"}),
    **dict.fromkeys(("film", "path"), {"type": "string"}),
}


def build_vocabulary(counts: Counter[str], min_count: int) -> dict[str, int]:
    """Return token -> id for tokens that occur at least `min_count` times: padding 0, unknown 1, then by falling count.

    Ties are in alphabetical order, so the ids depend on the texts alone.
    """
    kept = sorted((token for token, n in counts.items() if n >= min_count), key=lambda token: (-counts[token], token))
    return {token: number for number, token in enumerate([*SPECIAL_TOKENS, *kept])}


def save_vocabulary(path: str | os.PathLike, vocabulary: dict[str, int]) -> None:
    """Write the tokens in the order of their ids as a JSON list."""
    write_json(path, list(vocabulary))


def load_vocabulary(path: str | os.PathLike) -> dict[str, int]:
    """Read what `save_vocabulary` wrote; UserError where it is missing or no such list."""
    return {token: number for number, token in enumerate(read_vocabulary(path, SPECIAL_TOKENS))}


def encode(tokens: list[str], vocabulary: dict[str, int]) -> np.ndarray:
    """Return the ids of tokens, (length,) int32; those of a text without any token are one unknown word."""
    return np.array([vocabulary.get(token, UNKNOWN_ID) for token in tokens] or [UNKNOWN_ID], np.int32)


def prepare(
    aclimdb_path: str | os.PathLike, glove_path: str | os.PathLike | None, preprocess_path: str | os.PathLike, config
) -> None:
    """Convert the corpus to MindRecord, vocabulary and word vectors in `preprocess_path`, unless that is done.

    Without `glove_path` the word vectors are trained on the reviews but those of test. Raises UserError for what
    `stream_reviews` and `read_pretrained_vectors` refuse.
    """
    if glove_path:
        find_vectors_file(glove_path, config.embed_size)  # before minutes are spent on the reviews
    fingerprint = _fingerprint(aclimdb_path, glove_path, config)
    convert_once(preprocess_path, fingerprint, lambda folder: _convert(aclimdb_path, glove_path, folder, config))


def tokenized(paths: list[str]) -> Iterator[Content]:
    """Yield what `tokenize_file` makes of each of the files, by all cores."""
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    answers = map_in_processes(tokenize_files, chunks, min(resolve_workers(0), len(chunks)))
    return with_progress(itertools.chain.from_iterable(answers), len(paths), "reading reviews")


class TokenFile:
    """The reviews of a split with their tokens, a line each, from which everything else is made."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, aclimdb_path, split: str, config) -> tuple[int, Counter[str]]:
        """Divide the reviews of a split into tokens; returns the number of reviews, and of each token."""
        number, counts = 0, Counter()
        with open(self.path, "w", encoding="utf-8") as file:
            for review, tokens in stream_reviews(aclimdb_path, split, config.on_bad_input, tokenized):
                label = NO_LABEL if review.label is None else review.label
                place = "/".join(Path(review.path).parts[-3:])
                file.write(f"{label}\t{review.film or ''}\t{place}\t{tokens}\n")
                counts.update(tokens.split())
                number += 1
        return number, counts

    def lines(self) -> Iterator[list[str]]:
        """Yield label, film, path and tokens of each review."""
        with open(self.path, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n").split("\t")

    def rows(self, vocabulary: dict[str, int]) -> Iterator[dict]:
        """Yield the rows of the MindRecord file."""
        for label, film, path, tokens in self.lines():
            ids = encode(tokens.split(), vocabulary)
            yield {"ids": ids.tobytes(), "label": int(label), "length": len(ids), "film": film, "path": path}


class Texts:
    """The tokens of all reviews in several files; gensim reads them several times."""

    def __init__(self, files: Iterable[TokenFile], number: int):
        self.files, self.number = list(files), number

    def __iter__(self) -> Iterator[list[str]]:
        texts = (tokens.split() for file in self.files for *_, tokens in file.lines())
        return with_progress(texts, self.number, "word vectors")


def _convert(aclimdb_path, glove_path, folder: Path, config) -> None:
    start = time.monotonic()
    files = {split: TokenFile(folder / f"{split}.tokens") for split in SPLITS}
    numbers, every = {}, {}
    for split, file in files.items():
        numbers[split], every[split] = file.write(aclimdb_path, split, config)
    counts = every["train"] + every["unsup"]
    tokens = sum(counts.values())
    log(
        f"reviews: train {numbers['train']}, unlabelled {numbers['unsup']}, test {numbers['test']}; {tokens} tokens"
        " without test"
    )
    vocabulary = build_vocabulary(counts, config.min_count)
    covered = sum(counts[token] for token in vocabulary) / max(1, tokens)
    log(
        f"vocabulary: {len(vocabulary)} tokens that occur {config.min_count} times or more,"
        f" {100 * covered:.2f} % of the text"
    )
    save_vocabulary(folder / "vocab.json", vocabulary)
    for split, file in files.items():
        if numbers[split]:
            path = folder / f"{split}.mindrecord"
            rows = with_progress(file.rows(vocabulary), numbers[split], f"writing {split}")
            write_mindrecord(path, _SCHEMA, "tokenized reviews", rows, page_size=SMALL_PAGE)
    size = config.embed_size
    if glove_path:
        vectors, known = read_pretrained_vectors(glove_path, size, vocabulary)
        log(f"word vectors: {known} of {len(vocabulary)} tokens are in {glove_path}")
    else:
        workers = resolve_workers(config.vector_workers)
        splits = ("train", "unsup")
        texts = Texts((files[split] for split in splits), sum(numbers[split] for split in splits))
        vectors = train_word_vectors(
            texts, size, vocabulary, config.vector_seed, config.vector_epochs, workers, config.vector_window
        )
    with atomic_write(folder / "vectors.npy", "wb") as file:
        np.save(file, vectors, allow_pickle=False)
    for file in files.values():
        file.path.unlink()
    log(f"preprocessing took {time.monotonic() - start:.0f} s")


def _fingerprint(aclimdb_path, glove_path, config) -> dict:
    """What the preprocessed files depend on: names and sizes of the sources, options, version of the format."""
    folders = ("train/neg", "train/pos", "train/unsup", "test/neg", "test/pos", "train", "test")
    paths = ((folder, path) for folder in folders for path in sorted((Path(aclimdb_path) / folder).glob("*")))
    corpus = digest_of_files((f"{folder}/{path.name}", path) for folder, path in paths if path.is_file())
    options = {"min_count": config.min_count, "embed_size": config.embed_size, "on_bad_file": config.on_bad_input}
    if glove_path:
        files = sorted(Path(glove_path).glob("*.txt")) if Path(glove_path).is_dir() else [Path(glove_path)]
        options["glove"] = digest_of_files((file.name, file) for file in files if file.is_file())
    else:
        options.update({key: config[key] for key in ("vector_seed", "vector_epochs", "vector_window")})
    return {"version": VERSION, "corpus": corpus, **options}


def has_split(preprocess_path: str | os.PathLike, split: str) -> bool:
    """Whether the converted corpus has a split."""
    return (Path(preprocess_path) / f"{split}.mindrecord").is_file()


def load_vectors(preprocess_path: str | os.PathLike, words: int, embed_size: int) -> np.ndarray:
    """Read the word vectors (words, embed_size) float32 that `prepare` wrote; UserError for others."""
    path = Path(preprocess_path) / "vectors.npy"
    try:
        vectors = np.array(np.load(path, mmap_mode="r"))  # which takes no memory for more than the file holds
    except Exception as error:  # of a damaged header NumPy also raises what its tokenizer does
        raise UserError(f"{path}: {error}; delete {preprocess_path} and preprocess again") from None
    if vectors.shape != (words, embed_size):
        raise UserError(
            f"{path}: holds vectors {vectors.shape} but embed_size {embed_size} and {words} words are configured; run"
            " with --preprocess true"
        )
    return vectors
