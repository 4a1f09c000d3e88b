"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import gzip
import shutil
import sys

import pytest
from script_contract import ScriptContract, run


class TestScripts(ScriptContract):
    inputs = {"data_path": "multi30k"}
    prepared = ("train.py",)
    options = [
        ("run_train_gpu.sh", "3 multi30k", "GPU", "device_id data_path"),
        ("run_train_cpu.sh", "multi30k", "CPU", "data_path"),
        ("run_performance_cpu.sh", "0 multi30k", "CPU", "device_id data_path"),
        ("run_eval_cpu.sh", "multi30k best.ckpt", "CPU", "data_path ckpt_path"),
        ("run_eval_gpu.sh", "3 multi30k best.ckpt", "GPU", "device_id data_path ckpt_path"),
        ("run_eval_ascend.sh", "3 multi30k best.ckpt", "Ascend", "device_id data_path ckpt_path"),
    ]


def test_from_a_corpus_to_a_score(corpus, tmp_path):
    variables = {"PYTHON": sys.executable, "FOREGROUND": "1"}
    options = ["--preset", "tiny", "--epoch", "1", "--max-length", "15", "--batch-size", "16", "--hidden_size", "16"]
    options += ["--decoder_layers", "1"]
    done = run(tmp_path, "run_train_cpu.sh", corpus, "--", *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch: 1 step: 5, loss is " in (tmp_path / "log.txt").read_text(encoding="utf-8")
    done = run(tmp_path, "run_eval_cpu.sh", corpus, "outputs/gru_seq2seq_best.ckpt", **variables)
    assert done.returncode == 0 and "BLEU" in done.stdout, done.stdout + done.stderr
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "rank_"))}
    assert left == {"eval_log.txt", "log.txt", "outputs", "preprocess"}


@pytest.fixture
def archives(tmp_path):
    """A folder of archives with the names and numbers of lines of Multi30k, and the variable that points there."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, lines in (("train", 29000), ("val", 1014), ("test_2016_flickr", 1000)):
        for language in ("de", "en"):
            with gzip.open(folder / f"{name}.{language}.gz", "wt", encoding="utf-8") as file:
                file.write(f"{language}\n" * lines)
    return folder


def test_the_corpus_is_downloaded_unpacked_and_checked(archives, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    done = run(tmp_path, "download_dataset.sh", "data", MULTI30K_URL=archives.as_uri())
    assert done.returncode == 0, done.stderr
    assert "multi30k/test.en: 1000 lines" in done.stdout and "is ready, for --data_dir" in done.stdout
    assert done.stderr.count("not the file that the README's figures are from") == 6
    made = {f"{split}.{language}" for split in ("train", "val", "test") for language in ("de", "en")}
    assert {path.name for path in (tmp_path / "data/multi30k").iterdir()} == made
    done = run(tmp_path, "download_dataset.sh", "data", MULTI30K_URL="file:///nowhere")
    assert done.returncode == 0 and "downloading" not in done.stdout, "what is there is left alone"
    (tmp_path / "data/multi30k/val.de").write_text("one\n")
    done = run(tmp_path, "download_dataset.sh", "data", MULTI30K_URL="file:///nowhere")
    assert done.returncode == 1 and "val.de: has 1 lines where Multi30k has 1014" in done.stderr
    (tmp_path / "data/multi30k/val.de").unlink()
    done = run(tmp_path, "download_dataset.sh", "data", MULTI30K_URL="file:///nowhere")
    assert done.returncode == 1 and "val.de.gz: cannot be downloaded; get it by hand" in done.stderr


def test_the_corpus_by_hand(archives, tmp_path):
    shutil.copytree(archives, tmp_path / "data/multi30k")
    done = run(tmp_path, "download_dataset.sh", "data", MULTI30K_URL="file:///nowhere")
    assert done.returncode == 0 and (tmp_path / "data/multi30k/test.de").is_file(), done.stderr
    for arguments, code in ((["--help"], 0), ([], 2), (["--no"], 2), (["a", "b"], 2)):
        assert run(tmp_path, "download_dataset.sh", *arguments).returncode == code
