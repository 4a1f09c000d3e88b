"""eval.py on the network that was trained for all tests."""

from __future__ import annotations

import json
import re

import pytest

import eval as evaluation
from src.inference import load_trained
from src.report import aligned


def test_eval_from_corpus_and_from_features(trained, tmp_path, exit_of):
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--json"]
    code, out, error = exit_of(evaluation.main, *common, "--data_path", trained.corpus, "--report", tmp_path / "a.html")
    assert code == 0, error
    result = json.loads(out)
    assert (
        result["utterances"] == 12 and result["per"] < 0.15 and result["accuracy"] == pytest.approx(1 - result["per"])
    )
    wrong = result["substitutions"] + result["deletions"] + result["insertions"]
    assert (
        result["per"] == pytest.approx(wrong / result["labels"])
        and result["labels"] == result["hits"] + wrong - result["insertions"]
    )
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<h3>") == min(result["wrong_utterances"], 10) and f"{100 * result['per']:.2f} %" in page
    assert "<svg" in page and page.count("<tr><td>") > result["wrong_utterances"]
    code, out, _ = exit_of(evaluation.main, *common, "--preprocess_path", trained.prepared, "--decoder", "beam")
    assert code == 0 and json.loads(out)["decoder"] == "beam" and json.loads(out)["per"] < 0.15
    code, out, _ = exit_of(evaluation.main, *common[:-1], "--preprocess_path", trained.prepared, "--split", "train")
    assert code == 0 and re.search(r"error rate +\d+\.\d\d %", out) and "36 train utterances" in out


def test_two_ranks_evaluate_together_as_one(trained, by_two_ranks):
    def evaluate():
        options = ["--ckpt_path", trained.best, "--preprocess_path", trained.prepared, "--split", "valid"]
        result = evaluation.main([*map(str, options), "--device_target", "CPU", "--json"])
        return {key: value for key, value in result.items() if key != "frames_per_second"}

    assert by_two_ranks(evaluate) == evaluate()


def test_eval_of_a_manifest(trained, audio, tmp_path, exit_of):
    phones = [line.split()[2] for line in audio[0].with_suffix(".PHN").read_text().splitlines()]
    (tmp_path / "a.jsonl").write_text(json.dumps({"audio": str(audio[0]), "labels": phones}) + "\n")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--json"]
    code, out, error = exit_of(evaluation.main, *common, "--data_path", tmp_path / "a.jsonl")
    assert code == 0, error
    assert json.loads(out)["labels"] == len(phones)


def test_eval_by_groups(trained, audio, tmp_path, exit_of):
    phones = [line.split()[2] for line in audio[0].with_suffix(".PHN").read_text().splitlines()]
    lines = [{"audio": str(audio[0]), "labels": phones, "name": name} for name in "abc"]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    table = tmp_path / "groups.tsv"
    table.write_text("name\tage\na\tchild\nb\tadult\n\nc\tchild\n", encoding="utf-8")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--data_path", tmp_path / "a.jsonl"]
    code, out, error = exit_of(evaluation.main, *common, "--groups", table)
    assert code == 0, error
    assert re.search(rf"\nage +error rate .*\nadult .* 1 +{len(phones)}\nchild .* 2 +{2 * len(phones)}\n", out)
    for content, message in (
        ("name\tage\na\tchild\n", "does not tell the groups of 'b'"),
        ("name\tage\na\tchild\tmale\n", "groups.tsv:2: expected a new name and 1 groups"),
        ("name\tage\na\tx\na\tx\n", "groups.tsv:3: expected a new name"),
        ("", "expected a line of titles"),
    ):
        table.write_text(content, encoding="utf-8")
        code, _, error = exit_of(evaluation.main, *common, "--groups", table)
        assert code == 2 and message in error


def test_alignment_names_what_is_wrong_at_each_place():
    assert list(aligned("abcd", "axcde")) == [
        ("", "a", "a"),
        ("replace", "b", "x"),
        ("", "c", "c"),
        ("", "d", "d"),
        ("insert", "", "e"),
    ]
    assert list(aligned(["a"], [])) == [("delete", "a", "")] and not list(aligned([], []))


def test_labels_unseen_in_training_are_named(trained, audio, tmp_path, exit_of):
    lines = [{"audio": str(audio[0]), "labels": labels} for labels in ("h# oy m dh h#", "h# iy h#")]
    lines[1]["name"] = "second"
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    common = ["--ckpt_path", trained.best, "--device_target", "CPU", "--data_path", tmp_path / "a.jsonl"]
    code, out, error = exit_of(evaluation.main, *common)
    assert code == 0, error
    assert f"warning: {tmp_path / 'a.jsonl'}: dh, oy not seen in training, so these cannot be recognised\n" in out
    code, out, _ = exit_of(evaluation.main, *common[:-1], trained.corpus)
    assert code == 0 and "not seen in training" not in out


def test_wrong_use_gets_one_line(trained, tmp_path, exit_of):
    checkpoint = ["--ckpt_path", trained.best]
    for arguments, message in (
        ([], "--ckpt_path"),
        (checkpoint, "no utterances to evaluate"),
        (["--ckpt_path", tmp_path / "a.ckpt", "--data_path", trained.corpus], "no such checkpoint"),
        ([*checkpoint, "--data_path", trained.corpus, "--beam_width", "0"], "beam_width"),
        ([*checkpoint, "--data_path", tmp_path / "none"], "none: no such folder"),
    ):
        code, _, error = exit_of(evaluation.main, *arguments)
        assert code == 2 and message in error and error.count("\n") == 1, error
    (tmp_path / "a.yaml").write_text("hidden_size: 5\n")
    code, _, error = exit_of(
        evaluation.main, *checkpoint, "--data_path", trained.corpus, "--config_path", tmp_path / "a.yaml"
    )
    assert code == 2 and "hidden_size is 5, but the checkpoint was trained with 32" in error


def test_checkpoint_of_another_model(trained, tmp_path):
    for name in ("config.yaml", "vocab.json", "ctc_lstm_best.ckpt"):
        (tmp_path / name).write_bytes((trained.outputs / name).read_bytes())
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("hidden_size: 32", "hidden_size: 16"))
    with pytest.raises(Exception, match="has shape .* the configured network"):
        load_trained(tmp_path / "ctc_lstm_best.ckpt")
