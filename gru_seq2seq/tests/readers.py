"""The readers of users' files that this model has, for tools/fuzz.py: a small valid file of each, and what reads it."""

import lzma
import shutil
from pathlib import Path

READERS = {}


def reader(prepare):
    """Register a function that fills a folder and returns (path of the file that is damaged, what reads it)."""
    READERS[prepare.__name__.replace("_", " ")] = prepare
    return prepare


def parallel_text(on_bad_input):
    """Register one of two files of parallel text."""

    def prepare(folder):
        from src.multi30k import read_pairs

        (folder / "val.de").write_text("Ein Hund läuft.\nZwei Männer .\nDrei\n", encoding="utf-8")
        (folder / "val.en").write_text("A dog runs.\nTwo men .\nThree\n", encoding="utf-8")
        return folder / "val.de", lambda: read_pairs(folder, "val", "de", "en", on_bad_input)

    READERS[f"parallel text, bad lines {on_bad_input}"] = prepare


parallel_text("error")
parallel_text("skip")


def tokenizer(name, kind):
    """Register a file of a pair of tokenizers."""

    def prepare(folder):
        from src.tokenization import SPECIAL_TOKENS, WordTokenizer, train_sentencepiece
        from src.tokenizer_files import load_tokenizers, save_tokenizers

        if kind == "spacy":
            words = [*SPECIAL_TOKENS, "Hund", "läuft"]
            both = tuple(WordTokenizer(language, words, False, True) for language in ("de", "en"))
        else:
            one = train_sentencepiece(["Ein Hund läuft.", "A dog runs."] * 20, 40, False, True)
            both = one, one
        save_tokenizers(folder, both)

        def read():
            source, target = load_tokenizers(folder)
            ids = source.encode("Ein Hund läuft, \u2581 weit.")
            target.decode([number for number in ids if number < len(target)])

        return folder / name, read

    READERS[f"tokenizer, {name}"] = prepare


tokenizer("sentencepiece.model", "sentencepiece")
tokenizer("tokenizer.json", "spacy")
tokenizer("vocab.de.json", "spacy")


def prepared(name):
    """Register what train.py reads of converted text, with one of its files damaged."""

    def prepare(folder):
        from easydict import EasyDict

        from src.config import gru_seq2seq_cfg, presets
        from src.preparation import check_prepared, load_samples
        from src.preparation import prepare as convert
        from src.sample_data import write_sample_corpus

        config = EasyDict({**gru_seq2seq_cfg, **presets["tiny"], "workers": 1})
        write_sample_corpus(folder / "corpus", 40)
        convert(folder / "corpus", folder / "prepared", config)

        def read():
            check_prepared(folder / "prepared", config)
            samples = load_samples(folder / "prepared", "val")
            return [samples[index] for index in range(len(samples))]

        return folder / "prepared" / name, read

    READERS[f"prepared data, {name}"] = prepare


for name in ("val.mindrecord", "val.mindrecord.db", "fingerprint.json"):
    prepared(name)


def released(name, load, folder_name="release_1_0"):
    """Register what loads a trained model, with one of the files beside its checkpoint damaged."""

    def prepare(folder):
        shutil.copytree(Path(__file__).parent / "data" / folder_name, folder, dirs_exist_ok=True)
        return folder / name, lambda: load(folder)

    READERS[f"trained model, {name}"] = prepare


def load(folder):
    from src.inference import load_trained

    model = folder / "sentencepiece.model"
    if not model.exists():
        model.write_bytes(lzma.decompress((folder / "sentencepiece.model.xz").read_bytes()))
    load_trained(folder / "gru_seq2seq_best.ckpt")


for name in ("gru_seq2seq_best.ckpt", "tokenizer.json"):
    released(name, load, "trained_by_1_0")
