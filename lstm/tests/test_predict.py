"""predict.py: texts from arguments, files and pipes, their order, the words that moved a decision, and errors."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import predict
from src import explain
from src.dataset import Sample, encode_reviews
from src.imdb import read_reviews
from src.inference import Classifier, load_trained
from src.metrics import log_softmax
from src.preparation import UNKNOWN_ID, encode
from src.tokenizer import tokenize


@pytest.fixture(scope="module")
def model(trained):
    return load_trained(trained.best)


@pytest.fixture(scope="module")
def reviews(trained):
    return read_reviews(trained.corpus, "test")[::2]


def samples_of(ids):
    return [Sample(sequence) for sequence in ids]


def answers(out):
    return [json.loads(line) for line in out.splitlines()]


def test_file_is_answered_line_by_line_as_the_network_says(trained, model, reviews, tmp_path, exit_of):
    texts = [review.text.replace("\n", " ") for review in reviews]
    lines = [*texts[:150], "", "   ", *texts[150:], "<br />"]
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    code, out, _ = exit_of(predict.main, "--ckpt_path", trained.best, "--input_file", path, "--json")
    found = answers(out)
    assert code == 0 and len(found) == len(lines) == 203
    for place in (150, 151, 202):
        empty = found.pop(place if place < 202 else -1) if place != 151 else found.pop(150)
        assert empty == {"label": None, "probability": None, "text": ""}
    network, config, vocabulary = model
    logits = Classifier(network, config).logits(encode_reviews(reviews, vocabulary))
    assert [answer["label"] for answer in found] == [predict.SENTIMENTS[k] for k in logits.argmax(1)]
    expected = np.exp(log_softmax(logits)).max(1)
    np.testing.assert_allclose([answer["probability"] for answer in found], expected, atol=2e-6)
    assert all(text.startswith(answer["text"][:20]) for text, answer in zip(texts, found))
    right = [answer["label"][:3] == ("neg", "pos")[review.label] for answer, review in zip(found, reviews)]
    assert np.mean(right) > 0.8


def first_answered_right(trained, exit_of, folder, label):
    """Return a test review that the small network gets right."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((trained.corpus / "test" / folder).iterdir())[:20]]
    _, out, _ = exit_of(predict.main, "--ckpt_path", trained.best, *texts, "--json", "--explain", "0")
    labels = [json.loads(line)["label"] for line in out.splitlines()]
    return texts[labels.index(label)]


def test_arguments_are_explained_for_people(trained, exit_of):
    good = first_answered_right(trained, exit_of, "pos", "positive")
    bad = "\udcff" + first_answered_right(trained, exit_of, "neg", "negative")
    texts = good, "", bad
    code, out, err = exit_of(predict.main, "--ckpt_path", trained.best, *texts)
    lines = out.splitlines()
    assert code == 0 and len(lines) == 5
    assert err == ("warning: the command line:3: not UTF-8; what could not be read was replaced in 1 of 3 arguments\n")
    assert lines[0].startswith("positive 0.") and good[:20] in lines[0]
    assert lines[2] == "empty"
    assert lines[3].startswith("negative 0.") and "\ufffd" + bad[1:20] in lines[3]
    for line in (lines[1], lines[4]):
        assert line.startswith("    ") and 1 <= len(line.strip().split("   ")) <= predict.EXPLAINED
    assert "+" in lines[1] and "-" in lines[4]
    _, out, _ = exit_of(predict.main, "--ckpt_path", trained.best, texts[0], "--explain", "0")
    assert out == lines[0] + "\n"


def test_words_of_json_are_sorted_and_known(trained, tmp_path, exit_of):
    path = tmp_path / "reviews.txt"
    path.write_text("The soundtrack was stale, stale and silly zzyzx.\n\n", encoding="utf-8")
    arguments = "--input_file", path, "--json", "--explain", "3"
    _, out, _ = exit_of(predict.main, "--ckpt_path", trained.best, *arguments)
    explained, empty = answers(out)
    values = [abs(value) for _, value in explained["words"]]
    assert len(values) == 3 and values == sorted(values, reverse=True)
    words = [word for word, _ in explained["words"]]
    assert len(set(words)) == 3 and set(words) <= set(tokenize("The soundtrack was stale, and silly."))
    assert empty["words"] == [] and empty["label"] is None


def test_tokens_of_json_are_those_of_the_text_in_order_with_what_each_contributes(trained, exit_of):
    text = "Stale, stale and silly zzyzx."
    arguments = "--ckpt_path", trained.best, text, "", "--json", "--tokens"
    _, out, _ = exit_of(predict.main, *arguments)
    explained, empty = answers(out)
    tokens, values = zip(*explained["tokens"])
    assert list(tokens) == tokenize(text) and empty["tokens"] == []
    words = dict(explained["words"])
    assert values[0] != values[2] and values[0] + values[2] == pytest.approx(words["stale"], abs=2e-4)
    assert values[tokens.index("zzyzx")] == 0, "an unknown word is the baseline"
    _, out, _ = exit_of(predict.main, *arguments, "--max_length", "4")
    assert [value is None for _, value in answers(out)[0]["tokens"]] == [False, False, True, True, True, False, False]


