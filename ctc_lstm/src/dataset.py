"""Utterances to MindRecord and back to batches: features on disk, label vocabulary, length buckets, frame budget."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.corpus import SPLITS, Utterance, read_corpus, report_bad
from src.extraction import extract
from src.features import FEATURE_KEYS, cmvn_groups, normalize, spec_augment
from src.model_utils.configuration import parse_json
from src.model_utils.conversion import convert_once, read_fingerprint, read_mindrecord, write_mindrecord
from src.model_utils.recurrent import dropout_keys
from src.model_utils.runtime import UserError, atomic_write, log
from src.model_utils.training import Batch
from src.network import output_lengths, subsampling_of
from src.timit import fold

BLANK_ID, BLANK = 0, "<blank>"
VERSION = 1  # of the files below; raise it when their content changes
ROWS_MULTIPLE = 4  # of the rows of a batch, so that 1, 2 and 4 processes train on the same batches


@dataclass
class Samples:
    """Utterances as the network needs them: frames[i] (T_i, D) float32, normalised, and the labels as strings."""

    names: list[str]
    speakers: list[str]
    frames: list[np.ndarray]
    labels: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices) -> Samples:
        """Return the samples at `indices`, in their order."""
        return Samples(*([column[i] for i in indices] for column in vars(self).values()))


def speeds_of(config) -> list[float]:
    """Return the speeds of the training copies that `speed_perturbation` lists."""
    return [float(word) for word in config.speed_perturbation.split(",")]


def compute_samples(utterances: list[Utterance], config, speeds=(1.0,)) -> Samples:
    """Compute the normalised features of utterances, once for each speed; a copy's name tells its speed.

    Files of no use are errors or left out, as `on_bad_file` says.
    """
    jobs = [(u, speed) for speed in speeds for u in utterances]
    results = extract([(u.audio, speed) for u, speed in jobs], config, config.num_workers)
    report_bad(list(dict.fromkeys(result for result in results if isinstance(result, str))), config.on_bad_file)
    kept = [(u, speed, frames) for (u, speed), frames in zip(jobs, results) if not isinstance(frames, str)]
    names = [u.name if speed == 1 else f"{u.name} x{speed:g}" for u, speed, _ in kept]
    frames = [frames for _, _, frames in kept]
    if config.cmvn != "none":  # copies of other speeds have statistics of their own
        voices = [u.speaker and f"{u.speaker} x{speed:g}" for u, speed, _ in kept]
        frames = normalize(frames, cmvn_groups(names, voices, config.cmvn))
    return Samples(names, [u.speaker for u, _, _ in kept], frames, [u.labels for u, _, _ in kept])


def prepare(data_path, preprocess_path, config) -> None:
    """Convert the corpus to MindRecord files of features in `preprocess_path`, unless that is done already."""
    splits = read_corpus(data_path, config)
    convert_once(preprocess_path, _fingerprint(splits, config), lambda folder: _convert(splits, folder, config))


def _convert(splits: dict[str, list[Utterance]], folder: Path, config) -> None:
    frames, start = 0, time.monotonic()
    for split, utterances in splits.items():
        samples = compute_samples(utterances, config, speeds_of(config) if split == "train" else (1.0,))
        _write_mindrecord(folder / f"{split}.mindrecord", samples)
        lengths = np.array([len(each) for each in samples.frames] or [0])
        seconds = lengths * config.frame_shift_ms / 1000
        frames += lengths.sum()
        log(
            f"{split}: {len(samples)} utterances of {len(set(samples.speakers))} speakers,"
            f" {sum(map(len, samples.labels))} labels, {seconds.sum() / 60:.1f} minutes; an utterance takes"
            f" {seconds.min():.1f} to {seconds.max():.1f} s, {seconds.mean():.1f} on average"
        )
    spent = max(time.monotonic() - start, 1e-9)
    log(f"features took {spent:.1f} s, {frames * config.frame_shift_ms / 1000 / spent:.0f} times real time")


def _fingerprint(splits: dict[str, list[Utterance]], config) -> dict:
    """What the features depend on: names, sizes and labels of the sources, options, version of the format."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for u in splits[split]:
            status = os.stat(u.audio)
            digest.update(f"{split} {u} {status.st_size} {status.st_mtime_ns}\n".encode())
    options = {key: config[key] for key in (*FEATURE_KEYS, "speed_perturbation", "on_bad_file")}
    return {"version": VERSION, "corpus": digest.hexdigest(), **options}


