"""The readers of users' files that this model has, for tools/fuzz.py: a small valid file of each, and what reads it."""

import json
import shutil
from pathlib import Path

import numpy as np

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def settings():
    from easydict import EasyDict

    from src.config import ctc_cfg, presets

    return EasyDict({**ctc_cfg, **presets["tiny"], "max_seconds": 60})


def audio(name, options):
    """Register a recording of a format of libsndfile."""

    def prepare(folder):
        import soundfile

        from src.features import features_of_file

        path, config = folder / name, settings()
        noise = np.random.default_rng(0).normal(0, 0.1, 4000)
        soundfile.write(path, noise, 16000, **options)
        return path, lambda: features_of_file(path, config)

    READERS[f"audio, {name}"] = prepare


audio("pcm.wav", {"subtype": "PCM_16"})
audio("float.wav", {"subtype": "FLOAT"})
audio("x.flac", {})
audio("x.ogg", {})
audio("x.aiff", {})
audio("x.au", {})
audio("x.sph", {"format": "NIST"})
audio("adpcm.wav", {"subtype": "IMA_ADPCM"})


@reader
def phones(folder):
    from src.timit import read_phones

    path = folder / "SX1.PHN"
    path.write_text("0 2000 h#\n2000 3100 sh\n3100 4400 iy\n4400 6000 h#\n")
    return path, lambda: read_phones(path)


def manifest(name, lines):
    """Register a manifest."""

    def prepare(folder):
        from src.manifest import read_manifest
        from src.model_utils.files import report_bad

        for number in range(3):
            (folder / f"{number}.wav").touch()
        (folder / name).write_text("".join(lines), encoding="utf-8")

        def read():
            problems = []
            read_manifest(folder / name, problems)
            report_bad(problems, "error", "files")

        return folder / name, read

    READERS[f"manifest, {name}"] = prepare


LINES = [{"audio": f"{k}.wav", "labels": "one twö", "speaker": "s1", "name": f"n{k}"} for k in range(3)]
manifest("train.jsonl", [json.dumps(line) + "\n" for line in LINES])
manifest("train.tsv", ["\t".join(line.values()) + "\n" for line in LINES])


@reader
def groups(folder):
    from src.manifest import read_groups

    path = folder / "groups.tsv"
    path.write_text("name\tage\tgender\na\tchild\tfemale\nb\tadult\tmale\n")
    return path, lambda: read_groups(path)


@reader
def phones_of_speechocean(folder):
    from src.speechocean import read_phones

    path = folder / "text-phone"
    path.write_text("1.0\tW_B IY0_E\n1.1\tK_B AO0_I L_E\n2.0 HH_B IH1_E\n")
    return path, lambda: read_phones(path)


@reader
def tables_of_speechocean(folder):
    from src.speechocean import write_manifests

    for part in ("train", "test"):
        (folder / part).mkdir()
        for name, value in {
            "wav.scp": "a.wav",
            "text": "WE",
            "utt2spk": "7",
            "spk2age": "9",
            "spk2gender": "m",
        }.items():
            lines = [f"{key}\t{value}\n" for key in (["7"] if name.startswith("spk") else ["u1", "u2"])]
            (folder / part / name).write_text("".join(lines))
    (folder / "a.wav").touch()
    (folder / "resource").mkdir()
    (folder / "resource/text-phone").write_text("u1.0\tW_B IY0_E\nu2.0\tW_B IY0_E\n")
    return folder / "train/spk2age", lambda: write_manifests(folder, folder / "out", 0, 0)


def prepared(name):
    """Register what train.py reads of converted recordings, with one of their files damaged."""

    def prepare(folder):
        import soundfile

        from src.preparation import check_prepared, load_samples
        from src.preparation import prepare as convert

        config, corpus = settings(), folder / "corpus"
        config.update(num_workers=1, validation_fraction=0.0)
        corpus.mkdir()
        for k in range(3):
            soundfile.write(corpus / f"{k}.wav", np.random.default_rng(k).normal(0, 0.1, 4000), config.sample_rate)
        (corpus / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
        convert(corpus, folder / "prepared", config)

        def read():
            check_prepared(folder / "prepared", config)
            samples = load_samples(folder / "prepared", "train")
            list(samples.labels())
            for index in range(len(samples)):
                samples.frames(index), samples.name(index), samples.lengths[index]

        return folder / "prepared" / name, read

    READERS[f"prepared data, {name}"] = prepare


for name in ("train.mindrecord", "train.mindrecord.db", "train.npz", "fingerprint.json"):
    prepared(name)


def released(name, load, folder_name="release_1_0"):
    """Register what loads a trained model, with one of the files beside its checkpoint damaged."""

    def prepare(folder):
        shutil.copytree(Path(__file__).parent / "data" / folder_name, folder, dirs_exist_ok=True)
        return folder / name, lambda: load(folder)

    READERS[f"trained model, {name}"] = prepare


def load(folder):
    from src.inference import load_trained

    load_trained(folder / "ctc_lstm_best.ckpt")


def load_labels(folder):
    from src.ngram import load_ngram

    ngram = load_ngram(folder / "ngram.json")
    for label in ngram.labels:
        ngram.probability(label, ("<s>", label, label))


for name in ("ctc_lstm_best.ckpt", "vocab.json"):
    released(name, load)
released("ngram.json", load_labels)
