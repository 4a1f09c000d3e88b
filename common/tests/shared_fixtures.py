"""Fixtures that the conftest.py of every folder imports."""

import pytest


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
