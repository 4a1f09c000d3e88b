"""MindRecord files: rows come back in any order, as MindSpore's own reader has them; damaged files are refused."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from mindspore.mindrecord import FileReader

from src.model_utils.mindrecord import Rows, write_mindrecord
from src.model_utils.runtime import UserError

SCHEMA = {
    "ids": {"type": "bytes"},
    "features": {"type": "float32", "shape": [-1, 3]},
    "text": {"type": "bytes"},
    "label": {"type": "int32"},
    "film": {"type": "string"},
}
COUNT = 50


def rows(count=COUNT):
    for number in range(count):
        features = np.random.default_rng(number).normal(size=(number % 4, 3)).astype(np.float32)
        text = ("Grüße, 'Welt' " * (number % 3)).encode()
        ids = np.arange(1 + number % 7, dtype=np.int32).tobytes()
        yield {"ids": ids, "features": features, "text": text, "label": number - 5, "film": f'tt{number}\'s "ö"'}


@pytest.fixture(scope="module")
def mindrecord(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "x.mindrecord"
    write_mindrecord(path, SCHEMA, "numbers", rows(), at_once=30)
    return path


def assert_same_row(row, expected):
    assert row.keys() == {"ids", "features", "text"}
    assert (row["ids"], row["text"]) == (expected["ids"], expected["text"])
    assert row["features"].dtype == np.float32
    np.testing.assert_array_equal(row["features"], expected["features"].reshape(-1, 3))


def test_rows_come_back_in_any_order_from_another_place(mindrecord, tmp_path):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    expected, found = list(rows()), Rows(tmp_path / mindrecord.name)
    assert len(found) == COUNT
    for number in np.random.default_rng(0).permutation(COUNT):
        assert_same_row(found[number], expected[number])
    for row, wanted in zip(found, expected):
        assert_same_row(row, wanted)
    assert found.column("label").tolist() == [row["label"] for row in expected]
    assert found.column("film").tolist() == [row["film"] for row in expected]


def test_rows_are_those_of_mindspores_own_reader(mindrecord):
    reader = FileReader(str(mindrecord))
    theirs = list(reader.get_next())
    reader.close()
    for row, expected in zip(Rows(mindrecord), theirs):
        assert_same_row(row, expected)
    assert len(theirs) == COUNT


def test_pages_beyond_the_first_and_a_single_column(tmp_path):
    blocks = [bytes([number]) * 9_000_000 for number in range(8)]  # three of which fill a page
    write_mindrecord(tmp_path / "x.mindrecord", {"block": {"type": "bytes"}}, "blocks", [{"block": b} for b in blocks])
    found = Rows(tmp_path / "x.mindrecord")
    assert all(found[number]["block"] == blocks[number] for number in (7, 0, 3, 2, 5))


def test_threads_share_the_rows(mindrecord):
    found, expected = Rows(mindrecord), list(rows())
    with ThreadPoolExecutor(4) as pool:
        for number, row in enumerate(pool.map(found.__getitem__, list(range(COUNT)) * 20)):
            assert_same_row(row, expected[number % COUNT])


@pytest.mark.parametrize("kept", [0.0, 1e-6, 0.2, 0.4, 0.7, 0.999])
@pytest.mark.parametrize("damaged", ["x.mindrecord", "x.mindrecord.db"])
def test_a_file_or_an_index_that_is_cut_short_is_refused(mindrecord, tmp_path, damaged, kept):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    content = (mindrecord.parent / damaged).read_bytes()
    (tmp_path / damaged).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=r"x\.mindrecord: damaged or cut short; .*preprocess again"):
        Rows(tmp_path / "x.mindrecord").column("label")


def test_a_file_that_is_damaged_or_cut_short_in_use_is_refused_at_the_row(mindrecord, tmp_path):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    found, content = Rows(tmp_path / "x.mindrecord"), mindrecord.read_bytes()
    start = 2**24  # of the rows, behind the header
    for damaged in (content[: start + 8], content[:start] + b"\xff" * 300 + content[start + 300 :]):
        (tmp_path / "x.mindrecord").write_bytes(damaged)
        with pytest.raises(UserError, match="damaged or cut short"):
            found[0]


def test_a_value_that_has_changed_is_refused_at_its_row(mindrecord, tmp_path):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    content, feature = (
        mindrecord.read_bytes(),
        next(row["features"] for row in rows() if len(row["features"])).tobytes(),
    )
    assert content.count(feature) == 1
    (tmp_path / "x.mindrecord").write_bytes(content.replace(feature, bytes([feature[0] ^ 1]) + feature[1:]))
    found, refused = Rows(tmp_path / "x.mindrecord"), []
    for number in range(COUNT):
        try:
            found[number]
        except UserError:
            refused.append(number)
    assert refused == [1]


def test_rows_of_a_type_that_is_none_are_refused(mindrecord, tmp_path):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    content = mindrecord.read_bytes()
    for other in (b'"object" ', b'"nothing"'):
        (tmp_path / "x.mindrecord").write_bytes(content.replace(b'"float32"', other))
        with pytest.raises(UserError, match="damaged or cut short"):
            Rows(tmp_path / "x.mindrecord")[0]


@pytest.mark.parametrize(
    "change", ["PAGE_OFFSET_BLOB_END = 1 << 40", "PAGE_ID_BLOB = 1 << 62", "PAGE_OFFSET_BLOB = -1 << 40"]
)
def test_an_index_that_names_places_outside_the_file_is_refused(mindrecord, tmp_path, change):
    for path in mindrecord.parent.iterdir():
        shutil.copy(path, tmp_path)
    with closing(sqlite3.connect(tmp_path / "x.mindrecord.db")) as connection, connection:
        connection.execute(f"UPDATE INDEXES SET {change} WHERE ROW_ID = 3")
    with pytest.raises(UserError, match="damaged or cut short"):
        Rows(tmp_path / "x.mindrecord")


def test_a_file_with_the_index_of_another_one_is_refused(mindrecord, tmp_path):
    shutil.copy(mindrecord, tmp_path)
    with pytest.raises(UserError, match="damaged"):  # none at all
        Rows(tmp_path / mindrecord.name)
    for folder, name, count in (("a", "other.mindrecord", COUNT), ("b", "x.mindrecord", 10)):
        (tmp_path / folder).mkdir()
        write_mindrecord(tmp_path / folder / name, SCHEMA, "numbers", rows(count))
        shutil.copy(tmp_path / folder / f"{name}.db", tmp_path / f"{mindrecord.name}.db")
        with pytest.raises(UserError, match="damaged"):
            Rows(tmp_path / mindrecord.name)


def test_compressed_integers_of_older_versions_are_refused(tmp_path):
    schema = {"ids": {"type": "int32", "shape": [-1]}, "label": {"type": "int32"}}
    write_mindrecord(tmp_path / "x.mindrecord", schema, "x", [{"ids": np.arange(3, dtype=np.int32), "label": 1}])
    with pytest.raises(UserError, match="an older version of this program; delete the folder .* preprocess again"):
        Rows(tmp_path / "x.mindrecord")
