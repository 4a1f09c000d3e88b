"""From a WAV file to what the exported network reads, and from its log-probabilities to labels."""

import json
import sys
import wave
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
SETTINGS, VOCABULARY = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("processing", "vocab"))
ARRAYS = dict(np.load(FOLDER / "features.npz"))  # window (N,), filters (bins, mels), for MFCC cosines (mels, cepstra)
LEAST = np.finfo(np.float32).eps  # of an energy whose logarithm is taken


def read_wav(path: str) -> np.ndarray:
    """Return the samples (N,) of a WAV file of 16 bits, the mean of its channels."""
    with wave.open(path) as file:
        if (file.getsampwidth(), file.getframerate()) != (2, SETTINGS["sample_rate"]):
            sys.exit(f"error: {path}: expected a WAV file of 16 bits at {SETTINGS['sample_rate']} samples per second")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels()).mean(1)


def static_features(samples: np.ndarray) -> np.ndarray:
    """Return filter banks or MFCC (T, D) as Kaldi computes them, a frame at the middle of each shift."""
    size, shift, doubled = len(ARRAYS["window"]), SETTINGS["shift"], 2 * len(samples)
    starts = np.arange((len(samples) + shift // 2) // shift) * shift + shift // 2 - size // 2
    places = (starts[:, None] + np.arange(size)) % doubled
    frames = samples[np.minimum(places, doubled - 1 - places)]  # (T, N), mirrored at both ends
    frames = frames - frames.mean(1, keepdims=True)
    energy = np.log(np.maximum(np.square(frames).sum(1, keepdims=True), LEAST))
    frames = frames - 0.97 * np.concatenate((frames[:, :1], frames[:, :-1]), 1)
    power = np.square(np.abs(np.fft.rfft(frames * ARRAYS["window"], 2 * len(ARRAYS["filters"]))))
    features = np.log(np.maximum(power[:, :-1] @ ARRAYS["filters"], LEAST))
    if "cosines" in ARRAYS:
        features = features @ ARRAYS["cosines"]
        return np.concatenate((energy, features[:, 1:]), 1) if SETTINGS["energy"] else features
    return np.concatenate((energy, features), 1) if SETTINGS["energy"] else features


def inputs(path: str) -> dict:
    """Return frames (1, T, D), with derivatives and normalised, and lengths (1,)."""
    parts = [static_features(read_wav(path))]
    for _ in range(SETTINGS["deltas"]):
        x = np.pad(parts[-1], ((2, 2), (0, 0)), "edge")
        parts.append((x[3:-1] - x[1:-3] + 2 * (x[4:] - x[:-4])) / 10)
    frames = np.concatenate(parts, 1)
    if SETTINGS["normalize"]:
        frames = (frames - frames.mean(0)) / np.sqrt(frames.var(0) + 1e-8)
    return {"frames": frames[None].astype(np.float32), "lengths": np.array([len(frames)], np.int32)}


def answer(path: str, log_probs: np.ndarray) -> str:
    """Return the line of a file: the labels of the best path, repeats and blanks (0) left out; log_probs (1, T, V)."""
    steps = log_probs[0].argmax(1).tolist()
    labels = [VOCABULARY[label] for label, before in zip(steps, [0, *steps]) if label not in (0, before)]
    return f"{path}: {' '.join(labels)}"
