"""How good are the vectors for a task? A small tagger on frozen vectors of ELMo, of word2vec and random ones.

The task is to find the words that do not belong: on average one word in ten is replaced by one drawn from the whole
text, a common word more often than a rare one, and the tagger finds them (replaced token detection, Clark et al. 2020,
with unigrams as the generator). It needs no labels but the text itself.

python -m examples.replaced_words --ckpt_path outputs/elmo_best.ckpt --data_url DIR reads heldout.txt of DIR, which
neither the biLM nor word2vec has seen: 70 % of its documents train the tagger, 10 % choose its epoch, 20 % score it.
word2vec learns from train.txt, the text of the biLM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from tqdm import tqdm

from src.data.tokenizer import read_documents
from src.inference import Embedder, add_model_options, load_model
from src.model_utils.configuration import Parser, at_least
from src.model_utils.layers import KeyedDropout, dropout_keys, padding_mask
from src.model_utils.recurrent import LSTM
from src.model_utils.reporting import print_result
from src.model_utils.runtime import UserError, init_device, resolve_workers, run
from src.model_utils.train_step import TrainStep
from src.modules.scalar_mix import ScalarMix
from src.random_streams import ORDER_OF_SENTENCES, REPLACEMENTS, TAGGER_DROPOUT, WORD_VECTORS

VECTORS = ("elmo", "word2vec", "random")
STEPS = 32  # sentences are padded to a multiple of it, and cut to LONGEST words
LONGEST = 64
HIDDEN, DROPOUT, BATCH_SIZE, RATE = 64, 0.3, 32, 0.003
REPLACED = 0.1  # share of the words for which another is drawn, which may be the same


@dataclass
class Sentence:
    """Words, their vectors (layers, words, size), and which of them are not what was written (words,)."""

    words: list[str]
    vectors: np.ndarray
    replaced: np.ndarray


class Tagger(nn.Cell):
    """The layers' mixture, a bidirectional LSTM, and a logit for each word."""

    def __init__(self, n_layers: int, size: int, seed: int):
        super().__init__()
        self.mix = ScalarMix(n_layers=n_layers, layer_norm=True)  # so that the scale of the vectors does not matter
        self.dropout = KeyedDropout(DROPOUT, size, [seed, TAGGER_DROPOUT])
        self.lstm = LSTM(size, HIDDEN, seed=seed)
        self.output = nn.Dense(2 * HIDDEN, 1)

    def construct(self, vectors, lengths, keys) -> Tensor:
        """Map vectors (L, T, B, D), lengths (B,) and dropout keys (B,) to logits (T, B)."""
        padding = padding_mask(lengths, vectors.shape[1])
        mixed = self.dropout(self.mix(vectors, 1 - padding[:, :, 0]), keys)
        return self.output(self.lstm(mixed, lengths, keys)).squeeze(2)


class TaggerLoss(nn.Cell):
    """Mean binary cross-entropy of the words."""

    def __init__(self, tagger: Tagger):
        super().__init__(auto_prefix=False)
        self.tagger = tagger

    def construct(self, vectors, lengths, keys, replaced) -> Tensor:
        logits = self.tagger(vectors, lengths, keys)
        losses = ops.relu(logits) - logits * replaced + ops.log1p(ops.exp(-ops.abs(logits)))
        real = 1 - padding_mask(lengths, vectors.shape[1])[:, :, 0]
        return (losses * real).sum() / real.sum()


