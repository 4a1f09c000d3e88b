"""quickstart.sh with a stand-in for Python: what it says before it begins, which steps it takes, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = {
    "lstm": "accuracy      0.9990",
    "bilstm_ner": "entities, strict, micro average         0.9900",
    "ctc_lstm": "error rate      0.50 %",
    "gru_seq2seq": "BLEU                   99.50",
    "elmo": "perplexity both           12.50",
}
PYTHON = """#!/usr/bin/env bash
if [ "$1" = -c ]; then echo 3.11; exit; fi
echo "$*" >>"$CALLS"
while [ $# -gt 0 ]; do
    case $1 in
        src.sample_data) mkdir -p "$2" ;;
        */train.py) is_train=yes ;;
        --ckpt_path) [ -z "${is_train:-}" ] || { mkdir -p "$2" && touch "$2/$MODEL_best.ckpt"; } ;;
        */eval.py) echo "$RESULT" ;;
    esac
    shift
done
[ -z "${FAILS:-}" ] || exit 3
"""


@pytest.fixture
def run(tmp_path):
    """Runs quickstart.sh in a repository that has nothing else; returns exit code, output and the calls of Python."""
    for name in ("quickstart.sh", "tools/venv.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "requirements.txt").touch()
    for model in RESULTS:
        (tmp_path / model / "script").mkdir(parents=True)
        (tmp_path / model / "requirements.txt").touch()
    (tmp_path / "elmo/script/convert_dataset.sh").write_text('"$PYTHON" convert "$@"\n', encoding="utf-8")
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    (tmp_path / ".venv/pyvenv.cfg").touch()

    def call(model: str, *arguments: str, **environment: str) -> tuple[int, str, list[str]]:
        calls = tmp_path / "calls"
        calls.write_text("", encoding="utf-8")
        python.write_text(PYTHON.replace("$MODEL_best", f"{model}_best"), encoding="utf-8")
        python.chmod(0o755)
        ours = {"CALLS": str(calls), "RESULT": RESULTS.get(model, ""), **environment}
        others = {key: value for key, value in os.environ.items() if key not in ("VENV_DIR", "PYTHON")}
        command = ["bash", str(tmp_path / "quickstart.sh"), *arguments]
        done = subprocess.run(command, env={**others, **ours}, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr, calls.read_text(encoding="utf-8").splitlines()

    return call


@pytest.mark.parametrize("model", RESULTS)
def test_every_model_is_trained_applied_and_evaluated(run, model, tmp_path):
    code, out, calls = run(model, model)
    assert code == 0, out
    assert out.startswith(f"quick start of {model}: about ") and "GB to download" in out[: out.index("== ")]
    programs = [next((Path(word).name for word in call.split() if word.endswith(".py")), "") for call in calls]
    assert programs[-4] == "train.py" and programs[-2:] == ["export.py", "eval.py"] and "--json" not in " ".join(calls)
    assert ("convert" in calls[2]) == (model == "elmo")
    end = out[out.index("== done") :]
    assert all(words in end for words in (RESULTS[model], f"{model}/outputs/curves.png", f"{model}/report.html"))
    commands = end[end.index("next, after . .venv/bin/activate\n") :].splitlines()[1:]
    assert len(commands) == 3 and all(f"{model}/" in command for command in commands)
    for word in (word for command in commands for word in command.split() if word.startswith(f"{model}/")):
        assert (ROOT / word).is_file(), word

    _, out, again = run(model, model)
    assert "the trained checkpoint is used again" in out and again == calls[-3:]
    assert len(run(model, "--fresh", model)[2]) == len(calls) - 1  # the packages stay


def test_lstm_is_the_first_and_other_words_are_refused(run):
    assert run("lstm")[1].startswith("quick start of lstm")
    code, out, calls = run("lstm", "gpt")
    assert code == 2 and "unknown argument 'gpt'" in out and not calls
    assert all(name in run("lstm", "--help")[1] for name in RESULTS)


def test_a_step_that_fails_ends_it_with_its_code_and_names_its_log(run):
    code, out, _ = run("lstm", "lstm")
    assert code == 0, out
    code, out, _ = run("lstm", "--fresh", FAILS="yes")
    assert code == 3 and 'error: the step "corpus" failed with code 3; its log: ' in out
