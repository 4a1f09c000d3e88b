"""The files of a pair of tokenizers, which lie beside prepared data and checkpoints."""

from __future__ import annotations

import zlib
from pathlib import Path

from src.model_utils.files import atomic_write, read_json, read_vocabulary, write_json
from src.model_utils.runtime import UserError
from src.tokenization import SPECIAL_TOKENS, SentencePieceTokenizer, Tokenizer, WordTokenizer

FORMAT = 2  # raise it when older programs would misread the files; format 1 knew no lossless tokenizers
DESCRIPTION, MODEL = "tokenizer.json", "sentencepiece.model"
_KEEP = "it lies beside the checkpoint that train.py wrote, keep them together"
_RESTORE = "restore it from the folder of the training"


def save_tokenizers(folder, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    """Write the source and the target tokenizer into a folder, for `load_tokenizers`."""
    for name, content in contents(tokenizers).items():
        path = Path(folder) / name
        if isinstance(content, bytes):
            with atomic_write(path, "wb") as file:
                file.write(content)
        else:
            write_json(path, content, indent=1 if name == DESCRIPTION else 0)


def load_tokenizers(folder) -> tuple[Tokenizer, Tokenizer]:
    """Return (source tokenizer, target tokenizer) as `save_tokenizers` wrote them; one object twice if they are joint.

    Raises UserError where a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    description = read_json(path, _KEEP)
    if not isinstance(description, dict) or description.get("format") not in (1, FORMAT):
        raise UserError(f"{path}: not the tokenizers of this program, or of another version")
    kind, languages = description.get("kind"), description.get("languages")
    options = {"lowercase": description.get("lowercase"), "lossless": description.get("lossless", False)}
    known = kind == "sentencepiece" or (kind == "spacy" and isinstance(languages, list) and len(languages) == 2)
    if not known or not all(isinstance(value, bool) for value in options.values()):
        raise UserError(f"{path}: damaged; {_RESTORE}")
    if kind == "spacy":
        vocabularies = [read_vocabulary(folder / f"vocab.{name}.json", SPECIAL_TOKENS) for name in languages]
        return tuple(WordTokenizer(str(name), words, **options) for name, words in zip(languages, vocabularies))
    try:
        model = (folder / MODEL).read_bytes()
        if description.get("checksum") not in (None, zlib.crc32(model)):  # older descriptions have none
            raise ValueError
        both = SentencePieceTokenizer(model, **options)
        both.tokens(range(len(both)))  # raises ValueError where a piece is no UTF-8
    except FileNotFoundError:
        raise UserError(f"{folder / MODEL}: no such file; {_KEEP}") from None
    except (RuntimeError, ValueError):
        raise UserError(f"{folder / MODEL}: damaged; {_RESTORE}") from None
    return both, both


def same_tokenizers(one, other) -> bool:
    """Whether two pairs of tokenizers give the same ids."""
    return contents(one) == contents(other)


def contents(tokenizers: tuple[Tokenizer, Tokenizer]) -> dict:
    """Return the contents of all files by their names: the bytes of a model, or values that become JSON."""
    first = tokenizers[0]
    description = {"format": FORMAT, "lowercase": first.lowercase, "lossless": first.lossless}
    if isinstance(first, SentencePieceTokenizer):
        checksum = zlib.crc32(first.model)
        return {MODEL: first.model, DESCRIPTION: {**description, "kind": "sentencepiece", "checksum": checksum}}
    vocabularies = {f"vocab.{tokenizer.language}.json": tokenizer.vocabulary for tokenizer in tokenizers}
    languages = [tokenizer.language for tokenizer in tokenizers]
    return {**vocabularies, DESCRIPTION: {**description, "kind": "spacy", "languages": languages}}
