"""What the conftest.py of every folder imports: fixtures, and assertions that explain themselves in shared modules."""

import itertools

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
