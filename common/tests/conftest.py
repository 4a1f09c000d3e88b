"""Makes `src` importable wherever pytest is started from, and lends the fixtures that all folders share."""

import sys
from pathlib import Path

import pytest
from shared_fixtures import exit_of, kernels_as_at_the_start  # noqa: F401

collect_ignore = ["test_readme.py"]  # of the folders, which have a README and a trained model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(autouse=True, scope="session")
def graph_mode():
    """Cells that a test calls itself run as they do in the programs."""
    from src.model_utils.runtime import init_device

    init_device("CPU")
