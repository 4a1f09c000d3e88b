"""What every reader of a corpus returns: utterances, in up to three splits."""

from __future__ import annotations

from typing import NamedTuple

SPLITS = ("train", "valid", "test")


class Utterance(NamedTuple):
    """One recording: its name, its speaker ("" if unknown), its audio file and its labels in order."""

    name: str
    speaker: str
    audio: str
    labels: tuple[str, ...]
