"""Tables that the commands read: CSV and its kin, JSON lines, Parquet, from files and standard input.

A row is named as it is counted in the file: in CSV the header is row 1, in JSON lines a row is a line.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

__all__ = ["Table", "first_columns", "read_table", "read_tables"]

_JSON_LINES = (".jsonl", ".ndjson", ".json")
_DELIMITERS = {".csv": ",;\t", ".tsv": "\t", ".tab": "\t"}
_HEAD = 1 << 16  # bytes in which the shell looks for column names
_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise zipfile.BadZipFile(f"it holds {len(names)} files where one is expected")
        return archive.read(names[0])


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zip": _unzip,
}


@dataclass(frozen=True)
class Table:
    """A data frame that knows its name and how its rows are counted."""

    name: str
    """As in messages."""
    frame: pandas.DataFrame
    """Without empty rows. The index is the place in the file, counted from 0 without the header."""
    first_row: int
    """Number of the row with index 0."""

    def row(self, position: int) -> str:
        """Name of the row at a position of `frame`."""
        return f"row {self.first_row + int(self.frame.index[position])}"


def read_tables(names: Sequence[str], *, encoding: str = "utf-8", header: bool = True) -> list[Table]:
    """Read several tables that have the same columns.

    Raises
    ------
    ValueError
        As `read_table`, and if the columns differ.
    """
    tables = [read_table(name, encoding=encoding, header=header) for name in names]
    columns = list(tables[0].frame.columns)
    for table in tables[1:]:
        if list(table.frame.columns) != columns:
            raise ValueError(
                f"{table.name} has the columns {_listed(table.frame.columns)}, but {tables[0].name} "
                f"{_listed(columns)}"
            )
    return tables


def read_table(name: str, *, encoding: str = "utf-8", header: bool = True) -> Table:
    """Read a table from a file, or from standard input if the name is ``-``.

    The suffix decides the format; standard input and other suffixes are JSON lines if they begin with a
    brace, else a text table. A ``.csv`` may separate its fields by commas, semicolons or tabs, whichever
    makes more of its first row. ``.gz``, ``.bz2``, ``.xz`` and ``.zip`` are decompressed.

    Raises
    ------
    ValueError
        If the file is empty, has no rows, is not in its encoding, or is malformed; the message names the row.
    OSError
        If it cannot be read.
    """
    shown = "standard input" if name == "-" else name
    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in _DECOMPRESS:
        data = _decompressed(shown, data, suffixes.pop())
    suffix = suffixes[-1] if suffixes else ""
    if not data.strip():
        raise ValueError(f"{shown} is empty")
    if suffix in (".parquet", ".pq"):
        table = Table(shown, _parquet(shown, data), 1)
    else:
        text = _decoded(shown, data, encoding)
        if suffix in _JSON_LINES or (suffix not in _DELIMITERS and text.lstrip().startswith("{")):
            table = Table(shown, _json_lines(shown, text), 1)
        else:
            delimiter = _delimiter(shown, text, _DELIMITERS.get(suffix, ",;\t"))
            table = Table(shown, _csv(shown, text, delimiter, header), 2 if header else 1)
    table.frame.columns = [str(column) for column in table.frame.columns]
    if not len(table.frame):
        raise ValueError(f"{shown} holds no rows below its header")
    return table


def first_columns(name: str) -> list[str]:
    """Column names of a text table that is not compressed, from its first row; none if that is no use.

    For completion in the shell, which waits for it: without pandas, and without reading the whole file.
    """
    try:
        with Path(name).open("rb") as file:
            head = file.read(_HEAD).decode("utf-8-sig", errors="replace").split("\n", 1)[0]
    except OSError:
        return []
    suffix = Path(name).suffix.lower()
    try:
        if suffix in _JSON_LINES:
            return [str(key) for key in json.loads(head)]
        return _first_record(name, head, _delimiter(name, head, _DELIMITERS.get(suffix, ",;\t")))
    except ValueError:
        return []


def _listed(columns: Any) -> str:
    return ", ".join(repr(str(column)) for column in columns)


def _decompressed(name: str, data: bytes, suffix: str) -> bytes:
    try:
        return _DECOMPRESS[suffix](data)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} is not a sound {suffix} file: {error}") from error


def _decoded(name: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError:
        raise ValueError(f"there is no encoding {encoding!r}; utf-8, latin-1 and utf-16 are some") from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data.count(b"\n", 0, start) + 1
        likely = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "latin-1")
        raise ValueError(
            f"{name} is not {encoding} text: line {line} holds the byte "
            f"{data[start]:#04x}. Name its encoding, as in --encoding {likely}"
        ) from error


def _delimiter(name: str, text: str, candidates: str) -> str:
    """The separator that finds most fields in the first row."""
    rows = {candidate: _first_record(name, text, candidate) for candidate in candidates}
    return max(rows, key=lambda candidate: len(rows[candidate]))


def _records(text: str, delimiter: str) -> Any:
    csv.field_size_limit(2**31 - 1)  # a row may hold a whole book; the largest that every platform takes
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _first_record(name: str, text: str, delimiter: str) -> list[str]:
    try:
        return list(next(_records(text, delimiter), []))
    except csv.Error as error:
        raise ValueError(f"{name}, row 1: {error}") from error


def _csv(name: str, text: str, delimiter: str, header: bool) -> pandas.DataFrame:
    pandas = require("pandas", "tasks")
    columns = _first_record(name, text, delimiter)
    if header:
        _check_header(name, columns)
    try:
        with warnings.catch_warnings():
            # Of a first row that is too long.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                io.StringIO(text),
                sep=delimiter,
                header=0 if header else None,
                names=None if header else [str(i + 1) for i in range(len(columns))],
                index_col=False,
                keep_default_na=False,  # "NA" and "null" may be words
                na_values=[""],
                low_memory=False,
                skip_blank_lines=False,  # they count as rows
            )
    except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
        raise ValueError(_malformed(name, text, delimiter, str(error))) from error
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{name}, row 1: there are no column names") from None
    return frame.dropna(how="all")


def _check_header(name: str, columns: Sequence[str]) -> None:
    if not any(column.strip() for column in columns):
        raise ValueError(f"{name}, row 1: there are no column names")
    seen = set()
    for column in columns:
        if column in seen:
            raise ValueError(f"{name}, row 1: the column name {column!r} occurs twice")
        seen.add(column)


def _malformed(name: str, text: str, delimiter: str, problem: str) -> str:
    width = None
    if "EOF inside string" in problem:
        row = int(problem.rsplit(" ", 1)[-1]) + 1
        return f"{name}, row {row}: a quotation mark opens here and is never closed"
    for number, record in enumerate(_records(text, delimiter), 1):
        width = len(record) if width is None else width
        if len(record) > width:
            return f"{name}, row {number}: {len(record)} fields where the first row has {width}"
    return f"{name}: {problem.strip()}"


def _json_lines(name: str, text: str) -> pandas.DataFrame:
    pandas = require("pandas", "tasks")
    rows, places = [], []
    for place, line in enumerate(text.split("\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{name}, row {place + 1}: this line is not JSON: {error}") from error
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise ValueError(f"{name}, row {place + 1}: every line must be a JSON object, got a {kind}")
        rows.append(row)
        places.append(place)
    return pandas.DataFrame(rows, index=places)


def _parquet(name: str, data: bytes) -> pandas.DataFrame:
    pandas = require("pandas", "tasks")
    try:
        return pandas.read_parquet(io.BytesIO(data)).reset_index(drop=True)
    except ImportError as error:
        raise ValueError(f"{name}: pandas reads Parquet with pyarrow: pip install pyarrow") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{name} is not a sound Parquet file: {error}") from error