def test_contributions_add_up_to_what_sets_the_review_apart_from_unknown_words(model, reviews, monkeypatch):
    """The completeness of integrated gradients (Sundararajan et al. 2017, proposition 1).

    On long reviews the logits may jump on the way from the baseline, and then it takes thousands of steps to see it.
    """
    network, config, vocabulary = model
    known = [[token for token in tokenize(review.text) if token in vocabulary] for review in reviews]
    known = [tokens for tokens in known if len(tokens) < 30][::6]
    ids = [encode(tokens, vocabulary) for tokens in [*known, ["zzyzx"]]]
    unknown = [np.full_like(sequence, UNKNOWN_ID) for sequence in ids]
    classifier = Classifier(network, config)
    logits, baseline = (classifier.logits(samples_of(sequences)) for sequences in (ids, unknown))
    expected = (logits - baseline) @ [-1, 1]
    explainer = explain.Explainer(network, config)
    in_few_steps = explainer(samples_of(ids))
    monkeypatch.setattr(explain, "STEPS", 100)
    contributions = explainer(samples_of(ids))
    assert [set(found) for found in contributions] == [set(sequence) - {UNKNOWN_ID} for sequence in ids]
    sums = [sum(found.values()) for found in contributions]
    np.testing.assert_allclose(sums, expected, atol=0.02 * np.abs(expected).max())
    assert np.abs(expected).max() > 1
    errors = np.abs([sum(found.values()) for found in in_few_steps] - expected)
    assert np.median(errors) < 0.05 * np.abs(expected).max()
    alone = explainer(samples_of(ids[:1]))[0]
    assert alone == pytest.approx(contributions[0], abs=1e-4)


def test_carriage_return_within_a_line_is_no_line_end(trained, tmp_path, exit_of):
    path = tmp_path / "reviews.txt"
    path.write_bytes("\ufeffA gem.\rReally.\r\nA\u2028mess.\n".encode())
    _, out, _ = exit_of(predict.main, "--ckpt_path", trained.best, "--input_file", path, "--json")
    assert [answer["text"] for answer in answers(out)] == ["A gem. Really.", "A mess."]


@pytest.mark.parametrize(
    ("redirection", "code", "words"),
    [("<&-", 2, "error: standard input is closed; give a review as an argument"), ("</dev/null >&-", 0, "")],
)
def test_closed_standard_stream_ends_in_no_traceback(trained, redirection, code, words):
    command = f'"$0" "$1" --ckpt_path "$2" --device_target CPU {redirection}'
    arguments = [sys.executable, predict.__file__, str(trained.best)]
    done = subprocess.run(["bash", "-c", command, *arguments], capture_output=True, text=True, timeout=120)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("kernels: ")]
    assert done.returncode == code and [line[: len(words)] for line in lines] == [words] * bool(words)


def test_json_is_utf8_whatever_the_locale_says(trained):
    command = [sys.executable, predict.__file__, "--ckpt_path", str(trained.best), "电影 Café", "--json"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert json.loads(done.stdout.decode("utf-8"))["text"] == "电影 Café"


def test_bytes_that_are_no_utf8_are_replaced_and_reported(trained, tmp_path, exit_of):
    path = tmp_path / "reviews.txt"
    path.write_bytes(b"\xef\xbb\xbfA gem.\r\nA \xff mess.\n\xe9t\xe9\nA caf\xc3\xa9.")
    code, out, err = exit_of(predict.main, "--ckpt_path", trained.best, "--input_file", path, "--json")
    assert code == 0
    assert [answer["text"] for answer in answers(out)] == ["A gem.", "A \ufffd mess.", "\ufffdt\ufffd", "A café."]
    assert err == f"warning: {path}:2: not UTF-8; what could not be read was replaced in 2 of 4 lines\n"


def test_pipe_is_answered_at_once_and_streamed(trained):
    """A slow writer gets its answer before the next line; afterwards thousands of lines flow in order."""
    program = Path(predict.__file__)
    command = [sys.executable, str(program), "--ckpt_path", str(trained.best), "--device_target", "CPU"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    killer = threading.Timer(60, process.kill)  # an answer that never comes must not hang the tests
    killer.start()
    try:
        for text in ("A gem.", "", "A mess."):
            process.stdin.write(text + "\n")
            answer = process.stdout.readline().strip()
            assert answer.endswith(text) if text else answer == "empty"
        out, err = process.communicate("".join(f"review {number} is fine\n" for number in range(3000)))
    finally:
        killer.cancel()
        process.kill()
    assert process.returncode == 0, err
    assert [line.split("  ")[1] for line in out.splitlines()] == [f"review {k} is fine" for k in range(3000)]
    assert [line for line in err.splitlines() if "error" in line.lower()] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--ckpt_path {best} text --input_file {glove}", "give either arguments or --input_file, not both"),
        ("--ckpt_path {best} text --explain -2", "--explain -2: choose 0 or more"),
        ("--ckpt_path {best} text --tokens", "--tokens goes with --json"),
        ("--ckpt_path {best} --input_file /nowhere", "/nowhere: no such file"),
        ("--ckpt_path {best} --input_file {folder}", "{folder}: a folder, but a file is expected"),
        ("--ckpt_path {best} text --max_length 0", "--max_length is 0 but must be at least 1"),
        ("--ckpt_path {folder}/lost.ckpt text", "{folder}/lost.ckpt: no such checkpoint file"),
        ("text", "the following arguments are required: --ckpt_path"),
    ],
)
def test_errors_of_the_user(trained, exit_of, arguments, words):
    places = vars(trained)
    code, out, err = exit_of(predict.main, *arguments.format(**places).split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and words.format(**places) in err and err.count("\n") == 1
