"""Pages of HTML: nothing of a text becomes markup, nothing is loaded, and a report stands on what there is."""

from __future__ import annotations

import argparse
import json
from html.parser import HTMLParser

import pytest

from src.model_utils.configuration import Parser
from src.model_utils.html_page import Html, add_report_option, figure, join, mark, page, section, table, write_report
from src.model_utils.runtime import UserError

VILE = "<script>alert('1')</script> & \"quoted\" \ud800"
VOID = {"meta", "br", "use", "path"}


class Reader(HTMLParser):
    """Collects tags and text, and complains of tags that are not closed in their order."""

    def __init__(self, content: str):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], set(), [], ""
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "xlink:href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_texts_never_become_markup():
    parts = [
        section(VILE, table([VILE, VILE], [[VILE, mark(VILE, VILE, VILE)]]), figure(Html("<svg></svg>"), VILE), VILE)
    ]
    read = Reader("".join(page(VILE, parts)))
    assert "script" not in read.tags
    assert read.text.count("<script>alert('1')</script> & \"quoted\" \\ud800") == 10


def test_numbers_of_a_table_stand_at_the_right():
    markup = table(["name", "count"], [["a", 1], ["b", "20.5 %"]])
    assert '<th class="number">count' in markup and '<td class="number">20.5 %' in markup and "<td>a" in markup
    assert "number" not in table(["name"], [[1], ["-"]]) and join([1, "&"], " ") == "1 &amp;"


def report(folder, path="report.html"):
    write_report(folder / path, "title", folder / "a.ckpt", {"rate": 0.5, "<b>": VILE}, "valid_f1", [section("Scores")])
    return (folder / path).read_text(encoding="utf-8")


def test_a_report_has_curves_and_configuration_and_loads_nothing(tmp_path):
    records = [{"global_step": 1, "loss": 2.0}, {"global_step": 2, "loss": 1.0}, {"global_step": 2, "valid_f1": 0.5}]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "metrics.jsonl").write_text(lines + '{"global_step": 9, "lo', encoding="utf-8")  # cut by a kill
    content = report(tmp_path)
    read = Reader(content)
    assert "svg" in read.tags and "2 steps, from metrics.jsonl" in read.text and "rate 0.5" in read.text
    assert all(address.startswith("#") for address in read.addresses)  # within the picture
    assert "url(http" not in content and "@import" not in content and "script" not in read.tags
    assert "currentColor" in content
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("content", [None, "", '{"global_step": "x", "loss": 1}\n3\n'])
def test_a_report_says_that_there_are_no_curves(tmp_path, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content, encoding="utf-8")
    read = Reader(report(tmp_path))
    assert "metrics.jsonl: not there or without records" in read.text and "svg" not in read.tags


def test_a_report_takes_the_place_of_a_page_only(tmp_path):
    parser = Parser("Evaluate.", config_file=False, device=False)
    add_report_option(parser)

    def parse(path) -> argparse.Namespace:
        return parser.parse_args(["--report", str(path)])

    report(tmp_path)
    assert parse(tmp_path / "report.html").report == tmp_path / "report.html"
    (tmp_path / "a.ckpt").write_bytes(b"weights")
    with pytest.raises(UserError, match="a.ckpt: exists and is no page of HTML; choose another file"):
        parse(tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="a folder; name a file in it"):
        parse(tmp_path)
