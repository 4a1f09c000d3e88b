"""Texts from arguments, files, pipes and terminals: what a line is, when it is answered, what cannot be read."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from src.model_utils import text_input
from src.model_utils.configuration import Parser
from src.model_utils.runtime import UserError
from src.model_utils.text_input import LONGEST_LINE, TextInput, add_input_options, line_chunks

FOLDER = Path(text_input.__file__).resolve().parents[2]
ANSWER = """
import json, sys
from src.model_utils.configuration import Parser
from src.model_utils.runtime import run
from src.model_utils.text_input import TextInput, add_input_options
def main():
    parser = Parser("a test")
    add_input_options(parser, "review")
    parser.add_argument("--names", action="store_true")
    args = parser.parse_args()
    source = TextInput(args, "review", args.names)
    for texts in source.chunks():
        for text in texts:
            print(json.dumps(text, ensure_ascii=False))
        sys.stdout.flush()
run(main)
"""


def answered(command: str, *arguments, content: bytes | None = None, **variables: str):
    """Run a program that repeats what it reads, `$ANSWER`, as a shell does: exit code, texts, standard error."""
    environment = {**os.environ, "PYTHON": sys.executable, "ANSWER": ANSWER, **variables}
    command = command.replace("$ANSWER", '"$PYTHON" -c "$ANSWER"')
    call = ["bash", "-c", command, "bash", *map(os.fspath, arguments)]
    done = subprocess.run(call, cwd=FOLDER, env=environment, input=content, capture_output=True)
    texts = [json.loads(line) for line in done.stdout.decode("utf-8").split("\n")[:-1]]
    return done.returncode, texts, done.stderr.decode("utf-8")


def read(*words, file_names: bool = False) -> list[str]:
    parser = Parser("a test")
    add_input_options(parser, "review")
    source = TextInput(parser.parse_args([str(word) for word in words]), "review", file_names)
    return [text for texts in source.chunks() for text in texts]


# what a line is


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"one", [b"one"]),
        (b"one\r\n\ntwo\n", [b"one", b"", b"two"]),
        (b"\xef\xbb\xbfone\n\xef\xbb\xbftwo", [b"one", b"\xef\xbb\xbftwo"]),
        (b"one\rtwo\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8x\n", [b"one\rtwo\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8x"]),
        (b"x" * 200000 + b"\ny\n", [b"x" * 200000, b"y"]),
        (b"line\n" * 30001, [b"line"] * 30001),
    ],
)
def test_lines_of_a_file_come_whole_and_in_full_chunks(tmp_path, content, lines):
    path = tmp_path / "lines"
    path.write_bytes(content)
    with open(path, "rb") as file:
        chunks = list(line_chunks(file, "lines", 512))
    assert [line for chunk in chunks for line in chunk] == lines
    assert all(chunks) and max(map(len, chunks), default=0) <= 512


def test_lines_of_a_pipe_come_when_it_pauses():
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as source, open(write_end, "wb", buffering=0) as sink:
        chunks = line_chunks(source, "pipe", 512)
        sink.write(b"one\ntwo\nthr")
        assert next(chunks) == [b"one", b"two"]
        sink.write(b"ee\n")
        assert next(chunks) == [b"three"]
        sink.write(b"four")
        sink.close()
        assert next(chunks) == [b"four"]
        assert next(chunks, None) is None


@pytest.mark.parametrize("before", [b"one\n", b""])
def test_endless_line_is_refused(tmp_path, before):
    path = tmp_path / "lines"
    path.write_bytes(before + b"x" * (LONGEST_LINE + 2**17))
    number = 1 + before.count(b"\n")
    with open(path, "rb") as file, pytest.raises(UserError, match=f"{path}:{number}: longer than {LONGEST_LINE} bytes"):
        for lines in line_chunks(file, path):
            assert lines == [b"one"]


# where texts come from


def test_arguments_a_file_and_a_pipe_give_the_same_texts(tmp_path):
    texts, path = ["诗 and Größe", "", "a\u2028b\u0085c\rd"], tmp_path / "texts"
    content = "".join(text + "\n" for text in texts).encode()
    path.write_bytes(content)
    expected = 0, texts, ""
    assert answered('$ANSWER "$@"', *texts) == expected
    assert answered('$ANSWER --input_file "$1"', path) == expected
    assert answered("$ANSWER", content=content) == expected
    assert answered('$ANSWER < "$1"', path) == expected
    assert answered('$ANSWER --input_file /dev/stdin < "$1"', path) == expected
    assert answered('$ANSWER --input-file <(cat "$1")', path) == expected
    assert answered('mkfifo "$1.pipe"; cat "$1" > "$1.pipe" & $ANSWER --input_file "$1.pipe"', path) == expected


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_texts_are_utf8_whatever_the_locale(variables):
    assert answered("$ANSWER 北京市 Größe", **variables) == (0, ["北京市", "Größe"], "")
    assert answered("$ANSWER", content="北京市\n".encode(), **variables) == (0, ["北京市"], "")


def test_a_slow_writer_gets_an_answer_before_the_next_line():
    """Afterwards thousands of lines flow in order."""
    command = [sys.executable, "-c", ANSWER]
    process = subprocess.Popen(command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    killer = threading.Timer(60, process.kill)  # an answer that never comes must not hang the tests
    killer.start()
    try:
        for text in ("A gem.", "", "A mess."):
            process.stdin.write(text + "\n")
            assert json.loads(process.stdout.readline()) == text
        out, _ = process.communicate("".join(f"review {number}\n" for number in range(3000)))
    finally:
        killer.cancel()
        process.kill()
    assert process.returncode == 0
    assert [json.loads(line) for line in out.splitlines()] == [f"review {k}" for k in range(3000)]


def test_somebody_at_a_terminal_is_asked_for_lines():
    keyboard, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWER], cwd=FOLDER, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(terminal)
    os.write(keyboard, b"one\n\x04")
    out, err = process.communicate(timeout=60)
    os.close(keyboard)
    assert (out, err) == (b'"one"\n', b"type one review a line; Ctrl-D ends\n")


# what cannot be read


def test_bytes_that_are_not_utf8_are_replaced_and_counted(tmp_path, capsys):
    path = tmp_path / "texts"
    path.write_bytes(b"\xef\xbb\xbfA gem.\r\nA \xff mess.\n\xe9t\xe9\nA caf\xc3\xa9.\n\0")
    assert read("--input_file", path) == ["A gem.", "A \ufffd mess.", "\ufffdt\ufffd", "A café.", "\ufffd"]
    warning = "not UTF-8; what could not be read was replaced in"
    assert capsys.readouterr().err == f"warning: {path}:2: {warning} 3 of 5 lines\n"
    assert read("a", "\ufeffb", "c\udcff") == ["a", "b", "c\ufffd"]
    assert capsys.readouterr().err == f"warning: the command line:3: {warning} 1 of 3 arguments\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["good\nbad\n", "北京\n市"])
def test_utf16_is_refused(tmp_path, text, encoding):
    path = tmp_path / "texts"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError, match=rf"{path}:\d: not UTF-8 but UTF-16.*iconv -f UTF-16"):
        read("--input_file", path)


def test_file_names_keep_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbfone.wav\r\ncaf\xe9.wav\n")
    assert read("--input_file", path, file_names=True) == ["one.wav", "caf\udce9.wav"]
    assert read("caf\udce9.wav", file_names=True) == ["caf\udce9.wav"]
    assert answered(r"$ANSWER --names $'caf\xe9.wav'") == (0, ["caf\udce9.wav"], "")


def test_a_closed_standard_input_is_an_error_only_where_it_is_needed(tmp_path):
    code, texts, err = answered("$ANSWER <&-")
    assert (code, texts) == (2, []) and err.count("\n") == 1
    assert err.startswith("error: standard input is closed; give a review as an argument, or a file by --input_file")
    assert answered("$ANSWER text <&-") == (0, ["text"], "")
    assert answered("$ANSWER </dev/null") == (0, [], "")
    (tmp_path / "texts").write_text("one")
    assert answered('$ANSWER --input_file "$1" <&-', tmp_path / "texts") == (0, ["one"], "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("text --input_file /nowhere", "give either arguments or --input_file, not both"),
        ("--input_file /nowhere", "/nowhere: no such file"),
        ("--input_file {folder}", "{folder}: a folder, but a file is expected"),
    ],
)
def test_errors_of_the_user(tmp_path, words, message):
    with pytest.raises(UserError) as error:
        read(*words.format(folder=tmp_path).split())
    assert str(error.value) == message.format(folder=tmp_path)
