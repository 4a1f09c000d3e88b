"""Labels with their times, as dictionaries, as a Praat TextGrid or CTM, and as a picture with the posteriors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from src.decoding import align
from src.model_utils.files import atomic_write
from src.model_utils.runtime import UserError

SHOWN_LABELS = 0.05  # a label whose posterior never reaches this has no row in the picture


def segments(
    log_probs: np.ndarray, labels: list[int], vocabulary: list[str], step: float, seconds: float
) -> list[dict]:
    """Return label, start, end and probability of each label, in order; times in seconds, one output step is `step`.

    A label's peak comes from the best alignment; neighbours share the time between their peaks in halves, and the first
    and the last reach as far outwards as inwards. CTC is not trained to find boundaries: its peaks lie within the
    label, or a little behind its beginning. `probability` is the highest posterior within the peak.
    """
    spans = align(log_probs, labels)
    if not spans:
        return []
    middles = [0.5 * (end + start) for (_, end), (start, _) in zip(spans, spans[1:])]
    first = 2 * spans[0][0] - (middles[0] - (spans[0][1] - spans[0][0])) if middles else 0
    last = 2 * spans[-1][1] - (middles[-1] + (spans[-1][1] - spans[-1][0])) if middles else len(log_probs)
    bounds = np.clip(np.array([first, *middles, last]) * step, 0, seconds).round(4).tolist()
    peaks = [float(np.exp(log_probs[start:end, label].max())) for label, (start, end) in zip(labels, spans)]
    return [
        {"label": vocabulary[label], "start": start, "end": end, "probability": round(peak, 4)}
        for label, start, end, peak in zip(labels, bounds, bounds[1:], peaks)
    ]


def text_grid(labels: list[dict], seconds: float) -> str:
    """Return a Praat TextGrid with one tier of intervals, which cover all of the recording; empty where nothing is."""
    intervals, reached = [], 0.0
    for segment in [*labels, {"start": seconds, "end": seconds, "label": ""}]:
        if segment["start"] > reached:
            intervals.append((reached, segment["start"], ""))
        if segment["end"] > segment["start"]:
            intervals.append((segment["start"], segment["end"], segment["label"]))
        reached = max(reached, segment["end"])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {seconds:.6f}"]
    lines += ["tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"']
    lines += ['        name = "labels"', "        xmin = 0", f"        xmax = {seconds:.6f}"]
    lines.append(f"        intervals: size = {len(intervals)}")
    for number, (start, end, label) in enumerate(intervals, 1):
        quoted = label.replace('"', '""')
        lines += [f"        intervals [{number}]:", f"            xmin = {start:.6f}", f"            xmax = {end:.6f}"]
        lines.append(f'            text = "{quoted}"')
    return "\n".join(lines) + "\n"


def ctm(name: str, labels: list[dict]) -> str:
    """Return the lines of a recording in NIST's CTM: name, channel, start, duration, label and probability.

    Raises UserError for a name with white space, which divides the columns.
    """
    if name.split() != [name]:
        raise UserError(f"'{name}': CTM has no names with white space; rename the file, or take --json")
    rows = ((s["start"], s["end"] - s["start"], s["label"], s["probability"]) for s in labels)
    return "\n".join(f"{name} 1 {start:.4f} {length:.4f} {label} {p:.4f}" for start, length, label, p in rows)


def draw(
    path: Path,
    samples: np.ndarray,
    rate: int,
    log_probs: np.ndarray,
    labels: list[dict],
    vocabulary: list[str],
    step: float,
) -> None:
    """Draw waveform, spectrogram, posteriors (T', V) of the labels that occur, and the decoded labels into a PNG."""
    from matplotlib.figure import Figure

    seconds = len(samples) / rate
    figure = Figure(figsize=(min(40, max(8, 3.5 * seconds)), 8), layout="constrained")
    wave, spectrum, posteriors = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2, 3))
    stride = max(1, len(samples) // 20000)
    wave.plot(np.arange(0, len(samples), stride) / rate, samples[::stride], linewidth=0.5, color="0.3")
    wave.set_title(os.fsencode(path.stem).decode(errors="replace"), parse_math=False)
    wave.set_yticks([])
    window = 2 ** int(np.log2(0.025 * rate))
    spectrum.specgram(samples + 1e-6, NFFT=window, Fs=rate, noverlap=window * 3 // 4, cmap="magma")
    spectrum.set(ylabel="frequency (Hz)")
    shares = np.exp(log_probs)
    rows = [i for i in range(1, len(vocabulary)) if shares[:, i].max() >= SHOWN_LABELS] or [0]
    edges = np.arange(len(log_probs) + 1) * step, np.arange(len(rows) + 1) - 0.5
    posteriors.pcolormesh(*edges, shares[:, rows].T, cmap="Blues", vmin=0, vmax=1)
    posteriors.set_yticks(range(len(rows)), [vocabulary[i] for i in rows], fontsize=7, parse_math=False)
    posteriors.set(xlabel="time (s)", ylabel="posterior", xlim=(0, seconds))
    for segment in labels:
        middle = 0.5 * (segment["start"] + segment["end"])
        for axes in (wave, spectrum, posteriors):
            axes.axvline(segment["start"], color="tab:red", linewidth=0.4)
        above = {"transform": wave.get_xaxis_transform(), "ha": "center", "va": "top"}
        wave.text(middle, 1.0, segment["label"], fontsize=8, parse_math=False, **above)
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110)
