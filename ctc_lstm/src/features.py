"""Samples to feature frames: filter banks or MFCC, deltas, normalisation, SpecAugment. NumPy only, no graph.

`settings` is any mapping with the feature keys of src/config.py.
"""

from __future__ import annotations

import numpy as np

from src.audio import change_speed, read_audio, resample
from src.model_utils.runtime import UserError

DELTA_WINDOW = 2  # frames to each side of the regression
FEATURE_KEYS = (  # what stored features depend on
    "features",
    "sample_rate",
    "num_mels",
    "num_ceps",
    "energy",
    "deltas",
    "frame_length_ms",
    "frame_shift_ms",
    "cmvn",
    "max_seconds",
)


def feature_size(settings) -> int:
    """Return the number of values in a frame."""
    static = settings["num_mels"] + settings["energy"] if settings["features"] == "fbank" else settings["num_ceps"]
    return static * (1 + settings["deltas"])


def static_features(samples: np.ndarray, settings) -> np.ndarray:
    """Return (T, D) float32 frames, one every `frame_shift_ms`, centred in its shift, as Kaldi computes them.

    fbank: log mel energies, behind the log energy of the frame if `energy`. mfcc: cepstra, whose first is the log
    energy instead of c0 if `energy`. No dither, so that the same audio always gives the same features.
    """
    import kaldi_native_fbank as kaldi

    fbank = settings["features"] == "fbank"
    options = kaldi.FbankOptions() if fbank else kaldi.MfccOptions()
    options.frame_opts.samp_freq = settings["sample_rate"]
    options.frame_opts.frame_length_ms = settings["frame_length_ms"]
    options.frame_opts.frame_shift_ms = settings["frame_shift_ms"]
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = settings["num_mels"]
    options.use_energy = settings["energy"]
    if not fbank:
        options.num_ceps = settings["num_ceps"]
    computer = kaldi.OnlineFbank(options) if fbank else kaldi.OnlineMfcc(options)
    computer.accept_waveform(settings["sample_rate"], samples * 32768)  # Kaldi reads 16-bit integers as they are
    computer.input_finished()
    frames = [computer.get_frame(i) for i in range(computer.num_frames_ready)]
    return np.stack(frames) if frames else np.zeros((0, computer.dim), np.float32)


def kaldi_arrays(settings) -> tuple[int, dict[str, np.ndarray]]:
    """Return what `static_features` computes with, for programs without Kaldi: samples of a shift, and arrays.

    window (N,), filters (bins, mels) from the power spectrum without its last bin, and for mfcc cosines (mels, ceps)
    with the liftering. Source: feature-window.cc, mel-computations.cc and feature-mfcc.cc of Kaldi.
    """
    per_ms = np.float32(settings["sample_rate"]) * np.float32(0.001)  # rounded as in Kaldi
    size, shift = (int(per_ms * np.float32(settings[key])) for key in ("frame_length_ms", "frame_shift_ms"))
    mels, bins = settings["num_mels"], 2 ** int(np.ceil(np.log2(size))) // 2

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(20), mel(settings["sample_rate"] / 2), mels + 2)
    places = mel(np.arange(bins) * settings["sample_rate"] / (2 * bins))[:, None]  # (bins, 1)
    rising, falling = (
        (places - edges[:-2]) / (edges[1:-1] - edges[:-2]),
        (edges[2:] - places) / (edges[2:] - edges[1:-1]),
    )
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    arrays = {"window": hann**0.85, "filters": np.maximum(np.minimum(rising, falling), 0)}
    if settings["features"] == "mfcc":
        order = np.arange(settings["num_ceps"])
        cosines = np.cos(np.pi / mels * (np.arange(mels)[:, None] + 0.5) * order)
        scale = np.where(order, np.sqrt(2 / mels), np.sqrt(1 / mels)) * (1 + 11 * np.sin(np.pi * order / 22))
        arrays["cosines"] = cosines * scale
    return shift, arrays


def add_deltas(frames: np.ndarray, order: int) -> np.ndarray:
    """Append `order` regression derivatives over time to frames (T, D): (T, D * (1 + order)). Edges are repeated.

    Furui 1986; the window of HTK and Kaldi, DELTA_WINDOW frames to each side.
    """
    parts, steps, shifts = [frames], np.arange(len(frames)), range(1, DELTA_WINDOW + 1)
    for _ in range(order):
        x = parts[-1]
        slopes = sum(n * (x.take(steps + n, 0, mode="clip") - x.take(steps - n, 0, mode="clip")) for n in shifts)
        parts.append(slopes / (2 * sum(n * n for n in shifts)))
    return np.concatenate(parts, 1).astype(np.float32)


def compute_features(samples: np.ndarray, rate: int, settings, speed: float = 1.0) -> np.ndarray:
    """Return the frames (T, D) of samples at any rate, with deltas, before normalisation."""
    samples = change_speed(resample(samples, rate, settings["sample_rate"]), speed)
    return add_deltas(static_features(samples, settings), settings["deltas"])


def features_of_file(path, settings, speed: float = 1.0) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the frames (T, D) of an audio file before normalisation, its samples (N,) and their rate.

    Raises UserError naming the file where it cannot be used.
    """
    samples, rate = read_audio(path, settings["max_seconds"])
    frames = compute_features(samples, rate, settings, speed)
    if not len(frames):
        raise UserError(f"{path}: shorter than one frame; leave it out")
    return frames, samples, rate


class Moments:
    """Mean and variance of the columns of frames (T, D) that come utterance by utterance, in float64."""

    def __init__(self, frames: np.ndarray):
        self.count, self.total = len(frames), frames.sum(0, dtype=np.float64)
        self.spread = np.square(frames - self.total / self.count).sum(0)  # around the mean

    def add(self, other: Moments) -> None:
        """Take in those of other frames (Chan, Golub & LeVeque 1979)."""
        distance = other.total / other.count - self.total / self.count
        self.spread += other.spread + np.square(distance) * (self.count * other.count / (self.count + other.count))
        self.count, self.total = self.count + other.count, self.total + other.total

    def mean_and_scale(self) -> np.ndarray:
        """Return (2, D): the mean, and what gives the frames unit variance."""
        return np.stack([self.total / self.count, 1 / np.sqrt(self.spread / self.count + 1e-8)])


def normalize(frames: np.ndarray, mean_and_scale: np.ndarray) -> np.ndarray:
    """Give frames (T, D) zero mean and unit variance (CMVN), as `Moments` of their speaker or of themselves say."""
    mean, scale = mean_and_scale
    return ((frames - mean) * scale).astype(np.float32)


def spec_augment(frames: np.ndarray, settings, random: np.random.Generator) -> np.ndarray:
    """Return frames (T, D) with bands of time and of frequency set to zero, which is the mean after normalisation.

    Park et al. 2019, section 2, without time warping. A band of frequency covers the same mel bins of the frames and
    of their deltas. A band of time is `time_mask_width` frames wide at most, and a fifth of the utterance.
    """
    frames = frames.copy()
    steps, size = frames.shape
    static = size // (1 + settings["deltas"])
    for _ in range(settings["freq_masks"]):
        width = random.integers(0, min(settings["freq_mask_width"], static) + 1)
        start = random.integers(0, static - width + 1)
        frames.reshape(steps, -1, static)[:, :, start : start + width] = 0
    for _ in range(settings["time_masks"]):
        width = random.integers(0, min(settings["time_mask_width"], steps // 5) + 1)
        start = random.integers(0, steps - width + 1)
        frames[start : start + width] = 0
    return frames
