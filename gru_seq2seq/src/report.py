"""What the report of an evaluation shows: BLEU and its like, and the worst and best sentences with their references."""

from __future__ import annotations

from collections.abc import Iterator

from src.metrics import NAMES, sentence_scores, words_of
from src.model_utils.html_page import Html, join, paragraph, section, table

SHOWN = 10  # sentences of each kind


def sections(result: dict, sources: list[str], translations: list[str], references: list[str]) -> Iterator[Html]:
    """Yield the sections of a result of eval.py."""
    scores = [(name, result[key], result[f"{key}_signature"]) for key, name in NAMES.items()]
    precisions = " / ".join(f"{value:.1f}" for value in result["precisions"])
    yield section(
        f"Scores of {result['sentences']} {result['split']} sentences",
        table(["", "score", "signature"], [[name, f"{score:.2f}", signature] for name, score, signature in scores]),
        paragraph(
            f"Perplexity {result['perplexity']:.2f}; n-gram precisions {precisions}; brevity penalty"
            f" {result['brevity_penalty']:.3f}; beam of {result['beam_size']}"
        ),
        table(
            ["words of the source", "sentences", "BLEU"],
            [[words_of(row), row["sentences"], f"{row['bleu']:.2f}"] for row in result["bleu_by_length"]],
        ),
    )
    chrf = sentence_scores(translations, references)
    order = sorted(range(len(chrf)), key=chrf.__getitem__)
    for title, chosen in (("Worst sentences", order[:SHOWN]), ("Best sentences", order[SHOWN:][: -SHOWN - 1 : -1])):
        rows = [
            table(
                ["chrF", f"{chrf[i]:.1f}, sentence {i + 1}"],
                [["source", sources[i]], ["translation", translations[i]], ["reference", references[i]]],
            )
            for i in chosen
        ]
        yield section(title, join(rows) if rows else paragraph("none"))
