"""Text to token ids and back: one SentencePiece model for both languages, or spaCy words with a vocabulary each.

Ids: padding 0, unknown 1, beginning 2, end 3. What a tokenizer needs is saved beside the checkpoint.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from src.model_utils.configuration import parse_json
from src.model_utils.runtime import UserError, atomic_write

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
JOINER = "\uffed"  # begins a word that follows the one before without a blank
FORMAT = 1  # of the files below; raise it when their content changes
DESCRIPTION, MODEL = "tokenizer.json", "sentencepiece.model"


class SentencePieceTokenizer:
    """Subwords of a SentencePiece model (Kudo & Richardson 2018), given as the bytes of its file."""

    def __init__(self, model: bytes, lowercase: bool):
        import sentencepiece

        self.model, self.lowercase = model, lowercase
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def __len__(self) -> int:
        return self.processor.get_piece_size()

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text

    def encode(self, text: str) -> list[int]:
        """Return the ids of the best segmentation; a text without any token is one unknown token long."""
        return self.processor.encode(self._cased(text)) or [UNK]

    def encode_all(self, texts: list[str], threads: int = 1) -> list[list[int]]:
        """The same for many texts at once."""
        found = self.processor.encode([self._cased(text) for text in texts], num_threads=threads)
        return [ids or [UNK] for ids in found]

    def sample_all(self, texts: list[str], alpha: float, seed: int) -> list[list[int]]:
        """Return segmentations drawn with probabilities to the power `alpha` (Kudo 2018, section 3.3), the same for
        a seed below 2**32."""
        import sentencepiece

        def sample() -> list[list[int]]:
            options = {"enable_sampling": True, "alpha": alpha, "nbest_size": -1}
            return [self.processor.encode(self._cased(text), **options) or [UNK] for text in texts]

        sentencepiece.set_random_generator_seed(seed)
        with ThreadPoolExecutor(1) as new_thread:  # only its first draw in a thread heeds the seed
            return new_thread.submit(sample).result()

    def pieces(self, text: str) -> list[str]:
        """Return the pieces that `encode` gives ids for, those of unknown characters as they stand in the text."""
        return self.processor.encode(self._cased(text), out_type=str) or [text]

    def tokens(self, ids: list[int]) -> list[str]:
        """Return the pieces of ids; a word begins with U+2581."""
        return [self.processor.id_to_piece(int(i)) for i in ids]

    def join(self, pieces: list[str]) -> str:
        """Return the text of pieces, special ones left out but for the unknown one."""
        return self.processor.decode([piece for piece in pieces if piece not in _SILENT])

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special ones left out but for the unknown one."""
        return self.processor.decode([int(i) for i in ids])


class WordTokenizer:
    """Words as spaCy's rules for a language split them, for which no model has to be downloaded.

    A word that touches the one before begins with a joiner mark, so joining them again needs no rules and loses
    nothing.
    """

    def __init__(self, language: str, vocabulary: list[str], lowercase: bool):
        self.language, self.vocabulary, self.lowercase = language, vocabulary, lowercase
        self.ids = {token: number for number, token in enumerate(vocabulary) if number >= len(SPECIAL_TOKENS)}
        self.splitter = load_spacy(language)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def pieces(self, text: str) -> list[str]:
        """Return the words and punctuation marks of a text."""
        return split_words(self.splitter, text.lower() if self.lowercase else text) or [text]

    def encode(self, text: str) -> list[int]:
        """Return the ids of the words, unknown ones included."""
        return [self.ids.get(piece, UNK) for piece in self.pieces(text)]

    def encode_all(self, texts: list[str], threads: int = 1) -> list[list[int]]:
        """The same for many texts; spaCy's tokenizers hold the interpreter, so `threads` does not matter."""
        return [self.encode(text) for text in texts]

    def tokens(self, ids: list[int]) -> list[str]:
        """Return the words of ids."""
        return [self.vocabulary[int(i)] for i in ids]

    def join(self, pieces: list[str]) -> str:
        """Return the text of words, special ones left out but for the unknown one."""
        spoken = [piece for piece in pieces if piece not in _SILENT]
        return " ".join(spoken).replace(f" {JOINER}", "").replace(JOINER, "")

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids, special ones left out but for the unknown one."""
        return self.join(self.tokens(ids))


_SILENT = {SPECIAL_TOKENS[i] for i in (PAD, BOS, EOS)}


def load_spacy(language: str):
    """Return spaCy's rule-based tokenizer of a language; UserError where spaCy, or the language in it, is missing."""
    try:
        import spacy

        return spacy.blank(language).tokenizer
    except ImportError as error:  # of spaCy itself, of a language, or of what a language needs
        reason = str(error).strip().split("\n")[0][:160]
        raise UserError(
            f"tokenizer spacy cannot split {language} ({reason}); pip install spacy, give its code of the language, or"
            " use --tokenizer sentencepiece"
        ) from None


def split_words(splitter, text: str) -> list[str]:
    """Return the tokens of a text, with a joiner mark where no blank stands before one."""
    pieces, joined = [], False
    for token in splitter(text):
        if not token.is_space:
            pieces.append(JOINER + token.text if joined else token.text)
        joined = not (token.is_space or token.whitespace_)
    return pieces


