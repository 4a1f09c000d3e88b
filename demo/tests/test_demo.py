"""What the demo finds and says, which processes it starts and ends, and who may ask it; no model runs here."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from models import SENTENCES, Tab, command_of, find_checkpoint, tabs_of, text_of
from programs import Program, Refused, Training
from stand_in import PROGRAM, Served

import demo


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def ends(process: int) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process)


@pytest.fixture
def program():
    program = Program([sys.executable, "-c", PROGRAM])
    yield program
    program.close()


def test_one_process_answers_all_lines_and_bad_ones_give_its_own_words(program):
    first = program.ask("Grüße 王")
    assert first["text"] == "Grüße 王"
    with pytest.raises(Refused, match="^bad: put it otherwise$"):
        program.ask("bad")
    assert program.ask("again")["process"] == first["process"]


@pytest.mark.parametrize("line", ["end", "end slowly", "fault"])
def test_a_program_that_ends_says_why_in_one_line_and_is_started_again(program, line):
    first = program.ask("a")["process"]
    words = "ValueError: a fault of the program" if line == "fault" else "no more than this"
    with pytest.raises(Refused, match=f"^{words}$"):
        program.ask(line)
    assert program.ask("b")["process"] != first


def test_closing_ends_the_process_and_removes_its_folder(program):
    process = program.ask("a")["process"]
    folder = program.folder
    assert is_alive(process) and folder.is_dir()
    program.close()
    assert not is_alive(process) and not folder.exists()


def test_a_training_shows_its_share_and_lines_and_how_it_ended():
    lines = [
        "configuration: batch_size 2, num_epochs 4, seed 1",
        "steps per epoch: 10",
        "epoch: 4 step: 90, loss is 2.5",  # of a pre-training, whose epochs are longer
        "epoch: 2 step: 5, loss is 1.5",
        "epoch: 1 step: 5, loss is 1.5",
    ]
    training = Training(["bash", "-c", f"printf '%s\\n' {' '.join(map(repr, lines))}; exit 3"])
    training.process.wait(10)
    deadline = time.monotonic() + 10
    while len(training.state()["lines"]) < len(lines) and time.monotonic() < deadline:
        time.sleep(0.02)
    state = training.state()
    assert (state["running"], state["code"], state["share"], state["lines"]) == (False, 3, 0.375, lines)


def test_a_training_ends_with_all_that_it_has_started():
    training = Training(["bash", "-c", "sleep 60 & echo $!; wait"])
    deadline = time.monotonic() + 10
    while not training.state()["lines"] and time.monotonic() < deadline:
        time.sleep(0.02)
    (child,) = map(int, training.state()["lines"])
    training.close()
    assert ends(child)


# -- the server as a process


def shown(page: http.client.HTTPResponse, when=lambda tabs: True) -> list[dict]:
    """The first state of the tabs on an open page that fits."""
    while True:
        line = page.readline().decode()
        assert line, "the stream has ended"
        if line.startswith("data: ") and when(tabs := json.loads(line[6:])):
            return tabs


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.close()


def children(served: Served) -> list[int]:
    """Ids of the processes that answer in tab 0 and that train in tab 1, and of what the training has started."""
    answer = served.request("POST", "/ask/0", "hello")[1]["process"]
    page = served.page()
    assert served.request("POST", "/train/1")[0] == 200
    tabs = shown(page, lambda tabs: tabs[1]["training"] and tabs[1]["training"]["lines"])
    assert tabs[1]["training"]["running"]
    served.stream = page  # stays open
    return [answer, int(tabs[1]["training"]["lines"][0])]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_outlives_the_demo(served, number):
    processes = children(served)
    assert all(map(is_alive, processes))
    served.process.send_signal(number)
    assert served.process.wait(10) == (-number if number == signal.SIGKILL else 128 + number)
    assert all(map(ends, processes))


def test_processes_end_with_the_last_page_and_start_again_with_the_next_question(served):
    processes = children(served)
    served.stream.close()
    assert all(map(ends, processes))
    assert served.request("POST", "/ask/0", "hello")[0] == 200


def test_questions_and_answers(served):
    assert served.request("POST", "/ask/0", "Grüße\naus Bonn")[1]["text"] == "Grüße aus Bonn"
    assert served.request("POST", "/ask/0", "bad") == (422, {"error": "bad: put it otherwise"})
    assert served.request("POST", "/ask/1", "hello") == (422, {"error": "this tab has no checkpoint"})
    assert served.request("POST", "/ask/0", "x" * 70000)[0] == 413
    for method, path in (("POST", "/ask/9"), ("POST", "/other"), ("GET", "/../demo.py"), ("GET", "/recording/3/0")):
        assert served.request(method, path)[0] == 404


def test_only_the_page_itself_may_ask(served):
    assert "<title>" in served.request("GET", "/")[1]["content"]
    for headers in ({"Host": "example.org"}, {"Origin": "http://example.org"}, {"Origin": "null"}):
        assert served.request("POST", "/ask/0", "hello", **headers)[0] == 403
    assert served.request("POST", "/ask/0", "hello", Origin=f"http://localhost:{served.port}")[0] == 200


def test_nothing_but_the_loopback_interface_is_listened_at(served):
    lines = Path("/proc/net/tcp").read_text().split("\n")
    local = [line.split()[1] for line in lines[1:] if line and line.split()[3] == "0A"]
    assert [address for address in local if address.endswith(f":{served.port:04X}")] == [f"0100007F:{served.port:04X}"]


# -- what is found and given


def test_checkpoints_are_found_where_trainings_leave_them(tmp_path):
    places = ["quickstart/ctc_lstm/outputs", "outputs", "ctc_lstm/outputs"]
    assert find_checkpoint("ctc_lstm", tmp_path) is None
    for place in places:
        path = tmp_path / place / "ctc_lstm_best.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_checkpoint("ctc_lstm", tmp_path) == path
    given = [("elmo", tmp_path / "weights.hdf5"), ("elmo", tmp_path / "elmo_best.ckpt")]
    tabs = tabs_of(given, tmp_path)
    assert [tab.model for tab in tabs] == ["lstm", "bilstm_ner", "gru_seq2seq", "ctc_lstm", "elmo", "elmo"]
    assert [tab.checkpoint for tab in tabs[3:]] == [path, given[0][1], given[1][1]] and tabs[0] == Tab("lstm", None)


def test_elmo_reads_the_held_out_text_of_a_quick_start(tmp_path):
    checkpoint = tmp_path / "elmo/outputs/elmo_best.ckpt"
    assert text_of(checkpoint) == SENTENCES
    heldout = tmp_path / "elmo/preprocess/heldout.txt"
    heldout.parent.mkdir(parents=True)
    heldout.touch()
    assert text_of(checkpoint) == heldout and str(heldout) in command_of("elmo", checkpoint, None)
    assert "other.txt" in command_of("elmo", checkpoint, Path("other.txt"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["missing_best.ckpt"], "missing_best.ckpt: no such file"),
        (["{}/weights.ckpt"], "of which model? Write MODEL="),
        (["lstm={}/none.ckpt"], "none.ckpt: no such file"),
        (["--text", "{}/none.txt"], "none.txt: no such file"),
        (["--port", "70000"], "--port 70000: "),
    ],
)
def test_wrong_arguments_get_one_line(arguments, words, tmp_path, capsys):
    (tmp_path / "weights.ckpt").touch()
    assert demo.main([each.format(tmp_path) for each in arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_checkpoint_belongs_to_the_model_that_its_name_begins_with(tmp_path):
    for name in ("lstm-3_4.ckpt", "ctc_lstm_best.ckpt", "weights.hdf5"):
        (tmp_path / name).touch()
    assert demo.checkpoint(f"{tmp_path}/lstm-3_4.ckpt")[0] == "lstm"
    assert demo.checkpoint(f"{tmp_path}/ctc_lstm_best.ckpt")[0] == "ctc_lstm"
    assert demo.checkpoint(f"elmo={tmp_path}/weights.hdf5") == ("elmo", tmp_path / "weights.hdf5")


def test_help_comes_before_any_package(tmp_path):
    environment = {**os.environ, "VENV_DIR": str(tmp_path / "venv")}
    command = ["bash", str(Path(demo.__file__).with_name("demo.sh")), "--port", "1", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "--no_browser" in done.stdout and not (tmp_path / "venv").exists()