def check_prepared(preprocess_path, config) -> None:
    """Raise UserError where the features in a folder were computed with other settings than the configuration's."""
    found = read_fingerprint(preprocess_path)
    if found is None:
        raise UserError(f"{preprocess_path}: holds no preprocessed data; give --data_path")
    for key in FEATURE_KEYS:
        if found.get(key) != config[key]:
            raise UserError(
                f"{preprocess_path}: was computed with {key} {found.get(key)}, the configuration says {config[key]};"
                " give --data_path to compute it again"
            )


def _write_mindrecord(path: Path, samples: Samples) -> None:
    if not len(samples):
        return
    shape = [-1, samples.frames[0].shape[1]]
    schema = {key: {"type": "string"} for key in ("name", "speaker", "labels")}
    schema["frames"] = {"type": "float32", "shape": shape}
    rows = [
        {"name": name, "speaker": speaker, "labels": " ".join(labels), "frames": frames}
        for name, speaker, frames, labels in zip(*vars(samples).values())
    ]
    batches = (rows[start : start + 200] for start in range(0, len(rows), 200))
    write_mindrecord(path, schema, "features of utterances", batches)


def load_samples(preprocess_path, split: str, missing_ok: bool = False) -> Samples:
    """Read a split that `prepare` wrote; UserError where it is missing (no samples if `missing_ok`) or damaged."""
    path = Path(preprocess_path) / f"{split}.mindrecord"
    if not path.is_file():
        if missing_ok:
            return Samples([], [], [], [])
        raise UserError(f"{path}: no such file; the corpus has no {split} split, or give train.py --data_path first")
    rows = read_mindrecord(path)
    return Samples(
        [str(row["name"]) for row in rows],
        [str(row["speaker"]) for row in rows],
        [np.asarray(row["frames"], np.float32) for row in rows],
        [tuple(str(row["labels"]).split()) for row in rows],
    )


def build_vocabulary(label_lists) -> list[str]:
    """Return the labels by id: the blank, then all that occur, in alphabetical order."""
    return [BLANK, *sorted({label for labels in label_lists for label in labels})]


def save_vocabulary(path, vocabulary: list[str]) -> None:
    """Write the labels in the order of their ids as a JSON list."""
    with atomic_write(path) as file:
        json.dump(vocabulary, file, ensure_ascii=False, indent=0)


def load_vocabulary(path) -> list[str]:
    """Read what `save_vocabulary` wrote; UserError where it is missing or no such list."""
    try:
        vocabulary = parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; it lies beside the checkpoint that train.py wrote, keep them together"
        ) from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; restore it from the folder of the training") from None
    if not isinstance(vocabulary, list) or vocabulary[:1] != [BLANK] or not all(isinstance(w, str) for w in vocabulary):
        raise UserError(f"{path}: not a vocabulary, expected a list of labels that starts with {BLANK}")
    return vocabulary


