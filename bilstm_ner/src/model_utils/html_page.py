"""Pages of HTML that need no other file, and the one that eval.py writes: configuration, curves, scores, errors."""

from __future__ import annotations

import argparse
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from src.model_utils.files import atomic_write, output_file
from src.model_utils.reporting import curves_svg, read_metrics
from src.model_utils.runtime import UserError, log

BEGINNING = "<!DOCTYPE html>"
NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+( %)?")
STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --page: #fff; --line: #d8d8d8; --soft: #f4f4f4; --quiet: #666 }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --page: #17191d; --line: #3c4046; --soft: #22252a; --quiet: #9a9a9a } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 62em;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; break-after: avoid } h3 { font-size: 1em }
table { border-collapse: collapse; margin: 0.8em 0; max-width: 100% }
th, td { padding: 0.2em 0.8em 0.2em 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr, figure { break-inside: avoid } figure { margin: 1em 0 } svg { max-width: 100%; height: auto }
figcaption, .quiet { color: var(--quiet); font-size: 0.9em }
.wide { overflow-x: auto } .columns { columns: 3 16em } .columns div { break-inside: avoid; overflow-wrap: anywhere }
mark { color: #111; border-radius: 3px; padding: 0 2px; print-color-adjust: exact; -webkit-print-color-adjust: exact }
mark small { opacity: 0.7; margin-left: 3px; font-size: 0.7em }
@media print { body { font-size: 10pt; max-width: none; margin: 0 } .wide { overflow: visible } }
"""


class Html(str):
    """Markup; any other value is text, and is escaped where it is put into a page."""


def escaped(value: object) -> Html:
    """Return a value as markup: Html as it is, all else as text, unpaired surrogates of file names as escapes."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(str(value)).encode("utf-8", "backslashreplace").decode())


def join(parts: Iterable[object], between: str = "") -> Html:
    """Return the values as markup, one behind the other."""
    return Html(escaped(between).join(map(escaped, parts)))


def paragraph(*parts: object, quiet: bool = False) -> Html:
    """Return a paragraph, in small grey letters where it is `quiet`."""
    return Html(f"<p{' class=quiet' * quiet}>{join(parts)}</p>\n")


def mark(text: object, kind: str, note: object = "") -> Html:
    """Return a text in the colour of the class `kind`, with a small note behind it."""
    small = f"<small>{escaped(note)}</small>" if note else ""
    return Html(f'<mark class="{escaped(kind)}">{escaped(text)}{small}</mark>')


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table; columns that hold numbers alone, or nothing, stand at the right."""
    cells = [[escaped(value) for value in row] for row in rows]
    columns = [[row[i] for row in cells if row[i]] for i in range(len(head))]
    numeric = [bool(column) and all(map(NUMBER.fullmatch, column)) for column in columns]

    def line(tag: str, values: Iterable[Html]) -> str:
        marks = (' class="number"' if right else "" for right in numeric)
        return "<tr>" + "".join(f"<{tag}{m}>{value}</{tag}>" for value, m in zip(values, marks)) + "</tr>\n"

    body = "".join(line("td", row) for row in cells)
    return Html(f'<div class="wide"><table>\n{line("th", map(escaped, head))}{body}</table></div>\n')


def figure(picture: Html, caption: object) -> Html:
    """Return a picture, as inline SVG, with its caption."""
    return Html(f"<figure>{picture}<figcaption>{escaped(caption)}</figcaption></figure>\n")


def section(title: object, *parts: object) -> Html:
    """Return a part of a page under its heading."""
    return Html(f"<section>\n<h2>{escaped(title)}</h2>\n{join(parts)}</section>\n")


def page(title: object, parts: Iterable[object], style: str = "") -> Iterator[str]:
    """Yield a page piece by piece, its parts as they come; the browser is told to load nothing for it."""
    yield (
        f'{BEGINNING}\n<html>\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<h1>{escaped(title)}</h1>\n"
    )
    yield from map(escaped, parts)
    yield "</body>\n</html>\n"


def add_report_option(parser: argparse.ArgumentParser) -> None:
    """Add --report of every eval.py."""
    text = "write a page for the browser: configuration, curves of the training, scores and errors"
    parser.add_argument("--report", type=_report_file, metavar="FILE.html", help=text)


def _report_file(name: str) -> Path:
    """Return where a report goes; UserError as of `output_file`, and for a file that is no page, say a checkpoint."""
    path = output_file(name)
    if path.exists():
        with open(path, "rb") as file:
            if file.read(len(BEGINNING)) != BEGINNING.encode():
                raise UserError(f"--report {name}: exists and is no page of HTML; choose another file")
    return path


def write_report(
    path: Path, title: str, ckpt_path, config: Mapping, metric: str, sections: Iterable[Html], style: str = ""
) -> None:
    """Write the page of an evaluation, atomically: `sections`, the curves of the training, and the configuration.

    The curves are those of metrics.jsonl beside the checkpoint, `metric` being the validation's. `style` is CSS.
    """

    def parts() -> Iterator[Html]:
        yield paragraph("checkpoint ", ckpt_path, quiet=True)
        yield from sections
        yield _training(Path(ckpt_path).with_name("metrics.jsonl"), metric)
        rows = (Html(f"<div><b>{escaped(key)}</b> {escaped(value)}</div>\n") for key, value in config.items())
        yield section("Configuration", Html(f'<div class="columns">\n{join(rows)}</div>\n'))

    with atomic_write(path) as file:
        file.writelines(page(title, parts(), style))
    log(f"{path}: the report; open it in a browser")


def _training(path: Path, metric: str) -> Html:
    records = read_metrics(path)
    picture = curves_svg(records, metric)
    if picture is None:
        return section("Training", paragraph(f"{path}: not there or without records, so there are no curves"))
    steps = max(record["global_step"] for record in records)
    return section("Training", figure(Html(picture), f"{steps} steps, from {path.name} beside the checkpoint"))
