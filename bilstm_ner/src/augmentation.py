"""New training sentences from old ones: entities are replaced by others of their type."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from src.resume_ner import Corpus
from src.tagging import entities


class MentionReplacement:
    """Replaces a random share of the entities by training entities of the same type, each drawn as often as it occurs.

    Dai & Adel 2020, "mention replacement". It keeps the network from learning names by heart.
    """

    def __init__(self, corpus: Corpus, share: float):
        self.share = share
        self.pieces = [_pieces(sentence, corpus.scheme) for sentence in corpus.sentences]
        self.mentions = defaultdict(list)
        for pieces in self.pieces:
            for kind, characters, tags in pieces:
                if kind:
                    self.mentions[kind].append((characters, tags))

    def __call__(self, random: np.random.Generator) -> tuple[list[list[str]], list[list[str]]]:
        """Return the characters and the tags of all sentences, in their order."""
        texts, all_tags = [], []
        for pieces in self.pieces:
            text, row = [], []
            for kind, characters, tags in pieces:
                if kind and random.random() < self.share:
                    others = self.mentions[kind]
                    characters, tags = others[random.integers(len(others))]
                text += characters
                row += tags
            texts.append(text)
            all_tags.append(row)
        return texts, all_tags


def _pieces(sentence, scheme: str) -> list[tuple[str, list[str], list[str]]]:
    """Cut a sentence into entities and what is between them: (type or "", characters, tags)."""
    pieces, position = [], 0
    for entity in entities(sentence.tags, scheme):
        between, inside = slice(position, entity.start), slice(entity.start, entity.end)
        pieces.append(("", sentence.characters[between], sentence.tags[between]))
        pieces.append((entity.type, sentence.characters[inside], sentence.tags[inside]))
        position = entity.end
    pieces.append(("", sentence.characters[position:], sentence.tags[position:]))
    return pieces
