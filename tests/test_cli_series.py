"""Series in tables on the command line: columns found, rows put in order, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fastrnn.cli.series_tables import SeriesColumns
from fastrnn.cli.tables import Table, read_table


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(content: str) -> Table:
    Path("t.csv").write_text(content)
    return read_table("t.csv")


def find(read: Table, **given: Any) -> SeriesColumns:
    return SeriesColumns.find(read, **{"values": (), "time": None, "series": None, "covariates": (), **given})


def test_one_series(capsys: pytest.CaptureFixture[str]) -> None:
    read = table("Date,wind\n2020-01-02,2\n2020-01-01,1\n2020-01-04,\n")
    columns = find(read)
    shown = capsys.readouterr().err
    assert "time column: 'Date' (guessed; --time chooses another)" in shown
    assert "value column: 'wind' (guessed; --value chooses another)" in shown
    y, X = columns.read(read)
    expected = pd.Series(
        [1, 2, np.nan], pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-04"], name="Date"), name="wind"
    )
    pd.testing.assert_series_equal(y, expected, check_freq=False, check_index_type=False)
    assert X is None
    assert columns == SeriesColumns(**columns.to_dict())


def test_several_variables_and_covariates() -> None:
    read = table("a,b,c\n1,2,3\n4,5,6\n")
    columns = find(read, values=("c", "a"), covariates=("b",))
    assert columns.time is None
    y, X = columns.read(read)
    assert y.to_dict("list") == {"c": [3, 6], "a": [1, 4]}
    assert X.to_dict("list") == {"b": [2, 5]}
    assert columns.read(table("b\n7\n"), with_values=False)[1].to_dict("list") == {"b": [7]}
    with pytest.raises(ValueError, match=r"no column 'a' \(as in the training\)"):
        columns.read(table("c,b\n7,1\n"))


def test_several_series() -> None:
    read = table("name,t,v,k\nx,2,1,1\ny,1,2,2\nx,1,3,3\n")
    y, X = find(read, time="t", values=("v",), series="name", covariates=("k",)).read(read)
    assert {name: part.tolist() for name, part in y.items()} == {"x": [3, 1], "y": [2]}
    assert X["x"]["k"].tolist() == [3, 1]
    assert y["x"].index.tolist() == [1, 2]


def test_a_column_of_dates_by_its_contents() -> None:
    read = table("stamp,v\n2020-01-01 10:00,1\n2020-01-01 11:00,2\n")
    assert find(read).time == "stamp"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("date,v\n2020-01-01,1\n2020-01-02,2\n2020-01-01,3\n", "t.csv, row 4: 'date' is 2020-01-01"),
        ("date,v\n2020-01-01,1\n2020-01-02,x\n", "t.csv, row 3: 'v' must hold numbers, got 'x'"),
        ("date,v\n2020-01-01,1\n2020-01-02,inf\n", "t.csv, row 3: 'v' is infinite"),
        ("date,v\n2020-01-01,1\nyesterday,2\n", "t.csv, row 3: 'date' must hold dates"),
        ("date,v\n2020-01-01,1\n,2\n", "t.csv, row 3: there is no 'date'"),
    ],
)
def test_rows_at_fault(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        find(table(content), values=("v",)).read(read_table("t.csv"))
    assert "\n" not in str(caught.value)


def test_duplicate_times_name_both_rows() -> None:
    read = table("t,v\n5,1\n6,2\n5,3\n")
    with pytest.raises(ValueError, match=r"row 4: 't' is 5, as in row 2 \(are these several series\?"):
        find(read, time="t").read(read)
    read = table("s,t,v\na,5,1\nb,5,2\na,5,3\n")
    with pytest.raises(ValueError, match=r"row 4: 't' is 5, as in row 2$"):
        find(read, time="t", series="s", values=("v",)).read(read)
    read = table("s,t,v\na,5,1\n,5,2\n")
    with pytest.raises(ValueError, match="row 3: there is no 's'"):
        find(read, time="t", series="s", values=("v",)).read(read)


def test_what_to_forecast_must_be_clear() -> None:
    with pytest.raises(ValueError, match=r"which column is the value\? Say it with --value"):
        find(table("date,a,b\n2020-01-01,1,2\n"))
    with pytest.raises(ValueError, match=r"no column 'wimd' \(--value\): did you mean 'wind'\?"):
        find(table("date,wind\n2020-01-01,1\n"), values=("wimd",))
