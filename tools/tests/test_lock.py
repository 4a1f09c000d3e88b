"""requirements-lock.txt pins what the requirement files ask for, for every supported Python, with checksums."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RENEW = "renew the lock: bash tools/lock.sh"


def requirements(path: Path) -> list[Requirement]:
    lines = (line.partition(" #")[0].partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def environment(python: str) -> dict[str, str]:
    return {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}


def locked(python: str) -> dict[str, Requirement]:
    """Return the packages that the lock pins for a version of Python, by their names."""
    pins: dict[str, Requirement] = {}
    for entry in re.split(r"\n(?=\w)", (ROOT / "requirements-lock.txt").read_text())[1:]:
        line, *hashes = entry.strip().split(" \\\n    --hash=sha256:")
        assert hashes and all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes), line
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment(python)):
            assert pins.setdefault(canonicalize_name(pin.name), pin) is pin, f"{pin.name} is pinned twice"
    return pins


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.11", "3.12"])
def test_the_lock_pins_every_requirement_within_its_range(python):
    pins = locked(python)
    files = sorted(ROOT.glob("*/requirements.txt"))
    wanted = [each for file in files if file.parent.name != "benchmarks" for each in requirements(file)]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate(environment(python))]
    assert len(wanted) > 30
    for requirement in wanted:
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin, f"{requirement} is not in the lock; {RENEW}"
        (version,) = pin.specifier
        assert version.operator == "==" and requirement.specifier.contains(version.version), f"{requirement}; {RENEW}"
