"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from script_contract import ScriptContract, run

from src.manifest import read_manifest
from src.model_utils.runtime import UserError
from src.speechocean import choose_validation, read_phones


class TestScripts(ScriptContract):
    inputs = {"data_path": "TIMIT"}
    files = ("prepared/fingerprint.json",)
    options = [
        ("run_train_gpu.sh", "3 TIMIT", "GPU", "device_id data_path"),
        ("run_train_cpu.sh", "TIMIT", "CPU", "data_path"),
        ("run_performance_cpu.sh", "0 TIMIT", "CPU", "device_id data_path"),
        ("run_eval_cpu.sh", "TIMIT best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_cpu.sh", "prepared best.ckpt", "CPU", "preprocess_path ckpt_path"),
        ("run_eval_gpu.sh", "3 TIMIT best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 prepared best.ckpt", "Ascend", "device_id preprocess_path ckpt_path"),
    ]


def test_from_a_corpus_to_a_score(corpus, tmp_path):
    variables = {"PYTHON": sys.executable, "FOREGROUND": "1"}
    options = ["--preset", "tiny", "--num_epoches", "1", "--num_buckets", "1", "--hidden_size", "8"]
    done = run(tmp_path, "run_train_cpu.sh", corpus, "--", *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch: 1 step: 5, loss is " in (tmp_path / "log.txt").read_text(encoding="utf-8")
    done = run(tmp_path, "run_eval_cpu.sh", "preprocess", "outputs/ctc_lstm_best.ckpt", **variables)
    assert done.returncode == 0 and "error rate" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "rank_"))) == [
        "eval_log.txt",
        "log.txt",
        "outputs",
        "preprocess",
    ]


