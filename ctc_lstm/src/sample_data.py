"""A small synthetic corpus in TIMIT's exact layout, whose phones are chords and noise that a small network can learn.

python -m src.sample_data data/TIMIT. Nothing in it is speech: it is for the quick start and the tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from src.model_utils.configuration import Parser
from src.model_utils.files import new_folder
from src.model_utils.runtime import UserError, log, run

RATE = 16000
# Two tones in hertz and the share of noise. Vowels and nasals are tones, fricatives mostly noise.
PHONES = {
    "iy": (300, 2300, 0.0),
    "eh": (550, 1800, 0.0),
    "aa": (750, 1100, 0.0),
    "uw": (320, 850, 0.0),
    "er": (500, 1400, 0.0),
    "m": (200, 1000, 0.05),
    "n": (220, 1500, 0.05),
    "s": (5500, 6500, 0.6),
    "sh": (2800, 3800, 0.6),
    "l": (380, 2900, 0.05),
}
CLOSURE, BURST = "tcl", "t"  # a stop is a silence and a click
SILENCE = "h#"
WORDS = {  # of the made-up language, with the phones of each
    "see": ("s", "iy"),
    "men": ("m", "eh", "n"),
    "loose": ("l", "uw", "s"),
    "sher": ("sh", "er"),
    "not": ("n", "aa", CLOSURE, BURST),
    "eel": ("iy", "l"),
    "team": (CLOSURE, BURST, "iy", "m"),
    "moss": ("m", "aa", "s"),
    "lush": ("l", "er", "sh"),
    "ten": (CLOSURE, BURST, "eh", "n"),
    "noon": ("n", "uw", "n"),
    "sell": ("s", "eh", "l"),
}
# A speaker's sentences: the two that all read, and SI and SX sentences up to ten, as in the corpus.
SENTENCES = ("SA1", "SA2", "SI100", "SX10", "SX20", "SI200", "SX30", "SX40", "SI300", "SX50")


def write_sample_corpus(
    folder, train_speakers: int = 12, test_speakers: int = 4, sentences: int = 8, seed: int = 0
) -> None:
    """Write TRAIN and TEST with .WAV (NIST SPHERE), .PHN, .WRD and .TXT files of `sentences` a speaker, SA included."""
    made = 0
    for part, count in (("TRAIN", train_speakers), ("TEST", test_speakers)):
        for _ in range(count):
            random = np.random.default_rng([seed, made])
            voice = random.uniform(0.92, 1.08)
            place = Path(folder) / part / f"DR{made % 8 + 1}" / _name(made)
            for sentence in SENTENCES[:sentences]:
                is_shared = sentence.startswith("SA")
                words = np.random.default_rng([seed, int(sentence[2:])]) if is_shared else random
                _write_utterance(place / sentence, list(words.choice(list(WORDS), words.integers(2, 5))), voice, random)
            made += 1


def _name(number: int) -> str:
    """Return a speaker's name: sex, three letters, 0."""
    letters = [chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0)]
    return "FM"[number % 2] + "".join(letters) + "0"


def _write_utterance(stem: Path, words: list[str], voice: float, random) -> None:
    phones = [SILENCE, *(phone for word in words for phone in WORDS[word]), SILENCE]
    parts = [_sound(phone, voice, random) for phone in phones]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    starts = [0, *ends[:-1]]
    samples = np.concatenate(parts) + 0.002 * random.standard_normal(ends[-1])
    stem.parent.mkdir(parents=True, exist_ok=True)
    integers = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    soundfile.write(stem.with_suffix(".WAV"), integers, RATE, "PCM_16", "LITTLE", "NIST")
    lines = [f"{start} {end} {phone}\n" for start, end, phone in zip(starts, ends, phones)]
    stem.with_suffix(".PHN").write_text("".join(lines))
    first, lines = 1, []
    for word in words:
        last = first + len(WORDS[word])
        lines.append(f"{starts[first]} {ends[last - 1]} {word}\n")
        first = last
    stem.with_suffix(".WRD").write_text("".join(lines))
    stem.with_suffix(".TXT").write_text(f"0 {ends[-1]} {' '.join(words).capitalize()}.\n")


def _sound(phone: str, voice: float, random) -> np.ndarray:
    seconds = {CLOSURE: 0.05, BURST: 0.03, SILENCE: 0.12}.get(phone, 0.09) * random.uniform(0.85, 1.25)
    time = np.arange(int(seconds * RATE)) / RATE
    if phone in (SILENCE, CLOSURE):
        return np.zeros(len(time))
    if phone == BURST:
        return 0.3 * random.standard_normal(len(time)) * np.exp(-time * 150)
    low, high, noise = PHONES[phone]
    tones = np.sin(2 * np.pi * low * voice * time) + 0.7 * np.sin(2 * np.pi * high * voice * time)
    if noise:
        tones = (1 - noise) * tones * (1 + random.standard_normal(len(time)) * noise) + 0.1 * noise
    return 0.15 * tones * np.minimum(1, np.minimum(time, time[::-1]) * 200 + 0.05)


def main(argv=None) -> None:
    """Write the corpus that the command line asks for."""
    parser = Parser(__doc__.split("\n")[0], config_file=False, device=False, prog="python -m src.sample_data")
    parser.add_argument("folder", metavar="DIR", help="new folder, later the --data_path")
    parser.add_argument("--train_speakers", type=int, default=12, metavar="N", help="default: 12")
    parser.add_argument("--test_speakers", type=int, default=4, metavar="N", help="default: 4")
    parser.add_argument("--sentences", type=int, default=10, metavar="N", help="of a speaker, 3 to 10 (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    args = parser.parse_args(argv)
    if not 3 <= args.sentences <= len(SENTENCES) or min(args.train_speakers, args.test_speakers) < 1:
        raise UserError("--sentences must be 3 to 10, and the numbers of speakers at least 1")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: must be at least 0")
    with new_folder(args.folder) as folder:
        write_sample_corpus(folder, args.train_speakers, args.test_speakers, args.sentences, args.seed)
    counts = f"{args.train_speakers} training and {args.test_speakers} test speakers, {args.sentences} sentences each"
    log(f"{args.folder}: {counts}")


if __name__ == "__main__":
    run(main)
