"""A corpus in the TIMIT layout or in manifests: its utterances in three splits."""

from __future__ import annotations

import random
from pathlib import Path

from src.manifest import find_manifests, read_manifest
from src.model_utils.files import report_bad
from src.model_utils.runtime import UserError, log
from src.timit import read_timit, subfolder
from src.utterance import SPLITS, Utterance


def read_corpus(data_path, config) -> dict[str, list[Utterance]]:
    """Read train, valid and test of a folder: TIMIT in LDC's layout (TRAIN/, TEST/) or manifests (train.jsonl, ...).

    Where a corpus has no validation split, `validation_fraction` of its training speakers are held out. Raises
    UserError for another layout, and for bad files under the policy `on_bad_input` error.
    """
    root = Path(data_path)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; check --data_path")
    problems: list[str] = []
    if "train" in find_manifests(root):  # first, as their audio may lie in a folder named train
        splits = {split: read_manifest(path, problems) for split, path in find_manifests(root).items()}
    elif subfolder(root, "train"):
        splits = read_timit(root, problems)
    else:
        nested = [path for path in root.iterdir() if path.is_dir() and subfolder(path, "train")]
        hint = f"did you mean {nested[0]}?" if nested else "see the README's section on data"
        raise UserError(f"{root}: holds neither TRAIN/ and TEST/ of TIMIT nor train.jsonl or train.tsv; {hint}")
    report_bad(problems, config.on_bad_input, "files")
    if not splits.get("valid"):
        splits["train"], splits["valid"] = hold_out(splits["train"], config.validation_fraction, config.split_seed)
        if splits["valid"]:
            log(
                f"no validation split in {root}: held out {_count(splits['valid'])} of the training part;"
                f" {_count(splits['train'])} remain"
            )
    if not splits["train"]:
        raise UserError(f"{root}: no training utterance is left; check --data_path and --validation_fraction")
    return {split: splits.get(split, []) for split in SPLITS}


def read_split(data_path, split: str, config) -> list[Utterance]:
    """Return one split of a corpus folder, or all of a single manifest; UserError where nothing is in it."""
    path = Path(data_path)
    if path.exists() and not path.is_dir():
        problems: list[str] = []
        utterances = read_manifest(path, problems)
        report_bad(problems, config.on_bad_input, "files")
    else:
        utterances = read_corpus(path, config)[split]
    if not utterances:
        raise UserError(f"{path}: has no {split} split; choose another --split")
    return utterances


def _count(utterances: list[Utterance]) -> str:
    return f"{len(utterances)} utterances of {len({u.speaker for u in utterances})} speakers"


def hold_out(utterances: list[Utterance], fraction: float, seed: int) -> tuple[list[Utterance], list[Utterance]]:
    """Split off whole speakers for validation, about `fraction` of them and at least one; the choice follows `seed`.

    Where fewer than three speakers are known, single utterances are split off instead.
    """
    if not fraction:
        return utterances, []
    speakers = sorted({u.speaker for u in utterances})
    key = (lambda u: u.speaker) if len(speakers) >= 3 else (lambda u: u.name)
    groups = sorted({key(u) for u in utterances})
    random.Random(seed).shuffle(groups)
    chosen = set(groups[: max(1, round(fraction * len(groups)))])
    return [u for u in utterances if key(u) not in chosen], [u for u in utterances if key(u) in chosen]
