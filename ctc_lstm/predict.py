"""Recognise audio files: labels with time stamps, as text, JSON or CTM, as Praat TextGrids, and as pictures."""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from src import config as config_module
from src.config import ctc_cfg
from src.features import Moments, features_of_file, normalize
from src.inference import SETTINGS, Recognizer, load_ngram_of, load_trained
from src.model_utils.configuration import Parser, apply_settings
from src.model_utils.files import atomic_write
from src.model_utils.runtime import UserError, init_device, run
from src.model_utils.text_input import TextInput, add_input_options
from src.network import subsampling_of
from src.segments import ctm, draw, segments, text_grid

NOUN = "path of an audio file"
CHUNK = 32  # files that are recognised together


def parse_arguments(argv=None) -> Namespace:
    """Read the command line."""
    parser = Parser(__doc__)
    add_input_options(parser, NOUN, "AUDIO")
    parser.add_checkpoint_options(config_module, ctc_cfg, SETTINGS)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per file")
    form.add_argument("--times", action="store_true", help="one line per label with its start and end in seconds")
    form.add_argument("--ctm", action="store_true", help="CTM of NIST: one line per label, with its probability")
    parser.add_argument("--plot", metavar="DIR", help="draw waveform, spectrogram and posteriors into DIR/*.png")
    parser.add_argument("--textgrid", metavar="DIR", help="write Praat TextGrids into DIR/*.TextGrid")
    parser.add_argument("--same_speaker", action="store_true", help="normalise all files as those of one speaker")
    return parser.parse_args(argv)


class Predictor:
    """Recognises audio files with a trained network.

    Pictures go to `plot`/*.png and TextGrids to `textgrid`/*.TextGrid, None writes none. `same_speaker` normalises the
    files of a call together. With `distinct` no two files may have the same name, which is all that CTM has of them.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        plot: str | None = None,
        textgrid: str | None = None,
        same_speaker: bool = False,
        distinct: bool = False,
    ):
        self.recognizer, self.config = recognizer, recognizer.config
        self.plot, self.textgrid, self.same_speaker, self.distinct = plot, textgrid, same_speaker, distinct
        self.step = subsampling_of(self.config.front_end) * self.config.frame_shift_ms / 1000  # seconds
        self.names: dict[str, str] = {}

    def __call__(self, paths: list[str]) -> list[dict]:
        """Return audio, seconds, labels and segments of each file; one that cannot be used is an error or left out.

        A segment is a dict of label, start and end in seconds, and probability.
        """
        recordings = []  # path, frames (T, D) before normalisation, samples (N,) and their rate
        for path in paths:
            try:
                recordings.append((path, *features_of_file(path, self.config)))
            except UserError as error:
                if self.config.on_bad_input == "error":
                    raise
                print(f"warning: left out {error}", file=sys.stderr)
        if not recordings:
            return []
        frames = [recording[1] for recording in recordings]
        if self.config.cmvn != "none":
            moments = [Moments(each) for each in frames]
            if self.same_speaker:
                for other in moments[1:]:
                    moments[0].add(other)
                moments = moments[:1] * len(frames)
            frames = [normalize(each, its.mean_and_scale()) for each, its in zip(frames, moments)]
        return [self._answer(*pair) for pair in zip(recordings, self.recognizer.log_probs(frames))]

    def _answer(self, recording: tuple, log_probs: np.ndarray) -> dict:
        vocabulary, labels = self.recognizer.vocabulary, self.recognizer.decode(log_probs)
        path, _, samples, rate = recording
        if self.distinct:
            self._claim(path, Path(path).stem)
        seconds = len(samples) / rate
        timed = segments(log_probs, labels, vocabulary, self.step, seconds)
        if self.textgrid:
            with atomic_write(self._output(path, self.textgrid, ".TextGrid")) as file:
                file.write(text_grid(timed, seconds))
        if self.plot:
            draw(self._output(path, self.plot, ".png"), samples, rate, log_probs, timed, vocabulary, self.step)
        names = [vocabulary[label] for label in labels]
        return {"audio": path, "seconds": round(seconds, 4), "labels": names, "segments": timed}

    def _output(self, path: str, folder: str, suffix: str) -> Path:
        """Return where the answer of an audio file goes; UserError where that of another file has gone there."""
        target = Path(folder) / (Path(path).stem + suffix)
        self._claim(path, str(target))
        return target

    def _claim(self, path: str, name: str) -> None:
        if self.names.setdefault(name, path) != path:
            raise UserError(f"{path}: {self.names[name]} goes to {name} too; recognise them in two runs")


def shown(answer: dict, args: Namespace) -> str:
    """Return the lines of an answer, in the form that was asked for."""
    if args.json:
        return json.dumps(answer, ensure_ascii=False)
    if args.ctm:
        return ctm(Path(answer["audio"]).stem, answer["segments"])
    if not args.times:
        return f"{answer['audio']}: {' '.join(answer['labels'])}"
    lines = [f"{s['start']:8.3f} {s['end']:8.3f}  {s['label']}" for s in answer["segments"]]
    return "\n".join([f"{answer['audio']}: {answer['seconds']:.3f} s", *lines])


def main(argv=None) -> int:
    """Recognise the files that the command line names; returns their number."""
    args = parse_arguments(argv)
    source = TextInput(args, NOUN, file_names=True)
    with contextlib.redirect_stdout(sys.stderr):  # standard output holds answers only
        init_device(args.device_target, args.device_id, native=args.native)
        network, config, vocabulary = load_trained(args.ckpt_path)
        config = apply_settings(config, args, config_module, SETTINGS)
        recognizer = Recognizer(network, config, vocabulary, load_ngram_of(args.ckpt_path, config))
    outputs = {"plot": args.plot, "textgrid": args.textgrid, "distinct": args.ctm}
    predictor, count = Predictor(recognizer, **outputs, same_speaker=args.same_speaker), 0
    chunks = ([path.strip() for path in chunk if path.strip()] for chunk in source.chunks(CHUNK))
    if args.same_speaker:  # all are normalised together
        chunks = [[path for chunk in chunks for path in chunk]]
    for paths in chunks:
        for answer in predictor(paths):
            if lines := shown(answer, args):  # a recording without labels has none in CTM
                print(lines)
            count += 1
        sys.stdout.flush()
    return count


if __name__ == "__main__":
    run(main)
