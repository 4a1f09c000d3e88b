"""Reviews to MindRecord and back to batches: vocabulary, conversion, length buckets, word dropout."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.imdb import Review, read_reviews, split_by_film, tokenize
from src.model_utils.batching import Batch, longest_first, pooled_plan, rows_of_process
from src.model_utils.conversion import convert_once, digest_of_files, read_split
from src.model_utils.files import atomic_write, read_vocabulary, write_json
from src.model_utils.layers import dropout_keys
from src.model_utils.mindrecord import write_mindrecord
from src.model_utils.runtime import UserError, log, resolve_workers
from src.word_vectors import find_vectors_file, read_pretrained_vectors, train_word_vectors

PADDING_ID, UNKNOWN_ID = 0, 1
NO_LABEL = -1
SPECIAL_TOKENS = ("<pad>", "<unk>")
VERSION = 2  # of the files below; raise it when their content changes


class Sample(NamedTuple):
    """A review as the network needs it."""

    ids: np.ndarray  # (length,) int32
    label: int = NO_LABEL  # an index into LABELS, or NO_LABEL
    film: str | None = None
    path: str = ""


class Inputs(NamedTuple):
    """The network's inputs for B reviews; int32."""

    words: np.ndarray  # (U,), the distinct ids of the batch
    tokens: np.ndarray  # (T, B), indices into words
    lengths: np.ndarray  # (B,)
    dropout_keys: np.ndarray  # (B,), ignored outside training


class TrainingInputs(NamedTuple):
    """The inputs of the loss: those of the network, and the labels."""

    words: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    dropout_keys: np.ndarray
    labels: np.ndarray  # (B,) int32


def labels_of(samples: Sequence[Sample]) -> np.ndarray:
    """Return the labels (N,) int32 of samples."""
    return np.array([sample.label for sample in samples], np.int32)


def build_vocabulary(token_lists: Iterable[list[str]], min_count: int) -> dict[str, int]:
    """Return token -> id for tokens that occur at least `min_count` times: padding 0, unknown 1, then by falling count.

    Ties are in alphabetical order, so the ids depend on the texts alone.
    """
    counts = Counter(token for tokens in token_lists for token in tokens)
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


def encode_reviews(
    reviews: list[Review], vocabulary: dict[str, int], token_lists: list[list[str]] | None = None
) -> list[Sample]:
    """Encode reviews; they are tokenized unless their `token_lists` are given."""
    return [
        Sample(encode(tokens, vocabulary), NO_LABEL if review.label is None else review.label, review.film, review.path)
        for review, tokens in zip(reviews, token_lists or (tokenize(review.text) for review in reviews))
    ]


def truncate(ids: np.ndarray, max_length: int, truncation: str) -> np.ndarray:
    """Cut a review to `max_length` tokens: its beginning ("head"), or half from each end ("head_tail").

    A review states its verdict at the beginning and at the end; the plot in between says less.
    """
    if len(ids) <= max_length:
        return ids
    head = max_length if truncation == "head" else max_length // 2
    return np.concatenate([ids[:head], ids[len(ids) - (max_length - head) :]])


def prepare(
    aclimdb_path: str | os.PathLike, glove_path: str | os.PathLike | None, preprocess_path: str | os.PathLike, config
) -> None:
    """Convert the corpus to MindRecord, vocabulary and word vectors in `preprocess_path`, unless that is done.

    Without `glove_path` the word vectors are trained on the reviews but those of test. Raises UserError for what
    `read_reviews` and `read_pretrained_vectors` refuse.
    """
    if glove_path:
        find_vectors_file(glove_path, config.embed_size)  # before minutes are spent on the reviews
    fingerprint = _fingerprint(aclimdb_path, glove_path, config)
    convert_once(preprocess_path, fingerprint, lambda folder: _convert(aclimdb_path, glove_path, folder, config))


