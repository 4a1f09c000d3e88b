"""Tagging schemes: which tags may follow each other, and the entities of a tag sequence. Pure functions on strings.

BMES (begin, middle, end, single), BIOES (the same with I for the middle) and BIO; a tag is `O` or `PREFIX-TYPE`. IOB1
is recognised and converted to BIO.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional

import numpy as np

from src.model_utils.runtime import UserError

OUTSIDE = "O"
FORBIDDEN = -1e4  # score of what the scheme does not allow: exp of it is exactly 0, and it fits into float16
SCHEMES = {"BMES": "BMES", "BIOES": "BIES", "BIO": "BI"}  # scheme -> its prefixes


@dataclass(frozen=True)
class Entity:
    """Characters [start, end) of a sentence, with a type."""

    start: int
    end: int
    type: str


@lru_cache(2**16)
def split_tag(tag: str) -> tuple[str, str]:
    """Return prefix and type of a tag, ("O", "") for the outside tag. Raises ValueError for anything else."""
    prefix, dash, kind = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if not dash or not kind or prefix not in tuple("BMIES"):
        raise ValueError(f"'{tag}' is not a tag")
    return prefix, kind


def resolve_scheme(tags: Iterable[str], wanted: str | None = None) -> str:
    """Return the scheme of a collection of valid tags: `wanted`, that of the training file, where it fits.

    Raises UserError for prefixes that do not go together and for tags of another scheme than `wanted`.
    """
    prefixes = {split_tag(tag)[0] for tag in tags} - {OUTSIDE}
    fitting = [name for name, known in SCHEMES.items() if prefixes <= set(known)]
    if not fitting:
        raise UserError(f"the prefixes {', '.join(sorted(prefixes))} are of no scheme: use BMES, BIOES, BIO or IOB1")
    if wanted in fitting:
        return wanted
    scheme = "BIO" if "BIO" in fitting else fitting[0]
    if wanted is None or (wanted, scheme) == ("BMES", "BIOES"):  # training tags without M and I look like BMES
        return scheme
    raise UserError(f"the tags are of scheme {scheme}, those of the training file of {wanted}; convert the file")


Step = tuple[Optional[str], str]  # a tag behind another, or behind the beginning of a sentence


def steps_of(tags: list[str]) -> Iterable[Step]:
    """Return the steps of a tag sequence; what schemes allow depends on them alone."""
    return zip([None, *tags], tags)


def is_iob1(steps: Iterable[Step]) -> bool:
    """Whether the tags of sentences with these steps are IOB1 (Ramshaw & Marcus 1995) and not BIO.

    In IOB1 an entity begins with I, and with B only where it follows one of its type without a gap.
    """
    begins_with_i = False
    for before, tag in steps:
        prefix, kind = split_tag(tag)
        if prefix not in "BIO" or (prefix == "B" and not may_follow(before, f"I-{kind}", "BIO")):
            return False
        begins_with_i = begins_with_i or not may_follow(before, tag, "BIO")
    return begins_with_i


def iob1_to_bio(steps: Iterable[Step]) -> list[str]:
    """Return the tags of the steps, with a B at the beginning of every entity."""
    return [tag if may_follow(before, tag, "BIO") else f"B-{split_tag(tag)[1]}" for before, tag in steps]


@lru_cache(2**16)
def may_follow(before: str | None, after: str | None, scheme: str) -> bool:
    """Whether tag `after` may follow tag `before`; None stands for the beginning and the end of a sentence."""
    prefix, kind = split_tag(before) if before else (OUTSIDE, "")
    following, following_kind = split_tag(after) if after else (OUTSIDE, "")
    if scheme == "BIO":
        return following != "I" or (prefix in "BI" and kind == following_kind)
    if prefix in "BMI":  # inside an entity, which must go on
        return following in "MIE" and kind == following_kind
    return following in "OBS"


def illegal_step(tags: list[str], scheme: str) -> int | None:
    """Return the first position of `tags` that its predecessor does not allow (the length: the end), None if legal."""
    pairs = enumerate(zip([None, *tags], [*tags, None]))
    return next((position for position, pair in pairs if not may_follow(*pair, scheme)), None)


def constraints(tags: list[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what to add to the scores of a CRF over `tags`: to transitions (K, K), first tags (K,), last tags (K,).

    0 where the scheme allows it, FORBIDDEN where not; float32.
    """

    def score(before: str | None, after: str | None) -> float:
        return 0.0 if may_follow(before, after, scheme) else FORBIDDEN

    transitions = np.array([[score(a, b) for b in tags] for a in tags], np.float32)
    return transitions, *(np.array(row, np.float32) for row in zip(*[(score(None, t), score(t, None)) for t in tags]))


def entities(tags: list[str], scheme: str) -> list[Entity]:
    """Return the entities of a tag sequence, strictly: what the scheme does not allow is no entity.

    BMES: B M* E and S, BIOES: B I* E and S, BIO: B I*; all of one type. This is seqeval's strict mode.
    """
    complete, start, kind = [], None, ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        prefix, new_kind = split_tag(tag)
        if start is not None and prefix in "MIE" and new_kind == kind:  # it goes on
            if prefix == "E":
                complete.append(Entity(start, position + 1, kind))
                start = None
            continue
        if start is not None and scheme == "BIO":
            complete.append(Entity(start, position, kind))
        start, kind = (position, new_kind) if prefix == "B" else (None, "")
        if prefix == "S":
            complete.append(Entity(position, position + 1, new_kind))
    return complete
