"""Which models there are, where their checkpoints lie, and the command that answers for each."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SENTENCES = Path(__file__).with_name("sentences.txt")  # where elmo looks for contexts unless --text names another file
TITLES = {
    "lstm": "Sentiment",
    "bilstm_ner": "Entities",
    "gru_seq2seq": "Translation",
    "ctc_lstm": "Speech",
    "elmo": "Words in context",
}
EXAMPLES = {
    "lstm": [
        "A wonderful film with a great cast, I loved every minute of it.",
        "Boring and badly acted, a waste of time.",
        "The beginning is slow, but the story gets better and the ending is simply beautiful.",
    ],
    "bilstm_ner": [
        "王伟先生，中国国籍，1970年出生，现任天津通信集团总经理。",
        "李红女士，汉族，1965年出生，硕士学历，毕业于北京大学，曾任上海银行股份有限公司董事会秘书。",
    ],
    "gru_seq2seq": [
        "Ein kleiner Hund sieht heute einen Ball.",
        "Zwei junge Männer spielen am Strand Fußball.",
        "Eine Frau mit einem roten Hut wartet auf den Zug.",
    ],
    "ctc_lstm": [],
    "elmo": ["The *film* was good .", "The children *play* in the garden .", "We saw a *play* at the theatre ."],
}


class Tab(NamedTuple):
    """A tab of the page: a model, and one of its checkpoints where it has any."""

    model: str
    checkpoint: Path | None


def model_of(checkpoint: Path) -> str | None:
    """Return the model that wrote a checkpoint, which its name begins with; None for another name."""
    return next((model for model in TITLES if re.match(rf"{model}[-_]", checkpoint.name)), None)


def find_checkpoint(model: str, root: Path = ROOT) -> Path | None:
    """Return the best checkpoint of a model that was trained in its folder, in the root, or by the quick start."""
    folders = (root / model / "outputs", root / "outputs", root / "quickstart" / model / "outputs")
    paths = (folder / f"{model}_best.ckpt" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def tabs_of(given: Sequence[tuple[str, Path]], root: Path = ROOT) -> list[Tab]:
    """Return the tabs: of each model the checkpoints that are given as (model, path), else the one that is found."""
    tabs = []
    for model in TITLES:
        own = [path for name, path in given if name == model]
        tabs += [Tab(model, path) for path in own or [find_checkpoint(model, root)]]
    return tabs


def text_of(checkpoint: Path) -> Path:
    """Return the text that elmo looks for contexts in: the held-out one of a quick start, else SENTENCES."""
    heldout = checkpoint.parents[1] / "preprocess" / "heldout.txt"
    return heldout if heldout.is_file() else SENTENCES


def recordings_of(checkpoint: Path) -> list[Path]:
    """Return two recordings to begin with, of the corpus beside a quick start's checkpoint, else none."""
    return sorted((checkpoint.parents[1] / "corpus" / "TEST").glob("*/*/S[XI]*.WAV"))[:2]


def command_of(model: str, checkpoint: Path, text: Path | None, root: Path = ROOT) -> list[str]:
    """Return the command that reads lines of standard input and answers each by a JSON line."""
    options = {
        "lstm": ["predict.py", "--explain", "8", "--tokens"],
        "bilstm_ner": ["predict.py", "--best", "3"],
        "gru_seq2seq": ["predict.py", "--attention", "--beam_size", "5", "--n_best", "5"],
        "ctc_lstm": ["predict.py", "--plot", ".", "--textgrid", ".", "--on_bad_input", "skip"],
        "elmo": ["neighbours.py", "--count", "8", "--input_file", str(text or text_of(checkpoint))],
    }
    program, *more = options[model]
    return [sys.executable, str(root / model / program), "--ckpt_path", str(checkpoint), "--json", *more]