def _convert(aclimdb_path, glove_path, folder: Path, config) -> None:
    start = time.monotonic()
    splits = ("train", "unsup", "test")
    train, unlabelled, test = (read_reviews(aclimdb_path, split, config.on_bad_input) for split in splits)
    texts = [tokenize(review.text) for review in train + unlabelled]
    tokens = sum(map(len, texts))
    log(f"reviews: train {len(train)}, unlabelled {len(unlabelled)}, test {len(test)}; {tokens} tokens without test")
    vocabulary = build_vocabulary(texts, config.min_count)
    covered = sum(token in vocabulary for text in texts for token in text) / max(1, tokens)
    log(
        f"vocabulary: {len(vocabulary)} tokens that occur {config.min_count} times or more,"
        f" {100 * covered:.2f} % of the text"
    )
    save_vocabulary(folder / "vocab.json", vocabulary)
    _write_mindrecord(folder / "train.mindrecord", encode_reviews(train, vocabulary, texts[: len(train)]))
    if unlabelled:
        _write_mindrecord(folder / "unsup.mindrecord", encode_reviews(unlabelled, vocabulary, texts[len(train) :]))
    _write_mindrecord(folder / "test.mindrecord", encode_reviews(test, vocabulary))
    size = config.embed_size
    if glove_path:
        vectors, known = read_pretrained_vectors(glove_path, size, vocabulary)
        log(f"word vectors: {known} of {len(vocabulary)} tokens are in {glove_path}")
    else:
        workers = resolve_workers(config.vector_workers)
        vectors = train_word_vectors(
            texts, size, vocabulary, config.vector_seed, config.vector_epochs, workers, config.vector_window
        )
    with atomic_write(folder / "vectors.npy", "wb") as file:
        np.save(file, vectors, allow_pickle=False)
    log(f"preprocessing took {time.monotonic() - start:.0f} s")


def _fingerprint(aclimdb_path, glove_path, config) -> dict:
    """What the preprocessed files depend on: names and sizes of the sources, options, version of the format."""
    folders = ("train/neg", "train/pos", "train/unsup", "test/neg", "test/pos", "train", "test")
    paths = ((folder, path) for folder in folders for path in sorted((Path(aclimdb_path) / folder).glob("*")))
    corpus = digest_of_files((f"{folder}/{path.name}", path) for folder, path in paths if path.is_file())
    options = {"min_count": config.min_count, "embed_size": config.embed_size, "on_bad_file": config.on_bad_input}
    if glove_path:
        files = sorted(Path(glove_path).glob("*.txt")) if Path(glove_path).is_dir() else [Path(glove_path)]
        options["glove"] = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
    else:
        options.update({key: config[key] for key in ("vector_seed", "vector_epochs", "vector_window")})
    return {"version": VERSION, "corpus": corpus, **options}


def _write_mindrecord(path: Path, samples: list[Sample]) -> None:
    def row(sample: Sample) -> dict:
        path = "/".join(Path(sample.path).parts[-3:])
        return {"ids": sample.ids, "label": sample.label, "film": sample.film or "", "path": path}

    schema = {"ids": {"type": "int32", "shape": [-1]}, "label": {"type": "int32"}}
    schema.update(dict.fromkeys(("film", "path"), {"type": "string"}))
    write_mindrecord(path, schema, "tokenized reviews", map(row, samples))


def load_samples(preprocess_path: str | os.PathLike, split: str, missing_ok: bool = False) -> list[Sample]:
    """Read a split that `prepare` wrote; UserError where it is missing (no samples if `missing_ok`) or damaged."""
    advice = "run train.py with --preprocess true and --aclimdb_path first"
    return [
        Sample(np.asarray(row["ids"], np.int32), int(row["label"]), str(row["film"]) or None, str(row["path"]))
        for row in read_split(preprocess_path, split, advice, missing_ok)
    ]


