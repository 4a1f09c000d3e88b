"""Reviews to MindRecord and back to batches: vocabulary, conversion, length buckets, word dropout."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.imdb import Review, read_reviews, split_by_film, tokenize
from src.model_utils.configuration import parse_json
from src.model_utils.conversion import convert_once, read_mindrecord, write_mindrecord
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError, atomic_write, log
from src.model_utils.training import Batch
from src.word_vectors import read_glove, train_word_vectors

PADDING_ID, UNKNOWN_ID = 0, 1
NO_LABEL = -1
SPECIAL_TOKENS = ("<pad>", "<unk>")
VERSION = 2  # of the files below; raise it when their content changes
POOL = 50  # batches that are sorted by length together: enough that a batch's reviews differ by a few tokens
_SCHEMA = {
    "ids": {"type": "int32", "shape": [-1]},
    "label": {"type": "int32"},
    "film": {"type": "string"},
    "path": {"type": "string"},
}


@dataclass
class Samples:
    """Reviews as the network needs them: `ids[i]` (length,) int32, `labels` (N,) int32, film ids and file names."""

    ids: list[np.ndarray]
    labels: np.ndarray
    films: list[str | None]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Samples) -> Samples:
        labels = np.concatenate([self.labels, other.labels])
        return Samples(self.ids + other.ids, labels, self.films + other.films, self.paths + other.paths)

    def select(self, indices) -> Samples:
        """Return the samples at `indices`, in their order."""
        pick = [self.ids[i] for i in indices], self.labels[indices]
        return Samples(*pick, [self.films[i] for i in indices], [self.paths[i] for i in indices])


def build_vocabulary(token_lists, min_count: int) -> dict[str, int]:
    """Return token -> id for tokens seen at least `min_count` times: padding 0, unknown 1, then by falling count.

    Ties are in alphabetical order, so the ids depend on the texts alone.
    """
    counts = Counter(token for tokens in token_lists for token in tokens)
    kept = sorted((token for token, n in counts.items() if n >= min_count), key=lambda token: (-counts[token], token))
    return {token: number for number, token in enumerate([*SPECIAL_TOKENS, *kept])}


def save_vocabulary(path, vocabulary: dict[str, int]) -> None:
    """Write the tokens in the order of their ids as a JSON list."""
    with atomic_write(path) as file:
        json.dump(list(vocabulary), file, ensure_ascii=False, indent=0)


def load_vocabulary(path) -> dict[str, int]:
    """Read what `save_vocabulary` wrote; UserError where it is missing or no such list."""
    try:
        tokens = parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; it lies beside the checkpoint that train.py wrote, keep them together"
        ) from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; restore it from the folder of the training") from None
    if (
        not isinstance(tokens, list)
        or tuple(tokens[:2]) != SPECIAL_TOKENS
        or not all(isinstance(t, str) for t in tokens)
    ):
        raise UserError(f"{path}: not a vocabulary, expected a list of tokens that starts with {SPECIAL_TOKENS}")
    return {token: number for number, token in enumerate(tokens)}


def encode(tokens: list[str], vocabulary: dict[str, int]) -> np.ndarray:
    """Return the ids of tokens, (length,) int32; a text without any token is one unknown token long."""
    return np.array([vocabulary.get(token, UNKNOWN_ID) for token in tokens] or [UNKNOWN_ID], np.int32)


def encode_reviews(reviews: list[Review], vocabulary: dict[str, int], token_lists=None) -> Samples:
    """Encode reviews, tokenizing them unless their `token_lists` are given; an unlabelled one has label -1."""
    if token_lists is None:
        token_lists = (tokenize(review.text) for review in reviews)
    return Samples(
        [encode(tokens, vocabulary) for tokens in token_lists],
        np.array([NO_LABEL if review.label is None else review.label for review in reviews], np.int32),
        [review.film for review in reviews],
        [review.path for review in reviews],
    )


def truncate(ids: np.ndarray, max_length: int, truncation: str) -> np.ndarray:
    """Cut a review to `max_length` tokens: its beginning ("head"), or half from each end ("head_tail").

    Verdicts stand at the beginning and at the end of a review; the plot in between says less.
    """
    if len(ids) <= max_length:
        return ids
    head = max_length if truncation == "head" else max_length // 2
    return np.concatenate([ids[:head], ids[len(ids) - (max_length - head) :]])


def prepare(aclimdb_path, glove_path, preprocess_path, config) -> None:
    """Convert the corpus to MindRecord, vocabulary and word vectors in `preprocess_path`, unless that is done."""
    fingerprint = _fingerprint(aclimdb_path, glove_path, config)
    convert_once(preprocess_path, fingerprint, lambda folder: _convert(aclimdb_path, glove_path, folder, config))


def _convert(aclimdb_path, glove_path, folder: Path, config) -> None:
    start = time.monotonic()
    train = read_reviews(aclimdb_path, "train", config.on_bad_file)
    unlabelled = read_reviews(aclimdb_path, "unsup", config.on_bad_file)
    test = read_reviews(aclimdb_path, "test", config.on_bad_file)
    texts = [tokenize(review.text) for review in train + unlabelled]
    tokens = sum(map(len, texts))
    log(f"reviews: train {len(train)}, unlabelled {len(unlabelled)}, test {len(test)}; {tokens} tokens without test")
    vocabulary = build_vocabulary(texts, config.min_count)
    covered = sum(token in vocabulary for text in texts for token in text) / max(1, tokens)
    log(
        f"vocabulary: {len(vocabulary)} tokens seen {config.min_count} times or more, {100 * covered:.2f} % of the text"
    )
    save_vocabulary(folder / "vocab.json", vocabulary)
    _write_mindrecord(folder / "train.mindrecord", encode_reviews(train, vocabulary, texts[: len(train)]))
    if unlabelled:
        _write_mindrecord(folder / "unsup.mindrecord", encode_reviews(unlabelled, vocabulary, texts[len(train) :]))
    _write_mindrecord(folder / "test.mindrecord", encode_reviews(test, vocabulary))
    if glove_path:
        vectors, found = read_glove(glove_path, config.embed_size, vocabulary)
        log(f"word vectors: {found} of {len(vocabulary)} tokens found in {glove_path}")
    else:
        vectors = train_word_vectors(
            texts,
            config.embed_size,
            vocabulary,
            config.vector_seed,
            config.vector_epochs,
            config.vector_workers,
            window=config.vector_window,
        )
    with atomic_write(folder / "vectors.npy", "wb") as file:
        np.save(file, vectors, allow_pickle=False)
    log(f"preprocessing took {time.monotonic() - start:.0f} s")


def _fingerprint(aclimdb_path, glove_path, config) -> dict:
    """What the preprocessed files depend on: names and sizes of the sources, options, version of the format."""
    digest = hashlib.sha256()
    for folder in ("train/neg", "train/pos", "train/unsup", "test/neg", "test/pos", "train", "test"):
        path = Path(aclimdb_path) / folder
        if path.is_dir():
            with os.scandir(path) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_file():
                        digest.update(
                            f"{folder}/{entry.name} {entry.stat().st_size} {entry.stat().st_mtime_ns}\n".encode()
                        )
    options = {key: config[key] for key in ("min_count", "embed_size", "on_bad_file")}
    if glove_path:
        files = sorted(Path(glove_path).glob("*.txt")) if Path(glove_path).is_dir() else [Path(glove_path)]
        options["glove"] = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
    else:
        options.update({key: config[key] for key in ("vector_seed", "vector_epochs", "vector_window")})
    return {"version": VERSION, "corpus": digest.hexdigest(), **options}


def _write_mindrecord(path: Path, samples: Samples) -> None:
    def row(i):
        path = "/".join(Path(samples.paths[i]).parts[-3:])
        return {"ids": samples.ids[i], "label": int(samples.labels[i]), "film": samples.films[i] or "", "path": path}

    starts = range(0, len(samples), 1000)
    batches = ([row(i) for i in range(start, min(start + 1000, len(samples)))] for start in starts)
    write_mindrecord(path, _SCHEMA, "tokenized reviews", batches)


def load_samples(preprocess_path, split: str, missing_ok: bool = False) -> Samples:
    """Read a split that `prepare` wrote; UserError where it is missing (no samples if `missing_ok`) or damaged."""
    path = Path(preprocess_path) / f"{split}.mindrecord"
    if missing_ok and not path.is_file():
        return Samples([], np.zeros(0, np.int32), [], [])
    if not path.is_file():
        raise UserError(f"{path}: no such file; run train.py with --preprocess true and --aclimdb_path first")
    rows = read_mindrecord(path)
    return Samples(
        [np.asarray(row["ids"], np.int32) for row in rows],
        np.array([row["label"] for row in rows], np.int32).reshape(-1),
        [str(row["film"]) or None for row in rows],
        [str(row["path"]) for row in rows],
    )


def split_train(samples: Samples, config) -> tuple[Samples, Samples | None]:
    """Split the train samples by film: training and validation, which is None where validation_fraction is 0."""
    if not config.validation_fraction:
        return samples, None
    reviews = [Review(path, "", int(y), film) for path, y, film in zip(samples.paths, samples.labels, samples.films)]
    train, valid = split_by_film(reviews, config.validation_fraction, config.split_seed)
    return samples.select(train), samples.select(valid)


def load_vectors(preprocess_path) -> np.ndarray:
    """Read the word vectors (V, E) float32 that `prepare` wrote."""
    path = Path(preprocess_path) / "vectors.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; delete {preprocess_path} and preprocess again") from None


def pad(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collate B sequences into the network's inputs.

    Returns words (U,), the distinct ids of the batch; tokens (T, B), indices into words; lengths (B,); all int32.
    Looking up and projecting only distinct words is several times less work than doing so for every token.
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    ids = np.full((lengths.max(), len(sequences)), PADDING_ID, np.int32)
    for column, sequence in enumerate(sequences):
        ids[: len(sequence), column] = sequence
    words, tokens = np.unique(ids, return_inverse=True)
    return words.astype(np.int32), tokens.reshape(ids.shape).astype(np.int32), lengths


def evaluation_batches(samples: Samples, config) -> Iterator[tuple[np.ndarray, tuple]]:
    """Yield (indices of the samples, network inputs), all samples once, the longest first."""
    sequences = [truncate(ids, config.max_length, config.truncation) for ids in samples.ids]
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i]))
    for start in range(0, len(order), config.eval_batch_size):
        chosen = np.array(order[start : start + config.eval_batch_size])
        inputs = pad([sequences[i] for i in chosen])
        yield chosen, (*inputs, np.zeros(len(chosen), np.int32))


def bucketed_plan(lengths: np.ndarray, batch_size: int, seed) -> np.ndarray:
    """Return (steps, batch_size) indices: a shuffle in which the sequences of a batch are about equally long.

    Sequences that do not fill a last batch are left out, others for another seed.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))[: len(lengths) // batch_size * batch_size]
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        order[start : start + len(pool)] = pool[np.argsort(lengths[pool], kind="stable")]
    return random.permutation(order.reshape(-1, batch_size))


class TrainingBatches:
    """Shuffled batches of about equal lengths; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. Each step's batch holds `batch_size` reviews, of
    which a data-parallel process takes every size-th. An epoch leaves out the up to batch_size - 1 reviews that do not
    fill a batch, others in each epoch.
    """

    def __init__(self, samples: Samples, config, rank: int = 0, size: int = 1):
        if config.batch_size % size:
            raise UserError(f"batch_size {config.batch_size} does not divide among {size} processes; set --batch_size")
        if len(samples) < config.batch_size:
            raise UserError(f"{len(samples)} training reviews do not fill one batch of {config.batch_size}")
        self.sequences = [truncate(ids, config.max_length, config.truncation) for ids in samples.ids]
        self.lengths = np.array([len(sequence) for sequence in self.sequences])
        self.labels = samples.labels
        self.batch_size, self.word_dropout, self.seed = config.batch_size, config.word_dropout, config.seed
        self.rank, self.size = rank, size
        self.steps_per_epoch = len(samples) // config.batch_size

    def plan(self, epoch: int) -> np.ndarray:
        """Return the sample indices of each step of an epoch, (steps, batch_size)."""
        return bucketed_plan(self.lengths, self.batch_size, [self.seed, epoch])

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for step in range(first_step, len(plan)):
            sequences = [self.sequences[i] for i in plan[step]]
            if self.word_dropout:
                sequences = self._drop_words(sequences, epoch, step)
            keys = dropout_keys(self.seed, (epoch - 1) * len(plan) + step, len(sequences))
            mine = slice(self.rank, None, self.size)
            inputs = (*pad(sequences[mine]), keys[mine], self.labels[plan[step]][mine])
            yield Batch(inputs, len(plan[step]), int(self.lengths[plan[step]].sum()))

    def _drop_words(self, sequences, epoch: int, step: int):
        """Replace a random share of the tokens by the unknown word (Iyyer et al. 2015, word dropout)."""
        random = np.random.default_rng([self.seed, epoch, step])
        joined = np.concatenate(sequences)
        joined[random.random(len(joined), np.float32) < self.word_dropout] = UNKNOWN_ID
        return np.split(joined, np.cumsum([len(sequence) for sequence in sequences])[:-1])
