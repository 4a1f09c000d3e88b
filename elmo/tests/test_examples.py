"""The example of use: what it replaces and scores, and that vectors which know the context find what was replaced."""

import json
import random

import numpy as np
import pytest
from examples import replaced_words
from examples.replaced_words import Sentence, batch, by_word, marked, parts_of, prepare, score


def test_one_word_in_ten_is_replaced_by_words_of_the_text(tmp_path):
    lines = [f"w{k} x{k} y{k} z{k}" for k in range(5000)]
    path = tmp_path / "heldout.txt"
    path.write_text("\n\n".join(lines))
    parts = parts_of(path)
    assert [len(part) for part in parts] == [3500, 500, 1000]
    assert [" ".join(written) for part in parts for written, _ in part] == lines
    pairs = [pair for part in parts for sentence in part for pair in zip(*sentence)]
    replaced = [word for before, word in pairs if word != before]
    assert 0.09 < len(replaced) / len(pairs) < 0.11
    assert set(replaced) < set(" ".join(lines).split())
    assert len(set(replaced)) > 0.8 * len(replaced)
    assert parts_of(path) == parts


def test_a_word_drawn_again_is_not_replaced():
    pairs = [(["There", "I", "saw"], ["There", "saw", "saw"])]
    (sentence,) = prepare(pairs, by_word(lambda word: np.full(4, len(word), np.float32)))
    assert sentence.words == ["There", "saw", "saw"]
    assert sentence.replaced.tolist() == [0, 1, 0]
    assert sentence.vectors[0, :, 0].tolist() == [5, 3, 3]


def test_a_batch_is_padded_with_zeros():
    embed = by_word(lambda word: np.ones(4, np.float32))
    vectors, lengths, replaced = batch(prepare([(["a"] * 40, ["a"] * 39 + ["b"]), (["The", "End"], ["a", "b"])], embed))
    assert vectors.shape == (1, 64, replaced_words.BATCH_SIZE, 4)
    assert lengths[:3].tolist() == [40, 2, 0]
    assert vectors[0].sum() == 42 * 4
    assert np.flatnonzero(replaced[:, 0]).tolist() == [39]
    assert replaced[:, 1].tolist() == [1, 1] + [0] * 62


def test_predictions_are_scored_and_marked():
    sentence = Sentence(["So", "Ann", "and", "tea"], None, np.array([0, 1, 0, 1.0]))
    logits = np.array([-1, 2, 3, -4.0])
    assert score([(sentence, logits)]) == {"precision": 0.5, "recall": 0.5, "f1": pytest.approx(0.5)}
    assert marked(sentence, logits) == "So *Ann* ?and? !tea!"


def test_all_vectors_find_what_is_replaced_in_predictable_sentences(trained, tmp_path, capsys):
    draw = random.Random(0)
    lines = [f"Then {draw.choice(('Ann', 'Dmitri', 'singers', 'cooks'))} played the piano .\n" for _ in range(400)]
    text = "\n".join("".join(lines[start : start + 10]) for start in range(0, 400, 10))
    for part in ("train", "heldout"):
        (tmp_path / f"{part}.txt").write_text(text)
    arguments = ["--ckpt_path", str(trained.best), "--data_url", str(tmp_path), "--json", "--show", "1"]
    replaced_words.main([*arguments, "--seeds", "1", "--epochs", "20", "--device_target", "CPU"])
    out, shown = capsys.readouterr()
    result = json.loads(out)
    assert result["sentences"] == [280, 40, 80]
    assert result["scored_words"] == 80 * 6
    assert 20 < result["replaced"] < 60
    for name in ("elmo", "word2vec", "random"):  # the sentences leave hardly a word to chance
        assert result[name]["f1"] > 0.7
        assert f"{name}, seed 1: " in shown


def test_too_little_text_is_refused(trained, tmp_path, exit_of):
    (tmp_path / "heldout.txt").write_text("one document\n")
    code, _, error = exit_of(replaced_words.main, "--ckpt_path", trained.best, "--data_url", tmp_path)
    assert code == 2
    assert "heldout.txt" in error and "too few" in error