def split_train(samples: list[Sample], config) -> tuple[list[Sample], list[Sample] | None]:
    """Split the train samples by film: training and validation, which is None where validation_fraction is 0."""
    if not config.validation_fraction:
        return samples, None
    train, valid = split_by_film(samples, config.validation_fraction, config.split_seed)
    return [samples[i] for i in train], [samples[i] for i in valid]


def load_vectors(preprocess_path: str | os.PathLike, words: int, embed_size: int) -> np.ndarray:
    """Read the word vectors (words, embed_size) float32 that `prepare` wrote; UserError for others."""
    path = Path(preprocess_path) / "vectors.npy"
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; delete {preprocess_path} and preprocess again") from None
    if vectors.shape != (words, embed_size):
        raise UserError(
            f"{path}: holds vectors {vectors.shape} but embed_size {embed_size} and {words} words are configured; run"
            " with --preprocess true"
        )
    return vectors


def pad(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collate B sequences into the words, tokens and lengths of `Inputs`.

    Looking up and projecting only distinct words is several times less work than doing so for every token.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    ids = np.full((lengths.max(), len(sequences)), PADDING_ID, np.int32)
    for column, sequence in enumerate(sequences):
        ids[: len(sequence), column] = sequence
    words, tokens = np.unique(ids, return_inverse=True)
    return words.astype(np.int32), tokens.reshape(ids.shape).astype(np.int32), lengths


def evaluation_batches(samples: Sequence[Sample], config) -> Iterator[tuple[np.ndarray, Inputs]]:
    """Yield (indices of the samples, network inputs), all samples once, the longest first."""
    sequences = [truncate(sample.ids, config.max_length, config.truncation) for sample in samples]
    for indices in longest_first(np.array([len(sequence) for sequence in sequences]), config.eval_batch_size):
        yield indices, Inputs(*pad([sequences[i] for i in indices]), np.zeros(len(indices), np.int32))


class TrainingBatches:
    """Shuffled batches of similar lengths; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. A step's batch holds `batch_size` reviews, of which
    a data-parallel process takes every size-th. An epoch leaves out the up to batch_size - 1 reviews that do not fill
    a batch, different ones in each epoch.
    """

    def __init__(self, samples: Sequence[Sample], config, rank: int = 0, size: int = 1):
        self.own_rows = rows_of_process(config.batch_size, rank, size)
        if len(samples) < config.batch_size:
            raise UserError(f"{len(samples)} training reviews do not fill one batch of {config.batch_size}")
        self.sequences = [truncate(sample.ids, config.max_length, config.truncation) for sample in samples]
        self.lengths = np.array([len(sequence) for sequence in self.sequences])
        self.labels = labels_of(samples)
        self.batch_size, self.word_dropout, self.seed = config.batch_size, config.word_dropout, config.seed
        self.steps_per_epoch = len(samples) // config.batch_size

    def plan(self, epoch: int) -> np.ndarray:
        """Return the sample indices of each step of an epoch, (steps, batch_size)."""
        return pooled_plan(self.lengths, self.batch_size, [self.seed, epoch])

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for step in range(first_step, len(plan)):
            indices = plan[step]
            sequences = [self.sequences[i] for i in indices]
            if self.word_dropout:
                sequences = self._drop_words(sequences, epoch, step)
            keys = dropout_keys(self.seed, (epoch - 1) * len(plan) + step, len(sequences))
            labels = self.labels[indices][self.own_rows]
            inputs = TrainingInputs(*pad(sequences[self.own_rows]), keys[self.own_rows], labels)
            yield Batch(inputs, len(indices), int(self.lengths[indices].sum()))

    def _drop_words(self, sequences, epoch: int, step: int):
        """Replace a random share of the tokens by the unknown word (Iyyer et al. 2015, word dropout)."""
        random = np.random.default_rng([self.seed, epoch, step])
        joined = np.concatenate(sequences)
        joined[random.random(len(joined), np.float32) < self.word_dropout] = UNKNOWN_ID
        return np.split(joined, np.cumsum([len(sequence) for sequence in sequences])[:-1])
