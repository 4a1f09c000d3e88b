"""The readers of users' files that this model has, for tools/fuzz.py: a small valid file of each, and what reads it."""

import shutil
from pathlib import Path

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


@reader
def review(folder):
    from src.imdb import read_reviews
    from src.sample_data import write_sample_corpus
    from src.tokenizer import tokenize

    write_sample_corpus(folder / "aclImdb", 20)
    path = next((folder / "aclImdb/train/pos").iterdir())
    return path, lambda: [tokenize(each.text) for each in read_reviews(folder / "aclImdb", "train")]


@reader
def list_of_films(folder):
    from src.imdb import read_reviews
    from src.sample_data import write_sample_corpus

    write_sample_corpus(folder / "aclImdb", 20)
    return folder / "aclImdb/train/urls_pos.txt", lambda: read_reviews(folder / "aclImdb", "train", "skip")


@reader
def glove(folder):
    from src.word_vectors import read_pretrained_vectors

    words = ["a", "film", "plot", "é"]
    path = folder / "glove.6B.4d.txt"
    path.write_text("".join(f"{word} 0.25 -1.5 {k} 1e-3\n" for k, word in enumerate(words)), encoding="utf-8")
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *words])}
    return path, lambda: read_pretrained_vectors(folder, 4, vocabulary)


def prepared(name):
    """Register what train.py reads of a converted corpus, with one of its files damaged."""

    def prepare(folder):
        from easydict import EasyDict

        from src.config import lstm_cfg, presets
        from src.dataset import TrainingBatches, load_train
        from src.preparation import load_vectors, load_vocabulary
        from src.preparation import prepare as convert
        from src.sample_data import write_sample_corpus

        config = EasyDict(
            {**lstm_cfg, **presets["CPU"]["tiny"], "embed_size": 6, "vector_epochs": 1, "vector_workers": 1}
        )
        config.update(batch_size=4, min_count=1)
        write_sample_corpus(folder / "aclImdb", 20)
        convert(folder / "aclImdb", None, folder / "prepared", config)

        def read():
            vocabulary = load_vocabulary(folder / "prepared/vocab.json")
            load_vectors(folder / "prepared", len(vocabulary), config.embed_size)
            for samples in load_train(folder / "prepared", config):
                if len(samples) >= config.batch_size:
                    list(TrainingBatches(samples, config)(1))

        return folder / "prepared" / name, read

    READERS[f"prepared data, {name}"] = prepare


for name in ("train.mindrecord", "train.mindrecord.db", "vocab.json", "vectors.npy"):
    prepared(name)


def released(name, load, folder_name="release_1_0"):
    """Register what loads a trained model, with one of the files beside its checkpoint damaged."""

    def prepare(folder):
        shutil.copytree(Path(__file__).parent / "data" / folder_name, folder, dirs_exist_ok=True)
        return folder / name, lambda: load(folder)

    READERS[f"trained model, {name}"] = prepare


def load(folder):
    from src.inference import load_trained

    load_trained(folder / "lstm_best.ckpt")


for name in ("lstm_best.ckpt", "vocab.json"):
    released(name, load)
