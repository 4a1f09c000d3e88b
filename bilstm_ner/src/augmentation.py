"""New training sentences from old ones: entities are replaced by others of their type."""

from __future__ import annotations

import numpy as np

from src.preparation import Split


class MentionReplacement:
    """Replaces a random share of the entities by training entities of the same type, each drawn as often as it occurs.

    Dai & Adel 2020, "mention replacement". It keeps the network from memorising names. Entities are counted through all
    sentences.
    """

    def __init__(self, split: Split, share: float):
        self.split, self.share = split, share
        self.of_kind = np.argsort(split.entity_kinds, kind="stable").astype(np.int32)
        counts = np.bincount(split.entity_kinds)
        self.counts, self.first = counts, np.cumsum(counts) - counts  # of each type, and where it begins in `of_kind`

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """Return for each entity which one takes its place, itself included; int32."""
        kinds = self.split.entity_kinds
        others = self.of_kind[self.first[kinds] + random.integers(0, self.counts[kinds])]
        return np.where(
            random.random(len(kinds), np.float32) < self.share, others, np.arange(len(kinds), dtype=np.int32)
        )

    def lengths(self, drawn: np.ndarray) -> np.ndarray:
        """Return the lengths (N,) int32 of all sentences with the entities that `draw` returned."""
        split = self.split
        growth = np.cumsum(split.entity_lengths[drawn] - split.entity_lengths, dtype=np.int64)
        return split.lengths + np.diff(np.append(0, growth)[np.append(0, split.entity_ends)]).astype(np.int32)

    def sentence(self, index: int, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the codes (n,) of characters and tags of a sentence with the entities that `draw` returned."""
        characters, tags, spans = self.split.read(index)
        pieces, position = [], 0
        first = self.split.entity_ends[index] - len(spans)
        for entity, (start, end) in enumerate(spans, first):
            if drawn[entity] != entity:
                pieces += [(characters[position:start], tags[position:start]), self._entity(int(drawn[entity]))]
                position = end
        pieces.append((characters[position:], tags[position:]))
        characters, tags = (np.concatenate(side) for side in zip(*pieces))
        return characters, tags

    def _entity(self, entity: int) -> tuple[np.ndarray, np.ndarray]:
        index = int(np.searchsorted(self.split.entity_ends, entity, "right"))
        characters, tags, spans = self.split.read(index)
        start, end = spans[entity - self.split.entity_ends[index] + len(spans)]
        return characters[start:end], tags[start:end]
