"""A small synthetic corpus: documents of simple sentences, each about one topic, written as plain text files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from src.model_utils.configuration import Parser
from src.model_utils.files import atomic_write
from src.model_utils.runtime import run

_TOPICS = {
    "film": ("actor scene director story camera", "watched praised filmed"),
    "kitchen": ("cook soup oven knife plate", "tasted stirred served"),
    "garden": ("gardener rose tree bee pond", "watered planted admired"),
    "music": ("singer song piano choir drum", "played sang recorded"),
}
_NAMES = ("Ann", "Béla", "Chloé", "Dmitri", "Søren")
_ADJECTIVES = ("old", "fine", "small", "loud", "curious")


def sentence(draw: random.Random, topic: str) -> str:
    """Return one sentence about a topic; its subject's number decides the verb that follows."""
    nouns, verbs = (words.split() for words in _TOPICS[topic])
    first, second = draw.sample(nouns, 2)
    adjective, other = draw.sample(_ADJECTIVES, 2)
    return draw.choice(
        (
            f"The {adjective} {first} {draw.choice(('is', 'was'))} near the {second}.",
            f"The {first}s {draw.choice(('are', 'were'))} {adjective}, but the {second} is {other}.",
            f"{draw.choice(_NAMES)} {draw.choice(verbs)} the {adjective} {second}!",
            f"Don't you like the {other} {first}?",
        )
    )


def write_sample_corpus(folder: str | Path, documents: int = 400, sentences: int = 12, seed: int = 0) -> None:
    """Write one file a document into `folder`, lines broken as in the IMDB reviews."""
    draw = random.Random(seed)
    for number in range(documents):
        topic = draw.choice(list(_TOPICS))
        text = [sentence(draw, topic) for _ in range(sentences)]
        with atomic_write(Path(folder) / f"{number:04}.txt") as file:
            file.write(" ".join(text[: sentences // 2]) + "<br /><br />" + " ".join(text[sentences // 2 :]) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the corpus as the command line says."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.sample_data")
    parser.add_argument("folder", metavar="DIR", help="folder to write into")
    parser.add_argument("--documents", type=int, default=400, help="default: 400")
    args = parser.parse_args(argv)
    write_sample_corpus(args.folder, args.documents)
    print(f"{args.folder}: {args.documents} documents")


if __name__ == "__main__":
    run(main)
