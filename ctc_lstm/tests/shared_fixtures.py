"""What the conftest.py of every folder imports: fixtures, and assertions that explain themselves in shared modules."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("damaged_files", "script_contract")


@pytest.fixture
def exit_of(capsys):
    """Runs an entry point as its script does; returns the exit code, standard output and standard error."""
    from src.model_utils.runtime import run

    def call(main, *arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            run(lambda: main([str(argument) for argument in arguments]))
        return (left.value.code, *capsys.readouterr())

    return call


RUN_ALONE = """
import pathlib, runpy, sys
folder = pathlib.Path(sys.argv.pop(1))
del sys.argv[0]
sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
assert not [file for file in files if folder in pathlib.Path(file).parents and "site-packages" not in file], files
"""


@pytest.fixture
def run_exported(tmp_path_factory):
    """Runs a script of an export, moved to where nothing of the project is; returns what it prints."""

    def call(export, script, *arguments):
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        shutil.copytree(export, elsewhere / "copy")
        words = [Path(__file__).resolve().parents[1], elsewhere / "copy" / script, *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", RUN_ALONE, *map(str, words)],
            cwd=elsewhere,
            env={**environment, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout.decode()

    return call


@pytest.fixture(autouse=True)
def kernels_as_at_the_start():
    """Undoes what an entry point has said about the kernels: export.py turns them off."""
    from src.model_utils import runtime

    yield
    runtime._native = True


@pytest.fixture
def by_two_ranks(monkeypatch):
    """Calls a function that divides its work among ranks, as two of them; returns what the second one gets."""
    from src.model_utils import ranks

    def call(function):
        gathered = []
        answers = (lambda own: gathered.append(own) or [own]), (lambda own: [gathered.pop(0), own])
        for rank, gather in enumerate(answers):
            with monkeypatch.context() as patch:
                patch.setattr(ranks, "share", lambda items, rank=rank: itertools.islice(items, rank, None, 2))
                patch.setattr(ranks, "gather", gather)
                result = function()
        return result

    return call
