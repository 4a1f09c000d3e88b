"""Audio files to samples: NIST SPHERE, RIFF and whatever else libsndfile reads, checked, mono, at one rate."""

from __future__ import annotations

from math import gcd

import numpy as np

from src.model_utils.runtime import UserError

SILENCE = 1e-4  # a recording whose samples all lie closer to their mean than this, of full scale 1, holds no speech


def read_audio(path, max_seconds: float = 0.0) -> tuple[np.ndarray, int]:
    """Return (samples (N,) float32 in [-1, 1], samples per second) of a file; several channels become their mean.

    Raises UserError naming the file where it is missing, unreadable, empty, silent, not finite, or longer than
    `max_seconds` (0 for any length), which is seen in its header before anything is decoded.
    """
    import soundfile

    try:
        with soundfile.SoundFile(str(path)) as file:
            rate, seconds = file.samplerate, file.frames / file.samplerate
            if max_seconds and seconds > max_seconds:
                raise UserError(
                    f"{path}: {seconds:.0f} seconds long, more than max_seconds {max_seconds:g}; cut it into utterances"
                )
            samples = file.read(dtype="float32", always_2d=True).mean(1)
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).split(": ")[-1].rstrip(".")
        raise UserError(f"{path}: unreadable audio ({reason}); expected NIST SPHERE, WAV or FLAC") from None
    if not len(samples):
        raise UserError(f"{path}: holds no samples; leave it out or record it again")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds samples that are not finite; convert it again")
    if np.abs(samples - samples.mean()).max() < SILENCE:
        raise UserError(f"{path}: silent; leave it out or record it again")
    return samples, rate


def resample(samples: np.ndarray, rate: float, wanted: float) -> np.ndarray:
    """Return samples (N,) at another rate, by a polyphase filter."""
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    divisor = gcd(round(rate), round(wanted))
    return resample_poly(samples, round(wanted) // divisor, round(rate) // divisor).astype(np.float32)


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Return samples (N / factor,) that play `factor` times as fast, pitch included (Ko et al. 2015)."""
    return resample(samples, round(1000 * factor), 1000)