def needed_steps(labels) -> int:
    """Return the fewest output steps that CTC can say the labels in: one each, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in zip(labels, labels[1:]))


def training_samples(samples: Samples, config) -> Samples:
    """Return the samples that can be trained on, their labels folded to `phone_set`.

    One too short for its labels has no CTC path and an infinite loss; one without labels teaches nothing. They are
    named, and are errors or left out as `on_bad_file` says.
    """
    labels = [fold(each, config.phone_set) for each in samples.labels]
    steps = output_lengths(np.array([len(frames) for frames in samples.frames]), config.front_end)
    problems, kept = [], []
    for i, name in enumerate(samples.names):
        if not labels[i]:
            problems.append(f"{name}: has no labels")
        elif steps[i] < needed_steps(labels[i]):
            problems.append(
                f"{name}: too short for its labels, which need {needed_steps(labels[i])} output steps where"
                f" {len(samples.frames[i])} frames with front_end {config.front_end} give {steps[i]}"
            )
        else:
            kept.append(i)
    report_bad(problems, config.on_bad_file)
    return Samples(samples.names, samples.speakers, samples.frames, labels).select(kept)


def pad_frames(frames: list[np.ndarray], multiple: int, length: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Collate frames (T_i, D) into (B, T, D) float32, zero behind the ends, and lengths (B,) int32.

    T is `length`, or the longest T_i; rounded up to a multiple of what the front end takes together.
    """
    lengths = np.array([len(each) for each in frames], np.int32)
    steps = -(-max(length, lengths.max()) // multiple) * multiple
    padded = np.zeros((len(frames), steps, frames[0].shape[1]), np.float32)
    for row, each in enumerate(frames):
        padded[row, : len(each)] = each
    return padded, lengths


def evaluation_batches(samples: Samples, config) -> Iterator[tuple[np.ndarray, tuple]]:
    """Yield (indices of the samples, (frames, lengths)), all samples once, the longest first, by the frame budget."""
    lengths = np.array([len(frames) for frames in samples.frames])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, config.eval_frames // int(lengths[order[start]]))
        chosen = order[start : start + rows]
        yield chosen, pad_frames([samples.frames[i] for i in chosen], subsampling_of(config.front_end))
        start += rows


class TrainingBatches:
    """Shuffled batches of about equal lengths and about `batch_frames` frames; every epoch is a pure function of it.

    The utterances are divided by length into `num_buckets` buckets of about equally many frames. A bucket's batches all
    have the same number of rows: what fits into the frame budget at its longest utterance, `batch_size` at most. What
    does not fill a batch moves on to the bucket of the next longer ones; of the last one the rest is left out, another
    one in each epoch. Call it with an epoch (from 1) and the number of steps to skip. A data-parallel process takes
    every size-th row of each batch.
    """

    def __init__(self, samples: Samples, vocabulary: list[str], config, rank: int = 0, size: int = 1):
        ids = {label: number for number, label in enumerate(vocabulary)}
        self.frames = samples.frames
        self.labels = [np.array([ids[label] for label in labels], np.int32) for labels in samples.labels]
        self.lengths = np.array([len(frames) for frames in samples.frames])
        self.config, self.rank, self.size = config, rank, size
        self.multiple = subsampling_of(config.front_end)
        self.buckets = self._divide()
        self.steps_per_epoch = len(self.plan(1))
        if not self.steps_per_epoch:
            raise UserError(
                f"{len(samples)} training utterances do not fill one batch; lower --batch_size or --batch_frames"
            )

    def _divide(self) -> list[tuple[np.ndarray, int, int, int]]:
        """Return for each bucket the indices of its utterances, its rows, and the frames and labels that it pads to."""
        order = np.argsort(self.lengths, kind="stable")
        frames = np.cumsum(self.lengths[order])
        parts = np.searchsorted(frames, frames[-1] * np.arange(1, self.config.num_buckets) / self.config.num_buckets)
        buckets, most_labels = [], 0
        for members in np.split(order, parts):
            if len(members):
                longest = int(self.lengths[members[-1]])
                most_labels = max(most_labels, *(len(self.labels[i]) for i in members))  # shorter ones may move in
                rows = min(self.config.batch_size, self.config.batch_frames // longest)
                multiple = math.lcm(self.size, ROWS_MULTIPLE if rows >= ROWS_MULTIPLE else 1)
                buckets.append((members, max(multiple, rows // multiple * multiple), longest, most_labels))
        return buckets

    def plan(self, epoch: int) -> list[tuple[np.ndarray, int, int]]:
        """Return for each step of an epoch the indices of its utterances, and the frames and labels to pad to."""
        random = np.random.default_rng([self.config.seed, epoch])
        steps, rest = [], np.zeros(0, int)
        for members, rows, longest, most_labels in self.buckets:
            members = random.permutation(np.concatenate([members, rest]))
            full = len(members) // rows * rows
            steps += [(chosen, longest, most_labels) for chosen in members[:full].reshape(-1, rows)]
            rest = members[full:]
        return [steps[i] for i in random.permutation(len(steps))]

    def one_of_each_shape(self) -> list[Batch]:
        """Return a batch of every bucket."""
        found = {}
        for batch in self(1):
            found.setdefault(batch.inputs[0].shape[:2], batch)
        return list(found.values())

    def __call__(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        plan = self.plan(epoch)
        for step in range(first_step, len(plan)):
            chosen, longest, most_labels = plan[step]
            keys = dropout_keys(self.config.seed, (epoch - 1) * len(plan) + step, len(chosen))
            frames = []
            for key, i in zip(keys[self.rank :: self.size], chosen[self.rank :: self.size]):
                random = np.random.default_rng([self.config.seed, epoch, int(key) + 2**31])
                each = spec_augment(self.frames[i], self.config, random)
                if self.config.feature_noise:
                    each += self.config.feature_noise * random.standard_normal(each.shape, np.float32)
                frames.append(each)
            mine = chosen[self.rank :: self.size]
            static = self.config.pad_to_bucket
            padded, lengths = pad_frames(frames, self.multiple, longest if static else 0)
            label_lengths = np.array([len(self.labels[i]) for i in mine], np.int32)
            labels = np.zeros((len(mine), most_labels if static else label_lengths.max()), np.int32)
            for row, i in enumerate(mine):
                labels[row, : len(self.labels[i])] = self.labels[i]
            inputs = (padded, lengths, keys[self.rank :: self.size], labels, label_lengths)
            yield Batch(inputs, len(chosen), int(self.lengths[chosen].sum()))
