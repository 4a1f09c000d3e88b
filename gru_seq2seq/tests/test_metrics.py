"""Scores as sacreBLEU gives them, and the groups by the source's length."""

from __future__ import annotations

import pytest
import sacrebleu

from src.metrics import bleu, bleu_by_length, translation_scores

REFERENCES = ["A dog runs across the green field.", "Two men are sitting on a bench, reading.", "A woman sings."]
TRANSLATIONS = ["a dog runs over the green field.", "Two men sit on a bench, reading.", "A woman sings."]


def test_scores_and_signatures():
    result = translation_scores(TRANSLATIONS, REFERENCES)
    assert result["bleu"] == bleu(TRANSLATIONS, REFERENCES)
    assert result["bleu"] == sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score
    assert result["bleu_lowercase"] == sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES], lowercase=True).score
    assert result["chrf"] == sacrebleu.corpus_chrf(TRANSLATIONS, [REFERENCES]).score
    assert result["bleu_lowercase"] > result["bleu"] > 0
    assert "case:mixed" in result["bleu_signature"] and "tok:13a" in result["bleu_signature"]
    assert "case:lc" in result["bleu_lowercase_signature"]
    assert bleu(REFERENCES, REFERENCES) == pytest.approx(100)
    assert bleu(["", "", ""], REFERENCES) == 0


def test_groups_by_length():
    sources = ["eins " * count for count in (1, 9, 10, 14, 15, 20, 50)]
    texts = [" ".join(["one"] * count) for count in (5, 9, 10, 14, 15, 20, 50)]
    groups = bleu_by_length(sources, texts, texts)
    assert [(group["from"], group["to"], group["sentences"]) for group in groups] == [
        (0, 9, 2),
        (10, 14, 2),
        (15, 19, 1),
        (20, None, 2),
    ]
    assert all(group["bleu"] == pytest.approx(100) for group in groups)
    assert [group["from"] for group in bleu_by_length(sources[:1], texts[:1], texts[:1])] == [0]
