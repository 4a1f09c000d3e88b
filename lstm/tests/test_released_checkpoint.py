"""A training of release 1.0 (commit f329c72), made with `--preset tiny` and fewer units, still loads everywhere.

Its corpus was `python -m src.sample_data DIR --reviews 40`; the expected values are what that commit printed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sample_glove import write_sample_glove

import eval as evaluation
import export
import predict
import train
from src.model_utils.checkpoint import load_checkpoint

RELEASED = Path(__file__).parent / "data" / "release_1_0"
TEXTS = {  # probability of positive
    "In the end I loved it. A little classic!": 0.550906,
    "I want my money back.": 0.55999,
    "What a mess.": 0.557673,
    "Café été": 0.538465,
}
MOST_CONFIDENT_ERROR = {"path": "test/neg/11_4.txt", "label": "neg", "answer": "pos", "probability": 0.5713486796}


@pytest.mark.parametrize("name", ["lstm_best.ckpt", "lstm-3_4.ckpt"])
def test_eval_gives_what_it_gave(small_corpus, name):
    result = evaluation.main(["--ckpt_path", str(RELEASED / name), "--aclimdb_path", str(small_corpus)])
    if name == "lstm_best.ckpt":  # the last checkpoint is the best here, with its weight average
        assert result["confusion_matrix"] == [[9, 11], [8, 12]]
        assert result["loss"] == pytest.approx(0.6898919161, abs=1e-6)
        worst = result["worst"][0]
        assert worst["path"].endswith(MOST_CONFIDENT_ERROR["path"])
        assert worst["probability"] == pytest.approx(MOST_CONFIDENT_ERROR["probability"], abs=1e-6)
    assert result["reviews"] == 40


def test_predict_gives_what_it_gave(exit_of):
    code, out, err = exit_of(predict.main, "--ckpt_path", RELEASED / "lstm_best.ckpt", *TEXTS, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and err == ""
    assert [answer["label"] for answer in answers] == ["positive"] * len(TEXTS)
    np.testing.assert_allclose([answer["probability"] for answer in answers], list(TEXTS.values()), atol=2e-6)
    assert answers[1]["words"][0] == ["my", pytest.approx(-0.1305, abs=2e-4)]


def test_export_agrees_with_it(tmp_path):
    differences = export.main(["--ckpt_path", str(RELEASED / "lstm_best.ckpt"), "--output_dir", str(tmp_path)])
    assert set(differences) == {"MINDIR", "ONNX"} and max(differences.values()) <= export.TOLERANCE


def test_finished_training_is_resumed_and_has_nothing_left_to_do(small_corpus, tmp_path):
    """The training on the same data has the same vocabulary, and the state in the checkpoint is understood."""
    folder = shutil.copytree(RELEASED, tmp_path / "outputs")
    words = json.loads((RELEASED / "vocab.json").read_text(encoding="utf-8"))
    glove = write_sample_glove(tmp_path / "glove", 8, words[2:])
    data = ["--aclimdb_path", str(small_corpus), "--glove_path", str(glove)]
    data += ["--preprocess_path", str(tmp_path / "preprocess")]
    result = train.main(["--resume", "--device_target", "CPU", "--ckpt_path", str(folder), *data])
    assert result == {"best_valid_accuracy": 0.75, "best_at": "epoch 3 step 4"}
    assert load_checkpoint(folder / "lstm-3_4.ckpt")[1]["epoch"] == 4
