"""New training sentences from old ones: entities are replaced by others of their type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from src.resume_ner import Corpus, Sentence
from src.tagging import entities


class MentionReplacement:
    """Replaces a random share of the entities by training entities of the same type, each drawn as often as it occurs.

    Dai & Adel 2020, "mention replacement". It keeps the network from memorising names.
    """

    def __init__(self, corpus: Corpus, share: float):
        self.share = share
        self.pieces = [list(_pieces(sentence, corpus.scheme)) for sentence in corpus.sentences]
        self.mentions = defaultdict(list)
        for pieces in self.pieces:
            for kind, piece in pieces:
                if kind:
                    self.mentions[kind].append(piece)

    def __call__(self, random: np.random.Generator) -> list[Sentence]:
        """Return all sentences in their order."""
        return [self._replaced(pieces, random) for pieces in self.pieces]

    def _replaced(self, pieces: list[tuple[str, Sentence]], random: np.random.Generator) -> Sentence:
        sentence = Sentence([], [], [])
        for kind, piece in pieces:
            if kind and random.random() < self.share:
                others = self.mentions[kind]
                piece = others[random.integers(len(others))]
            sentence.characters.extend(piece.characters)
            sentence.tags.extend(piece.tags)
        return sentence


def _pieces(sentence: Sentence, scheme: str) -> Iterator[tuple[str, Sentence]]:
    """Yield the entities of a sentence and what is between them, with the type of the entity or ""."""

    def piece(start: int, end: int | None) -> Sentence:
        return Sentence(sentence.characters[start:end], sentence.tags[start:end], [])

    position = 0
    for entity in entities(sentence.tags, scheme):
        yield "", piece(position, entity.start)
        yield entity.type, piece(entity.start, entity.end)
        position = entity.end
    yield "", piece(position, None)
