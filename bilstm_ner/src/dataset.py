"""From sentences to batches: vocabulary, characters and bigrams as ids, length buckets, dropout to unknown."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from easydict import EasyDict

from src import random_streams
from src.augmentation import MentionReplacement
from src.model_utils.batching import Batch, carry_over_plan, cheapest_buckets, longest_first, rows_of_process
from src.model_utils.files import read_json, write_json
from src.model_utils.layers import dropout_keys
from src.model_utils.runtime import UserError
from src.preparation import EDGE_CODE, Prepared, Split, bigrams_of
from src.tagged_lines import Sentence
from src.tagging import SCHEMES, split_tag

PADDING_ID, UNKNOWN_ID = 0, 1
SPECIAL = ("<pad>", "<unk>")
TRAINING_BUCKETS = 10  # padded lengths of training at most, as a graph is compiled for each
STEPS_PER_BUCKET = 20  # steps of an epoch that are worth a compilation
EVALUATION_CHARACTERS = 2**15  # most characters of a batch of evaluation, padding included
BUCKETS = (*range(8, 129, 8), 160, 192, 224, 256)  # padded lengths of evaluation; then multiples of 128


@dataclass
class Vocabulary:
    """The scheme of the tags, and tags, characters and bigrams in the order of their ids."""

    scheme: str
    tags: list[str]
    characters: list[str]
    bigrams: list[str]

    def __post_init__(self):
        self.character_ids = _ids(self.characters, len(SPECIAL))
        self.bigram_ids = _ids(self.bigrams, len(SPECIAL))
        self.tag_ids = _ids(self.tags)


def _ids(texts: list[str], first: int = 0) -> dict[str, int]:
    """Return the ids of texts from `first` on: no text is one of SPECIAL, even if it looks so.

    The composed Unicode form of a text has its id as well, and `encode` looks for other forms there.
    """
    exact = {text: number for number, text in enumerate(texts) if number >= first}
    composed: dict[str, int] = {}
    for text, number in exact.items():
        composed.setdefault(unicodedata.normalize("NFC", text), number)
    return {**composed, **exact}


def build_vocabulary(
    prepared: Prepared, character_min_count: int, bigram_min_count: int, more_characters: Collection[str] = ()
) -> Vocabulary:
    """Return the vocabulary of training sentences: what is seen often enough, the most frequent first.

    `more_characters` have pretrained vectors and are known besides. Ties are in the order of the text, so ids depend on
    the corpus alone.
    """

    def frequent(counts: Counter[str], least: int) -> list[str]:
        return sorted((text for text, n in counts.items() if n >= least), key=lambda text: (-counts[text], text))

    known = frequent(prepared.character_counts, character_min_count)
    known += sorted(set(more_characters) - set(known))
    pairs = frequent(prepared.bigram_counts, bigram_min_count)
    return Vocabulary(prepared.scheme, prepared.training_tags, [*SPECIAL, *known], [*SPECIAL, *pairs])


def save_vocabulary(path: str | os.PathLike, vocabulary: Vocabulary) -> None:
    """Write the vocabulary as JSON."""
    write_json(path, asdict(vocabulary))


def load_vocabulary(path: str | os.PathLike) -> Vocabulary:
    """Read what `save_vocabulary` wrote; UserError where it is missing or something else."""
    content = read_json(path, "it lies beside the checkpoint that train.py wrote, keep them together")
    try:
        vocabulary = Vocabulary(**content)
        texts = [*vocabulary.tags, *vocabulary.characters, *vocabulary.bigrams]
        if vocabulary.scheme not in SCHEMES or not all(isinstance(text, str) for text in texts):
            raise ValueError
        for tag in vocabulary.tags:
            split_tag(tag)  # raises ValueError for what is none
    except (TypeError, ValueError):
        raise UserError(f"{path}: not a vocabulary; restore it from the folder of the training") from None
    return vocabulary


def check_vocabulary(path: str | os.PathLike, vocabulary: Vocabulary, data_path: str) -> None:
    """Raise UserError unless the vocabulary that a training saved is this one, which `data_path` gives."""
    if load_vocabulary(path) != vocabulary:
        raise UserError(f"{path}: not the vocabulary of {data_path}; give the data and --char_vectors of that training")


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
    return [
        Sample(
            _look_up(sentence.characters, vocabulary.character_ids, UNKNOWN_ID),
            _look_up(bigrams_of(sentence.characters), vocabulary.bigram_ids, UNKNOWN_ID),
            _look_up(sentence.tags, vocabulary.tag_ids, -1),
        )
        for sentence in sentences
    ]


def _look_up(texts: Sequence[str], ids: Mapping[str, int], default: int) -> np.ndarray:
    numbers = [ids[t] if t in ids else ids.get(unicodedata.normalize("NFC", t), default) for t in texts]
    return np.array(numbers, np.int32)


class CodeTable:
    """The ids that `encode` gives, for the codes of a converted corpus: of a whole batch at once."""

    def __init__(self, prepared: Prepared, vocabulary: Vocabulary):
        self.characters = _look_up(prepared.characters, vocabulary.character_ids, UNKNOWN_ID)  # by code
        self.characters[EDGE_CODE] = PADDING_ID
        self.tags = _look_up(prepared.tags, vocabulary.tag_ids, -1)
        codes = {character: code for code, character in enumerate(prepared.characters)}
        forms = [unicodedata.normalize("NFC", character) for character in prepared.characters]
        self._composed = np.array([codes.setdefault(form, len(codes)) for form in forms])  # code of each one's form
        self._size = len(codes)
        pairs = np.array([-1] + [self._pair(*map(codes.get, text.split("\t"))) for text in vocabulary.bigram_ids])
        order = pairs.argsort()
        self._pairs = pairs[order]
        self._ids = np.array([UNKNOWN_ID, *vocabulary.bigram_ids.values()], np.int32)[order]

    def bigrams(self, codes: np.ndarray) -> np.ndarray:
        """Return the bigrams (T + 1, B) int32 of characters (T, B), which are padded with EDGE_CODE."""
        edge = np.full_like(codes[:1], EDGE_CODE)
        first, second = np.concatenate([edge, codes]).astype(int), np.concatenate([codes, edge]).astype(int)
        ids = self._find(first, second)
        rare = ids == UNKNOWN_ID
        ids[rare] = self._find(self._composed[first[rare]], self._composed[second[rare]])
        ids[(first == EDGE_CODE) & (second == EDGE_CODE)] = PADDING_ID
        return ids

    def _pair(self, first, second):
        return first * self._size + second

    def _find(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pairs = self._pair(first, second)
        places = np.searchsorted(self._pairs, pairs, "right") - 1
        return np.where(self._pairs[places] == pairs, self._ids[places], np.int32(UNKNOWN_ID))


class Samples(Sequence):
    """The samples of a converted split, each read when it is asked for."""

    def __init__(self, split: Split, table: CodeTable):
        self.split, self.table = split, table

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Sample:
        characters, tags, _ = self.split.read(index)
        bigrams = self.table.bigrams(characters[:, None])[:, 0]
        return Sample(self.table.characters[characters], bigrams, self.table.tags[tags])


def lengths_of(samples: Sequence[Sample]) -> np.ndarray:
    """Return the lengths of sentences (N,), int32."""
    if isinstance(samples, Samples):
        return samples.split.lengths
    return np.array([len(sample.characters) for sample in samples], np.int32)


def bucket_length(length: int) -> int:
    """Return the padded length of a batch whose longest sentence has `length` characters."""
    return next((bucket for bucket in BUCKETS if length <= bucket), -(-length // 128) * 128)


def pad(sequences: Sequence[np.ndarray], length: int) -> np.ndarray:
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


def evaluation_batches(samples: Sequence[Sample], batch_size: int) -> Iterator[tuple[np.ndarray, Inputs]]:
    """Yield (indices, batch) of all samples, the longest first; of long ones fewer at once."""
    for chosen in longest_first(lengths_of(samples), batch_size, EVALUATION_CHARACTERS):
        yield chosen, collate([samples[i] for i in chosen])


def length_bounds(lengths: np.ndarray, count: int) -> list[int]:
    """Return the largest lengths of at most `count` buckets that pad these sentences least.

    The last one is rounded up by `bucket_length`, for sentences that augmentation makes longer.
    """
    values, numbers = np.unique(lengths, return_counts=True)
    bounds = values[cheapest_buckets(values, numbers, count)[1]].tolist()
    return [*bounds[:-1], bucket_length(bounds[-1])]


def epoch_plan(
    lengths: np.ndarray, bounds: list[int], batch_size: int, seed: Sequence[int]
) -> list[tuple[np.ndarray, int]]:
    """Return for each step the indices of its sentences and the length to pad to, in a shuffled order."""
    places, padded = np.searchsorted(bounds, lengths), [*bounds, bucket_length(int(lengths.max()))]
    return carry_over_plan([(np.flatnonzero(places == n), batch_size, size) for n, size in enumerate(padded)], seed)


class TrainingBatches:
    """Shuffled batches of about equal lengths; every epoch is a pure function of (seed, epoch).

    Call it with an epoch (from 1) and the number of steps to skip. Each step's batch holds `batch_size` sentences, of
    which a data-parallel process takes every size-th. Each epoch has its own entities replaced. A share of the
    characters and, independently, of the bigrams becomes unknown, without which the unknown ones would have no trained
    vector.
    """

    def __init__(self, split: Split, table: CodeTable, config: EasyDict, *, rank: int = 0, size: int = 1):
        self.own_rows = rows_of_process(config.batch_size, rank, size)
        if len(split) < config.batch_size:
            raise UserError(f"{len(split)} training sentences do not fill one batch of {config.batch_size}")
        self.table, self.batch_size, self.seed = table, config.batch_size, config.seed
        self.replacement = MentionReplacement(split, config.mention_replacement)
        self.character_dropout, self.bigram_dropout = config.character_dropout, config.bigram_dropout
        self.steps_per_epoch = len(split) // config.batch_size
        count = min(TRAINING_BUCKETS, 1 + self.steps_per_epoch // STEPS_PER_BUCKET)
        self.bounds = length_bounds(split.lengths, count)

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        drawn = self.replacement.draw(np.random.default_rng([self.seed, epoch, random_streams.REPLACED_MENTIONS]))
        lengths = self.replacement.lengths(drawn)
        plan = epoch_plan(lengths, self.bounds, self.batch_size, [self.seed, epoch])
        for step in range(first_step, len(plan)):
            chosen, longest = plan[step]
            codes, tags = zip(*(self.replacement.sentence(i, drawn) for i in chosen))
            codes = pad(codes, longest)
            characters = self.table.characters[codes]
            random = np.random.default_rng([self.seed, epoch, step, random_streams.UNKNOWN_REPLACEMENT])
            inputs = TrainingInputs(
                characters=_make_unknown(characters, self.character_dropout, random),
                bigrams=_make_unknown(self.table.bigrams(codes), self.bigram_dropout, random),
                lengths=lengths[chosen],
                dropout_keys=dropout_keys(self.seed, (epoch - 1) * len(plan) + step, self.batch_size),
                tags=pad([self.table.tags[each] for each in tags], longest),
                targets=characters,
            )
            own = [np.ascontiguousarray(array[..., self.own_rows]) for array in inputs]
            yield Batch(TrainingInputs(*own), len(chosen), int(lengths[chosen].sum()))


def _make_unknown(ids: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Make a random share of the ids unknown, padding aside."""
    chosen = (random.random(ids.shape, np.float32) < share) & (ids != PADDING_ID)
    return np.where(chosen, UNKNOWN_ID, ids).astype(np.int32)
