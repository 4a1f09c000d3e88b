"""The seeds of all random streams, in one place: what `numpy.random.default_rng` takes.

The results of training depend on every one of them. Dropout has a generator of its own, `dropout_keys`.
"""

from __future__ import annotations

from enum import IntEnum


class Weights(IntEnum):
    """Initial weights besides those of the LSTM layers."""

    CONVOLUTION_1 = 401
    CONVOLUTION_2 = 402
    OUTPUT = 403


def layer(seed: int, number: int) -> list[int]:
    """The seed of an LSTM layer's initial weights, and of the dropout on its outputs."""
    return [seed, number]


def weights(seed: int, which: Weights) -> list[int]:
    """The seed of other initial weights."""
    return [seed, int(which)]


def order(seed: int, epoch: int) -> list[int]:
    """The seed of the shuffling of an epoch."""
    return [seed, epoch]


def augmentation(seed: int, epoch: int, key: int) -> list[int]:
    """The seed of one utterance's augmentation; `key` is its dropout key of the step, any int32."""
    return [seed, epoch, int(key) + 2**31]
