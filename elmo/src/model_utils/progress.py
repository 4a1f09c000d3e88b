"""Bars that say how far a long step is and how much time it has left, on a terminal alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress_bar(total: int | None, name: str, unit: str = "it") -> tqdm:
    """Return a bar that goes away when it is full; there is none without a name, and none but on a terminal.

    `total` is None where it is not known; a `unit` of "B" stands for bytes.
    """
    return tqdm(total=total, desc=name, unit=unit, unit_scale=unit == "B", disable=None if name else True, leave=False)


def with_progress(items: Iterable[Item], total: int | None, name: str) -> Iterator[Item]:
    """Yield the items, with a bar of as many as have been asked for."""
    with progress_bar(total, name) as bar:
        for item in items:
            yield item
            bar.update()
