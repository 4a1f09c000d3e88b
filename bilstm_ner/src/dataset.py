"""From sentences to batches: vocabulary, characters and bigrams as ids, length buckets, dropout to unknown."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src import random_streams
from src.augmentation import MentionReplacement
from src.model_utils.configuration import parse_json
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError, atomic_write
from src.model_utils.training import Batch
from src.resume_ner import Corpus, Sentence

PADDING_ID, UNKNOWN_ID = 0, 1
SPECIAL = ("<pad>", "<unk>")
EDGE = "\n"  # what stands before the first and behind the last character of a sentence, in bigrams
TRAINING_BUCKETS = 10  # padded lengths of training at most, as a graph is compiled for each
STEPS_PER_BUCKET = 20  # steps of an epoch that are worth a compilation
BUCKETS = (*range(8, 129, 8), 160, 192, 224, 256)  # padded lengths of evaluation; then multiples of 128


@dataclass
class Vocabulary:
    """Characters, bigrams and tags in the order of their ids, and the scheme of the tags."""

    characters: list[str]
    bigrams: list[str]
    tags: list[str]
    scheme: str
    character_ids: dict[str, int] = field(init=False, repr=False, compare=False)
    bigram_ids: dict[str, int] = field(init=False, repr=False, compare=False)
    tag_ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        for name in ("character", "bigram", "tag"):
            setattr(self, f"{name}_ids", _numbered(getattr(self, f"{name}s")))


def _numbered(texts: list[str]) -> dict[str, int]:
    """Return the ids of texts, also under their composed Unicode form, under which `encode` looks for other forms."""
    ids: dict[str, int] = {}
    for number, text in enumerate(texts):
        ids.setdefault(unicodedata.normalize("NFC", text), number)
    return {**ids, **{text: number for number, text in enumerate(texts)}}


def bigrams_of(characters: list[str]) -> list[str]:
    """Return the length + 1 pairs of neighbours of a sentence, its edges included."""
    return [a + "\t" + b for a, b in zip([EDGE, *characters], [*characters, EDGE])]


def build_vocabulary(corpus: Corpus, character_min_count: int, bigram_min_count: int, more_characters=()) -> Vocabulary:
    """Return the vocabulary of training sentences: what is seen often enough, the most frequent first.

    `more_characters` have pretrained vectors and are known besides. Ties are in the order of the text, so ids depend on
    the corpus alone.
    """

    def frequent(counts: Counter, least: int) -> list[str]:
        return sorted((text for text, n in counts.items() if n >= least), key=lambda text: (-counts[text], text))

    characters = Counter(character for sentence in corpus.sentences for character in sentence.characters)
    bigrams = Counter(pair for sentence in corpus.sentences for pair in bigrams_of(sentence.characters))
    tags = sorted({tag for sentence in corpus.sentences for tag in sentence.tags})
    known = frequent(characters, character_min_count)
    known += sorted(set(more_characters) - set(known))
    return Vocabulary([*SPECIAL, *known], [*SPECIAL, *frequent(bigrams, bigram_min_count)], tags, corpus.scheme)


def save_vocabulary(path, vocabulary: Vocabulary) -> None:
    """Write the vocabulary as JSON."""
    content = {key: getattr(vocabulary, key) for key in ("scheme", "tags", "characters", "bigrams")}
    with atomic_write(path) as file:
        json.dump(content, file, ensure_ascii=False, indent=0)


def load_vocabulary(path) -> Vocabulary:
    """Read what `save_vocabulary` wrote; UserError where it is missing or something else."""
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"))
        vocabulary = Vocabulary(content["characters"], content["bigrams"], content["tags"], content["scheme"])
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; it lies beside the checkpoint that train.py wrote, keep them together"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a vocabulary; restore it from the folder of the training") from None
    return vocabulary


class Sample(NamedTuple):
    """A sentence as the network needs it, all int32. A tag that the vocabulary lacks is -1."""

    characters: np.ndarray  # (n,)
    bigrams: np.ndarray  # (n + 1,)
    tags: np.ndarray  # (n,), or (0,) for a text without tags


class Inputs(NamedTuple):
    """A batch as the network reads it, all int32, padded at the end of each sentence."""

    characters: np.ndarray  # (T, B)
    bigrams: np.ndarray  # (T + 1, B)
    lengths: np.ndarray  # (B,)
    dropout_keys: np.ndarray  # (B,), ignored outside training

    @classmethod
    def dynamic(cls) -> Inputs:
        """Return placeholders for batches of any size and length."""
        shapes = ([None, None], [None, None], [None], [None])
        return cls(*[Tensor(shape=shape, dtype=ms.int32) for shape in shapes])


class TrainingInputs(NamedTuple):
    """A batch as the training step reads it: Inputs with what is to be predicted."""

    characters: np.ndarray  # (T, B)
    bigrams: np.ndarray  # (T + 1, B)
    lengths: np.ndarray  # (B,)
    dropout_keys: np.ndarray  # (B,)
    tags: np.ndarray  # (T, B)
    targets: np.ndarray  # (T, B), the characters before any became unknown


def encode(sentences: list[Sentence], vocabulary: Vocabulary) -> list[Sample]:
    """Encode sentences of at least one character, with or without tags."""

    def ids(texts: list[str], table: dict[str, int], default: int) -> np.ndarray:
        numbers = [table[t] if t in table else table.get(unicodedata.normalize("NFC", t), default) for t in texts]
        return np.array(numbers, np.int32)

    return [
        Sample(
            ids(sentence.characters, vocabulary.character_ids, UNKNOWN_ID),
            ids(bigrams_of(sentence.characters), vocabulary.bigram_ids, UNKNOWN_ID),
            ids(sentence.tags, vocabulary.tag_ids, -1),
        )
        for sentence in sentences
    ]


def lengths_of(samples: list[Sample]) -> np.ndarray:
    """Return the lengths of sentences (N,), int32."""
    return np.array([len(sample.characters) for sample in samples], np.int32)


def bucket_length(length: int) -> int:
    """Return the padded length of a batch whose longest sentence has `length` characters."""
    return next((bucket for bucket in BUCKETS if length <= bucket), -(-length // 128) * 128)


def pad(sequences: list[np.ndarray], length: int) -> np.ndarray:
    """Stack sequences as columns (length, B), padding at the end."""
    columns = np.full((length, len(sequences)), PADDING_ID, np.int32)
    for column, sequence in enumerate(sequences):
        columns[: len(sequence), column] = sequence
    return columns


def collate(samples: list[Sample], steps: int = 0) -> Inputs:
    """Return a batch of samples; T is `steps`, if 0 that of a bucket."""
    lengths = lengths_of(samples)
    steps = steps or bucket_length(int(lengths.max()))
    characters = pad([sample.characters for sample in samples], steps)
    bigrams = pad([sample.bigrams for sample in samples], steps + 1)
    return Inputs(characters, bigrams, lengths, np.zeros(len(samples), np.int32))


def evaluation_batches(
    samples: list[Sample], batch_size: int, most_characters: int = 2**15
) -> Iterator[tuple[np.ndarray, Inputs]]:
    """Yield (indices, batch) of all samples, the longest first; of long ones fewer at once."""
    order = np.argsort(-lengths_of(samples), kind="stable")
    start = 0
    while start < len(order):
        fitting = max(1, most_characters // len(samples[order[start]].characters))
        chosen = order[start : start + min(batch_size, fitting)]
        start += len(chosen)
        yield chosen, collate([samples[i] for i in chosen])


def length_bounds(lengths: np.ndarray, count: int) -> list[int]:
    """Return the largest lengths of at most `count` buckets that pad these sentences least, by a dynamic programme.

    The last one is rounded up by `bucket_length`, for sentences that augmentation makes longer.
    """
    values, numbers = np.unique(lengths, return_counts=True)
    before = np.concatenate([[0], np.cumsum(numbers)])  # before[i] sentences are shorter than values[i]
    padded = values * (before[None, 1:] - before[:-1, None]).astype(float)  # [a, e]: a bucket of values a to e
    padded[np.tril_indices(len(values), -1)] = np.inf
    best, choices = padded[0], []
    for _ in range(min(count, len(values)) - 1):
        through = np.concatenate([[np.inf], best[:-1]])[:, None] + padded  # [first, last] value of one bucket more
        choices.append(through.argmin(0))
        best = through.min(0)
    bounds, end = [bucket_length(int(values[-1]))], len(values) - 1
    for choice in reversed(choices):
        end = choice[end] - 1
        bounds.append(int(values[end]))
    return bounds[::-1]


def bucketed_plan(lengths: np.ndarray, bounds: list[int], batch_size: int, seed) -> list[tuple[np.ndarray, int]]:
    """Return for each step the indices of its sentences and the length to pad to, in a shuffled order.

    The sentences of a batch are of one bucket. What does not fill a batch moves on to the bucket of the next longer
    ones; of the last one the rest is left out, another one for another seed.
    """
    random = np.random.default_rng(seed)
    buckets = np.searchsorted(bounds, lengths)
    steps, rest = [], np.zeros(0, int)
    for bucket in range(len(bounds) + 1):
        members = random.permutation(np.concatenate([np.flatnonzero(buckets == bucket), rest]))
        full = len(members) // batch_size * batch_size
        longest = bounds[bucket] if bucket < len(bounds) else bucket_length(int(lengths.max()))
        steps += [(chosen, longest) for chosen in members[:full].reshape(-1, batch_size)]
        rest = members[full:]
    return [steps[i] for i in random.permutation(len(steps))]


class TrainingBatches:
    """Shuffled batches of about equal lengths; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. Each step's batch holds `batch_size` sentences, of
    which a data-parallel process takes every size-th. Each epoch has its own entities replaced. A share of the
    characters and, independently, of the bigrams becomes unknown, without which the unknown ones would have no trained
    vector.
    """

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, config, *, rank: int = 0, size: int = 1):
        if config.batch_size % size:
            raise UserError(f"batch_size {config.batch_size} does not divide among {size} processes; set --batch_size")
        if len(corpus) < config.batch_size:
            raise UserError(f"{len(corpus)} training sentences do not fill one batch of {config.batch_size}")
        self.vocabulary, self.batch_size, self.seed = vocabulary, config.batch_size, config.seed
        self.replacement = MentionReplacement(corpus, config.mention_replacement)
        self.character_dropout, self.bigram_dropout = config.character_dropout, config.bigram_dropout
        self.rank, self.size = rank, size
        self.steps_per_epoch = len(corpus) // config.batch_size
        count = min(TRAINING_BUCKETS, 1 + self.steps_per_epoch // STEPS_PER_BUCKET)
        self.bounds = length_bounds(np.array([len(s.tags) for s in corpus.sentences]), count)

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        sentences = self.replacement(np.random.default_rng([self.seed, epoch, random_streams.REPLACED_MENTIONS]))
        samples = encode(sentences, self.vocabulary)
        plan = bucketed_plan(lengths_of(samples), self.bounds, self.batch_size, [self.seed, epoch])
        for step in range(first_step, len(plan)):
            chosen, longest = plan[step]
            batch = [samples[i] for i in chosen]
            whole = collate(batch, longest)
            random = np.random.default_rng([self.seed, epoch, step, random_streams.UNKNOWN_REPLACEMENT])
            inputs = TrainingInputs(
                characters=_make_unknown(whole.characters, self.character_dropout, random),
                bigrams=_make_unknown(whole.bigrams, self.bigram_dropout, random),
                lengths=whole.lengths,
                dropout_keys=dropout_keys(self.seed, (epoch - 1) * len(plan) + step, self.batch_size),
                tags=pad([sample.tags for sample in batch], longest),
                targets=whole.characters,
            )
            own = [np.ascontiguousarray(array[..., self.rank :: self.size]) for array in inputs]
            yield Batch(TrainingInputs(*own), len(whole.lengths), int(whole.lengths.sum()))


def _make_unknown(ids: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Make a random share of the ids unknown, padding aside."""
    chosen = (random.random(ids.shape, np.float32) < share) & (ids != PADDING_ID)
    return np.where(chosen, UNKNOWN_ID, ids).astype(np.int32)
