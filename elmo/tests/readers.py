"""The readers of users' files that this model has, for tools/fuzz.py: a small valid file of each, and what reads it."""

import shutil
from pathlib import Path

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


TEXT = (
    'Mr. Smith saw the film; it’s not good!<br /><br />"Never," he said. Größe &amp; 诗 ...\n\nA 2nd document .\n' * 2
)


def text(tokenizer):
    """Register a raw text."""

    def prepare(folder):
        from src.data.chunks import encode_chunk, map_chunks
        from src.data.reader import make_shards
        from src.data.vocabulary import count_words, most_frequent

        path = folder / "text.txt"
        path.write_text(TEXT, encoding="utf-8")

        def read():
            vocabulary = most_frequent(count_words(path, tokenizer, ""), 1, 0)
            list(make_shards(map_chunks(encode_chunk, [path], tokenizer, ""), vocabulary, 48, 1000, {}))

        return path, read

    READERS[f"text, {tokenizer}"] = prepare


text("words")
text("whitespace")


@reader
def sentences(folder):
    from src.data.sentences import read_sentences

    path = folder / "text.txt"
    path.write_text("The film was long .\nNever !\nGröße and 诗\n", encoding="utf-8")
    return path, lambda: list(read_sentences(path, "words"))


@reader
def vocabulary(folder):
    from src.data.vocabulary import load_vocabulary

    path = folder / "vocab.txt"
    path.write_text("<S>\n</S>\n<UNK>\nthe\nfilm\nGröße\n", encoding="utf-8")
    return path, lambda: load_vocabulary(path)


@reader
def options(folder):
    from src.model_options import PRESET_FOLDER, load_options

    shutil.copy(PRESET_FOLDER / "tiny.json", folder / "options.json")
    return folder / "options.json", lambda: load_options(folder / "options.json")


@reader
def published_weights(folder):
    import numpy as np

    from src.model_options import load_options
    from src.published_weights import layout, read_weights, write_weights

    settings, values = load_options("tiny"), {}
    for names, shape in layout(settings).values():
        values.update({name: np.ones((shape[0] // len(names), *shape[1:]), np.float32) for name in names})
    write_weights(folder / "weights.hdf5", values, settings)
    return folder / "weights.hdf5", lambda: read_weights(folder / "weights.hdf5", settings)


def converted(name):
    """Register what train.py reads of converted text, with one of its files damaged."""

    def prepare(folder):
        from src.data.reader import Corpus, convert
        from src.data.tokenizer import read_documents
        from src.data.vocabulary import build_vocabulary

        (folder / "text.txt").write_text(TEXT, encoding="utf-8")
        known, _ = build_vocabulary(read_documents(folder / "text.txt"), min_count=3)
        convert(folder / "text.txt", folder / "x.mindrecord", known, 50, "words", 20)

        def read():
            corpus = Corpus(folder / "x.mindrecord", known)
            return [corpus.shard(number) for number in range(len(corpus.shard_tokens))]

        return folder / name, read

    READERS[f"converted text, {name}"] = prepare


for name in ("x.mindrecord", "x.mindrecord.db", "x.mindrecord.json"):
    converted(name)


@reader
def text_of_kneser_ney(folder):
    from src.data.vocabulary import Vocabulary
    from src.kneser_ney import KneserNey, read_ids

    path, known = folder / "train.txt", Vocabulary(["<S>", "</S>", "<UNK>", "the", "film"])
    path.write_text("the film was long\nthe film\n\nNever\n" * 4)
    return path, lambda: KneserNey(read_ids(path, known), 3, len(known))


def released(name, load, folder_name="release_1_0"):
    """Register what loads a trained model, with one of the files beside its checkpoint damaged."""

    def prepare(folder):
        shutil.copytree(Path(__file__).parent / "data" / folder_name, folder, dirs_exist_ok=True)
        return folder / name, lambda: load(folder)

    READERS[f"trained model, {name}"] = prepare


def load(folder):
    from src.inference import load_trained

    load_trained(folder / "elmo_best.ckpt")


for name in ("elmo_best.ckpt", "vocab.txt"):
    released(name, load)
