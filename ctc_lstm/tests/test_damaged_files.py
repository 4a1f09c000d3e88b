"""No content of a file that a user may have ends in anything but an answer or one line of complaint."""

import json
import wave

import numpy as np
import pytest
from damaged_files import read_damaged

from src.audio import read_audio
from src.dataset import load_vocabulary
from src.manifest import read_manifest
from src.model_utils.files import report_bad, write_json
from src.model_utils.runtime import UserError
from src.ngram import load_ngram, save_ngram, train_ngram
from src.timit import read_phones


def complain(read):
    problems = []
    result = read(problems)
    report_bad(problems, "error", "files")
    return result


def test_phones(tmp_path):
    path = tmp_path / "SX1.PHN"
    path.write_text("0 2000 h#\n2000 3100 sh\n3100 4400 iy\n4400 6000 h#\n")
    assert read_damaged(path, lambda: read_phones(path)) > 10


@pytest.mark.parametrize("kind", ["jsonl", "tsv"])
def test_manifests(tmp_path, kind):
    path, lines = tmp_path / f"train.{kind}", []
    for number in range(12):
        fields = {"audio": f"{number}.wav", "labels": "one two", "speaker": "s1"}
        (tmp_path / fields["audio"]).touch()
        lines.append(json.dumps(fields) if kind == "jsonl" else "\t".join(fields.values()))
    path.write_text("\n".join(lines) + "\n")
    assert read_damaged(path, lambda: complain(lambda problems: read_manifest(path, problems))) > 15


def test_audio(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes((np.sin(np.arange(3200)) * 9000).astype(np.int16).tobytes())
    assert read_damaged(path, lambda: read_audio(path, 60)) > 15


def test_sphere_audio(tmp_path):
    path = tmp_path / "a.sph"
    samples = (np.sin(np.arange(3200)) * 9000).astype("<i2")
    header = "NIST_1A\n   1024\nchannel_count -i 1\nsample_count -i 3200\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
    header += "sample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    path.write_bytes(header.encode().ljust(1024) + samples.tobytes())
    assert len(read_audio(path)[0]) == 3200
    assert read_damaged(path, lambda: read_audio(path, 60)) > 15


def test_vocabulary_and_ngram(tmp_path):
    path = tmp_path / "vocab.json"
    write_json(path, ["<blank>", "aa", "iy"])
    assert read_damaged(path, lambda: load_vocabulary(path)) > 20
    path = tmp_path / "ngram.json"
    save_ngram(path, train_ngram([("aa", "iy"), ("iy", "aa", "aa")], 2))
    assert read_damaged(path, lambda: load_ngram(path)) > 20


@pytest.mark.parametrize(
    "change",
    [
        {"order": "2"},
        {"order": 0},
        {"labels": [3]},
        {"counts": [["aa", {"iy": "1"}]]},
        {"counts": [["aa", {"iy": -1}]]},
    ],
)
def test_an_ngram_model_of_other_values_is_refused(tmp_path, change):
    path = tmp_path / "ngram.json"
    write_json(path, {"order": 2, "labels": ["aa", "iy"], "counts": [["aa", {"iy": 1}]], **change})
    with pytest.raises(UserError, match="not an n-gram model"):
        load_ngram(path)
