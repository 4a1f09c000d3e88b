"""The readers of users' files that this model has, for tools/fuzz.py: a small valid file of each, and what reads it."""

import shutil
from pathlib import Path

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def corpus(name, lines, on_bad_input):
    """Register a tagged file."""

    def prepare(folder):
        from src.resume_ner import read_corpus

        path = folder / "dev.char.bmes"
        path.write_text(lines, encoding="utf-8")
        return path, lambda: read_corpus(path, on_bad_input)

    READERS[name] = prepare


BMES = "王 B-NAME\n小 M-NAME\n明 E-NAME\n， O\n在 O\n京 S-LOC\n\n-DOCSTART- O\n\n高 B-TITLE\n工 E-TITLE\n。 O\n" * 3
BIO = "EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tI-MISC\n\nPeter\tB-PER\nBlackburn\tI-PER\n" * 3
corpus("corpus, BMES", BMES, "error")
corpus("corpus, BIO, bad lines skipped", BIO, "skip")
corpus("corpus, IOB1", BIO.replace("B-", "I-"), "error")


@reader
def character_vectors(folder):
    from src.model_utils.vectors import read_vectors

    path = folder / "vectors.txt"
    path.write_text("".join(f"{word} 0.25 -1.5 {k} 1e-3\n" for k, word in enumerate("王小明高工")), encoding="utf-8")
    return path, lambda: read_vectors(path)


def prepared(name):
    """Register what train.py reads of a converted corpus, with one of its files damaged."""

    def prepare(folder):
        from easydict import EasyDict

        from src.config import bilstm_ner_cfg
        from src.dataset import build_vocabulary
        from src.preparation import load_prepared
        from src.preparation import prepare as convert

        for split in ("train", "dev"):
            (folder / f"{split}.char.bmes").write_text(BMES, encoding="utf-8")
        convert(folder, folder / "prepared", EasyDict(bilstm_ner_cfg))

        def read():
            data = load_prepared(folder / "prepared")
            build_vocabulary(data, 1, 1)
            for split in (data.train, data.valid):
                for index in range(len(split)):
                    codes, tags, _ = split.read(index)
                    [data.characters[code] for code in codes], [data.tags[code] for code in tags]

        return folder / "prepared" / name, read

    READERS[f"prepared data, {name}"] = prepare


for name in ("train.mindrecord", "train.mindrecord.db", "train.npz", "content.json", "fingerprint.json"):
    prepared(name)


def released(name, load, folder_name="release_1_0"):
    """Register what loads a trained model, with one of the files beside its checkpoint damaged."""

    def prepare(folder):
        shutil.copytree(Path(__file__).parent / "data" / folder_name, folder, dirs_exist_ok=True)
        return folder / name, lambda: load(folder)

    READERS[f"trained model, {name}"] = prepare


def load(folder):
    from src.inference import load_trained, path_scores

    network, _, vocabulary = load_trained(folder / "bilstm_ner_best.ckpt")
    path_scores(network, vocabulary)


for name in ("bilstm_ner_best.ckpt", "vocab.json"):
    released(name, load)


@reader
def configuration_of_a_training(folder):
    from src import config
    from src.model_utils.configuration import load_config

    shutil.copytree(Path(__file__).parent / "data/release_1_0", folder, dirs_exist_ok=True)
    return folder / "config.yaml", lambda: load_config(folder, config, config.bilstm_ner_cfg)
