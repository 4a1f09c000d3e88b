"""Word vectors for a vocabulary: read from GloVe files, or trained on the reviews themselves."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src.model_utils.runtime import UserError, log

MOST_WORDS_IN_JOB = 9000  # on average, so that few jobs reach gensim's limit of 10,000


def read_glove(glove_path, embed_size: int, vocabulary: dict[str, int], seed: int = 0) -> tuple[np.ndarray, int]:
    """Read the vocabulary's vectors from a GloVe text file, line by line; the file is not changed.

    `glove_path` is the file, or a folder that holds glove.6B.<embed_size>d.txt; a first line `400000 300` is allowed.
    Returns (V, E) float32, V one more than the largest id, row 0 (padding) zero, absent rows as `fill_absent_rows`
    draws them, and the number of rows found. Raises UserError for a missing file, another dimension, a malformed or
    missing line, and where no word is found. Format: Pennington et al. 2014,
    https://nlp.stanford.edu/projects/glove/.
    """
    path = _glove_file(Path(glove_path), embed_size)
    rows = {token.encode(): row for token, row in vocabulary.items() if row}
    vectors = np.zeros((max(vocabulary.values()) + 1, embed_size), np.float32)
    found = np.zeros(len(vectors), bool)
    announced, number = None, 0
    progress = tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=None)
    # Bytes, because a token may hold a character that str.split or str.splitlines takes for white space.
    with open(path, "rb") as file, progress:
        for number, line in enumerate(file, 1):
            progress.update(len(line))
            token, _, values = line.rstrip().partition(b" ")
            if number == 1 and token.isdigit() and values.isdigit():
                announced = int(token)
                _check_dimension(path, int(values), embed_size)
                continue
            count = values.count(b" ") + 1
            if number == 1:
                _check_dimension(path, count, embed_size)
            if count != embed_size:
                raise UserError(
                    f"{path}:{number}: expected a word and {embed_size} numbers, found {count}; the file is damaged or "
                    "truncated, unpack or download it again"
                )
            row = rows.get(token)
            if row is not None and not found[row]:
                vectors[row] = _numbers(values, path, number)
                found[row] = True
    if number == 0 or (announced is not None and number - 1 < announced):
        expected = "word vectors" if announced is None else f"the {announced} vectors that line 1 announces"
        raise UserError(f"{path}:{number}: the file ends here, before {expected}; unpack or download it again")
    if not found.any():
        raise UserError(
            f"{path}: none of the {len(rows)} words of the vocabulary is in it; use lower-case English vectors"
        )
    fill_absent_rows(vectors, found, seed)
    return vectors, int(found.sum())


def _glove_file(path: Path, embed_size: int) -> Path:
    if path.is_file() and path.suffix in (".zip", ".gz"):
        raise UserError(f"{path}: is packed; unpack it and pass the folder")
    if path.is_file():
        return path
    file = path / f"glove.6B.{embed_size}d.txt"
    if file.is_file():
        return file
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder; check --glove_path or run script/download_dataset.sh")
    there = sorted(other.name for other in path.glob("glove*"))
    mend = (
        f"there is only {', '.join(there)}; choose --embed_size accordingly, or unpack or download the missing file"
        if there
        else "there is no GloVe file in that folder; get GloVe by script/download_dataset.sh"
    )
    raise UserError(f"{file}: no such file; {mend}")


def _check_dimension(path: Path, dimension: int, embed_size: int) -> None:
    if dimension != embed_size:
        mend = f"use --embed_size {dimension}" if dimension > 1 else "this is no file of word vectors"
        raise UserError(f"{path}:1: vectors of {dimension} numbers, but embed_size is {embed_size}; {mend}")


def _numbers(values: bytes, path: Path, number: int) -> np.ndarray:
    try:
        vector = np.array(values.split(b" "), np.float32)
    except ValueError as error:
        raise UserError(f"{path}:{number}: {error}; the file is damaged, unpack or download it again") from None
    if not np.isfinite(vector).all():
        raise UserError(f"{path}:{number}: a value is not a finite number; unpack or download the file again")
    return vector


def fill_absent_rows(vectors: np.ndarray, found: np.ndarray, seed: int) -> None:
    """Draw the rows of `vectors` (V, E) that were not `found` (V,) from a normal that is as wide as the found rows.

    Changes `vectors` in place; row 0, padding, becomes zero. A seed always gives the same rows.
    """
    absent = np.flatnonzero(~found)
    width = vectors[found].std()
    vectors[absent] = np.random.default_rng(seed).normal(0, width, (len(absent), vectors.shape[1]))
    vectors[0] = 0


def train_word_vectors(
    token_lists: list[list[str]],
    embed_size: int,
    vocabulary: dict[str, int],
    seed: int,
    epochs: int,
    workers: int,
    window: int = 8,
    negative: int = 5,
    sample: float = 1e-4,
    sg: int = 0,
    batch_words: int = 20000,
) -> np.ndarray:
    """Train word2vec (CBOW; with `sg` 1 skip-gram) on tokenized texts, for the words of the vocabulary only.

    Other words are dropped before the windows are cut. Returns (V, E) float32 laid out as `read_glove` does. The result
    is reproducible with one worker; with more, gensim's threads update the same weights in an order that varies, so
    runs differ. Raises UserError where the texts hold no word of the vocabulary. Method: Mikolov et al. 2013.
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

    model = Word2Vec(
        vector_size=embed_size,
        window=window,
        negative=negative,
        sample=sample,
        sg=sg,
        batch_words=batch_words,
        epochs=epochs,
        workers=workers,
        seed=seed,
        min_count=1,  # the vocabulary has been cut already
    )
    model.build_vocab(
        token_lists,
        trim_rule=lambda word, count, min_count: utils.RULE_KEEP if vocabulary.get(word) else utils.RULE_DISCARD,
    )
    if not len(model.wv):
        raise UserError(f"word vectors: {len(token_lists)} texts hold no word of the vocabulary; check --aclimdb_path")
    # Of a job's words gensim trains the first 10,000 that survive the subsampling and silently leaves out the rest.
    counts, chances = model.wv.expandos["count"], model.wv.expandos["sample_int"] / 2**32
    model.batch_words = min(batch_words, int(MOST_WORDS_IN_JOB * counts.sum() / (counts * chances).sum()))
    model.train(token_lists, total_examples=len(token_lists), epochs=epochs, callbacks=[Progress()])

    vectors = np.zeros((max(vocabulary.values()) + 1, embed_size), np.float32)
    found = np.zeros(len(vectors), bool)
    rows = [vocabulary[word] for word in model.wv.index_to_key]
    vectors[rows] = model.wv.vectors
    found[rows] = True
    fill_absent_rows(vectors, found, seed)
    return vectors