def test_digit_strings_from_recordings(tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for take in (0, 5, 45):
        tone = 0.2 * np.sin(np.arange(2000) * (take + 1) / 9)
        soundfile.write(recordings / f"3_ann_{take}.wav", tone, 8000)
    options = ["--", "--train", "2", "--valid", "1", "--test", "1"]
    done = run(tmp_path, "prepare_fsdd.sh", "out", "recordings", *options, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert "holds 3 recordings and not the 3000" in done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.jsonl")} == {"train.jsonl", "valid.jsonl", "test.jsonl"}
    done = run(tmp_path, "prepare_fsdd.sh", "out", "lost", PYTHON=sys.executable)
    assert done.returncode == 2 and "there is no folder" in done.stderr
    assert run(tmp_path, "prepare_fsdd.sh").returncode == 2

    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    recordings.rename(tmp_path / "repository/recordings")
    git = ["git", "-C", str(tmp_path / "repository"), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "recordings"], check=True)
    source = (tmp_path / "repository").as_uri()
    done = run(tmp_path, "prepare_fsdd.sh", "cloned", *options, PYTHON=sys.executable, FSDD_URL=source)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cloned/fsdd/recordings/3_ann_0.wav").is_file()
    made = [(tmp_path / folder / "train.jsonl").read_bytes() for folder in ("out", "cloned")]
    assert made[0] == made[1]


def small_speechocean(folder):
    """Write a corpus of six speakers, two utterances each, in the layout of speechocean762."""
    phones, speakers = [], {"train": ["01", "02", "03", "04"], "test": ["05", "06"]}
    for part, names in speakers.items():
        tables = {name: [] for name in ("wav.scp", "text", "utt2spk", "spk2age", "spk2gender")}
        for speaker in names:
            tables["spk2age"].append(f"{speaker}\t{7 if speaker in ('01', '05') else 30}")
            tables["spk2gender"].append(f"{speaker}\tf")
            for number, text in enumerate(("WE CALL", "BEAR" + speaker)):
                name = f"{speaker}{number}"
                audio = folder / f"WAVE/SPEAKER{speaker}/{name}.WAV"
                audio.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(audio, 0.1 * np.sin(np.arange(8000) / (9 + number)), 16000)
                tables["wav.scp"].append(f"{name}\tWAVE/SPEAKER{speaker}/{name}.WAV")
                tables["text"].append(f"{name}\t{text}")
                tables["utt2spk"].append(f"{name} {speaker}")
                words = ["B_B EH1_I R_E"] if number else ["W_B IY0_E", "K_B AO0_I L_E"]
                phones += [f"{name}.{k}\t{word}" for k, word in enumerate(words)]
        for name, lines in tables.items():
            (folder / part).mkdir(exist_ok=True)
            (folder / part / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "resource").mkdir()
    (folder / "resource/text-phone").write_text("\n".join(reversed(phones)) + "\n", encoding="utf-8")


def test_speechocean_to_manifests(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    small_speechocean(corpus)
    arguments = ("prepare_speechocean.sh", "corpus", "out", "--", "--valid_speakers", "1")
    done = run(tmp_path, *arguments, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    splits = {name: read_manifest(tmp_path / f"out/{name}.jsonl", []) for name in ("train", "valid", "test")}
    assert {name: len(utterances) for name, utterances in splits.items()} == {"train": 6, "valid": 2, "test": 4}
    assert not {u.speaker for u in splits["train"]} & {u.speaker for u in splits["valid"]}
    assert splits["test"][0].labels == ("W", "IY", "K", "AO", "L") and splits["test"][1].labels == ("B", "EH", "R")
    groups = [line.split("\t") for line in (tmp_path / "out/groups.tsv").read_text(encoding="utf-8").splitlines()]
    assert groups[0] == ["name", "age", "gender", "text"]
    assert groups[-4:] == [
        ["050", "child", "female", "also in training"],
        ["051", "child", "female", "new"],
        ["060", "adult", "female", "also in training"],
        ["061", "adult", "female", "new"],
    ]
    (corpus / "WAVE/SPEAKER06/060.WAV").unlink()
    done = run(tmp_path, *arguments, PYTHON=sys.executable)
    assert done.returncode == 2 and "060: is not in WAVE/SPEAKER06/060.WAV" in done.stderr
    phones = corpus / "resource/text-phone"
    for cut, message in (
        ("050.1\tK_B AO0_I L_E\n", "050: has other words than"),
        ("060.0\tW_B IY0_E\n", "060: a word is"),
    ):
        whole = phones.read_text(encoding="utf-8")
        phones.write_text(whole.replace(cut, ""), encoding="utf-8")
        done = run(tmp_path, *arguments, PYTHON=sys.executable)
        assert done.returncode == 2 and message in done.stderr
        phones.write_text(whole, encoding="utf-8")
    with open(phones, "a", encoding="utf-8") as file:
        file.write("060.7\tXX0_B\n")
    done = run(tmp_path, *arguments, PYTHON=sys.executable)
    assert done.returncode == 2 and "not '060.7 XX0_B'" in done.stderr
    assert run(tmp_path, "prepare_speechocean.sh", "corpus").returncode == 2


def test_validation_speakers_are_a_fair_part_of_every_group():
    groups = {f"{group}{k}": group for group, size in (("a", 40), ("b", 20), ("c", 5)) for k in range(size)}
    chosen = choose_validation(groups, 13, seed=0)
    counts = {group: sum(groups[speaker] == group for speaker in chosen) for group in "abc"}
    assert counts == {"a": 8, "b": 4, "c": 1}
    assert chosen == choose_validation(groups, 13, seed=0) != choose_validation(groups, 13, seed=1)


def test_corpus_is_counted(corpus):
    done = run(corpus.parent, "download_dataset.sh", ".")
    assert (
        done.returncode == 0 and "80 audio and 80 .PHN files" in done.stdout and "a part of the corpus" in done.stdout
    )
    done = run(corpus, "download_dataset.sh", ".")
    assert done.returncode == 2 and "LDC93S1" in done.stderr


@pytest.mark.parametrize("number", ["9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_numbers_of_speechocean_that_are_none_are_refused(tmp_path, number):
    path = tmp_path / "text-phone"
    path.write_text(f"a.{number} AO0_S\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected `utterance.word` and phones"):
        read_phones(path)
