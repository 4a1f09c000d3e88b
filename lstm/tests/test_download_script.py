"""script/download_dataset.sh against archives on this machine: nothing here uses a network."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "script" / "download_dataset.sh"
GLOVE_FILES = [f"glove.6B.{size}d.txt" for size in (50, 100, 200, 300)]

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


@pytest.fixture
def sources(tmp_path):
    """Small archives of the real names, and the variables that point the script to them."""
    folder = tmp_path / "sources"
    review = folder / "aclImdb" / "train" / "pos" / "0_9.txt"
    review.parent.mkdir(parents=True)
    review.write_bytes(os.urandom(5000))
    with tarfile.open(folder / "aclImdb_v1.tar.gz", "w:gz") as archive:
        archive.add(folder / "aclImdb", "aclImdb")
    with zipfile.ZipFile(folder / "glove.6B.zip", "w") as archive:
        for name in GLOVE_FILES:
            archive.writestr(name, "the 0.1 0.2\n")
    return {
        "ACLIMDB_URL": (folder / "aclImdb_v1.tar.gz").as_uri(),
        "ACLIMDB_MD5": hashlib.md5((folder / "aclImdb_v1.tar.gz").read_bytes()).hexdigest(),
        "GLOVE_URL": (folder / "glove.6B.zip").as_uri(),
        "GLOVE_SHA256": hashlib.sha256((folder / "glove.6B.zip").read_bytes()).hexdigest(),
    }


def call(tmp_path, *arguments, **variables):
    environment = {"PATH": os.environ["PATH"], **variables}
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_usage(tmp_path):
    done = call(tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Usage: bash download_dataset.sh DEST [aclimdb|glove|all]")
    for url in ("https://ai.stanford.edu/~amaas/data/sentiment/", "https://nlp.stanford.edu/data/", "huggingface.co"):
        assert url in done.stderr
    done = call(tmp_path, "--help")
    assert done.returncode == 0 and done.stdout.startswith("Usage: ") and done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "imdb"], "error: unknown data 'imdb'; choose aclimdb, glove or all\n"),
        (["--force"], "error: unknown option --force; run it without arguments to see the usage\n"),
        (["data", "all", "x"], "error: too many arguments: data all x; run it without arguments to see the usage\n"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    done = call(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (2, message)
    assert names(tmp_path) == []


def test_gets_everything_once(tmp_path, sources):
    done = call(tmp_path, "my data/new", **sources)
    assert (done.returncode, done.stderr) == (0, "")
    dest = tmp_path / "my data" / "new"  # as seen from the caller's folder
    assert names(dest) == ["aclImdb", "aclImdb_v1.tar.gz", "glove", "glove.6B.zip"]
    review = "aclImdb/train/pos/0_9.txt"
    assert (dest / review).read_bytes() == (tmp_path / "sources" / review).read_bytes()
    assert names(dest / "glove") == sorted(GLOVE_FILES)
    assert "my data/new/glove is ready, for --glove_path" in done.stdout

    (dest / "aclImdb_v1.tar.gz").unlink()
    (dest / "glove.6B.zip").unlink()
    shutil.rmtree(tmp_path / "sources")
    again = call(tmp_path, "my data/new", **sources)
    assert again.returncode == 0
    assert again.stdout == "my data/new/aclImdb is there already\nmy data/new/glove is there already\n"


def test_gets_one_part(tmp_path, sources):
    assert call(tmp_path, "dest", "glove", **sources).returncode == 0
    assert names(tmp_path / "dest") == ["glove", "glove.6B.zip"]
    (tmp_path / "dest" / "glove" / GLOVE_FILES[0]).unlink()
    assert call(tmp_path, "dest", "glove", **sources).returncode == 0  # from the archive that is there
    assert names(tmp_path / "dest" / "glove") == sorted(GLOVE_FILES)


@pytest.mark.parametrize("share", [0.5, 1])
def test_continues_a_partial_download(tmp_path, sources, share):
    whole = (tmp_path / "sources" / "aclImdb_v1.tar.gz").read_bytes()
    part = tmp_path / "dest" / "aclImdb_v1.tar.gz.local.part"
    part.parent.mkdir()
    part.write_bytes(whole[: int(share * len(whole))])
    if share == 1:  # complete, only the renaming was cut off: needs no source any more
        (tmp_path / "sources" / "aclImdb_v1.tar.gz").unlink()
    else:  # what the part holds is not fetched again
        (tmp_path / "sources" / "aclImdb_v1.tar.gz").write_bytes(
            bytes(len(part.read_bytes())) + whole[part.stat().st_size :]
        )
    done = call(tmp_path, "dest", "aclimdb", **sources)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "dest" / "aclImdb_v1.tar.gz").read_bytes() == whole
    assert names(tmp_path / "dest") == ["aclImdb", "aclImdb_v1.tar.gz"]


def test_damaged_download_is_deleted(tmp_path, sources):
    done = call(tmp_path, "dest", "aclimdb", **{**sources, "ACLIMDB_MD5": "0" * 32})
    assert done.returncode == 1
    assert f"wrong md5 checksum {sources['ACLIMDB_MD5']}, expected {'0' * 32}; the download was deleted" in done.stderr
    assert names(tmp_path / "dest") == []


def test_without_network_says_how_to_get_it_by_hand(tmp_path, sources):
    missing = (tmp_path / "sources" / "nothing.zip").as_uri()
    done = call(tmp_path, "dest", "glove", **{**sources, "GLOVE_URL": missing})
    assert done.returncode == 1
    assert f"get {missing} by hand, put it there as dest/glove.6B.zip and run this again" in done.stderr
    shutil.copy(tmp_path / "sources" / "glove.6B.zip", tmp_path / "dest" / "glove.6B.zip")
    assert call(tmp_path, "dest", "glove", **{**sources, "GLOVE_URL": missing}).returncode == 0


def test_damaged_file_put_there_by_hand_is_kept_and_named(tmp_path, sources):
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "glove.6B.zip").write_bytes(b"PK")
    done = call(tmp_path, "dest", "glove", **sources)
    assert done.returncode == 2
    assert "error: dest/glove.6B.zip: wrong sha256 checksum" in done.stderr and "delete it" in done.stderr
    assert names(tmp_path / "dest") == ["glove.6B.zip"]


def test_archive_without_the_corpus_leaves_nothing_half_unpacked(tmp_path, sources):
    path = tmp_path / "sources" / "aclImdb_v1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "other.txt")
    changed = {**sources, "ACLIMDB_MD5": hashlib.md5(path.read_bytes()).hexdigest()}
    done = call(tmp_path, "dest", "aclimdb", **changed)
    assert done.returncode == 2 and "holds no aclImdb/train/pos" in done.stderr
    assert names(tmp_path / "dest") == ["aclImdb_v1.tar.gz"]
