"""Makes `src` importable wherever pytest is started from, and lends the fixtures that all folders share."""

import sys
from pathlib import Path

from shared_fixtures import exit_of  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
