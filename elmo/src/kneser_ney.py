"""An n-gram model to compare a biLM with: interpolated modified Kneser-Ney, on the same text and vocabulary.

python -m src.kneser_ney DIR reads train.txt, heldout.txt and vocab.txt of script/convert_dataset.sh.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.data.tokenizer import read_documents
from src.data.vocabulary import BEGIN, END, UNKNOWN, Vocabulary, load_vocabulary
from src.model_utils.configuration import Parser, at_least
from src.model_utils.progress import with_progress
from src.model_utils.reporting import print_result
from src.model_utils.runtime import run


@dataclass
class _Order:
    """The n-grams of one length: sorted keys (context id * V + word), discounted counts, and tables over contexts."""

    keys: np.ndarray
    discounted: np.ndarray
    totals: np.ndarray
    backoff: np.ndarray


class KneserNey:
    """Chen & Goodman 1999, section 4: each order has three discounts, and interpolates with the next lower one.

    An n-gram's id is its rank among the sorted n-grams of its length, and its context's id is part of its key, so all
    of it is sorting and counting integers. Contexts do not reach beyond the mark that begins a sentence; short n-grams
    that begin with it keep their plain counts, as no word precedes it.
    """

    def __init__(self, ids: np.ndarray, order: int, vocabulary_size: int):
        """Count the sentences of ids (n,), each between BEGIN and END."""
        self.size = vocabulary_size
        position = _positions(ids)
        grams = ids.astype(np.int64)  # id of the n-gram of the current length that ends at each token, -1 for none
        levels = [(np.arange(self.size), np.bincount(ids[position > 0], minlength=self.size), grams[:0])]
        for k in with_progress(range(2, order + 1), order - 1, "n-grams"):
            ends = np.flatnonzero(position >= k - 1)
            key = grams[ends - 1] * self.size + ids[ends]
            keys, first, inverse, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
            levels.append((keys, counts, grams[ends[first]]))
            grams = np.full(len(ids), -1, np.int64)
            grams[ends] = inverse
        self.orders = []
        n_contexts = 1
        for k, (keys, counts, _) in enumerate(levels, 1):
            if k < order:  # in how many different ways an n-gram is preceded; its count where nothing can precede it
                ways = np.bincount(levels[k][2], minlength=len(keys))
                counts = np.where(ways > 0, ways, counts)
            self.orders.append(_discount(keys, counts, keys // self.size, n_contexts))
            n_contexts = len(keys)

    def log_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return log P of every token of ids (n,) but the marks that begin sentences, in their order."""
        position = _positions(ids)
        events = np.flatnonzero(position > 0)
        words = ids[events].astype(np.int64)
        first = self.orders[0]
        probability = first.discounted[words] / first.totals[0] + first.backoff[0] / (self.size - 1)
        grams = ids.astype(np.int64)  # id of the n-gram of the current length that ends at each token, -1 for unseen
        for k, order in enumerate(self.orders[1:], 2):
            key = grams[events - 1] * self.size + words
            row = np.minimum(np.searchsorted(order.keys, key), len(order.keys) - 1)
            context = np.where(position[events] >= k - 1, grams[events - 1], -1)
            seen = (context >= 0) & (order.keys[row] == key)
            known = context >= 0
            known[known] = order.totals[context[known]] > 0
            total = np.where(known, order.totals[context], 1)
            share = np.where(seen, order.discounted[row], 0) / total
            probability = np.where(known, share + order.backoff[context] * probability, probability)
            grams = np.full(len(ids), -1, np.int64)
            grams[events] = np.where(seen, row, -1)
        return np.log(probability)


def _positions(ids: np.ndarray) -> np.ndarray:
    """Return how many tokens of its sentence precede each token."""
    index = np.arange(len(ids))
    return index - np.maximum.accumulate(np.where(ids == BEGIN, index, 0))


def _discount(keys, counts, contexts, n_contexts: int) -> _Order:
    """Take the discounts from the counts and give their share to the lower order."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    ratio = n[1] / max(n[1] + 2 * n[2], 1)
    c = np.arange(4)
    discounts = np.clip(c - (c + 1) * ratio * n[1:5] / np.maximum(n[:4], 1), 0, c) * (n[:4] > 0)
    taken = discounts[np.minimum(counts, 3)]
    totals = np.bincount(contexts, counts, minlength=n_contexts)
    backoff = np.bincount(contexts, taken, minlength=n_contexts) / np.maximum(totals, 1)
    return _Order(keys, counts - taken, totals, backoff)


def read_ids(path: str | Path, vocabulary: Vocabulary, max_tokens: int = 0) -> np.ndarray:
    """Return the ids of a tokenized text, each sentence between BEGIN and END, up to about max_tokens of them."""
    ids: list[int] = []
    for document in read_documents(path, "whitespace", f"reading {Path(path).name}"):
        for words in document:
            ids += [BEGIN, *(vocabulary.ids.get(word, UNKNOWN) for word in words), END]
        if 0 < max_tokens <= len(ids):
            break
    return np.array(ids, np.int32)


def main(argv: Sequence[str] | None = None) -> dict:
    """Train and score as the command line says; returns the result."""
    parser = Parser(__doc__, config_file=False, device=False, prog="python -m src.kneser_ney")
    parser.add_argument("folder", metavar="DIR", help="folder of script/convert_dataset.sh")
    parser.add_argument("--order", type=at_least(1), default=5, help="longest n-grams (default 5)")
    parser.add_argument("--split", choices=("heldout", "valid"), default="heldout", help="text to score")
    parser.add_argument("--max_tokens", type=at_least(0), default=0, help="to train on; 0 for all (default)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args(argv)
    folder, start = Path(args.folder), time.monotonic()
    vocabulary = load_vocabulary(folder / "vocab.txt")
    train = read_ids(folder / "train.txt", vocabulary, args.max_tokens)
    model = KneserNey(train, args.order, len(vocabulary))
    scores = model.log_probabilities(read_ids(folder / f"{args.split}.txt", vocabulary))
    result = {
        "order": args.order,
        "train_tokens": len(train),
        "vocabulary": len(vocabulary),
        "split": args.split,
        "tokens": len(scores),
        "perplexity": float(np.exp(-scores.mean())),
        "seconds": round(time.monotonic() - start, 1),
    }
    print_result(result, args.json, lambda result: print(", ".join(f"{key} {value}" for key, value in result.items())))
    return result


if __name__ == "__main__":
    run(main)
