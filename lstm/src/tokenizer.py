"""The tokens of a review.

The standard library is enough, since export.py copies this file beside what it exports.
"""

from __future__ import annotations

import html
import re
import unicodedata

LINE_BREAK_TAG = "<br />"  # as the corpus spells it nearly always; replaced as plain text because that is fast
OTHER_TAG = re.compile(r"</?(?:br|p|hr|i|b|u|em|strong)\s*/?>", re.IGNORECASE)
# One spelling for what keyboards and old encodings spell differently. U+0084 to U+0097 are Windows-1252 bytes that were
# decoded as Latin-1; the corpus has hundreds of them.
PLAIN_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("\x91\x92‘’´", "'"),
        **dict.fromkeys("\x84\x93\x94“”„", '"'),
        **dict.fromkeys("\x96\x97–—", "--"),
        **dict.fromkeys("\x85…", "..."),
        **dict.fromkeys("\xad\u200b\ufeff", None),  # invisible, as are marks of direction and of an emoji's style
        **dict.fromkeys(map(chr, [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070)]), None),
        **dict.fromkeys(map(chr, range(0xFE00, 0xFE10)), None),
    }
)
JOINERS = "\u200c\u200d"  # invisible, but part of a word: Persian and Indic spelling needs them
LONG_RUNS = (("....", "..."), ("---", "--"), ("!!!!", "!!!"), ("????", "???"))
TOKEN = re.compile(
    r"""
    [a-z]+(?![\w'.])                                                # most words, without trying what follows
  | [a-z]\.(?:[a-z]\.)+                                             # u.s. a.k.a.
  | (?:mrs?|ms|dr|jr|sr|st|vs)\.
  | n't\b
  | \d+(?:[.,]\d+)*(?:/\d+(?:\.\d+)?)?(?![^\W_])                    # 10 7.5 1,000 8/10 7.5/10
  | [^\W_]+(?:'(?!(?:s|re|ve|d|ll|m)\b)[^\W_]+)*                    # café 1980s o'brien
  | '(?:s|re|ve|d|ll|m|em)\b
  | [:;=]['o^-]?[()\[\]dp/\\|]+(?![\w/])                            # :) ;-) :d but not the start of ://
  | [!?]+ | \.+ | -+ | \*+
  | [^\w\s]
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """Return the lower-case tokens of a review, spelt as in glove.6B, which the Stanford PTB tokenizer prepared.

    Line breaks in HTML become white space, entities characters, accents composed (NFC); a word keeps the combining
    marks and joiners that remain. Contractions are split (do n't, it 's, can not), hyphenated words too; a rating
    (8/10), an emoticon, an abbreviation (u.s.) and a run of ! ? . - or * is one token. Long runs are shortened.
    """
    text = text.replace(LINE_BREAK_TAG, " ")
    if "<" in text:
        text = OTHER_TAG.sub(" ", text)
    text = html.unescape(text)
    has_marks = False
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(PLAIN_PUNCTUATION)
        has_marks = any(map(_belongs_to_the_letter_before, set(text)))
    text = text.lower().replace("`", "'").replace("''", '"').replace("n't", " n't").replace("cannot", "can not")
    for long, short in LONG_RUNS:
        while long in text:
            text = text.replace(long, short)
    return _tokens_with_marks(text) if has_marks else TOKEN.findall(text)


def _belongs_to_the_letter_before(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character) in ("Mn", "Mc", "Me")


def _tokens_with_marks(text: str) -> list[str]:
    """The tokens of a text with combining marks or joiners, which TOKEN alone would take for tokens of their own."""
    tokens, end, in_word = [], -1, False
    for match in TOKEN.finditer(text):
        token, adjacent = match[0], match.start() == end
        is_mark = _belongs_to_the_letter_before(token[0])
        if adjacent and (is_mark or (in_word and token[0].isalnum())):
            tokens[-1] += token
        else:
            tokens.append(token)
        in_word = is_mark and tokens[-1][0].isalnum()  # then letters that follow go on with the word
        end = match.end()
    return [token for token in (token.strip(JOINERS) for token in tokens) if token]
