"""A function by several processes: answers in the order of the items, nothing far ahead, nothing left behind."""

from __future__ import annotations

import os

import pytest

from src.model_utils.files import read_text
from src.model_utils.processes import map_in_processes
from src.model_utils.runtime import UserError


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_the_order_of_the_items_a_few_at_a_time(tmp_path, workers):
    paths, taken = [tmp_path / str(number) for number in range(10)], []
    for number, path in enumerate(paths):
        path.write_text(str(number) * 100_000 * (number % 2), encoding="utf-8")  # more than a pipe holds, or nothing
    items = (taken.append(path) or path for path in paths)
    for number, text in enumerate(map_in_processes(read_text, items, workers)):
        assert text == str(number) * 100_000 * (number % 2) and len(taken) <= number + workers + 1
    assert taken == paths and list(map_in_processes(read_text, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_in_the_place_of_its_item(tmp_path, workers):
    (tmp_path / "there").write_text("text", encoding="utf-8")
    answers = map_in_processes(read_text, [tmp_path / "there", tmp_path / "none", tmp_path / "there"], workers)
    assert next(answers) == "text"
    with pytest.raises(UserError, match="none: no such file"):
        next(answers)


def test_a_process_that_dies_is_noticed_and_none_is_left():
    with pytest.raises(RuntimeError, match="a process ended with 3"):
        list(map_in_processes(os._exit, [3] * 5, 2))
    answers = map_in_processes(os.path.abspath, iter(int, 1), 2)  # without an end, and no paths
    with pytest.raises(TypeError):
        next(answers)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_folder_src_of_the_callers_own_is_not_taken_for_ours(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/__init__.py").touch()
    (tmp_path / "text").write_text("here", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert list(map_in_processes(read_text, ["text"] * 3, 2)) == ["here"] * 3
