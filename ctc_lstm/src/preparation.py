"""Utterances to samples: features computed once and kept in MindRecord files, of which a batch reads what it needs."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from src.corpus import read_corpus
from src.extraction import Job, extract, has_speaker_statistics
from src.features import FEATURE_KEYS, Moments, feature_size, normalize
from src.model_utils import conversion
from src.model_utils.conversion import convert_once, digest_of_files, open_split_with_arrays
from src.model_utils.files import report_bad
from src.model_utils.mindrecord import SMALL_PAGE, Rows, write_mindrecord
from src.model_utils.progress import progress_bar
from src.model_utils.runtime import log
from src.utterance import SPLITS, Utterance

VERSION = 4  # of the files below; raise it when their content changes
AT_ONCE = 20  # rows that are written together
LARGEST = SMALL_PAGE - 2**16  # bytes of frames in one row of a MindRecord file; a longer utterance takes several rows
ALONE = -1  # the group of an utterance whose stored frames are normalised already


@dataclass(frozen=True)
class Samples:
    """The utterances of a converted split: what plans need is in memory, frames are read when their batch comes."""

    file: Rows
    rows: np.ndarray  # (N, 2) int32, the first row of each utterance in the file, and the one behind its last
    lengths: np.ndarray  # (N,) int32, frames
    groups: np.ndarray  # (N,) int32, which of `statistics` normalise the frames, or ALONE
    statistics: np.ndarray  # (G, 2, D) float64, mean and scale of each speaker at each speed
    label_ids: list[np.ndarray]  # N of (L,) int32, places in `label_names`
    label_names: list[str]

    def __len__(self) -> int:
        return len(self.rows)

    def labels(self) -> Iterator[tuple[str, ...]]:
        """Yield the labels of all utterances in their order."""
        return (tuple(self.label_names[i] for i in ids) for ids in self.label_ids)

    def frames(self, index: int) -> np.ndarray:
        """Return the normalised frames (T, D) float32 of an utterance."""
        pieces = [np.asarray(self.file[row]["frames"]) for row in range(*self.rows[index].tolist())]
        frames, group = pieces[0] if len(pieces) == 1 else np.concatenate(pieces), self.groups[index]
        return frames if group == ALONE else normalize(frames, self.statistics[group])

    def name(self, index: int) -> str:
        """Return the name of an utterance."""
        return str(self._names[self.rows[index, 0]])

    @cached_property
    def _names(self) -> np.ndarray:
        return self.file.column("name")

    def select(self, indices: Sequence[int], labels: Iterable[tuple[str, ...]]) -> Samples:
        """Return some of the utterances, with these labels."""
        kept = {key: getattr(self, key)[list(indices)] for key in ("rows", "lengths", "groups")}
        label_ids, label_names = _numbered(labels)
        return replace(self, **kept, label_ids=label_ids, label_names=label_names)

    def save(self) -> None:
        """Write all but the frames beside their file."""
        arrays = {key: getattr(self, key) for key in ("lengths", "groups", "statistics")}
        arrays["utterances"] = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.rows)[:, 0])  # of the rows
        counts = [len(ids) for ids in self.label_ids]
        ids, names = np.concatenate(self.label_ids), np.array(self.label_names, str)
        np.savez(self.file.path.with_suffix(".npz"), label_ids=ids, label_counts=counts, label_names=names, **arrays)


def _numbered(label_lists: Iterable[tuple[str, ...]]) -> tuple[list[np.ndarray], list[str]]:
    """Return labels as numbers, and what each number stands for."""
    numbers: dict[str, int] = {}
    ids = [np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int32) for labels in label_lists]
    return ids, list(numbers)


def write_samples(
    path: Path, utterances: Sequence[Utterance], config, speeds: Sequence[float] = (1.0,), progress: str = ""
) -> Samples | None:
    """Write the features of utterances to a MindRecord file, once for each speed; a copy's name tells its speed.

    Frames that are normalised by their speaker stand there as they are, since all of them have to be seen before. Rows
    are small, so that pages are, which MindRecord's memory for the index depends on: a long utterance has several.
    Files that cannot be used are errors or left out, as `on_bad_input` says; None where no utterance is left.
    `progress` names a bar on a terminal.
    """
    count, row_limit = len(speeds) * len(utterances), LARGEST // (4 * feature_size(config))  # frames of a row
    lengths, groups, row_counts, labels, problems = array("i"), array("i"), array("i"), [], {}
    moments: dict[tuple[str, float], Moments] = {}
    numbers: dict[tuple[str, float], int] = {}

    def jobs() -> Iterator[tuple[Utterance, Job]]:
        return ((u, Job(u.audio, u.speaker, speed)) for speed in speeds for u in utterances)

    def rows() -> Iterator[dict]:
        with (
            closing(extract((job for _, job in jobs()), count, config, config.num_workers)) as results,
            progress_bar(count, progress) as bar,
        ):
            for (u, job), result in zip(jobs(), results):
                bar.update()
                if isinstance(result, str):
                    problems[result] = None
                    continue
                frames, its_moments = result
                group = ALONE
                if has_speaker_statistics(job, config):  # copies of other speeds have their own
                    key = job.speaker, job.speed
                    group = numbers.setdefault(key, len(numbers))
                    if moments.setdefault(key, its_moments) is not its_moments:
                        moments[key].add(its_moments)
                lengths.append(len(frames))
                groups.append(group)
                labels.append(u.labels)
                suffix = "" if job.speed == 1 else f" x{job.speed:g}"
                row = {"name": u.name + suffix, "speaker": u.speaker, "labels": " ".join(u.labels)}
                starts = range(0, len(frames), row_limit)
                row_counts.append(len(starts))
                yield from ({**row, "frames": frames[start : start + row_limit]} for start in starts)

    with closing(rows()) as every:
        first = next(every, None)
        if first:
            schema = {key: {"type": "string"} for key in ("name", "speaker", "labels")}
            schema["frames"] = {"type": "float32", "shape": [-1, feature_size(config)]}
            every_row = itertools.chain([first], every)
            write_mindrecord(path, schema, "features of utterances", every_row, AT_ONCE, SMALL_PAGE)
    report_bad(list(problems), config.on_bad_input, "files")
    if not first:
        return None
    label_ids, label_names = _numbered(labels)
    samples = Samples(
        file=Rows(path),
        rows=_bounds(np.cumsum(row_counts)),
        lengths=np.array(lengths, np.int32),
        groups=np.array(groups, np.int32),
        statistics=np.array([each.mean_and_scale() for each in moments.values()]),
        label_ids=label_ids,
        label_names=label_names,
    )
    samples.save()
    return samples


def prepare(data_path, preprocess_path, config) -> None:
    """Convert the corpus to MindRecord files of features in `preprocess_path`, unless that is done already."""
    splits = read_corpus(data_path, config)
    convert_once(preprocess_path, _fingerprint(splits, config), lambda folder: _convert(splits, folder, config))


def _convert(splits: dict[str, list[Utterance]], folder: Path, config) -> None:
    frames, start = 0, time.monotonic()
    for split, utterances in splits.items():
        speeds = [float(word) for word in config.speed_perturbation.split(",")] if split == "train" else [1.0]
        samples = write_samples(folder / f"{split}.mindrecord", utterances, config, speeds, f"features of {split}")
        if samples is None:
            log(f"{split}: no utterances")
            continue
        seconds = samples.lengths * config.frame_shift_ms / 1000
        frames += samples.lengths.sum()
        log(
            f"{split}: {len(samples)} utterances of {len({u.speaker for u in utterances})} speakers,"
            f" {sum(map(len, samples.label_ids))} labels, {seconds.sum() / 60:.1f} minutes; they take"
            f" {seconds.min():.1f} to {seconds.max():.1f} s each, {seconds.mean():.1f} s on average"
        )
    spent = max(time.monotonic() - start, 1e-9)
    log(f"features took {spent:.1f} s, {frames * config.frame_shift_ms / 1000 / spent:.0f} times real time")


def _fingerprint(splits: dict[str, list[Utterance]], config) -> dict:
    """What the features depend on: names, sizes and labels of the sources, options, version of the format.

    The folder of the corpus, which each machine may have somewhere else, is no part of it.
    """
    utterances = ((split, u) for split in SPLITS for u in splits[split])
    corpus = digest_of_files((f"{split} {u._replace(audio=Path(u.audio).name)}", u.audio) for split, u in utterances)
    options = {key: config[key] for key in (*FEATURE_KEYS, "speed_perturbation", "on_bad_input")}
    return {"version": VERSION, "corpus": corpus, **options}


def check_prepared(preprocess_path, config) -> None:
    """Raise UserError where the features in a folder were computed with other settings than the configuration's."""
    options = {"version": VERSION, **{key: config[key] for key in FEATURE_KEYS}}
    conversion.check_prepared(preprocess_path, options, "data_path")


def load_samples(preprocess_path, split: str, missing_ok: bool = False) -> Samples | None:
    """Open a split that `prepare` wrote; UserError where it is missing (None if `missing_ok`) or damaged."""
    if missing_ok and not (Path(preprocess_path) / f"{split}.mindrecord").exists():
        return None
    advice = f"the corpus has no {split} split, or give train.py --data_path first"
    rows, arrays = open_split_with_arrays(preprocess_path, split, advice, "utterances")
    names, counts = arrays.pop("label_names").tolist(), arrays.pop("label_counts")
    arrays["label_ids"] = np.split(arrays["label_ids"], np.cumsum(counts)[:-1])
    ends = np.searchsorted(arrays.pop("utterances"), np.arange(len(counts)), side="right")
    return Samples(file=rows, rows=_bounds(ends), label_names=names, **arrays)


def _bounds(ends: np.ndarray) -> np.ndarray:
    return np.stack((np.append(0, ends[:-1]), ends), axis=1).astype(np.int32)
