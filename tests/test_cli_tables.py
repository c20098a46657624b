"""Tables on the command line: what is read, what is refused and how, and what is written."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fastrnn.cli import output
from fastrnn.cli.classes import as_known, labels, present, with_predictions
from fastrnn.cli.columns import choose, label_column, numbers, text_column, texts, times
from fastrnn.cli.output import check_table_output, free_name, write_table
from fastrnn.cli.sequence_tables import Layout
from fastrnn.cli.tables import Table, read_table, read_tables


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(content: str | bytes, name: str = "t.csv", **how: Any) -> Table:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(name, **how)


CONTENT = "a,b\n1,x\n2,y\n"


# Formats


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n2,y\n"),
        ("t.csv", b"a;b\r\n1;x\r\n2;y\r\n"),
        ("t.csv", b"\xef\xbb\xbfa\tb\n1\tx\n2\ty"),
        ("t.tsv", b"a\tb\n1\tx\n2\ty\n"),
        ("t.txt", b"a,b\n1,x\n2,y\n"),
        ("t.jsonl", b'{"a": 1, "b": "x"}\n\n{"a": 2, "b": "y"}\n'),
        ("table", b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}'),
        ("t.csv.gz", gzip.compress(CONTENT.encode(), mtime=0)),
        ("t.csv.bz2", bz2.compress(CONTENT.encode())),
        ("t.CSV.xz", lzma.compress(CONTENT.encode())),
    ],
)
def test_formats(name: str, content: bytes) -> None:
    frame = table(content, name).frame
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}


def test_zip() -> None:
    with zipfile.ZipFile("t.csv.zip", "w") as archive:
        archive.writestr("anything", CONTENT)
    assert read_table("t.csv.zip").frame["b"].tolist() == ["x", "y"]
    with zipfile.ZipFile("t.csv.zip", "a") as archive:
        archive.writestr("more", CONTENT)
    with pytest.raises(ValueError, match="2 files where one is expected"):
        read_table("t.csv.zip")


def test_parquet() -> None:
    # pyarrow is no dependency: with it the file is read, without it the message says what is missing.
    try:
        pd.DataFrame({"a": [1, 2]}).to_parquet("t.parquet")
    except ImportError:
        Path("t.parquet").write_bytes(b"PAR1")
        with pytest.raises(ValueError, match="pip install pyarrow"):
            read_table("t.parquet")
    else:
        assert read_table("t.parquet").frame["a"].tolist() == [1, 2]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CONTENT.encode())))
    read = read_table("-")
    assert read.name == "standard input"
    assert read.frame["a"].tolist() == [1, 2]


def test_encoding() -> None:
    assert table("a\ncafé\n".encode("latin-1"), encoding="latin-1").frame["a"][0] == "café"
    assert table("a\ncafé\n".encode("utf-16"), encoding="utf-16").frame["a"][0] == "café"


def test_without_header() -> None:
    read = table("1,2\n3,4\n", header=False)
    assert read.frame.to_dict("list") == {"1": [1, 3], "2": [2, 4]}
    assert read.row(1) == "row 2"


def test_words_that_pandas_takes_for_missing_are_words() -> None:
    assert table("text,n\nNA,1\nnull,2\n").frame["text"].tolist() == ["NA", "null"]


def test_empty_rows_are_left_out_but_count() -> None:
    read = table("a,b\n1,x\n\n\n2,y\n")
    assert len(read.frame) == 2
    assert read.row(1) == "row 5"


def test_a_row_larger_than_the_limits_of_csv() -> None:
    word = "x" * 3_000_000
    assert table(f'a,b\n"{word}",1\n').frame["a"][0] == word
    assert table(json.dumps({"a": word}), "t.jsonl").frame["a"][0] == word
    with pytest.raises(ValueError, match="row 3: 3 fields where the first row has 2"):
        table(f"a,b\n{word},1\n{word},1,2\n")


# Refused


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "t.csv is empty"),
        ("t.csv", b" \n\n", "t.csv is empty"),
        ("t.csv", b"a,b\n", "t.csv holds no rows below its header"),
        ("t.csv", b"a,b\n,\n\n", "t.csv holds no rows below its header"),
        ("t.csv", b",\n1,2\n", "t.csv, row 1: there are no column names"),
        ("t.csv", b"a,b,a\n1,2,3\n", "t.csv, row 1: the column name 'a' occurs twice"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "t.csv, row 3: 3 fields where the first row has 2"),
        ("t.csv", b"a,b\n1,2,3\n1,2\n", "t.csv, row 2: 3 fields where the first row has 2"),
        ("t.csv", b'a,b\n1,"x\ny"\n\n1,2,3\n', "t.csv, row 4: 3 fields where the first row has 2"),
        ("t.csv", b'a,b\n1,2\n1,"x\n', "t.csv, row 3: a quotation mark opens here and is never closed"),
        (
            "t.csv",
            b"a\nx\ncaf\xe9\n",
            "line 3 holds the byte 0xe9. Name its encoding, as in --encoding latin-1",
        ),
        ("t.csv", "a\nx\n".encode("utf-16"), "Name its encoding, as in --encoding utf-16"),
        ("t.jsonl", b'{"a": 1}\n\n{"a": \n', "t.jsonl, row 3: this line is not JSON"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "t.jsonl, row 2: every line must be a JSON object, got a list"),
        ("t.csv.gz", b"a,b\n", "t.csv.gz is not a sound .gz file"),
        ("t.csv.gz", gzip.compress(CONTENT.encode(), mtime=0)[:-9], "t.csv.gz is not a sound .gz file"),
        ("t.csv.xz", b"a,b\n", "t.csv.xz is not a sound .xz file"),
        ("t.csv.zip", b"a,b\n", "t.csv.zip is not a sound .zip file"),
    ],
)
def test_refused(name: str, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        table(content, name)
    assert "\n" not in str(caught.value)


def test_unknown_encoding() -> None:
    with pytest.raises(ValueError, match="there is no encoding 'klingon'"):
        table("a\n1\n", encoding="klingon")


def test_several_files_need_the_same_columns() -> None:
    table(CONTENT, "one.csv"), table("a,c\n1,2\n", "two.csv")
    assert len(read_tables(["one.csv", "one.csv"])) == 2
    with pytest.raises(ValueError, match=r"two.csv has the columns 'a', 'c', but one.csv 'a', 'b'"):
        read_tables(["one.csv", "two.csv"])


# Columns


def test_a_misspelled_column() -> None:
    read = table("tweet,label\nx,1\n")
    with pytest.raises(
        ValueError, match=r"no column 'twet' \(--text\): did you mean 'tweet'\? It has: tweet, label"
    ):
        choose(read, "text", "twet", "--text", text_column())
    with pytest.raises(ValueError, match=r"t.csv has no column 'zzz' \(--text\)\. It has: tweet, label"):
        choose(read, "text", "zzz", "--text", text_column())


@pytest.mark.parametrize(
    ("header", "row", "text", "label"),
    [
        ("id,Text,Sentiment", "{i},word {i},{kind}", "Text", "Sentiment"),
        ("number,said,kind", "{i},a rather long sentence {i},{kind}", "said", "kind"),
        ("class,review", "{kind},{i}", "review", "class"),
    ],
)
def test_guesses(header: str, row: str, text: str, label: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(row.format(i=i, kind="ab"[i % 2]) for i in range(12))
    read = table(f"{header}\n{rows}\n")
    found = choose(read, "text", None, "--text", text_column())
    assert found == text
    assert choose(read, "label", None, "--label", label_column(found)) == label
    shown = capsys.readouterr().err
    assert f"text column: {text!r} (guessed; --text chooses another)" in shown
    assert choose(read, "text", None, "--text", text_column(), remembered="absent") == text
    assert choose(read, "label", None, "--label", text_column(), remembered=label) == label


def test_nothing_to_guess() -> None:
    read = table("a,b\n1,2\n3,4\n")
    with pytest.raises(ValueError, match=r"which column is the text\? Say it with --text. It has: a, b"):
        choose(read, "text", None, "--text", text_column())


def test_numbers() -> None:
    read = table("a,b,c\n1,2.5,\n-, NaN ,inf\nNA,1e3,x\n")
    assert np.array_equal(numbers(read, "a"), [1, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(numbers(read, "b"), [2.5, np.nan, 1000], equal_nan=True)
    with pytest.raises(ValueError, match=r"t.csv, row 4: 'c' must hold numbers, got 'x'"):
        numbers(read, "c")


def test_texts() -> None:
    read = table('{"a": "x"}\n{"a": null}\n{"a": 3}\n{"a": [1]}\n', "t.jsonl")
    with pytest.raises(ValueError, match=r"t.jsonl, row 4: 'a' must hold text, got a list"):
        texts(read, "a")
    assert texts(table("a,b\nx,1\n,2\n7,3\n"), "a") == ["x", "", "7"]


def test_times() -> None:
    assert times(table("t,v\n2020-01-01,1\n2020-01-02,2\n"), "t")[1] == pd.Timestamp("2020-01-02")
    assert times(table("t,v\n3,1\n5,2\n"), "t").tolist() == [3, 5]
    for content, message in {
        "t,v\n2020-01-01,1\nsoon,2\n": "row 3: 't' must hold dates, all written in the same way, got 'soon'",
        "t,v\n2020-01-01,1\n01/02/2020,2\n": "row 3: 't' must hold dates, all written in the same way",
        "t,v\n2020-01-01,1\n,2\n": "row 3: there is no 't'",
        "t,v\n2020-01-01T00:00+01:00,1\n2020-01-01T00:00+02:00,1\n": "'t' must hold dates: Mixed timezones",
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            times(table(content), "t")


def test_labels() -> None:
    assert labels(table("a,b\n2,x\n1,y\n"), "a").dtype.kind == "i"
    read = present(table("a,b\n2,x\n,y\n1,\n"), "a")
    assert labels(read, "a").tolist() == ["2", "1"]  # pandas has made them 2.0 and 1.0
    assert labels(table("a,b\nTrue,1\nFalse,2\n"), "a").tolist() == ["True", "False"]
    with pytest.raises(ValueError, match="row 1: 'a' must hold a class, got a list"):
        labels(table('{"a": [1]}\n', "t.jsonl"), "a")


def test_known_labels() -> None:
    assert as_known(np.array(["1", "2"]), np.array([1, 2])).tolist() == [1, 2]
    assert as_known(np.array([1, 2]), np.array(["1", "2"])).tolist() == ["1", "2"]
    with pytest.raises(ValueError, match="there is no class 'x'; the model knows 1, 2"):
        as_known(np.array(["1", "x"]), np.array([1, 2]))


def test_rows_without_a_label_are_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    read = present(table("text,label\nx,a\ny,\n,b\n"), "text", "label")
    assert read.frame["text"].tolist() == ["x"]
    assert "2 rows are left out for want of 'text' or 'label', first row 3" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no row has 'text' and 'label'"):
        present(table("text,label\n,a\ny,\n"), "text", "label")


# Sequences


def layout(read: Table, **given: Any) -> Layout:
    how = {"sequence": None, "columns": (), "width": 1, "id": None, "time": None, "label": "label"}
    return Layout.find(read, **{**how, **given})


def test_strings() -> None:
    read = table("id,dna,label\n1,ACGT,a\n2,AC,b\n")
    found = layout(read)
    assert found.sequence == "dna"
    assert found.read(read).X == ["ACGT", "AC"]
    with pytest.raises(ValueError, match="row 3: there is no sequence in 'dna'"):
        found.read(table("id,dna,label\n1,ACGT,a\n2,,b\n"))


def test_lists() -> None:
    read = table('{"s": [[1, 2], [3, 4]], "label": 1}\n{"s": [[5, 6]], "label": 2}\n', "t.jsonl")
    X = layout(read).read(read).X
    assert [x.tolist() for x in X] == [[[1, 2], [3, 4]], [[5, 6]]]
    for cell, message in {
        '[1, "x"]': "must hold numbers",
        "[]": "finite numbers, at least one",
        "[NaN]": "finite numbers",
        '"x"': "strings or lists of numbers, not both",
        "3": "there is no sequence",
    }.items():
        wrong = table(f'{{"s": [1, 2], "label": 1}}\n{{"s": {cell}, "label": 2}}\n', "t.jsonl")
        with pytest.raises(ValueError, match=f"row 2: .*{message}"):
            layout(wrong, sequence="s").read(wrong)


def test_a_row_is_a_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    read = table("label,p0,p1,p2,p3\na,1,2,3,4\nb,5,6,,\n")
    found = layout(read)
    assert "4 columns, 'p0', 'p1', 'p2', 'p3' (guessed; --columns chooses others)" in capsys.readouterr().err
    assert [x.tolist() for x in found.read(read).X] == [[[1], [2], [3], [4]], [[5], [6]]]
    wide = layout(read, width=2)
    assert [x.tolist() for x in wide.read(read).X] == [[[1, 2], [3, 4]], [[5, 6]]]
    assert layout(read, columns=("p3", "p1")).columns == ["p3", "p1"]
    for content, message in {
        "b,1,,3,4": "row 2: 'p1' is missing in the midst of the sequence",
        "b,1,x,3,4": "row 2: 'p1' must hold numbers, got 'x'",
        "b,1,inf,3,4": "row 2: 'p1' is infinite",
        "b,,,,": "row 2: there are no numbers",
    }.items():
        with pytest.raises(ValueError, match=message):
            found.read(table(f"label,p0,p1,p2,p3\n{content}\n"))
    with pytest.raises(ValueError, match="row 2: 3 numbers are no whole number of steps of 2"):
        wide.read(table("label,p0,p1,p2,p3\nb,1,2,3,\n"))
    with pytest.raises(ValueError, match=r"no column 'p3' \(as in the training\)"):
        found.read(table("label,p0,p1,p2\na,1,2,3\n"))


def test_a_row_is_a_step() -> None:
    read = table("who,t,x,y,label\nb,2,3,4,q\na,1,9,9,p\nb,1,1,2,q\n")
    found = layout(read, id="who", time="t")
    examples = found.read(read)
    assert [x.tolist() for x in examples.X] == [[[1, 2], [3, 4]], [[9, 9]]]
    assert examples.table.frame["label"].tolist() == ["q", "p"]
    for content, message in {
        "b,1,1,2,q\nb,1,3,4,q": "row 3: its sequence has the 't' 1 twice",
        "b,1,1,2,q\nb,2,,4,q": "row 3: 'x' is missing",
        "b,1,1,2,q\n,2,3,4,q": "row 3: there is no 'who'",
    }.items():
        with pytest.raises(ValueError, match=message):
            found.read(table(f"who,t,x,y,label\n{content}\n"))
    with pytest.raises(ValueError, match="--time sorts the steps of a sequence"):
        layout(read, time="t")


def test_no_sequences() -> None:
    with pytest.raises(ValueError, match="there is nothing to learn from beside the label 'label'"):
        layout(table("label\na\nb\n"))


# Output

FRAME = pd.DataFrame({"text": ["a", "b"], "score": [0.5, 1.0]})


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_written_tables_are_read_again(name: str) -> None:
    write_table(FRAME, Path(name), as_json=False)
    assert read_table(name).frame.to_dict("list") == FRAME.to_dict("list")


def test_tables_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(FRAME, None, as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == FRAME.to_dict("records")
    write_table(FRAME, None, as_json=False)
    assert capsys.readouterr().out == "text,score\na,0.5\nb,1.0\n"


@pytest.mark.parametrize("rich", [True, False])
def test_tables_on_a_terminal(
    rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not rich:
        monkeypatch.setattr(output.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    days = pd.date_range("2020-01-01", periods=100)
    write_table(pd.DataFrame({"day": days, "value": np.arange(100.0)}), None, as_json=False)
    shown = capsys.readouterr().out
    assert "2020-01-02" in shown
    assert "… and 40 more rows: -o FILE writes all of them" in shown


def test_output_that_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="there is no directory nowhere"):
        check_table_output(Path("nowhere/t.csv"))
    with pytest.raises(ValueError, match=r"must end with one of \.csv, \.tsv, \.jsonl, \.parquet"):
        check_table_output(Path("t.xlsx"))


def test_predictions_do_not_hide_columns() -> None:
    frame = pd.DataFrame({"predicted": ["x", "y"]})
    result = with_predictions(frame, ["a", "b"], np.array([[0.25, 0.75], [1.0, 0.0]]), all_classes=True)
    assert list(result) == ["predicted", "predicted_", "probability", "probability of a", "probability of b"]
    assert result["predicted_"].tolist() == ["b", "a"]
    assert free_name("a", ["a", "a_"]) == "a__"
