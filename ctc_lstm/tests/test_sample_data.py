"""The synthetic corpus: TIMIT's layout, the same in every run, and clear about where it may be written."""

from __future__ import annotations

import subprocess

import pytest
import soundfile

from src import digit_strings, sample_data
from src.model_utils.runtime import UserError
from src.timit import PHONES_61, read_phones


def test_layout(corpus):
    speakers = sorted(path for path in corpus.glob("*/DR?/*"))
    assert len(speakers) == 10 and len({path.name for path in speakers}) == 10
    for path in speakers[0].glob("*.WAV"):
        assert path.read_bytes().startswith(b"NIST_1A\n   1024\n")
        info = soundfile.info(str(path))
        assert (info.samplerate, info.channels, info.format) == (16000, 1, "NIST")
        lines = [line.split() for line in path.with_suffix(".PHN").read_text().splitlines()]
        assert [int(line[0]) for line in lines[1:]] == [int(line[1]) for line in lines[:-1]], "no gaps"
        assert int(lines[-1][1]) == info.frames
        assert set(read_phones(path.with_suffix(".PHN"))) <= set(PHONES_61)
        words = [line.split()[2] for line in path.with_suffix(".WRD").read_text().splitlines()]
        assert path.with_suffix(".TXT").read_text() == f"0 {info.frames} {' '.join(words).capitalize()}.\n"
    sentences = [(path / "SA1.WRD").read_text().split()[2::3] for path in speakers]
    assert all(words == sentences[0] for words in sentences), "everybody reads SA1"


def test_same_again(corpus, tmp_path):
    sample_data.main([str(tmp_path / "TIMIT"), "--train_speakers", "8", "--test_speakers", "2", "--sentences", "8"])
    assert not subprocess.run(["diff", "-r", str(corpus), str(tmp_path / "TIMIT")]).returncode
    with pytest.raises(UserError, match="exists already"):
        sample_data.main([str(tmp_path / "TIMIT")])
    with pytest.raises(UserError, match="must be 3 to 10"):
        sample_data.main([str(tmp_path / "other"), "--sentences", "2"])


@pytest.mark.parametrize(("program", "folders"), [(sample_data, ["here"]), (digit_strings, ["here", "there"])])
def test_a_wrong_option_gets_one_line(exit_of, program, folders):
    code, _, error = exit_of(program.main, *folders, "--seeds", "3")
    assert code == 2 and error.startswith("error: ") and "did you mean '--seed'?" in error and error.count("\n") == 1
