"""Random strings of spoken digits from the recordings of the Free Spoken Digit Dataset, as manifests with audio.

python -m src.digit_strings RECORDINGS_DIR OUTPUT_DIR; script/prepare_fsdd.sh downloads the recordings and calls it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import soundfile

from src.audio import read_audio
from src.model_utils.configuration import Parser
from src.model_utils.files import atomic_write
from src.model_utils.runtime import UserError, log, run

RATE = 8000
NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LONGEST_GAP = 0.25  # seconds between two digits, drawn evenly
NOISE = 1e-3  # standard deviation of the noise that the gaps are filled with, of full scale; also added to the digits
# Takes of each digit and speaker: the test set is the one that the dataset states, validation is cut off the rest.
TAKES = {"test": range(0, 5), "valid": range(45, 50), "train": range(5, 45)}


def read_recordings(folder) -> dict[str, dict[tuple[int, int], np.ndarray]]:
    """Return samples by speaker, then by (digit, take); UserError for another folder or a recording at another rate."""
    recordings: dict[str, dict[tuple[int, int], np.ndarray]] = {}
    for path in sorted(Path(folder).glob("*.wav")):
        parts = NAME.fullmatch(path.name)
        if not parts:
            raise UserError(f"{path}: badly named, expected <digit>_<speaker>_<take>.wav")
        samples, rate = read_audio(path)
        if rate != RATE:
            raise UserError(f"{path}: has {rate} samples per second, expected {RATE}")
        recordings.setdefault(parts[2], {})[int(parts[1]), int(parts[3])] = samples
    if not recordings:
        raise UserError(f"{folder}: holds no recordings such as 7_jackson_32.wav")
    return recordings


def write_strings(
    folder: Path, split: str, recordings, speakers: list[str], takes: range, count: int, longest: int, seed
) -> None:
    """Write `count` strings of 1 to `longest` digits, each spoken by one of the speakers, and their manifest.

    Every recording among the takes is used about equally often: they are drawn from a shuffled pack.
    """
    random = np.random.default_rng(seed)
    (folder / split).mkdir(parents=True, exist_ok=True)
    packs: dict[str, list] = {}
    lines = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        parts, digits = [_noise(random)], []
        for _ in range(random.integers(1, longest + 1)):
            if not packs.get(speaker):
                packs[speaker] = [recording for recording in sorted(recordings[speaker]) if recording[1] in takes]
                random.shuffle(packs[speaker])
            if not packs[speaker]:
                raise UserError(f"{speaker} has no recordings numbered {takes[0]} to {takes[-1]}")
            digit, take = packs[speaker].pop()
            parts += [recordings[speaker][digit, take], _noise(random)]
            digits.append(WORDS[digit])
        samples = np.concatenate(parts)
        samples = samples + NOISE * random.standard_normal(len(samples), np.float32)
        audio = f"{split}/{number:05d}_{speaker}.wav"
        with atomic_write(folder / audio, "wb") as file:
            soundfile.write(file, (np.clip(samples, -1, 1) * 32767).astype(np.int16), RATE, format="WAV")
        lines.append(json.dumps({"audio": audio, "labels": " ".join(digits), "speaker": speaker}))
    with atomic_write(folder / f"{split}.jsonl") as file:
        file.write("\n".join(lines) + "\n")
    log(f"{folder / split}.jsonl: {count} strings by {', '.join(speakers)}")


def _noise(random) -> np.ndarray:
    return np.zeros(int(random.uniform(0, LONGEST_GAP) * RATE), np.float32)  # the noise is added to all at the end


def main(argv=None) -> None:
    """Write the corpus that the command line asks for."""
    parser = Parser(__doc__.split("\n")[0], config_file=False, device=False, prog="python -m src.digit_strings")
    parser.add_argument("recordings", metavar="RECORDINGS_DIR", help="folder of the WAV files")
    parser.add_argument("output", metavar="OUTPUT_DIR", help="new folder, later the --data_path")
    parser.add_argument("--held_out_speakers", default="", metavar="A,B", help="test on these, train without them")
    parser.add_argument("--train", type=int, default=2400, metavar="N", help="training strings (default: 2400)")
    parser.add_argument("--valid", type=int, default=600, metavar="N", help="validation strings (default: 600)")
    parser.add_argument("--test", type=int, default=600, metavar="N", help="test strings (default: 600)")
    parser.add_argument("--longest", type=int, default=7, metavar="N", help="digits of a string at most (default: 7)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    args = parser.parse_args(argv)
    if args.longest < 1 or min(args.train, args.valid, args.test, args.seed) < 0:
        raise UserError("--longest must be at least 1, --train, --valid, --test and --seed at least 0")
    recordings = read_recordings(args.recordings)
    held_out = [name for name in args.held_out_speakers.split(",") if name]
    unknown = [name for name in held_out if name not in recordings]
    others = [name for name in sorted(recordings) if name not in held_out]
    if unknown or not others:
        raise UserError(f"--held_out_speakers {args.held_out_speakers}: choose some of {', '.join(sorted(recordings))}")
    for number, split in enumerate(TAKES):
        speakers, takes = others, TAKES[split]
        if held_out and split == "test":
            speakers, takes = held_out, range(0, 1000)  # all their recordings are new to the network
        seed, count = [args.seed, number], getattr(args, split)
        write_strings(Path(args.output), split, recordings, speakers, takes, count, args.longest, seed)


if __name__ == "__main__":
    run(main)
