"""Text to token ids and back: one SentencePiece model for both languages, or spaCy words with a vocabulary each.

Ids: padding 0, unknown 1, beginning 2, end 3. `decode(encode(text))` is the text, to the last blank and control
character, as long as no token is unknown. Tokenizers that are not `lossless` (those of version 1.0) write a
text as SentencePiece's nmt_nfkc does, or spaCy's words with one blank between them.
"""

from __future__ import annotations

import functools
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from src.model_utils.runtime import UserError

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
JOINER = "\uffed"  # begins a word that follows the one before without a blank
GLUE = "\uffee"  # ends a piece of blanks, after which the next word follows at once
CANDIDATES = 64  # best segmentations of a text that one is drawn from, as in Kudo's experiments
ESCAPE = "\ue000"  # with the character after it stands for one of _RESERVED
# What SentencePiece (NUL, its blank and its unknown character) and this module use for themselves
_RESERVED = (ESCAPE, "\0", "\u2581", "\u2585", JOINER, GLUE, *SPECIAL_TOKENS)
_CODES = {text: ESCAPE + chr(ord(ESCAPE) + 1 + number) for number, text in enumerate(_RESERVED)}
_TEXTS = {code: text for text, code in _CODES.items()}
_RESERVED_TEXT, _CODE = (re.compile("|".join(map(re.escape, table))) for table in (_CODES, _TEXTS))


class Tokenizer:
    """What both kinds of tokenizers share: how a text is prepared for its pieces and put together from them."""

    def __init__(self, lowercase: bool, lossless: bool):
        self.lowercase, self.lossless = lowercase, lossless

    def keeps(self, text: str) -> bool:
        """Whether the pieces of a text, unknown ones included, give back all of it."""
        return self.join(self.pieces(text)) == (text.lower() if self.lowercase else text)

    def prepare(self, text: str) -> str:
        """Return a text as it is split: in lower case if asked for, and with codes for what is reserved."""
        text = text.lower() if self.lowercase else text
        return _RESERVED_TEXT.sub(lambda reserved: _CODES[reserved[0]], text) if self.lossless else text

    @property
    def codes(self) -> dict[str, str]:
        """The codes for what is reserved, by the texts that they stand for."""
        return dict(_CODES) if self.lossless else {}

    def restore(self, text: str) -> str:
        """Return a text from what its pieces say."""
        return _CODE.sub(lambda code: _TEXTS[code[0]], text) if self.lossless else text

    def encode(self, text: str) -> list[int]:
        """Return the ids of the pieces of a text."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, special ones left out but for the unknown one."""
        return self.join(self.tokens(i for i in ids if i not in (PAD, BOS, EOS)))

    def unknown(self, text: str) -> list[str]:
        """Return the parts of a text that have no id of their own."""
        return [self.join([piece]) for i, piece in zip(self.encode(text), self.pieces(text)) if i == UNK]


