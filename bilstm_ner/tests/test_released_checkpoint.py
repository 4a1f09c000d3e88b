"""A checkpoint of release 1.0, before checkpoints had a format version, gives what it gave then.

tests/data/release_1_0 was trained on the sample corpus of 160 sentences by

    train.py --preset tiny --character_size 6 --bigram_size 3 --num_hiddens 12 --language_model 0 --weight_average 0
        --character_min_count 3 --bigram_min_count 8 --train_epochs 20 --learning_rate 0.04 --dropout 0
        --character_dropout 0 --bigram_dropout 0
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eval as evaluation
import export
import predict
from src.inference import load_trained

CHECKPOINT = Path(__file__).parent / "data" / "release_1_0" / "bilstm_ner_best.ckpt"
OPTIONS = ["--ckpt_path", str(CHECKPOINT), "--device_target", "CPU"]
TEXT = "王伟先生，中国国籍，1970年出生，现任天津通信集团总经理。"


def test_later_keys_have_the_values_that_it_meant():
    _, config, vocabulary = load_trained(CHECKPOINT)
    assert (config.units, config.on_bad_input) == ("characters", "error")
    assert (len(vocabulary.characters), config.num_hiddens, vocabulary.scheme) == (183, 12, "BMES")


def test_its_scores_are_those_of_then(corpus):
    result = evaluation.main([*OPTIONS, "--data_path", str(corpus)])
    assert result["entity"]["f1"] == result["tag"]["f1"] == 1.0
    gold = {kind: row["gold"] for kind, row in result["entity"]["types"].items()}
    assert gold == {"CONT": 10, "EDU": 16, "LOC": 7, "NAME": 14, "ORG": 25, "PRO": 6, "RACE": 5, "TITLE": 21}


def test_its_predictions_are_those_of_then(capsys):
    predict.main([TEXT, "曾任 Öffis 龘", *OPTIONS, "--best", "2", "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [answer["score"] for answer in first["best"]] == pytest.approx([196.849, 189.1522], abs=1e-3)
    assert [answer["score"] for answer in second["best"]] == pytest.approx([40.5777, 39.8844], abs=1e-3)
    entities = [(e["start"], e["end"], e["type"]) for e in first["entities"]]
    assert entities == [(0, 2, "NAME"), (5, 9, "CONT"), (20, 26, "ORG"), (26, 29, "TITLE")]
    assert [(e["start"], e["end"], e["text"]) for e in second["entities"]] == [(3, 6, "Öff"), (6, 10, "is 龘")]


def test_its_export_agrees_with_it(tmp_path):
    differences = export.main([*OPTIONS, "--output_dir", str(tmp_path)])
    assert set(differences) == {"MINDIR", "ONNX"} and max(differences.values()) <= export.TOLERANCE
