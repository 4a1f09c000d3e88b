"""What the report of an evaluation shows: perplexities, and the words and sentences that the model expected least."""

from __future__ import annotations

from collections.abc import Iterator

from src.metrics import HardestText
from src.model_utils.html_page import Html, join, mark, paragraph, section, table

SHOWN, LEAST = 30, 5  # words that are shown, and how often they must occur
SHADES = (6.0, 9.0, 12.0)  # nats, of which 6 are a probability of 1/400 and 12 one of 1/160,000
STYLE = ".hard1 { background: #ffec99 } .hard2 { background: #ffc078 } .hard3 { background: #ff8787 }\n"


def sections(result: dict, hardest: HardestText) -> Iterator[Html]:
    """Yield the sections of a result of eval.py."""
    names = {"_forward": "forward", "_backward": "backward", "": "both"}
    yield section(
        f"Perplexity of {result['tokens']} words and ends of sentences",
        paragraph(result["text"], f"; {100 * result['unknown']:.2f} % of the words are <UNK>"),
        table(["", "perplexity"], [[name, f"{result['perplexity' + key]:.2f}"] for key, name in names.items()]),
    )
    yield section(
        "Hardest words",
        paragraph(f"Mean loss in nats over both directions, of words that occur {LEAST} times or more."),
        table(["word", "occurrences", "loss"], [[w, n, f"{loss:.2f}"] for w, n, loss in hardest.words(SHOWN, LEAST)]),
    )
    legend = join((mark(f"{nats:g} nats or more", f"hard{i}") for i, nats in enumerate(SHADES, 1)), " ")
    yield section(
        "Hardest sentences",
        paragraph("Read forward, each word given those before it: ", legend),
        table(
            ["loss a word", "sentence"],
            [[f"{mean:.2f}", join((_shaded(*pair) for pair in words), " ")] for mean, words in hardest.sentences()],
        ),
    )


def _shaded(word: str, loss: float) -> object:
    shade = sum(loss >= nats for nats in SHADES)
    return mark(word, f"hard{shade}") if shade else word