def parts_of(path: str | Path) -> list[list[tuple[list[str], list[str]]]]:
    """Return sentences, as written and with words replaced, to train, choose and score with.

    These are 70, 10 and 20 % of the documents, in their order.
    """
    documents = [list(document) for document in read_documents(path, "whitespace")]
    all_words = [word for document in documents for words in document for word in words]
    random = np.random.default_rng(REPLACEMENTS)
    bounds = [0, *(len(documents) * share // 10 for share in (7, 8, 10))]
    parts = []
    for first, last in zip(bounds, bounds[1:]):
        sentences = [words for document in documents[first:last] for words in document]
        parts.append([(words, replace(words, all_words, random)) for words in sentences])
        if all(words == other for words, other in parts[-1]):
            raise UserError(f"{path}: {len(documents)} documents are too few to train, choose and score with")
    return parts


def replace(words: list[str], all_words: list[str], random: np.random.Generator) -> list[str]:
    """Return a sentence in which one word in ten is drawn from all words."""
    drawn = random.random(len(words)) < REPLACED
    return [all_words[random.integers(len(all_words))] if other else word for word, other in zip(words, drawn)]


def elmo_vectors(ckpt_path, options_path) -> tuple[Callable, int]:
    """Return a function from sentences to the layers of their words, each sentence from a zero state, and 2P."""
    network, options = load_model(ckpt_path, options_path)
    embedder = Embedder(network, options)

    def embed(sentences):
        vectors = dict(tqdm(embedder(sentences), "elmo", len(sentences), leave=False))
        return [vectors[number] for number in range(len(sentences))]

    return embed, 2 * options.projection_dim


def word2vec_vectors(text: str | Path, size: int, seed: int) -> Callable:
    """Train skip-gram vectors (Mikolov et al. 2013) on a text; unknown words get zeros."""
    from gensim.models.word2vec import LineSentence, Word2Vec

    settings = {"vector_size": size, "sg": 1, "min_count": 2, "epochs": 3, "seed": seed, "workers": resolve_workers(0)}
    vectors = Word2Vec(LineSentence(str(text)), **settings).wv
    return by_word(lambda word: vectors[word] if word in vectors else np.zeros(size, np.float32))


def random_vectors(size: int, seed: int) -> Callable:
    """Draw a vector for each word."""
    random, table = np.random.default_rng([seed, WORD_VECTORS]), {}
    return by_word(lambda word: table.setdefault(word, random.normal(0, 1, size).astype(np.float32)))


def by_word(vector: Callable) -> Callable:
    """Return a function from sentences to (1, words, size) each, from one of words to (size,)."""
    return lambda sentences: [np.array([[vector(word) for word in sentence]]) for sentence in sentences]


def prepare(sentences: list[tuple[list[str], list[str]]], embed: Callable) -> list[Sentence]:
    """Embed sentences with replaced words, and cut them."""
    prepared = []
    for (written, words), vectors in zip(sentences, embed([words for _, words in sentences])):
        replaced = np.array([word != other for word, other in zip(words, written)], np.float32)
        prepared.append(Sentence(words[:LONGEST], vectors[:, :LONGEST], replaced[:LONGEST]))
    return prepared


def batch(sentences: list[Sentence]) -> tuple[np.ndarray, ...]:
    """Return vectors (L, T, B, D), lengths (B,) and replaced (T, B), padded with zeros."""
    lengths = np.array([len(sentence.words) for sentence in sentences], np.int32)
    steps = -(-lengths.max() // STEPS) * STEPS
    layers, _, size = sentences[0].vectors.shape
    vectors = np.zeros((layers, steps, BATCH_SIZE, size), np.float32)
    replaced = np.zeros((steps, BATCH_SIZE), np.float32)
    for row, sentence in enumerate(sentences):
        vectors[:, : lengths[row], row] = sentence.vectors
        replaced[: lengths[row], row] = sentence.replaced
    return vectors, np.pad(lengths, (0, BATCH_SIZE - len(lengths))), replaced


def batches(sentences: list[Sentence], random: np.random.Generator | None = None) -> Iterator[list[Sentence]]:
    """Yield sentences of similar lengths together, in random order if there is a generator."""
    order = random.permutation(len(sentences)) if random else np.arange(len(sentences))
    order = sorted(order, key=lambda k: -(-len(sentences[k].words) // STEPS))
    starts = np.arange(0, len(order), BATCH_SIZE)
    for start in random.permutation(starts) if random else starts:
        yield [sentences[k] for k in order[start : start + BATCH_SIZE]]


def predict(tagger: Tagger, sentences: list[Sentence]) -> list[tuple[Sentence, np.ndarray]]:
    """Return each sentence and the logits of its words (words,)."""
    tagger.set_train(False)
    keys, predictions = Tensor(np.zeros(BATCH_SIZE, np.int32)), []
    for some in batches(sentences):
        vectors, lengths, *_ = batch(some)
        logits = tagger(Tensor(vectors), Tensor(lengths), keys).asnumpy()
        predictions += [(sentence, logits[: len(sentence.words), row]) for row, sentence in enumerate(some)]
    return predictions


def score(predictions: list[tuple[Sentence, np.ndarray]]) -> dict:
    """Return precision, recall and F1 of the replaced words."""
    predicted, true = np.concatenate([(logits > 0, sentence.replaced > 0) for sentence, logits in predictions], 1)
    correct, positives, replaced = (flags.sum() for flags in (predicted & true, predicted, true))
    return {
        "precision": correct / max(positives, 1),
        "recall": correct / max(replaced, 1),
        "f1": 2 * correct / max(positives + replaced, 1),
    }


def train_tagger(parts: list[list[Sentence]], epochs: int, seed: int) -> tuple[dict, list]:
    """Train on the first part; return score and logits of the third after the epoch with the best F1 on the second."""
    ms.set_seed(seed)
    random = np.random.default_rng([seed, ORDER_OF_SENTENCES])
    layers, _, size = parts[0][0].vectors.shape
    tagger = Tagger(layers, size, seed)
    step = TrainStep(TaggerLoss(tagger), nn.Adam(tagger.trainable_params(), RATE), gradient_clip=1.0)
    best, predictions, done = -1.0, [], 0
    for _ in range(epochs):
        step.set_train()
        for some in batches(parts[0], random):
            vectors, lengths, *rest = map(Tensor, batch(some))
            step(vectors, lengths, Tensor(dropout_keys(seed, done, BATCH_SIZE)), *rest)
            done += 1
        f1 = score(predict(tagger, parts[1]))["f1"]
        if f1 > best:
            best, predictions = f1, predict(tagger, parts[2])
    return {"dev_f1": best, **score(predictions)}, predictions


def marked(sentence: Sentence, logits: np.ndarray) -> str:
    """Return a sentence: *replaced* words that were detected, ?false alarms? and !missed! ones."""
    words = []
    for word, logit, replaced in zip(sentence.words, logits, sentence.replaced):
        sign = {(True, True): "*", (True, False): "?", (False, True): "!"}.get((logit > 0, replaced > 0), "")
        words.append(f"{sign}{word}{sign}")
    return " ".join(words)


def shown(scores: dict) -> str:
    """Return scores as a line."""
    return ", ".join(f"{key} {value:.4f}" for key, value in scores.items())


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__.split("\n\n")[0], config_file=False, prog="python -m examples.replaced_words")
    add_model_options(parser)
    parser.add_argument("--data_url", metavar="DIR", required=True, help="folder of script/convert_dataset.sh")
    parser.add_argument("--vectors", nargs="+", choices=VECTORS, default=VECTORS, help="which to try (default: all)")
    parser.add_argument("--seeds", type=at_least(1), default=3, metavar="N", help="trainings of each (default: 3)")
    parser.add_argument("--epochs", type=at_least(1), default=10, metavar="N", help="of each training (default: 10)")
    parser.add_argument("--show", type=at_least(0), default=0, metavar="N", help="sentences to show as predicted")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> dict:
    """Train and score the taggers as the command line says; returns the result."""
    args = parse_arguments(argv)
    folder = Path(args.data_url)
    init_device(args.device_target, args.device_id, native=args.native)
    texts = parts_of(folder / "heldout.txt")
    elmo, size = elmo_vectors(args.ckpt_path, args.options_path)
    makers = {
        "elmo": lambda: elmo,
        "word2vec": lambda: word2vec_vectors(folder / "train.txt", size, seed=1),
        "random": lambda: random_vectors(size, seed=1),
    }
    scored = [word != other for written, words in texts[-1] for word, other in zip(words[:LONGEST], written)]
    result = {"sentences": [len(text) for text in texts], "scored_words": len(scored), "replaced": sum(scored)}
    for name in args.vectors:
        embed = makers[name]()
        parts = [prepare(text, embed) for text in texts]
        runs = []
        for seed in range(1, args.seeds + 1):
            scores, predictions = train_tagger(parts, args.epochs, seed)
            runs.append(scores)
            print(f"{name}, seed {seed}: {shown(scores)}", file=sys.stderr)
        for sentence, logits in predictions[: args.show]:
            print("  " + marked(sentence, logits), file=sys.stderr)
        result[name] = {key: round(float(np.mean([run_scores[key] for run_scores in runs])), 4) for key in runs[0]}
        result[name]["f1_sd"] = round(float(np.std([run_scores["f1"] for run_scores in runs])), 4)
    print_result(result, args.json, lambda result: print(*(f"{v}: {shown(result[v])}" for v in args.vectors), sep="\n"))
    return result


if __name__ == "__main__":
    run(main)
