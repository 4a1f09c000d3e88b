"""An n-gram model of label sequences with Witten-Bell smoothing, for the beam search."""

from __future__ import annotations

from collections import Counter, defaultdict

from src.model_utils.files import read_json, write_json
from src.model_utils.runtime import UserError

START, END = "<s>", "</s>"


class NGram:
    """p(label | the `order` - 1 labels before it), trained by `train_ngram` or read by `load_ngram`.

    p(w | h) = (c(h w) + n(h) p(w | h')) / (c(h) + n(h)), where n(h) is the number of distinct labels seen behind h, and
    h' is h without its oldest label; below a single label it is uniform (Witten & Bell 1991; Chen & Goodman 1998, 2.5).
    """

    def __init__(self, order: int, labels: list[str], counts: dict[tuple[str, ...], Counter]):
        self.order, self.labels, self.counts = order, labels, counts
        self._cache: dict[tuple, float] = {}

    def probability(self, label: str, history: tuple[str, ...]) -> float:
        """Return p(label | history); `label` may be END, and the history of a beginning is (START,)."""
        history = history[max(0, len(history) - self.order + 1) :]
        key = (label, history)
        if key not in self._cache:
            lower = self.probability(label, history[1:]) if history else 1 / (len(self.labels) + 1)
            after = self.counts.get(history)
            if after:
                lower = (after[label] + len(after) * lower) / (sum(after.values()) + len(after))
            self._cache[key] = lower
        return self._cache[key]


def train_ngram(sequences, order: int) -> NGram:
    """Count the n-grams of label sequences, beginnings and ends included."""
    counts: dict[tuple[str, ...], Counter] = defaultdict(Counter)
    labels = sorted({label for sequence in sequences for label in sequence})
    for sequence in sequences:
        padded = (START, *sequence, END)
        for i in range(1, len(padded)):
            for n in range(min(order, i + 1)):
                counts[padded[i - n : i]][padded[i]] += 1
    return NGram(order, labels, dict(counts))


def save_ngram(path, model: NGram) -> None:
    """Write the counts as JSON."""
    counts = [[" ".join(history), dict(after)] for history, after in model.counts.items()]
    write_json(path, {"order": model.order, "labels": model.labels, "counts": counts}, indent=None)


def load_ngram(path) -> NGram:
    """Read what `save_ngram` wrote; UserError where it is missing or no such file."""
    content = read_json(path, "it lies beside the checkpoint that train.py wrote, keep them together")
    try:
        counts = {tuple(history.split()): Counter(after) for history, after in content["counts"]}
        order, labels = content["order"], content["labels"]
        numbers = [order, *(number for after in counts.values() for number in after.values())]
        if not all(isinstance(label, str) for label in labels) or not all(type(n) is int and n > 0 for n in numbers):
            raise ValueError
        return NGram(order, labels, counts)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not an n-gram model of train.py; restore it from the training's folder") from None
