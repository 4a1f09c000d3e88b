"""Utterances to samples: features computed once and kept in MindRecord files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.corpus import read_corpus
from src.extraction import extract
from src.features import FEATURE_KEYS, normalize
from src.model_utils import conversion
from src.model_utils.conversion import convert_once, digest_of_files, read_split
from src.model_utils.files import report_bad
from src.model_utils.mindrecord import write_mindrecord
from src.model_utils.runtime import log
from src.utterance import SPLITS, Utterance

VERSION = 2  # of the files below; raise it when their content changes


class Sample(NamedTuple):
    """An utterance as the network needs it: normalised frames (T, D) float32, and its labels as strings."""

    name: str
    speaker: str
    frames: np.ndarray
    labels: tuple[str, ...]


def compute_samples(utterances: list[Utterance], config, speeds: Iterable[float] = (1.0,)) -> list[Sample]:
    """Compute the normalised features of utterances, once for each speed; a copy's name tells its speed.

    Files that cannot be used are errors or left out, as `on_bad_input` says.
    """
    jobs = [(u, speed) for speed in speeds for u in utterances]
    results = extract([(u.audio, speed) for u, speed in jobs], config, config.num_workers)
    problems = dict.fromkeys(result for result in results if isinstance(result, str))
    report_bad(list(problems), config.on_bad_input, "files")
    samples, groups = [], []
    for number, ((u, speed), frames) in enumerate(zip(jobs, results)):
        if not isinstance(frames, str):
            suffix = "" if speed == 1 else f" x{speed:g}"
            samples.append(Sample(u.name + suffix, u.speaker, frames, u.labels))
            # copies of other speeds have their own statistics, and so has an utterance of an unknown speaker
            groups.append((u.speaker, speed) if u.speaker and config.cmvn == "speaker" else number)
    if config.cmvn != "none":
        normalized = normalize([sample.frames for sample in samples], groups)
        samples = [sample._replace(frames=frames) for sample, frames in zip(samples, normalized)]
    return samples


def prepare(data_path, preprocess_path, config) -> None:
    """Convert the corpus to MindRecord files of features in `preprocess_path`, unless that is done already."""
    splits = read_corpus(data_path, config)
    convert_once(preprocess_path, _fingerprint(splits, config), lambda folder: _convert(splits, folder, config))


def _convert(splits: dict[str, list[Utterance]], folder: Path, config) -> None:
    frames, start = 0, time.monotonic()
    for split, utterances in splits.items():
        speeds = map(float, config.speed_perturbation.split(",")) if split == "train" else (1.0,)
        samples = compute_samples(utterances, config, speeds)
        if not samples:
            log(f"{split}: no utterances")
            continue
        _write_mindrecord(folder / f"{split}.mindrecord", samples)
        lengths = np.array([len(sample.frames) for sample in samples])
        seconds = lengths * config.frame_shift_ms / 1000
        frames += lengths.sum()
        log(
            f"{split}: {len(samples)} utterances of {len({sample.speaker for sample in samples})} speakers,"
            f" {sum(len(sample.labels) for sample in samples)} labels, {seconds.sum() / 60:.1f} minutes; they take"
            f" {seconds.min():.1f} to {seconds.max():.1f} s each, {seconds.mean():.1f} s on average"
        )
    spent = max(time.monotonic() - start, 1e-9)
    log(f"features took {spent:.1f} s, {frames * config.frame_shift_ms / 1000 / spent:.0f} times real time")


def _fingerprint(splits: dict[str, list[Utterance]], config) -> dict:
    """What the features depend on: names, sizes and labels of the sources, options, version of the format."""
    corpus = digest_of_files((f"{split} {u}", u.audio) for split in SPLITS for u in splits[split])
    options = {key: config[key] for key in (*FEATURE_KEYS, "speed_perturbation", "on_bad_input")}
    return {"version": VERSION, "corpus": corpus, **options}


def check_prepared(preprocess_path, config) -> None:
    """Raise UserError where the features in a folder were computed with other settings than the configuration's."""
    conversion.check_prepared(preprocess_path, {key: config[key] for key in FEATURE_KEYS}, "data_path")


def _write_mindrecord(path: Path, samples: list[Sample]) -> None:
    schema = {key: {"type": "string"} for key in ("name", "speaker", "labels")}
    schema["frames"] = {"type": "float32", "shape": [-1, samples[0].frames.shape[1]]}
    rows = ({**sample._asdict(), "labels": " ".join(sample.labels)} for sample in samples)
    write_mindrecord(path, schema, "features of utterances", rows, at_once=200)


def load_samples(preprocess_path, split: str, missing_ok: bool = False) -> list[Sample]:
    """Read a split that `prepare` wrote; UserError where it is missing (no samples if `missing_ok`) or damaged."""
    advice = f"the corpus has no {split} split, or give train.py --data_path first"
    return [
        Sample(
            name=str(row["name"]),
            speaker=str(row["speaker"]),
            frames=np.asarray(row["frames"], np.float32),
            labels=tuple(str(row["labels"]).split()),
        )
        for row in read_split(preprocess_path, split, advice, missing_ok)
    ]
