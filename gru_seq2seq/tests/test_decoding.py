"""Beam search against enumeration, its n-best lists, its limits, and independence of how sentences are batched."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from src.beam import BLOCK, best_extensions, length_penalty
from src.dataset import pad_sources
from src.decoding import BeamSearch, padded_length, padded_rows
from src.tokenization import BOS, EOS, PAD, UNK


class RecurrentModel:
    """A small random decoder in NumPy: its state depends on all tokens so far, its output on state and source."""

    def __init__(self, size: int, seed: int = 0, end: float = 0.0):
        random = np.random.default_rng(seed)
        self.embedding = random.normal(size=(size, 8))
        self.recurrent = random.normal(size=(8, 8)) / 2
        self.output = random.normal(size=(8, size))
        self.bias = np.zeros(size)
        self.bias[EOS] = end
        self.rows: list[int] = []

    def encode(self, source, lengths):
        real = np.arange(len(source))[:, None] < lengths
        memory = (self.embedding[source] * real[:, :, None]).transpose(1, 0, 2)
        return [np.tanh(memory.sum(1))[:, None], memory, np.where(real, 0.0, -1e4).T]

    def step(self, tokens, state, memory, mask):
        self.rows.append(len(tokens))
        hidden = np.tanh(state[:, 0] @ self.recurrent + self.embedding[tokens])
        weights = np.exp((memory @ hidden[:, :, None])[:, :, 0] + mask)
        weights /= weights.sum(1, keepdims=True)
        logits = (hidden + (weights[:, :, None] * memory).sum(1)) @ self.output + self.bias
        log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return log_probs.astype(np.float32), hidden[:, None], weights

    def log_prob(self, source, tokens) -> float:
        """ln p of the tokens in float64, one after the other."""
        state, memory, mask = self.encode(*pad_sources([source], len(source) + 1, 1))
        total, last = 0.0, BOS
        for token in tokens:
            log_probs, state, _ = self.step(np.array([last]), state, memory, mask)
            total, last = total + float(log_probs[0, token]), token
        return total

    def search(self, alpha=0.0, ratio=0.0, extra=4, forbidden=(PAD, BOS), **options):
        return BeamSearch(self.encode, self.step, alpha, ratio, extra, forbidden, np.array, **options)


def enumerate_all(model, source, longest: int, alpha: float, forbidden=(PAD, BOS)):
    """Every sequence that ends, or has the greatest length, as (score, ids without the end), best first."""
    allowed = [i for i in range(len(model.bias)) if i not in forbidden]
    words = [i for i in allowed if i != EOS]
    candidates = []
    for count in range(longest):
        for start in itertools.product(words, repeat=count):
            ends = allowed if count == longest - 1 else [EOS]
            for end in ends:
                score = model.log_prob(source, [*start, end]) / length_penalty(count + 1, alpha)
                candidates.append((score, [*start] if end == EOS else [*start, end]))
    return sorted(candidates, key=lambda pair: -pair[0])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_of_full_width_equals_enumeration(alpha):
    model = RecurrentModel(7, seed=3)
    source = [4, 6]
    expected = enumerate_all(model, source, 4, alpha)
    [hypotheses] = model.search(alpha)([source], beam_size=len(expected), n_best=len(expected))
    assert [hypothesis.ids for hypothesis in hypotheses] == [ids for _, ids in expected]
    scores = [hypothesis.score for hypothesis in hypotheses]
    np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=1e-5)


def test_beam_of_one_is_greedy():
    model = RecurrentModel(30, seed=1, end=1.0)
    for source in ([5], [7, 8, 9], [20, 4]):
        state, memory, mask = model.encode(*pad_sources([source], len(source) + 1, 1))
        expected, last = [], BOS
        for _ in range(6):
            log_probs, state, _ = model.step(np.array([last]), state, memory, mask)
            log_probs[:, [PAD, BOS]] = -np.inf
            last = int(log_probs[0].argmax())
            if last == EOS:
                break
            expected.append(last)
        [[best]] = model.search(extra=6)([source], 1)
        assert best.ids == expected


def test_scores_are_those_of_the_model_and_fall():
    model = RecurrentModel(40, seed=5, end=1.5)
    sources = [[5, 6, 7], [8] * 12]
    for source, hypotheses in zip(sources, model.search(1.0, 0.5, 5)(sources, 6, 6)):
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(hypothesis.ids) for hypothesis in hypotheses}) == 6
        for ids, score, log_prob, *_ in hypotheses:
            limit = int(0.5 * len(source) + 5)
            ended = [*ids, EOS] if len(ids) < limit else ids
            assert log_prob == pytest.approx(model.log_prob(source, ended), rel=1e-5)
            assert score == pytest.approx(log_prob / length_penalty(len(ended), 1.0), rel=1e-6)


def test_no_translation_is_longer_than_asked_for():
    model = RecurrentModel(20, seed=2, end=-50.0)  # never ends by itself
    sources = [[5], [6] * 4, [7] * 10]
    for source, [best] in zip(sources, model.search(ratio=1.5, extra=2)(sources, 3)):
        assert len(best.ids) == int(1.5 * len(source) + 2)
    assert [len(best.ids) for [best] in model.search(ratio=0.0, extra=0)(sources, 3)] == [1, 1, 1]


def test_forbidden_tokens_do_not_occur():
    model = RecurrentModel(12, seed=4)
    model.bias[[PAD, UNK, BOS]] = 5.0
    sources = [[i] for i in range(4, 12)]
    kept = model.search(extra=8)(sources, 4)
    assert any(UNK in best.ids for [best] in kept)
    assert not any({PAD, BOS} & set(best.ids) for [best] in kept)
    for [best] in model.search(extra=8, forbidden=(PAD, BOS, UNK))(sources, 4):
        assert not {PAD, BOS, UNK} & set(best.ids)


def test_a_sentence_does_not_depend_on_those_beside_it():
    model = RecurrentModel(50, seed=7, end=1.0)
    random = np.random.default_rng(0)
    sources = [random.integers(4, 50, size=length).tolist() for length in random.integers(1, 40, size=90)]
    together = model.search(1.0, 1.0, 3)(sources, 4, 4)
    assert set(model.rows) <= {4 * 80, 4 * 64, 4 * 16, 4 * 4, 4}  # few shapes
    in_turn = model.search(1.0, 1.0, 3, rows=8)(sources, 4, 4)  # two slots, filled again and again
    for source, one, other in zip(sources, together, in_turn):
        [alone] = model.search(1.0, 1.0, 3)([source], 4, 4)
        assert [h.ids for h in one] == [h.ids for h in other] == [h.ids for h in alone]
        np.testing.assert_allclose([h.score for h in one], [h.score for h in alone], rtol=1e-4)


def test_two_ranks_find_together_what_one_finds(by_two_ranks):
    model = RecurrentModel(12, seed=5)
    random = np.random.default_rng(0)
    sources = [random.integers(4, 12, length).tolist() for length in random.integers(1, 9, 11)]
    search = model.search(ratio=1.0)
    expected, together = search(sources, 3, 2), by_two_ranks(lambda: search(sources, 3, 2))
    assert [[h.ids for h in found] for found in together] == [[h.ids for h in found] for found in expected]
    np.testing.assert_array_equal(
        by_two_ranks(lambda: search.log_probs(sources, sources)), search.log_probs(sources, sources)
    )


def test_stopping_early_changes_nothing():
    model = RecurrentModel(30, seed=9, end=1.0)
    sources = [[i, i + 1] for i in range(4, 24)]
    for alpha in (0.0, 1.0):
        full = model.search(alpha, extra=12)(sources, 5, 5)
        steps = len(model.rows)
        first = model.search(alpha, extra=12)(sources, 5, 1)
        assert [best.ids for best, *_ in full] == [best.ids for [best] in first]
        assert len(model.rows) - steps <= steps


def test_attention_belongs_to_the_tokens_of_the_hypothesis():
    model = RecurrentModel(30, seed=11, end=1.0)
    sources = [[5, 6, 7, 8], [9], [10, 11]]
    for source, [best] in zip(sources, model.search(1.0, 1.0, 3)(sources, 5)):
        state, memory, mask = model.encode(*pad_sources([source], len(source) + 1, 1))
        tokens = [BOS, *best.ids]
        for place, token in enumerate(tokens[: len(best.attention)]):
            _, state, weights = model.step(np.array([token]), state, memory, mask)
            np.testing.assert_allclose(best.attention[place], weights[0], rtol=1e-4, atol=1e-6)
        assert best.attention.shape[1] == len(source) + 1 and len(best.attention) >= len(best.ids)


def test_log_probs_of_given_targets():
    model = RecurrentModel(30, seed=13)
    random = np.random.default_rng(1)
    sources = [random.integers(4, 30, size=length).tolist() for length in random.integers(1, 30, size=40)]
    targets = [random.integers(4, 30, size=length).tolist() for length in random.integers(0, 9, size=40)]
    expected = [model.log_prob(s, [*t, EOS]) for s, t in zip(sources, targets)]
    np.testing.assert_allclose(model.search().log_probs(sources, targets), expected, rtol=1e-4)
    np.testing.assert_allclose(model.search(rows=4).log_probs(sources, targets), expected, rtol=1e-4)
    assert len(model.search().log_probs([], [])) == 0


@pytest.mark.parametrize("size", [5, BLOCK - 1, BLOCK, 3 * BLOCK, 10 * BLOCK + 7])
@pytest.mark.parametrize("count", [1, 4])
def test_best_extensions_are_those_of_sorting(size, count):
    random = np.random.default_rng(size)
    log_probs = random.normal(size=(3, 4, size)).astype(np.float32)
    scores = random.normal(size=(3, 4)).astype(np.float32)
    scores[0, 1:] = -np.inf  # at the beginning there is one hypothesis
    every = (log_probs + scores[:, :, None]).reshape(3, -1)
    expected = np.argsort(-every, 1)[:, :count]
    values, rows, ids = best_extensions(log_probs, scores, count)
    np.testing.assert_array_equal(rows * size + ids, expected)
    np.testing.assert_allclose(values, np.take_along_axis(every, expected, 1))


def test_weights_that_are_not_finite_end_the_search():
    model = RecurrentModel(10)
    model.bias[:] = np.nan
    assert model.search()([[4, 5]], 3) == [[]]


def test_shapes():
    assert [padded_length(n) for n in (1, 16, 17, 24, 25, 32, 33, 49, 65, 97, 128, 129)] == [
        *(16, 16, 24, 24, 32, 32, 48, 64, 96, 128, 128, 192)
    ]
    assert [padded_rows(n, 64) for n in (1, 2, 4, 5, 16, 17, 64)] == [1, 4, 4, 16, 16, 64, 64]
    assert padded_rows(60, 50) == 50
    ids, lengths = pad_sources([[5, 6], []], 4, 3)
    assert ids.T.tolist() == [[5, 6, EOS, PAD], [EOS, PAD, PAD, PAD], [EOS, PAD, PAD, PAD]]
    assert lengths.tolist() == [3, 1, 1]