def train_tokenizers(sources: list[str], targets: list[str], config):
    """Return (source tokenizer, target tokenizer) learnt from the training texts, as the configuration says."""
    if config.tokenizer == "sentencepiece":
        both = train_sentencepiece([*sources, *targets], config.vocab_size, config.lowercase)
        return both, both
    return tuple(
        train_words(texts, language, config.min_count, config.lowercase)
        for texts, language in ((sources, config.source), (targets, config.target))
    )


def train_sentencepiece(texts: Iterable[str], vocab_size: int, lowercase: bool) -> SentencePieceTokenizer:
    """Learn a unigram model (Kudo 2018) of at most `vocab_size` pieces that covers every character of the texts."""
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([text.lower() if lowercase else text for text in texts]),
            model_writer=model,
            vocab_size=vocab_size,
            hard_vocab_limit=False,  # small texts give fewer pieces
            model_type="unigram",
            character_coverage=1.0,
            max_sentence_length=1 << 20,  # longer ones, in bytes, would be left out
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            pad_piece=SPECIAL_TOKENS[PAD],
            unk_surface=SPECIAL_TOKENS[UNK],
            num_threads=1,  # the pieces depend on it
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-160:]
        raise UserError(f"vocab_size {vocab_size}: SentencePiece cannot learn that many pieces ({reason})") from None
    return SentencePieceTokenizer(model.getvalue(), lowercase)


def train_words(texts: Iterable[str], language: str, min_count: int, lowercase: bool) -> WordTokenizer:
    """Collect the words seen at least `min_count` times, by falling count and then in alphabetical order."""
    splitter = load_spacy(language)
    counts = Counter(piece for text in texts for piece in split_words(splitter, text.lower() if lowercase else text))
    kept = [piece for piece, count in counts.items() if count >= min_count and piece not in SPECIAL_TOKENS]
    kept.sort(key=lambda piece: (-counts[piece], piece))
    return WordTokenizer(language, [*SPECIAL_TOKENS, *kept], lowercase)


def save_tokenizers(folder, tokenizers) -> None:
    """Write both tokenizers into a folder, for `load_tokenizers`."""
    folder = Path(folder)
    first = tokenizers[0]
    description = {"format": FORMAT, "lowercase": first.lowercase}
    if isinstance(first, SentencePieceTokenizer):
        description["kind"] = "sentencepiece"
        with atomic_write(folder / MODEL, "wb") as file:
            file.write(first.model)
    else:
        description.update(kind="spacy", languages=[tokenizer.language for tokenizer in tokenizers])
        for tokenizer in tokenizers:
            with atomic_write(folder / f"vocab.{tokenizer.language}.json") as file:
                json.dump(tokenizer.vocabulary, file, ensure_ascii=False, indent=0)
    with atomic_write(folder / DESCRIPTION) as file:
        json.dump(description, file, indent=1)


def load_tokenizers(folder):
    """Return (source tokenizer, target tokenizer) as `save_tokenizers` wrote them; one object twice if they are joint.

    Raises UserError where a file is missing or damaged.
    """
    folder = Path(folder)
    description = _load_json(folder / DESCRIPTION)
    if not isinstance(description, dict) or description.get("format") != FORMAT or "lowercase" not in description:
        raise UserError(f"{folder / DESCRIPTION}: not the tokenizers of this program, or of another version")
    lowercase = bool(description["lowercase"])
    if description.get("kind") == "sentencepiece":
        try:
            both = SentencePieceTokenizer((folder / MODEL).read_bytes(), lowercase)
        except FileNotFoundError:
            raise UserError(f"{folder / MODEL}: no such file; {_KEEP}") from None
        except RuntimeError:
            raise UserError(f"{folder / MODEL}: damaged; restore it from the folder of the training") from None
        return both, both
    languages = description.get("languages")
    if description.get("kind") != "spacy" or not isinstance(languages, list) or len(languages) != 2:
        raise UserError(f"{folder / DESCRIPTION}: damaged; restore it from the folder of the training")
    return tuple(WordTokenizer(str(each), _load_vocabulary(folder, each), lowercase) for each in languages)


def same_tokenizers(one, other) -> bool:
    """Whether two pairs of tokenizers give the same ids."""
    return [_content(tokenizer) for tokenizer in one] == [_content(tokenizer) for tokenizer in other]


def _content(tokenizer) -> tuple:
    return type(tokenizer), tokenizer.lowercase, getattr(tokenizer, "model", None) or tokenizer.vocabulary


_KEEP = "it lies beside the checkpoint that train.py wrote, keep them together"


def _load_json(path: Path):
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_KEEP}") from None
    except ValueError:
        raise UserError(f"{path}: not valid JSON; restore it from the folder of the training") from None


def _load_vocabulary(folder: Path, language: str) -> list[str]:
    path = folder / f"vocab.{language}.json"
    vocabulary = _load_json(path)
    if (
        not isinstance(vocabulary, list)
        or tuple(vocabulary[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS
        or not all(isinstance(token, str) for token in vocabulary)
    ):
        raise UserError(f"{path}: not a vocabulary, expected a list of tokens that starts with {SPECIAL_TOKENS}")
    return vocabulary
