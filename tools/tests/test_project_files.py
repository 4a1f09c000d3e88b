"""The files around the code: versions that agree, forms that parse, hooks and workflows that call what is there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_citation_names_the_newest_release_of_the_changelog():
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.M)
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (citation["version"], str(citation["date-released"])) == releases[0]
    assert read("CHANGELOG.md").index("## [Unreleased]") < read("CHANGELOG.md").index(releases[0][0])
    assert citation["title"] == read("README.md").splitlines()[0].lstrip("# ")


def test_every_hook_of_pre_commit_runs_something_that_ci_runs():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    for hook in repository["hooks"]:
        program = hook["entry"].removeprefix(".venv/bin/python ").removesuffix(" --force-exclude")
        assert program in read(".ci/run"), hook["id"]


def test_the_workflow_runs_every_check():
    (job,) = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]


def test_pictures_of_the_docs_bring_their_own_background():
    pictures = list((ROOT / "docs").glob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ElementTree.parse(picture).getroot()
        boxes = {rectangle.get("class") for rectangle in root.iter("{http://www.w3.org/2000/svg}rect")}
        assert boxes and all(f".{name} {{ fill:" in read(f"docs/{picture.name}") for name in boxes)
