"""The shell scripts: with a stand-in for Python that writes down how it was called, and once for real."""

from __future__ import annotations

import hashlib
import sys
import tarfile

from script_contract import RUN_SCRIPTS, SCRIPTS, ScriptContract, run

LM1B = "1-billion-word-language-modeling-benchmark-r13output"


class TestScripts(ScriptContract):
    """The contract of all models, and the device as an argument."""

    inputs = {"preprocess_path": "text"}
    options = [
        ("run_train_gpu.sh", "3 text", "GPU", "device_id preprocess_path"),
        ("run_train_ascend.sh", "3 text", "Ascend", "device_id preprocess_path"),
        ("run_train_cpu.sh", "text", "CPU", "preprocess_path"),
        ("run_performance_cpu.sh", "0 text", "CPU", "device_id preprocess_path"),
        ("run_eval_cpu.sh", "text best.ckpt", "CPU", "preprocess_path ckpt_path"),
        ("run_eval_gpu.sh", "3 text best.ckpt", "GPU", "device_id preprocess_path ckpt_path"),
    ]
    mistakes = [
        ("run_distribution.sh", "TPU 2 text", "unknown device 'TPU'"),
        ("convert_dataset.sh", "lost out", "there is no file or folder 'lost'"),
    ]
    other_scripts = ("run_distribution.sh",)

    def test_the_device_of_a_distributed_training_may_be_an_argument(self, caller):
        self.check_msrun(caller, "CPU", "run_distribution.sh", "CPU")


def test_every_script_has_a_usage():
    own = {"run_distribution.sh", "convert_dataset.sh", "build_vocab.sh", "download_dataset.sh"}
    sourced = {"arguments.sh", "common.sh", "download.sh"}
    assert {path.name for path in SCRIPTS.glob("*.sh")} == {*RUN_SCRIPTS, *own, *sourced}
    for name in own:
        done = run(SCRIPTS, name, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: bash {name} "), name
        assert run(SCRIPTS, name).returncode == 2


def test_from_raw_text_to_a_score(texts, small_options, tmp_path):
    variables = {"PYTHON": sys.executable, "FOREGROUND": "1"}
    (tmp_path / "raw").symlink_to(texts)
    conversion = {"VALID": "0.05", "HELDOUT": "0.05", "MIN_COUNT": "1"}
    done = run(tmp_path, "convert_dataset.sh", "raw", "made", "tiny", **variables, **conversion)
    assert done.returncode == 0, done.stderr
    assert "360 documents" in done.stdout and "<UNK>" in done.stdout
    options = ["--preset", "tiny", "--options_path", small_options, "--max_steps", "20"]
    done = run(tmp_path, "run_train_cpu.sh", "made", "--", *options, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch: 1 step: 20, loss is " in (tmp_path / "log.txt").read_text(encoding="utf-8")
    done = run(tmp_path, "run_eval_cpu.sh", "made", "outputs/elmo_best.ckpt", **variables)
    assert done.returncode == 0 and "perplexity both" in done.stdout
    names = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith((".", "rank_")))
    assert names == ["eval_log.txt", "log.txt", "made", "outputs", "raw"]


def test_a_vocabulary_is_built_from_any_text(tmp_path):
    (tmp_path / "text.txt").write_text("b a b\nc b a", encoding="utf-8")
    done = run(tmp_path, "build_vocab.sh", "text.txt", "v.txt", "--", "--min_count", "2", PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "v.txt").read_text(encoding="utf-8") == "<S>\n</S>\n<UNK>\nb\na\n"


def test_download_is_checked_and_unpacked(tmp_path):
    part = tmp_path / LM1B / "training-monolingual.tokenized.shuffled"
    part.mkdir(parents=True)
    (part / "news.en-00001-of-00100").write_text("A sentence .\n", encoding="utf-8")
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / LM1B, LM1B)
    variables = {"LM1B_URL": archive.as_uri(), "LM1B_SHA256": hashlib.sha256(archive.read_bytes()).hexdigest()}
    done = run(tmp_path, "download_dataset.sh", "wrong", **{**variables, "LM1B_SHA256": "0" * 64})
    assert done.returncode == 1 and "wrong sha256 checksum" in done.stderr and not list((tmp_path / "wrong").iterdir())
    done = run(tmp_path, "download_dataset.sh", "data", **variables)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / LM1B / part.name / "news.en-00001-of-00100").is_file()
    assert "is there already" in run(tmp_path, "download_dataset.sh", "data", **variables).stdout
