"""eval.py: the scores, the splits, the wrong reviews, JSON, and the user's errors."""

import json
import shutil

import pytest

import eval as evaluation
from src.imdb import LABELS
from src.model_utils.checkpoint import training_checkpoints

SCORES = ("reviews", "accuracy", "precision", "recall", "f1", "roc_auc", "loss", "confusion_matrix")


def records(trained):
    lines = (trained.outputs / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if "valid_accuracy" in record]


def evaluate(trained, *arguments, ckpt_path=None):
    return evaluation.main(["--ckpt_path", str(ckpt_path or trained.best), *map(str, arguments)])


def test_valid_is_what_training_selected_the_best_checkpoint_on(trained):
    result = evaluate(trained, "--preprocess_path", trained.prepared, "--split", "valid")
    assert result["accuracy"] == max(record["valid_accuracy"] for record in records(trained))
    rest = evaluate(trained, "--aclimdb_path", trained.corpus, "--split", "train")
    assert result["reviews"] + rest["reviews"] == 400 and result["reviews"] == pytest.approx(80, abs=10)


def test_two_ranks_evaluate_together_as_one(trained, by_two_ranks):
    def valid():
        result = evaluate(trained, "--preprocess_path", trained.prepared, "--split", "valid")
        return {key: result[key] for key in SCORES}

    assert by_two_ranks(valid) == valid()


def test_training_checkpoint_is_scored_with_its_weight_average(trained):
    newest = training_checkpoints(trained.outputs, "lstm")[-1]
    result = evaluate(trained, "--preprocess_path", trained.prepared, "--split", "valid", ckpt_path=newest)
    last = records(trained)[-1]
    assert result["accuracy"] == last["valid_accuracy"]
    assert result["loss"] == pytest.approx(last["valid_loss"], rel=1e-4)


def test_files_and_mindrecord_score_the_same(trained):
    files = evaluate(trained, "--aclimdb_path", trained.corpus, "--glove_path", trained.glove)
    mindrecord = evaluate(trained, "--preprocess_path", trained.prepared)
    assert {key: files[key] for key in SCORES} == {key: mindrecord[key] for key in SCORES}
    assert files["split"] == "test" and files["reviews"] == 400 and files["accuracy"] > 0.8
    assert len(files["worst"]) == len(mindrecord["worst"]) == 3
    assert all(a["path"].endswith(b["path"]) for a, b in zip(files["worst"], mindrecord["worst"]))
    assert all(other["text"] is None for other in mindrecord["worst"])


def test_worst_are_the_most_confident_errors(trained):
    result = evaluate(trained, "--aclimdb_path", trained.corpus, "--worst", 1000)
    worst, confusion = result["worst"], result["confusion_matrix"]
    assert len(worst) == confusion[0][1] + confusion[1][0] > 0
    assert sorted((review["probability"] for review in worst), reverse=True) == [r["probability"] for r in worst]
    for review in worst:
        assert review["label"] != review["answer"] and review["probability"] >= 0.5
        assert f"/{review['label']}/" in review["path"] and review["label"] in LABELS
        with open(review["path"], encoding="utf-8") as file:
            assert " ".join(file.read().replace("<br />", " ").split()).startswith(review["text"][:150])
        assert len(review["text"]) <= 200


def test_table_and_report(trained, tmp_path, capsys):
    report = tmp_path / "report.html"
    result = evaluate(trained, "--aclimdb_path", trained.corpus, "--worst", 1, "--report", report)
    out, page = capsys.readouterr().out, report.read_text(encoding="utf-8")
    wrong = result["confusion_matrix"][0][1] + result["confusion_matrix"][1][0]
    assert len(result["worst"]) == 1 and page.count("<h3>") == min(wrong, 10)
    assert f"<h3>{result['worst'][0]['path']}" in page and f"{result['accuracy']:.4f}" in page and "<svg" in page
    assert 'class="pos3"' in page or 'class="neg3"' in page  # the word that moved an answer most
    false_positives = result["confusion_matrix"][0][1]
    for words in (
        f"accuracy      {result['accuracy']:.4f}",
        f"roc auc       {result['roc_auc']:.4f}",
        "predicted neg  predicted pos",
        f"{false_positives:15}\npos",
        "reviews/s",
        result["worst"][0]["path"],
    ):
        assert words in out


