"""Audio files to samples: NIST SPHERE, RIFF and other formats of libsndfile, checked, mono, at one rate."""

from __future__ import annotations

import io
import os
import re
from math import gcd
from typing import BinaryIO

import numpy as np
import soundfile

from src.model_utils.runtime import UserError

LOUDEST = 2**20  # samples have a full scale of 1, in some files of 2^15; the energy of much more is no float32
SILENCE = 1e-4  # a recording whose samples all lie closer to their mean than this, of full scale 1, holds no speech
BLOCK = 2**16  # samples per channel that are decoded at a time
UNKNOWN = 0x7FFF0000  # sizes from here on are placeholders, written before the length of a recording was known
TO_THE_END = -1  # a size of 0 that is such a placeholder
MOST_CHUNKS = 1000  # of a RIFF or AIFF file that are searched for the samples


def read_audio(path, max_seconds: float = 0.0) -> tuple[np.ndarray, int]:
    """Return (samples (N,) float32 in [-1, 1], samples per second) of a file or pipe; channels are averaged.

    Raises UserError naming the file where it is missing, unreadable, shorter than its header says, empty, silent, not
    finite, or longer than `max_seconds` (0 for any length).
    """
    with _open(path) as file:
        source = file if file.seekable() else io.BytesIO(file.read())
        try:
            samples, rate, expected = _decode(source, max_seconds)
        except soundfile.SoundFileError as error:
            reason = str(error).split(": ")[-1].rstrip(".")
            raise UserError(f"{path}: unreadable audio ({reason}); expected NIST SPHERE, WAV or FLAC") from None
    if max_seconds and max(expected, len(samples)) > max_seconds * rate:
        raise UserError(f"{path}: longer than max_seconds {max_seconds:g}; cut it into utterances")
    if len(samples) < expected:
        raise UserError(
            f"{path}: cut short, the header says {expected} samples and {len(samples)} are there; copy it again or"
            " leave it out"
        )
    if not len(samples):
        raise UserError(f"{path}: holds no samples; leave it out or record it again")
    if not np.abs(samples).max() <= LOUDEST:  # NaN is neither
        raise UserError(f"{path}: holds samples that are not finite, or beyond {LOUDEST}; convert it again")
    if np.abs(samples - samples.mean()).max() < SILENCE:
        raise UserError(f"{path}: silent; leave it out or record it again")
    return samples, rate


def _open(path) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except (FileNotFoundError, ValueError):  # the latter for characters that no file name can hold
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: unreadable audio ({(error.strerror or str(error)).lower()})") from None


def _decode(source: BinaryIO, max_seconds: float) -> tuple[np.ndarray, int, int]:
    """Return (samples (N,), samples per second, samples that the header promises, 0 if none).

    Nothing is decoded where the header says that the recording is longer than `max_seconds`, else at most one block
    more than that.
    """
    start, promised = _promised_bytes(source)
    there = source.seek(0, os.SEEK_END) - start
    source.seek(0)
    if promised == TO_THE_END:  # libsndfile would read nothing, but takes a larger size for a placeholder
        content = source.read()
        source = io.BytesIO(content[: start - 4] + b"\xff" * 4 + content[start:])
    handle = source if isinstance(source, io.BytesIO) else source.fileno()
    with _ForwardReader(handle, closefd=False) as sound:
        rate, expected = sound.samplerate, sound.frames if sound.frames < UNKNOWN else 0
        if 0 < there < promised < UNKNOWN:  # libsndfile counts what is there
            expected = expected * promised // there
        limit = max_seconds * rate or float("inf")
        blocks, count = [np.zeros(0, np.float32)], 0
        while expected <= limit and count <= limit:
            block = sound.read(BLOCK, dtype="float32", always_2d=True).mean(1)
            blocks.append(block)
            count += len(block)
            if len(block) < BLOCK:
                break
    return np.concatenate(blocks), rate, expected


class _ForwardReader(soundfile.SoundFile):
    """A sound file that is only read forwards.

    The package seeks after each read of a seekable file, which fails in FLAC of unknown length.
    """

    def seekable(self) -> bool:
        return False


def _promised_bytes(source: BinaryIO) -> tuple[int, int]:
    """Return (where the samples start, how many bytes of them the header promises, 0 if none or in another format)."""
    head = source.read(1024)
    if head.startswith(b"NIST_1A\n"):
        fields = dict(re.findall(rb"^(\w+) -i (\d{1,15})\s*$", head, re.MULTILINE))
        counts = [int(fields.get(key, 0)) for key in (b"sample_count", b"sample_n_bytes", b"channel_count")]
        start = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", head)
        return (int(start[1]), int(np.prod(counts, dtype=object))) if start else (0, 0)
    if head.startswith(b".snd"):
        return int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    order, samples_chunk = {b"RIFF": ("little", b"data"), b"FORM": ("big", b"SSND")}.get(head[:4], ("", b""))
    start = 12
    for _ in range(MOST_CHUNKS if samples_chunk else 0):
        source.seek(start)
        name, size = source.read(4), int.from_bytes(source.read(4), order)
        start += 8
        if name == samples_chunk:
            if name == b"SSND":  # two numbers come before its samples
                return start + 8, size - 8
            end_of_file = int.from_bytes(head[4:8], order) + 8
            return start, size if size or start < end_of_file < UNKNOWN else TO_THE_END
        start += size + size % 2
    return 0, 0


def resample(samples: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Return samples (N,) at another rate, by a polyphase filter."""
    if rate == new_rate:
        return samples
    from scipy.signal import resample_poly

    divisor = gcd(round(rate), round(new_rate))
    return resample_poly(samples, round(new_rate) // divisor, round(rate) // divisor).astype(np.float32)


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return samples (N / factor,) that play `factor` times as fast, pitch included (Ko et al. 2015)."""
    return resample(samples, round(1000 * factor), 1000)
