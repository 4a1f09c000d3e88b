"""The streams of random numbers, by name: each is drawn from a generator with the seed [seed, number].

Batches have streams of their own, whose last numbers are the epoch and the step: the order of an epoch is drawn from
[seed, epoch], that of pre-training from [seed, PRETRAINING, epoch], and word dropout from [seed, epoch, step].
"""

from __future__ import annotations

import enum


class Stream(enum.IntEnum):
    """What is drawn. A number never changes: the same seed has to give the same training."""

    PRETRAINING = 1
    OUTPUT_PROJECTION = 200
    WORD_PROJECTION = 300
    ATTENTION = 301
    CLASSIFIER = 302
    EMBEDDING_DROPOUT = 303
    POOLED_DROPOUT = 304
