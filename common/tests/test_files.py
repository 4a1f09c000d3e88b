"""Files: written whole or not at all, and one rule for what a line of text is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from damaged_files import mutations, read_damaged

from src.model_utils import files
from src.model_utils.files import (
    atomic_write,
    binary_lines,
    decode,
    new_folder,
    output_file,
    read_json,
    read_lines,
    read_text,
    read_vocabulary,
    read_yaml,
    report_bad,
    write_json,
    write_yaml,
)
from src.model_utils.runtime import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.txt"


def lines_of(path, content: bytes) -> list[str]:
    path.write_bytes(content)
    lines = list(read_lines(path))
    assert [number for number, _ in lines] == list(range(1, 1 + len(lines)))
    return [text for _, text in lines]


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("first ä")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write("second")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == "first ä"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    with pytest.raises(OSError) as error, atomic_write(path / "below a file"):
        pass
    assert str(path) in str(error.value.filename)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one", ["one"]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"one\rand a half\ntwo\r\r\n", ["one\rand a half", "two\r"]),
        (b"\xef\xbb\xbfone\ntwo\n", ["one", "two"]),
        (b"\xef\xbb\xbf", [""]),
        ("a\u2028b\u2029c\u0085d\vE\fF\x1cG\n".encode(), ["a\u2028b\u2029c\u0085d\vE\fF\x1cG"]),
        ("zero\ufeffwidth\n".encode(), ["zero\ufeffwidth"]),
    ],
)
def test_a_line_ends_at_a_line_feed_only(path, content, lines):
    assert lines_of(path, content) == lines


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\ntw\xe4 o\n", ":2: byte 3 of the line is not UTF-8; convert the file"),
        ("one\ntwo\n".encode("utf-16"), ":1: not UTF-8 but UTF-16"),
        ("one\ntwo\n".encode("utf-16-be"), ":1: not UTF-8 but UTF-16"),
        ("中文\n文\n".encode("utf-16"), ":1: not UTF-8 but UTF-16"),
        (b"one\ntwo\0three\n", ":2: not UTF-8 but UTF-16, or not text"),
    ],
)
@pytest.mark.parametrize("read", [lambda path: list(read_lines(path)), read_text])
def test_what_is_not_utf8_is_refused_with_its_line(path, read, content, message):
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_lines_that_end_in_carriage_returns_alone_are_refused(path):
    """They would be one line; a carriage return within a line of a file that has line feeds is left there."""
    path.write_bytes(b"one\rtwo\rthree\r")
    with pytest.raises(UserError, match=r"file.txt:1: the lines end in carriage returns alone"):
        list(read_lines(path))
    assert lines_of(path, b"one\rtwo\nthree") == ["one\rtwo", "three"]


def test_a_reader_may_leave_out_bad_lines(path):
    path.write_bytes(b"\xef\xbb\xbfone\n\xfftwo\nthree")
    good, bad = [], []
    for number, line in binary_lines(path):
        try:
            good.append(decode(line, path, number))
        except UserError as error:
            bad.append(str(error))
    assert good == ["one", "three"] and len(bad) == 1 and bad[0].startswith(f"{path}:2: byte 1 ")


def test_other_encodings_are_read_by_the_same_rule(path):
    path.write_bytes(b"\xef\xbb\xbfn\xe4h\x85e\r\n")
    assert list(read_lines(path, "latin-1")) == [(1, "näh\x85e")]


def test_text_keeps_its_line_ends_and_loses_its_mark(path):
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\n")
    assert read_text(path) == "a\r\nb\rc\n\n"


@pytest.mark.parametrize("read", [lambda path: list(read_lines(path)), read_text, read_json, read_yaml])
def test_a_missing_file_and_a_folder_are_named(tmp_path, read):
    for path, message in ((tmp_path / "lost", "no such file"), (tmp_path, "a folder, but a file is expected")):
        with pytest.raises(UserError) as error:
            read(path)
        assert str(error.value) == f"{path}: {message}"


def test_a_pipe_is_read_as_a_file_is(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen(["bash", "-c", f"printf 'one\\ntwo' > '{fifo}'"]):
        assert list(read_lines(fifo)) == [(1, "one"), (2, "two")]
    program = "import sys\nfrom src.model_utils.files import read_lines\nprint(list(read_lines(sys.argv[1])))"
    for place in ("<(printf 'a\\nb')", "/dev/stdin < <(printf 'a\\nb')"):
        command = ["bash", "-c", f'"$PYTHON" -c "$PROGRAM" {place}']
        environment = {**os.environ, "PYTHON": sys.executable, "PROGRAM": program}
        folder = Path(files.__file__).resolve().parents[2]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.stdout == "[(1, 'a'), (2, 'b')]\n", done.stderr


def test_a_file_name_that_is_not_utf8_opens(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with atomic_write(path) as file:
        file.write("one")
    assert list(read_lines(path)) == [(1, "one")]
    with pytest.raises(UserError) as error:
        read_text(path + "s")
    assert str(error.value).endswith("/caf\ufffds: no such file")


def test_json_is_read_and_written(path):
    for content in ([1, "ä\u2028"], {"a": {"b": None}}):
        write_json(path, content)
        assert read_json(path) == content
    path.write_bytes(b"\xef\xbb\xbf[1,\r\n2]")
    assert read_json(path) == [1, 2]


def test_what_is_no_json_is_refused_with_line_and_hint(path):
    for content, message in (
        (b"[1,\n2 3]", ":2"),
        (b"[" * 100_000, ""),
        (b"", ":1"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError) as error:
            read_json(path, "restore it")
        assert str(error.value).startswith(f"{path}{message}: not valid JSON") and str(error.value).endswith(
            "; restore it"
        )
    path.unlink()
    with pytest.raises(UserError, match="no such file; restore it"):
        read_json(path, "restore it")


@pytest.mark.parametrize("content", [["<unk>", "<pad>"], ["<pad>"], ["<pad>", "<unk>", 1], {"<pad>": 0, "<unk>": 1}, 7])
def test_a_vocabulary_is_a_list_that_starts_with_the_special_tokens(path, content):
    write_json(path, ["<pad>", "<unk>", "a"])
    assert read_vocabulary(path, ("<pad>", "<unk>")) == ["<pad>", "<unk>", "a"]
    write_json(path, content)
    with pytest.raises(UserError, match="file.txt: not a vocabulary, expected .* starts with <pad>, <unk>"):
        read_vocabulary(path, ("<pad>", "<unk>"))


def test_bad_samples_are_an_error_or_are_listed_and_counted(capsys):
    problems = [f"a.txt:{number}: empty" for number in range(20)]
    with pytest.raises(UserError, match="^a.txt:0: empty; bad lines in train: 20; .*--on_bad_input skip$"):
        report_bad(problems, "error", "lines in train")
    report_bad(problems, "skip", "lines in train")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == files.PROBLEMS_LOGGED + 1
    assert lines[0] == "warning: left out a.txt:0: empty" and lines[-1] == "warning: left out 20 bad lines in train"
    report_bad([], "error", "lines in train")
    assert capsys.readouterr().out == ""


def test_a_new_folder_appears_when_it_is_complete(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "new") as folder:
        (folder / "half").touch()
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "new") as folder:
        (folder / "file").touch()
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "file"]
    with pytest.raises(UserError, match="new: exists already"), new_folder(tmp_path / "new"):
        pass


def test_yaml_is_read_and_written(path):
    content = {"rate": 1e-07, "decay": 1e-5, "name": "größe", "yes": True, "first": 3}
    write_yaml(path, content)
    assert read_yaml(path) == content and list(read_yaml(path)) == list(content)
    path.write_bytes(b"\xef\xbb\xbfrate: 1\r\n")
    assert read_yaml(path) == {"rate": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"batch_size: 64\nseed: [1\nx: 2\n", ":3: not valid YAML"),
        (b"batch_size: 64\n\tseed: 1\n", ":2: not valid YAML"),
        (b"just words\n", ": expected lines of the form `key: value`"),
        (b"", ": expected lines of the form `key: value`"),
        (b"a: !!python/object/apply:os.getcwd []\n", ":1: not valid YAML"),
        (b"a: &a [1]\nb: &b [*a, *a]\n", ":2: not valid YAML: aliases (*name) are not read"),
        (b"a: 1\nb: \xff\xfe\n", ":2: byte 4 of the line is not UTF-8"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(path, content, message):
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_no_damage_of_a_file_gives_anything_but_a_value_or_one_line(path):
    assert len(mutations(b"some words\nand 10 more\n")) > 40
    write_yaml(path, {"learning_rate": 0.1, "num_epochs": 20, "pooling": "mean", "bidirectional": True})
    assert read_damaged(path, lambda: read_yaml(path)) > 20
    write_json(path, {"words": ["a", "film"], "numbers": [1, 0.5]})
    assert read_damaged(path, lambda: read_json(path)) > 20
    path.write_bytes(b"some words\nand 10 more\n")
    assert 5 < read_damaged(path, lambda: list(read_lines(path))) < 20


def test_a_file_that_cannot_be_made_is_noticed_at_once(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.txt"
    assert output_file(str(path)) == path and not path.parent.exists()
    with pytest.raises(UserError, match="a folder; name a file in it"):
        output_file(str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/below/x: cannot be made, as .*/file is no folder; choose another place"):
        output_file(str(tmp_path / "file" / "below" / "x"))
    monkeypatch.setattr(os, "access", lambda folder, mode: (folder, mode) != (tmp_path, os.W_OK))
    with pytest.raises(UserError, match="cannot be written to"):
        output_file(str(path))