def test_json_is_alone_on_standard_output(trained, exit_of):
    code, out, err = exit_of(
        evaluation.main, "--ckpt_path", trained.best, "--aclimdb_path", trained.corpus, "--split", "valid", "--json"
    )
    assert code == 0 and out.count("\n") == 1
    assert set(SCORES) <= set(json.loads(out))
    assert "valid reviews of" in err


def test_settings_of_evaluation_may_change_but_not_the_network(trained, tmp_path, exit_of):
    arguments = "--ckpt_path", trained.best, "--preprocess_path", trained.prepared
    short = evaluate(trained, *arguments[2:], "--max_length", 5, "--truncation", "head", "--eval_batch_size", 7)
    assert short["accuracy"] < 0.7  # five tokens do not say it
    settings = tmp_path / "settings.yaml"
    settings.write_text("max_length: 5\ntruncation: head\nnum_hiddens: 32\n", encoding="utf-8")
    assert evaluate(trained, *arguments[2:], "--config_path", settings)["loss"] == pytest.approx(short["loss"])
    settings.write_text("num_hiddens: 64\n", encoding="utf-8")
    code, _, err = exit_of(evaluation.main, *arguments, "--config_path", settings)
    assert code == 2 and f"{settings}: num_hiddens is 64, but the checkpoint was trained with 32" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "no reviews given: --aclimdb_path DIR, or --preprocess_path"),
        ("--aclimdb_path {corpus} --glove_path /nowhere", "/nowhere: no such file or folder"),
        ("--aclimdb_path {corpus} --worst -1", "--worst -1: choose 0 or more"),
        ("--aclimdb_path {corpus} --split dev", "argument --split: invalid choice: 'dev'"),
        ("--aclimdb_path {corpus} --aclimdb_pat x", "unrecognized arguments: --aclimdb_pat x"),
        ("--aclimdb_path {corpus} --eval_batch_size 0", "--eval_batch_size is 0 but must be at least 1"),
        ("--aclimdb_path {folder}", "did you mean {folder}/aclImdb?"),
        ("--preprocess_path /nowhere", "/nowhere/vocab.json: no such file"),
    ],
)
def test_errors_of_the_user(trained, exit_of, arguments, words):
    places = vars(trained)
    code, out, err = exit_of(evaluation.main, "--ckpt_path", trained.best, *arguments.format(**places).split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and words.format(**places) in err and err.count("\n") == 1


def test_another_trainings_mindrecord_is_refused(trained, tmp_path, exit_of):
    prepared = shutil.copytree(trained.prepared, tmp_path / "prepared")
    (prepared / "vocab.json").write_text('["<pad>", "<unk>", "film"]', encoding="utf-8")
    code, _, err = exit_of(evaluation.main, "--ckpt_path", trained.best, "--preprocess_path", prepared)
    assert code == 2 and f"{prepared}/vocab.json: not the vocabulary of {trained.best}" in err


def test_checkpoint_without_its_company(trained, tmp_path, exit_of):
    arguments = "--preprocess_path", trained.prepared, "--ckpt_path"
    alone = tmp_path / "lstm_best.ckpt"
    assert f"{alone}: no such checkpoint file" in exit_of(evaluation.main, *arguments, alone)[2]
    shutil.copy(trained.best, alone)
    for name in ("word_vectors.npy", "config.yaml", "vocab.json"):
        code, _, err = exit_of(evaluation.main, *arguments, alone)
        assert code == 2 and f"{tmp_path}/{name}: no such file" in err and err.count("\n") == 1
        shutil.copy(trained.outputs / name, tmp_path)
    assert exit_of(evaluation.main, *arguments, alone)[0] == 0
    alone.write_bytes(alone.read_bytes()[:5000])
    code, _, err = exit_of(evaluation.main, *arguments, alone)
    assert code == 2 and f"{alone}: " in err


def test_valid_needs_a_training_with_validation(trained, tmp_path, exit_of):
    for name in ("lstm_best.ckpt", "word_vectors.npy", "vocab.json"):
        shutil.copy(trained.outputs / name, tmp_path)
    config = (trained.outputs / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "config.yaml").write_text(config.replace("validation_fraction: 0.2", "validation_fraction: 0.0"))
    arguments = "--ckpt_path", tmp_path / "lstm_best.ckpt", "--preprocess_path", trained.prepared, "--split", "valid"
    code, _, err = exit_of(evaluation.main, *arguments)
    assert code == 2 and "--split valid: the checkpoint was trained without validation" in err
