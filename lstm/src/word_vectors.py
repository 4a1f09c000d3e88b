"""Word vectors for a vocabulary: read from files of GloVe or word2vec, or trained on the reviews themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from src.model_utils.runtime import UserError, log
from src.model_utils.vectors import stream_vectors

BATCH_WORDS = 20000  # of a job, at most
BLOCK = 10_000  # rows of a table
LARGEST_JOB = 9000  # words on average, so that few jobs reach gensim's limit of 10,000


def read_pretrained_vectors(path, embed_size: int, vocabulary: dict[str, int]) -> tuple[np.ndarray, int]:
    """Read the vocabulary's vectors from a file of GloVe or word2vec; the file is not changed.

    `path` is what `find_vectors_file` takes. Returns the vectors as `WordTable` has them and the number of words that
    have one. Raises UserError as `find_vectors_file` and `stream_vectors` do.
    """
    file, table = find_vectors_file(path, embed_size), WordTable(vocabulary, embed_size)
    for word, vector in stream_vectors(file, embed_size, {token for token, row in vocabulary.items() if row}):
        table.set(word, vector)
    return table.finished(seed=0), int(table.present.sum())


def find_vectors_file(path: str | os.PathLike, embed_size: int) -> Path:
    """Return the file of word vectors: `path` itself, or glove.6B.<embed_size>d.txt in the folder `path`.

    Raises UserError where it is missing, and for a pipe: the next run compares the file with the one converted.
    """
    path = Path(path)
    if path.is_file():
        return path
    file = path / f"glove.6B.{embed_size}d.txt"
    if file.is_file():
        return file
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check --glove_path or run script/download_dataset.sh")
    if not path.is_dir():
        raise UserError(f"{path}: is a pipe or a device; give a file, which later runs can compare with the one used")
    others = sorted(other.name for other in path.glob("glove*"))
    advice = (
        f"there is only {', '.join(others)}; choose --embed_size accordingly, name the file itself, or unpack or"
        " download the missing one"
        if others
        else "there is no GloVe file in that folder; get GloVe by script/download_dataset.sh"
    )
    raise UserError(f"{file}: no such file; {advice}")


class WordTable:
    """Vectors of words in the rows of their ids, (V, E) float32, V one more than the largest id."""

    def __init__(self, vocabulary: dict[str, int], embed_size: int):
        self.vocabulary = vocabulary
        self.vectors = np.zeros((max(vocabulary.values()) + 1, embed_size), np.float32)
        self.present = np.zeros(len(self.vectors), bool)

    def set(self, word: str, vector: np.ndarray) -> None:
        """Set the vector (E,) of a word of the vocabulary."""
        self.vectors[self.vocabulary[word]] = vector
        self.present[self.vocabulary[word]] = True

    def finished(self, seed: int) -> np.ndarray:
        """Return the table; rows that were not set are drawn from a normal as wide as the others, row 0 is zero.

        A seed always gives the same rows.
        """
        sums = np.zeros(3)  # number, sum and sum of squares, block by block, since a table may be as large as memory
        for start in range(0, len(self.vectors), BLOCK):
            block = self.vectors[start : start + BLOCK][self.present[start : start + BLOCK]].astype(np.float64)
            sums += block.size, block.sum(), (block**2).sum()
        width = (sums[2] / sums[0] - (sums[1] / sums[0]) ** 2) ** 0.5
        absent, random = np.flatnonzero(~self.present), np.random.default_rng(seed)
        for start in range(0, len(absent), BLOCK):
            rows = absent[start : start + BLOCK]
            self.vectors[rows] = random.normal(0, width, (len(rows), self.vectors.shape[1]))
        self.vectors[0] = 0
        return self.vectors


def train_word_vectors(
    texts: Iterable[list[str]],
    embed_size: int,
    vocabulary: dict[str, int],
    seed: int,
    epochs: int,
    workers: int,
    window: int = 8,
    sample: float = 1e-4,
) -> np.ndarray:
    """Train word2vec (CBOW) on tokenized texts, for the words of the vocabulary only; they are read once an epoch.

    Other words are dropped before the windows are cut. Returns (V, E) float32 laid out as `read_pretrained_vectors`
    does. The result is reproducible with one worker; with more, gensim's threads update the same weights in an order
    that varies, so runs differ. Raises UserError where the texts contain no word of the vocabulary. Method: Mikolov et
    al. 2013.
    """
    from gensim import utils
    from gensim.models import Word2Vec
    from gensim.models.callbacks import CallbackAny2Vec

    class Progress(CallbackAny2Vec):
        def __init__(self):
            self.epoch, self.start = 0, time.monotonic()

        def on_epoch_end(self, model):
            self.epoch += 1
            log(f"word vectors: epoch {self.epoch} of {epochs}, {time.monotonic() - self.start:.0f} s")

    def keep_known(word, count, min_count):
        return utils.RULE_KEEP if vocabulary.get(word) else utils.RULE_DISCARD

    model = Word2Vec(vector_size=embed_size, window=window, sample=sample, workers=workers, seed=seed)
    model.build_vocab(texts, trim_rule=keep_known)
    if not len(model.wv):
        raise UserError("word vectors: the texts hold no word of the vocabulary; check --aclimdb_path")
    # gensim trains on the first 10,000 words of a job that survive subsampling and silently drops the others.
    counts, chances = model.wv.expandos["count"], model.wv.expandos["sample_int"] / 2**32
    model.batch_words = min(BATCH_WORDS, int(LARGEST_JOB * counts.sum() / (counts * chances).sum()))
    model.train(texts, total_examples=model.corpus_count, epochs=epochs, callbacks=[Progress()])

    table = WordTable(vocabulary, embed_size)
    for word, vector in zip(model.wv.index_to_key, model.wv.vectors):
        table.set(word, vector)
    return table.finished(seed)
