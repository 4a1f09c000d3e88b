"""The example of use: what it counts, and that good vectors make a better tagger than random ones."""

import json
import random

import numpy as np
import pytest
from examples import truecasing
from examples.truecasing import Sentence, batch, by_word, prepare, score, written


def test_first_words_and_i_do_not_count():
    (sentence,) = prepare([["There", "I", "saw", "Ann", "."]], by_word(lambda word: np.full(4, len(word), np.float32)))
    assert sentence.capital.tolist() == [1, 1, 0, 1, 0]
    assert sentence.counts.tolist() == [0, 0, 1, 1, 1]
    assert sentence.vectors[0, :, 0].tolist() == [5, 1, 3, 3, 1]


def test_a_batch_is_padded_with_what_does_not_count():
    embed = by_word(lambda word: np.ones(4, np.float32))
    vectors, lengths, capital, counts = batch(prepare([["a"] * 40, ["The", "End"]], embed))
    assert vectors.shape == (1, 64, truecasing.BATCH_SIZE, 4)
    assert lengths[:3].tolist() == [40, 2, 0]
    assert vectors[0].sum() == 42 * 4
    assert counts.sum() == 39 + 1
    assert capital[:, 1].tolist() == [1, 1] + [0] * 62


def test_score_and_written():
    sentence = Sentence(["So", "Ann", "and", "béla"], None, np.array([1, 1, 0, 0.0]), np.array([0, 1, 1, 1.0]))
    logits = np.array([-1, 2, 3, -4.0])
    assert score([(sentence, logits)]) == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert written(sentence, logits) == "So Ann *And* béla"


def test_all_vectors_are_tried(trained, tmp_path, capsys):
    draw = random.Random(0)
    lines = [f"Then {draw.choice(('Ann', 'Dmitri', 'singers', 'cooks'))} played the piano .\n" for _ in range(400)]
    text = "\n".join("".join(lines[start : start + 10]) for start in range(0, 400, 10))
    for part in ("train", "heldout"):
        (tmp_path / f"{part}.txt").write_text(text)
    arguments = ["--ckpt_path", str(trained.best), "--data_url", str(tmp_path), "--json", "--show", "1"]
    truecasing.main([*arguments, "--seeds", "1", "--epochs", "20", "--device_target", "CPU"])
    out, shown = capsys.readouterr()
    result = json.loads(out)
    assert result["sentences"] == [280, 40, 80]
    assert result["capitals"] == sum("Ann" in line or "Dmitri" in line for line in lines[320:])
    for name in ("elmo", "word2vec", "random"):  # all can tell four words apart
        assert result[name]["f1"] > 0.9
    assert shown.count(lines[320].strip()) == 3


def test_text_without_capitals(trained, tmp_path, exit_of):
    (tmp_path / "heldout.txt").write_text("no names here\n\nnor here\n" * 20)
    code, _, error = exit_of(truecasing.main, "--ckpt_path", trained.best, "--data_url", tmp_path)
    assert code == 2
    assert "heldout.txt" in error and "no capitals" in error
