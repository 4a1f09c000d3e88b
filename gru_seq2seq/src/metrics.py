"""Scores of translations by sacreBLEU (Post 2018), so that they compare with published ones."""

from __future__ import annotations

from sacrebleu.metrics import BLEU, CHRF

LENGTHS = (10, 15, 20)  # words of a source at which a new group of `bleu_by_length` begins
NAMES = {"bleu": "BLEU", "bleu_lowercase": "BLEU, lower-cased", "chrf": "chrF"}  # of the keys of translation_scores


def bleu(hypotheses: list[str], references: list[str]) -> float:
    """Return the cased BLEU (Papineni et al. 2002) of detokenised texts, 13a tokens, in 0 to 100."""
    return BLEU().corpus_score(hypotheses, [references]).score


def translation_scores(hypotheses: list[str], references: list[str]) -> dict:
    """Return BLEU cased and lower-cased and chrF (Popovic 2015), in 0 to 100, each with the signature to cite."""
    result = {}
    for name, metric in (("bleu", BLEU()), ("bleu_lowercase", BLEU(lowercase=True)), ("chrf", CHRF())):
        score = metric.corpus_score(hypotheses, [references])
        result[name] = score.score
        if name == "bleu":
            result.update(brevity_penalty=score.bp, precisions=score.precisions, length_ratio=score.ratio)
        result[f"{name}_signature"] = str(metric.get_signature())
    return result


def bleu_by_length(sources: list[str], hypotheses: list[str], references: list[str]) -> list[dict]:
    """Return {from, to, sentences, bleu} of the groups of sources by their number of words; `to` None is open."""
    groups = []
    for low, high in zip((0, *LENGTHS), (*LENGTHS, None)):
        rows = [i for i, s in enumerate(sources) if low <= len(s.split()) and (high is None or len(s.split()) < high)]
        if rows:
            score = bleu([hypotheses[i] for i in rows], [references[i] for i in rows])
            to = None if high is None else high - 1
            groups.append({"from": low, "to": to, "sentences": len(rows), "bleu": score})
    return groups


def words_of(group: dict) -> str:
    """Return the numbers of words of a group of `bleu_by_length` in words."""
    return f"{group['from']} or more" if group["to"] is None else f"{group['from']} to {group['to']}"


def sentence_scores(hypotheses: list[str], references: list[str]) -> list[float]:
    """Return the chrF of each sentence, in 0 to 100."""
    metric = CHRF()
    return [metric.sentence_score(hypothesis, [text]).score for hypothesis, text in zip(hypotheses, references)]