class SentencePieceTokenizer(Tokenizer):
    """Subwords of a SentencePiece model (Kudo & Richardson 2018), given as the bytes of its file."""

    def __init__(self, model: bytes, lowercase: bool, lossless: bool):
        import sentencepiece

        super().__init__(lowercase, lossless)
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.log_probs = np.array([self.processor.get_score(i) for i in range(len(self))])

    def __len__(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Return the ids of the best segmentation; a text without any token is one unknown token long."""
        return self.processor.encode(self.prepare(text)) or [UNK]

    def sample(self, text: str, alpha: float, chance: float) -> list[int]:
        """Return that segmentation of the CANDIDATES best ones which a number in [0, 1) draws.

        A candidate has a probability in proportion to its own to the power `alpha` (Kudo 2018, section 3.3).
        SentencePiece would draw by itself, but differently in each process whatever the seed.
        """
        candidates = self.processor.nbest_encode(self.prepare(text), nbest_size=CANDIDATES, out_type=int)
        weights = alpha * np.array([self.log_probs[ids].sum() for ids in candidates])
        limits = np.cumsum(np.exp(weights - weights.max()))
        return candidates[np.searchsorted(limits, chance * limits[-1], side="right")] or [UNK]

    def pieces(self, text: str) -> list[str]:
        """Return the pieces that `encode` gives ids for, those of unknown characters as they stand in the text."""
        text = self.prepare(text)
        return self.processor.encode(text, out_type=str) or [text]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the pieces of ids; a word begins with U+2581."""
        return [self.processor.id_to_piece(int(i)) for i in ids]

    def join(self, pieces: list[str]) -> str:
        """Return the text of pieces."""
        return self.restore(self.processor.decode(pieces))


class WordTokenizer(Tokenizer):
    """Words as spaCy's rules for a language split them, for which no model has to be downloaded.

    A word that touches the one before begins with a joiner mark, and what is not a single blank between two words is a
    piece of its own, so joining them again needs no rules and loses nothing.
    """

    def __init__(self, language: str, vocabulary: list[str], lowercase: bool, lossless: bool):
        super().__init__(lowercase, lossless)
        self.language, self.vocabulary = language, vocabulary
        self.ids = {token: number for number, token in enumerate(vocabulary) if number >= len(SPECIAL_TOKENS)}
        self.splitter = load_spacy(language)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def pieces(self, text: str) -> list[str]:
        """Return the words and punctuation marks of a text, with a joiner mark where no blank stands before one.

        Where `lossless`, other blanks than single ones between two of them are pieces, too.
        """
        text = self.prepare(text)
        pieces, end = [], 0
        for token in self.splitter(text):
            if not token.is_space:
                blanks = text[end : token.idx]
                if self.lossless and blanks not in ("", " " if pieces else ""):
                    pieces.append(f"{JOINER}{blanks}{GLUE}")
                pieces.append(JOINER + token.text if pieces and not blanks else token.text)
                end = token.idx + len(token.text)
        if self.lossless and text[end:]:
            pieces.append(f"{JOINER}{text[end:]}{GLUE}")
        return pieces or [text]

    def encode(self, text: str) -> list[int]:
        """Return the ids of the words, unknown ones included."""
        return [self.ids.get(piece, UNK) for piece in self.pieces(text)]

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the words of ids."""
        return [self.vocabulary[int(i)] for i in ids]

    def join(self, pieces: list[str]) -> str:
        """Return the text of words."""
        text = " ".join(pieces).replace(f" {JOINER}", "").replace(JOINER, "")
        return self.restore(text.replace(f"{GLUE} ", "").replace(GLUE, ""))


@functools.lru_cache
def load_spacy(language: str) -> Callable:
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


def train_sentencepiece(
    texts: Iterable[str], vocab_size: int, lowercase: bool, lossless: bool
) -> SentencePieceTokenizer:
    """Learn a unigram model (Kudo 2018) of at most `vocab_size` pieces that covers every character of the texts.

    There is no fallback to bytes for other characters: nothing would teach the network what those bytes mean.
    """
    import sentencepiece

    options = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False} if lossless else {}
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(Tokenizer(lowercase, lossless).prepare, texts),
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
            **options,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-160:]
        raise UserError(f"vocab_size {vocab_size}: SentencePiece cannot learn that many pieces ({reason})") from None
    return SentencePieceTokenizer(model.getvalue(), lowercase, lossless)


def count_words(item: tuple[Iterable[str], str, bool, bool]) -> Counter[str]:
    """Count the words of (texts, their language, lowercase, lossless), for `words_of`."""
    texts, language, lowercase, lossless = item
    splitter = WordTokenizer(language, [], lowercase, lossless)
    return Counter(piece for text in texts for piece in splitter.pieces(text))


def words_of(counts: Counter[str], language: str, min_count: int, lowercase: bool, lossless: bool) -> WordTokenizer:
    """Return a tokenizer of the words seen at least `min_count` times, by falling count and in alphabetical order."""
    kept = [piece for piece, count in counts.items() if count >= min_count and piece not in SPECIAL_TOKENS]
    kept.sort(key=lambda piece: (-counts[piece], piece))
    return WordTokenizer(language, [*SPECIAL_TOKENS, *kept], lowercase, lossless)
