"""A checkpoint of checkpoint format 1, which release 1.0 wrote, gives the answers that release 1.0 gave.

data/release_1_0/ is a training on the corpus of conftest.py with --preset tiny --num_mels 13 --hidden_size 8
--num_epoches 30; expected.json are the answers of its eval.py and predict.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eval as evaluation
import export
import predict

FOLDER = Path(__file__).resolve().parent / "data/release_1_0"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
CHECKPOINT = ["--ckpt_path", FOLDER / "ctc_lstm_best.ckpt", "--device_target", "CPU"]


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_eval_counts_the_same_errors(corpus, exit_of, decoder):
    arguments = [*CHECKPOINT, "--data_path", corpus, "--decoder", decoder, "--json"]
    code, out, error = exit_of(evaluation.main, *arguments)
    assert code == 0, error
    assert {key: json.loads(out)[key] for key in EXPECTED[decoder]} == EXPECTED[decoder]


def test_predict_gives_the_same_labels_and_times(corpus, exit_of):
    audio = sorted(corpus.glob("TEST/*/*/SX*.WAV"))[:2]
    code, out, error = exit_of(predict.main, *audio, *CHECKPOINT, "--json")
    assert code == 0, error
    for line, expected in zip(out.splitlines(), EXPECTED["predict"]):
        answer = json.loads(line)
        assert answer["labels"] == expected["labels"] and answer["seconds"] == expected["seconds"]
        for segment, other in zip(answer["segments"], expected["segments"]):
            assert segment == pytest.approx(other, abs=1e-3)


def test_export_is_the_same_network(tmp_path, exit_of):
    code, out, error = exit_of(export.main, *CHECKPOINT, "--output_dir", tmp_path)
    assert code == 0 and out.count(": ok, differs by") == 2, error
