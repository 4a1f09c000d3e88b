"""Audio files: what they hold, headers that promise more or nothing, pipes, and clear words about bad files."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.audio import change_speed, read_audio, resample
from src.model_utils.runtime import UserError

RATE = 16000


def tone(hertz, seconds=0.5, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def test_sphere_riff_and_flac_hold_the_same(tmp_path):
    samples = tone(440)
    written(tmp_path / "a.sph", samples)
    soundfile.write(tmp_path / "b.wav", samples, RATE)
    soundfile.write(tmp_path / "c.flac", np.stack([samples, samples], 1), RATE)
    for name in ("a.sph", "b.wav", "c.flac"):
        actual, rate = read_audio(tmp_path / name)
        assert rate == RATE and actual.dtype == np.float32 and actual.shape == samples.shape
        np.testing.assert_allclose(actual, samples, atol=1e-4)


def test_bad_audio_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "silent.wav", np.full(RATE, 0.2), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", tone(440) * 1e20, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "long.wav", tone(440, 3), RATE)
    for name, message in (
        ("missing", "no such file"),
        ("text", "unreadable audio"),
        ("empty", "holds no samples"),
        ("silent", "silent"),
        ("nan", "not finite"),
        ("loud", "beyond 1048576"),
        ("long", "longer than max_seconds 2"),
    ):
        with pytest.raises(UserError, match=rf"{name}\.wav: .*{message}"):
            read_audio(tmp_path / f"{name}.wav", 2.0)


def test_resampling_and_speed_keep_the_sound():
    np.testing.assert_allclose(resample(tone(440), RATE, 8000)[100:-100], tone(440, rate=8000)[100:-100], atol=2e-3)
    faster = change_speed(tone(400, 1.1), 1.1)
    np.testing.assert_allclose(faster[200:15000], tone(440, 1)[200:15000], atol=2e-3)
    assert resample(tone(440), RATE, RATE) is not None and len(change_speed(tone(440), 0.9)) == round(8000 / 0.9 + 0.5)


def written(path: Path, samples: np.ndarray) -> bytes:
    """Return the bytes of a file of the samples in the format that its name says."""
    if path.suffix == ".sph":
        soundfile.write(path, samples, RATE, "PCM_16", "LITTLE", "NIST")
    else:
        soundfile.write(path, samples, RATE)
    return path.read_bytes()


@pytest.mark.parametrize("suffix,header", [(".sph", 1024), (".wav", 44), (".aiff", 54), (".au", 24)])
def test_files_that_are_shorter_than_their_header_says_are_refused(tmp_path, suffix, header):
    content = written(tmp_path / f"a{suffix}", tone(440, 18460 / RATE))
    (tmp_path / f"cut{suffix}").write_bytes(content[: header + 2 * 6153])
    with pytest.raises(UserError, match=rf"cut\{suffix}: cut short, the header says 18460 samples and 6153 are there"):
        read_audio(tmp_path / f"cut{suffix}")


def test_flac_that_is_cut_is_refused_wherever_it_ends(tmp_path):
    samples = 0.3 * np.random.default_rng(0).standard_normal(20000).clip(-1, 1)
    content = written(tmp_path / "a.flac", samples)
    frames = [match.start() for match in re.finditer(rb"\xff\xf8", content)]
    assert len(frames) > 3
    (tmp_path / "cut.flac").write_bytes(content[: frames[2]])  # between two frames, where the decoder sees no fault
    with pytest.raises(UserError, match="the header says 20000 samples and 8192 are there"):
        read_audio(tmp_path / "cut.flac")
    (tmp_path / "cut.flac").write_bytes(content[: frames[2] - 100])
    with pytest.raises(UserError, match="unreadable audio"):
        read_audio(tmp_path / "cut.flac")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0])
@pytest.mark.parametrize("suffix", [".wav", ".sph", ".flac"])
def test_streams_whose_length_was_not_known_are_read_to_their_end(tmp_path, suffix, size):
    samples = tone(440, 1.2)
    content = bytearray(written(tmp_path / f"a{suffix}", samples))
    if suffix == ".wav":
        content[4:8] = content[40:44] = size.to_bytes(4, "little")
    elif suffix == ".sph":
        content[:1024] = content[:1024].replace(b"-i 19200\n", b"-i %d\n" % size).ljust(1024)[:1024]
    else:
        content[21] &= 0xF0  # the total is the last 36 bits of these; 0 is unknown
        content[22:26] = bytes(4)
    (tmp_path / f"a{suffix}").write_bytes(content)
    read, rate = read_audio(tmp_path / f"a{suffix}", 60)
    assert rate == RATE and read.shape == samples.shape
    np.testing.assert_allclose(read, samples, atol=1e-4)


def test_long_streams_of_unknown_length_are_refused(tmp_path):
    content = bytearray(written(tmp_path / "a.flac", tone(440, 9)))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(UserError, match="longer than max_seconds 8"):
        read_audio(tmp_path / "a.flac", 8)


def test_chunks_beside_the_samples_are_no_samples(tmp_path):
    content = written(tmp_path / "a.wav", tone(440))
    note = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    size = len(content) + 2 * len(note) - 8
    (tmp_path / "a.wav").write_bytes(
        content[:4] + size.to_bytes(4, "little") + content[8:12] + note + content[12:] + note
    )
    assert len(read_audio(tmp_path / "a.wav")[0]) == 8000
    empty = content[:4] + (36 + len(note)).to_bytes(4, "little") + content[8:40] + bytes(4) + note
    (tmp_path / "empty.wav").write_bytes(empty)
    with pytest.raises(UserError, match="holds no samples"):
        read_audio(tmp_path / "empty.wav")


@pytest.mark.parametrize("suffix", [".wav", ".sph", ".flac"])
def test_pipes_are_read_as_files_are(tmp_path, suffix):
    content = written(tmp_path / f"a{suffix}", tone(440))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    piped, _ = read_audio(tmp_path / "pipe")
    writer.join()
    np.testing.assert_array_equal(piped, read_audio(tmp_path / f"a{suffix}")[0])


def test_formats_that_cannot_seek_and_names_that_say_nothing(tmp_path):
    soundfile.write(tmp_path / "gsm.wav", tone(440, rate=8000), 8000, subtype="GSM610")
    assert 4000 <= len(read_audio(tmp_path / "gsm.wav")[0]) < 4500
    written(tmp_path / "a.wav", tone(440))
    for name in (b"a.raw", b"\xe9t\xe9.wav", b"none"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.link(tmp_path / "a.wav", path)
        assert len(read_audio(os.fsdecode(path))[0]) == 8000


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    for name, message in (
        ("folder.wav", r"unreadable audio \(is a directory\)"),
        ("loop.wav", "symbolic links"),
        ("a\0b.wav", "no such file"),
        ("\udce9.wav", "no such file"),
        ("\ud800.wav", "no such file"),
    ):
        with pytest.raises(UserError, match=message):
            read_audio(os.path.join(tmp_path, name))
