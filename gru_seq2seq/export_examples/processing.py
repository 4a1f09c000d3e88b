"""From a sentence to what the exported encoder reads, and from what the decoder gives to a translation."""

import json
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
import sentencepiece

FOLDER = Path(__file__).resolve().parent
SETTINGS, TOKENIZER = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("processing", "tokenizer"))
PAD, UNK, BOS, EOS = range(4)
if TOKENIZER["kind"] != "sentencepiece":
    sys.exit(f"error: tokenizer.json: this program has no tokenizer '{TOKENIZER['kind']}', only sentencepiece")
PIECES = sentencepiece.SentencePieceProcessor(model_file=str(FOLDER / "sentencepiece.model"))


def replace(text: str, table: dict) -> str:
    """Return a text with every key of the table replaced by its value."""
    return re.sub("|".join(map(re.escape, table)), lambda match: table[match[0]], text) if table else text


def prepare(text: str) -> str:
    """Return a text as SentencePiece reads it, with codes for the characters that it keeps for itself."""
    return replace(text.lower() if TOKENIZER["lowercase"] else text, SETTINGS["codes"])


def known_form(sentence: str) -> str:
    """Return a sentence in the form of Unicode with the fewest unknown pieces."""
    sentence = sentence.strip()
    forms = [sentence, *(unicodedata.normalize(form, sentence) for form in ("NFC", "NFD", "NFKC", "NFKD"))]
    return min(forms, key=lambda form: PIECES.encode(prepare(form)).count(UNK)).strip()


def translate(sentence: str, encode, decode, length: int = 0) -> str:
    """Return the best translation by beam search; `encode` and `decode` run the networks, sources padded to `length`.

    A hypothesis that ends leaves the beam, which is narrower by one from then on.
    """
    sentence = known_form(sentence)
    if not sentence:
        return ""
    ids = (PIECES.encode(prepare(sentence)) or [UNK])[: (length or SETTINGS["longest"]) - 1]
    source = np.full((length or len(ids) + 1, 1), PAD, np.int32)
    source[: len(ids) + 1, 0] = [*ids, EOS]
    beam = SETTINGS["beam_size"]
    limit = max(1, int(SETTINGS["max_length_ratio"] * len(ids) + SETTINGS["max_length_extra"]))
    state, *memory = (np.repeat(array, beam, 0) for array in encode(source, np.array([len(ids) + 1], np.int32)))
    scores = np.array([0] + [-np.inf] * (beam - 1), np.float32)  # ln p of each row, -inf of an empty one
    tokens, places, finished = [[BOS]] * beam, [[]] * beam, []  # places in the source that the tokens attend to most
    for step in range(1, limit + 1):
        log_probs, state, attention = decode(np.array([row[-1] for row in tokens], np.int32), state, *memory)
        sums = scores[:, None] + log_probs
        sums[:, SETTINGS["forbidden"]] = -np.inf
        rows, following = np.unravel_index(np.argsort(-sums, None, "stable")[:beam], sums.shape)
        scores, state = sums[rows, following], state[rows]
        scores[beam - len(finished) :] = -np.inf
        places = [[*places[row], attention[row, : len(ids)].argmax()] for row in rows]
        tokens = [[*tokens[row], int(token)] for row, token in zip(rows, following)]
        for row in np.flatnonzero(scores > -np.inf):
            if step == limit or tokens[row][-1] == EOS:
                score = scores[row] / ((5 + step) / 6) ** SETTINGS["length_penalty"]
                finished.append((score, tokens[row], places[row]))
                scores[row] = -np.inf
        if len(finished) >= beam or not (scores > -np.inf).any():
            break
    _, tokens, places = max(finished, key=lambda hypothesis: hypothesis[0])
    return text_of(tokens[1:], places, PIECES.encode(prepare(sentence), out_type=str) or [sentence])


def text_of(tokens: list, places: list, source: list) -> str:
    """Return the text of tokens; an unknown one is the piece of the source that it attends to, if these are copied."""
    pieces = [
        source[place] if token == UNK and SETTINGS["copy"] else PIECES.id_to_piece(token)
        for token, place in zip(tokens, places)
        if token != EOS
    ]
    return replace(PIECES.decode(pieces), {code: text for text, code in SETTINGS["codes"].items()})
