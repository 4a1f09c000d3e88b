"""Bars of long steps: on a terminal alone, with the time left, and lines of the log do not run into them."""

from __future__ import annotations

import io

from src.model_utils.progress import progress_bar, with_progress
from src.model_utils.runtime import log


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_in_place_of_the_streams(monkeypatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("sys.stdout", screen)
    return screen


def test_a_bar_names_the_step_and_the_time_left_and_goes_away(monkeypatch):
    terminal = terminal_in_place_of_the_streams(monkeypatch)
    assert list(with_progress("abc", 3, "converting")) == ["a", "b", "c"]
    shown = terminal.getvalue()
    assert "converting:   0%" in shown and "0/3 [00:00<" in shown
    assert shown.rsplit("\r", 2)[-2].strip() == "" and shown.endswith("\r")


def test_there_is_no_bar_without_a_terminal_or_a_name(monkeypatch):
    terminal = terminal_in_place_of_the_streams(monkeypatch)
    assert list(with_progress("abc", 3, "")) == ["a", "b", "c"] and terminal.getvalue() == ""
    log_file = io.StringIO()
    monkeypatch.setattr("sys.stderr", log_file)
    assert list(with_progress("abc", None, "converting")) == ["a", "b", "c"] and log_file.getvalue() == ""


def test_a_line_of_the_log_stands_alone_and_the_bar_goes_on_below(monkeypatch):
    terminal = terminal_in_place_of_the_streams(monkeypatch)
    with progress_bar(2000, "reading", "B") as bar:
        bar.update(1000)
        log("half of it")
        shown = terminal.getvalue()
    line = shown[: shown.index("\n")].rsplit("\r", 1)[-1]
    assert line == "half of it" and "reading" in shown[shown.index("\n") :] and "k/2.00k" in shown
