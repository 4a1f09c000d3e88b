"""The files of a pair of tokenizers, which lie beside prepared data and checkpoints."""

from __future__ import annotations

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
    folder = Path(folder)
    first = tokenizers[0]
    description = {"format": FORMAT, "lowercase": first.lowercase, "lossless": first.lossless}
    if isinstance(first, SentencePieceTokenizer):
        description["kind"] = "sentencepiece"
        with atomic_write(folder / MODEL, "wb") as file:
            file.write(first.model)
    else:
        description.update(kind="spacy", languages=[tokenizer.language for tokenizer in tokenizers])
        for tokenizer in tokenizers:
            write_json(folder / f"vocab.{tokenizer.language}.json", tokenizer.vocabulary)
    write_json(folder / DESCRIPTION, description, indent=1)


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
        both = SentencePieceTokenizer((folder / MODEL).read_bytes(), **options)
    except FileNotFoundError:
        raise UserError(f"{folder / MODEL}: no such file; {_KEEP}") from None
    except RuntimeError:
        raise UserError(f"{folder / MODEL}: damaged; {_RESTORE}") from None
    return both, both


def same_tokenizers(one, other) -> bool:
    """Whether two pairs of tokenizers give the same ids."""
    return [_content(tokenizer) for tokenizer in one] == [_content(tokenizer) for tokenizer in other]


def _content(tokenizer: Tokenizer) -> tuple:
    model = getattr(tokenizer, "model", None) or tokenizer.vocabulary
    return type(tokenizer), tokenizer.lowercase, tokenizer.lossless, model
