"""MindRecord files, written and read row by row: any row at any time, with memory that hardly grows with their number.

MindSpore's MindDataset reads them too, but takes 130 to 250 microseconds of processor time a row, as long as a small
network takes to train on it, has to be told the order of the rows in advance, and keeps threads of its own. `Rows`
takes 5 to 15.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sqlite3
import weakref
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from src.model_utils.files import parse_json
from src.model_utils.runtime import UserError, quiet

SMALL_PAGE = 2**21  # for rows of text
_CHECKSUM = "checksum"  # of the columns of bytes and arrays of a row; older files have none
_LENGTH = 8  # bytes of the length before the header, before a row, and before each column of a row that has several


def write_mindrecord(
    path, schema: dict, description: str, rows: Iterable[dict], at_once: int = 1000, page_size: int = 2**25
) -> None:
    """Write a MindRecord file, so many rows at once; OSError where the disk is full.

    For `Rows` to read, integers but single ones are written as bytes: MindRecord compresses arrays of them. A row takes
    at most `page_size` bytes. Many small rows need a small page: for the index, MindRecord takes 2,000 bytes of memory
    for each of the rows whose single values share a page.
    """
    from mindspore.mindrecord import FileWriter

    try:
        with quiet():
            writer = FileWriter(str(path), shard_num=1)
            writer.set_page_size(page_size)
            writer.add_schema({**schema, _CHECKSUM: {"type": "int64"}}, description)
        stored = [column for column, each in schema.items() if each["type"] == "bytes" or "shape" in each]
        rows = ({**row, _CHECKSUM: _checksum({column: row[column] for column in stored})} for row in rows)
        while batch := list(itertools.islice(rows, at_once)):
            writer.write_raw_data(batch)
        with quiet():
            writer.commit()
    except RuntimeError as error:  # what MindRecord makes of every trouble
        if "free disk" in str(error) or shutil.disk_usage(Path(path).parent).free < 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        raise


def _checksum(columns: dict[str, bytes | np.ndarray]) -> int:
    """Return the CRC-32 of columns, in the order of their names."""
    checksum = 0
    for name in sorted(columns):
        value = columns[name]
        checksum = zlib.crc32(value if isinstance(value, bytes) else value.tobytes(), checksum)
    return checksum


class Rows:
    """The rows of a MindRecord file, each read when it is asked for; memory holds 16 bytes a row. Threads may share it.

    `rows[i]` has the columns of bytes, and of arrays of floating point numbers, by their names; `column` returns one of
    single values, of all rows. Raises UserError, at once or at the row, where the file is damaged, cut short, without
    its index or with that of another file.

    The file is a header in JSON and pages of one size that the rows are in. The index beside it is an SQLite database
    of the places of the rows and of the single values.
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            self._file = os.open(self.path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            size = os.fstat(self._file).st_size
            length = int.from_bytes(os.pread(self._file, _LENGTH, 0), "little")
            header = parse_json(os.pread(self._file, min(size, length), _LENGTH))
            (schema,), names = header["schema"], header["shard_addresses"]
            self._columns = schema["blob_fields"]
            first, page_size, pages = header["header_size"], header["page_size"], header["page"]
            place = f"{int(first)} + PAGE_ID_BLOB * {int(page_size)} + PAGE_OFFSET_BLOB"
            row_size = "PAGE_OFFSET_BLOB_END - PAGE_OFFSET_BLOB"
            inside = f"{place} >= 0 AND {row_size} BETWEEN 0 AND {2**31 - 1} AND {place} + {row_size} <= {size}"
            if list(self._query(f"SELECT COUNT(*) FROM INDEXES WHERE NOT ({inside})")) != [(0,)]:
                raise ValueError
            self._places = np.fromiter(
                self._query(f"SELECT {place}, {row_size} FROM INDEXES ORDER BY ROW_ID"),
                [("start", np.int64), ("size", np.int32)],
            )
            self._checksums = None
            if _CHECKSUM in schema["schema"]:
                query = f"SELECT {_CHECKSUM}_0 FROM INDEXES ORDER BY ROW_ID"
                self._checksums = np.fromiter((value for (value,) in self._query(query)), np.uint32)
            whole = max(first + page["page_id"] * page_size + page["page_size"] for page in pages) <= size
            count = max(page["end_row_id"] for page in pages)
            same = names == [self.path.name] == [name for (name,) in self._query("SELECT NAME FROM SHARD_NAME")]
            if not (whole and same and count == len(self)):
                raise ValueError
            types = {column: schema["schema"][column] for column in self._columns}
            self._shaped = {column: each for column, each in types.items() if each["type"] != "bytes"}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, sqlite3.Error):
            raise self._damaged() from None
        if any(str(each["type"]).startswith("int") for each in self._shaped.values()):
            raise self._damaged("of an older version of this program")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> dict[str, bytes | np.ndarray]:
        start, size = self._places[row].tolist()
        content, values, end = os.pread(self._file, size, start), {}, _LENGTH
        if len(content) != size or int.from_bytes(content[:_LENGTH], "little") != size - _LENGTH:
            raise self._damaged()
        for column in self._columns:
            begin, end = end, size
            if len(self._columns) > 1:
                begin, end = begin + _LENGTH, begin + _LENGTH + int.from_bytes(content[begin : begin + _LENGTH], "big")
            values[column] = content[begin:end]
        if end != size or (self._checksums is not None and _checksum(values) != self._checksums[row]):
            raise self._damaged()
        try:
            for column, each in self._shaped.items():
                values[column] = np.frombuffer(values[column], each["type"]).reshape(each["shape"])
        except (ValueError, LookupError, TypeError):
            raise self._damaged() from None
        return values

    def column(self, name: str) -> np.ndarray:
        """Return a column of single numbers or strings, (rows,)."""
        try:
            return np.array([value for (value,) in self._query(f"SELECT {name}_0 FROM INDEXES ORDER BY ROW_ID")])
        except sqlite3.Error:
            raise self._damaged() from None

    def _query(self, query: str) -> Iterator[tuple]:
        index = self.path.resolve().with_name(f"{self.path.name}.db")
        with closing(sqlite3.connect(f"{index.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            yield from connection.execute(query)

    def _damaged(self, what: str = "damaged or cut short") -> UserError:
        return UserError(f"{self.path}: {what}; delete the folder {self.path.parent} and preprocess again")
