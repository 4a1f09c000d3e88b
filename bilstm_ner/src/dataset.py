"""Sentences to batches: characters and bigrams as ids, vocabulary, length buckets, unknown-replacement dropout."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.augmentation import MentionReplacement
from src.model_utils.configuration import parse_json
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError, atomic_write
from src.model_utils.training import Batch
from src.resume_ner import Corpus

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
            setattr(self, f"{name}_ids", {text: number for number, text in enumerate(getattr(self, f"{name}s"))})


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


@dataclass
class Samples:
    """Sentences as the network needs them: ids of characters (n,), bigrams (n + 1,) and tags (n,), all int32.

    A tag that the vocabulary lacks is -1.
    """

    characters: list[np.ndarray]
    bigrams: list[np.ndarray]
    tags: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.characters], np.int32)


def encode(texts: list[list[str]], vocabulary: Vocabulary, tags: list[list[str]] | None = None) -> Samples:
    """Encode sentences, each a list of at least one character; without `tags` every tag is -1."""

    def ids(keys, table, default) -> np.ndarray:
        return np.array([table.get(key, default) for key in keys], np.int32)

    return Samples(
        [ids(text, vocabulary.character_ids, UNKNOWN_ID) for text in texts],
        [ids(bigrams_of(text), vocabulary.bigram_ids, UNKNOWN_ID) for text in texts],
        [ids(row, vocabulary.tag_ids, -1) for row in tags] if tags else [np.full(len(text), -1) for text in texts],
    )


def encode_corpus(corpus: Corpus, vocabulary: Vocabulary) -> Samples:
    """Encode tagged sentences."""
    texts, tags = zip(*[(sentence.characters, sentence.tags) for sentence in corpus.sentences])
    return encode(texts, vocabulary, tags)


def bucket_length(length: int) -> int:
    """Return the padded length of a batch whose longest sentence has `length` characters."""
    return next((bucket for bucket in BUCKETS if length <= bucket), -(-length // 128) * 128)


def pad(sequences: list[np.ndarray], length: int) -> np.ndarray:
    """Stack sequences as columns (length, B), padding at the end."""
    rows = np.full((length, len(sequences)), PADDING_ID, np.int32)
    for column, sequence in enumerate(sequences):
        rows[: len(sequence), column] = sequence
    return rows


def collate(samples: Samples, indices, steps: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return characters (T, B), bigrams (T + 1, B) and lengths (B,); T is `steps`, if 0 that of a bucket."""
    lengths = np.array([len(samples.characters[i]) for i in indices], np.int32)
    steps = steps or bucket_length(int(lengths.max()))
    characters = pad([samples.characters[i] for i in indices], steps)
    return characters, pad([samples.bigrams[i] for i in indices], steps + 1), lengths


def evaluation_batches(samples: Samples, batch_size: int, most_characters: int = 2**15) -> Iterator[tuple]:
    """Yield (indices, network inputs) of all samples, the longest first; of long ones fewer at once."""
    order = np.argsort(-samples.lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = max(1, most_characters // len(samples.characters[order[start]]))
        chosen = order[start : start + min(batch_size, fitting)]
        start += len(chosen)
        yield chosen, (*collate(samples, chosen), np.zeros(len(chosen), np.int32))


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

    def __init__(self, corpus: Corpus, vocabulary: Vocabulary, config, rank: int = 0, size: int = 1):
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
        texts, tag_rows = self.replacement(np.random.default_rng([self.seed, epoch, 2]))
        samples = encode(texts, self.vocabulary, tag_rows)
        plan = bucketed_plan(samples.lengths, self.bounds, self.batch_size, [self.seed, epoch])
        for step in range(first_step, len(plan)):
            chosen, longest = plan[step]
            characters, bigrams, lengths = collate(samples, chosen, longest)
            random, targets = np.random.default_rng([self.seed, epoch, step, 3]), characters
            characters = _drop(characters, self.character_dropout, random)
            bigrams = _drop(bigrams, self.bigram_dropout, random)
            keys = dropout_keys(self.seed, (epoch - 1) * len(plan) + step, self.batch_size)
            tags = pad([samples.tags[i] for i in chosen], longest)
            mine = slice(self.rank, None, self.size)
            rows = [np.ascontiguousarray(array[:, mine]) for array in (characters, bigrams, tags, targets)]
            inputs = *rows[:2], lengths[mine], keys[mine], *rows[2:]
            yield Batch(inputs, len(lengths), int(lengths.sum()))


def _drop(ids: np.ndarray, share: float, random) -> np.ndarray:
    """Make a random share of the ids unknown, padding aside."""
    dropped = (random.random(ids.shape, np.float32) < share) & (ids != PADDING_ID)
    return np.where(dropped, UNKNOWN_ID, ids).astype(np.int32)
