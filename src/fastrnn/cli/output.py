"""Tables that the commands write: for people on a terminal, CSV into a pipe, and files by their suffix."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastrnn.cli.settings import Decorator
from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

__all__ = ["AS_JSON", "check_table_output", "check_writable", "free_name", "table_output", "write_table"]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_SHOWN = 60  # rows on a terminal
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


def check_writable(output: Path) -> None:
    """Refuse a file that could not be written, before the work rather than after it.

    Raises
    ------
    ValueError
        If its directory does not exist or must not be written to.
    """
    folder = output.parent
    if not folder.is_dir():
        raise ValueError(f"{output} cannot be written: there is no directory {folder}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{output} cannot be written: no permission to write to {folder}")


def table_output(function: Any) -> Any:
    """Decorate a command with ``-o`` and ``--json``, for `write_table`."""
    options: tuple[Decorator, ...] = (
        click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write the table to a file: .csv, .tsv, .jsonl or .parquet.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each row."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def check_table_output(output: Path | None) -> None:
    """Refuse a table file that could not be written, before the work.

    Raises
    ------
    ValueError
        If its directory cannot be written to, or its suffix is unknown.
    """
    if output is None:
        return
    check_writable(output)
    if output.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{output} must end with one of {', '.join(_SUFFIXES)}")


def write_table(
    frame: pandas.DataFrame, output: Path | None, as_json: bool, title: str | None = None
) -> None:
    """Write a table where it is wanted.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index is not written.
    output : Path or None
        File, or None for standard output: readable on a terminal, else CSV.
    as_json : bool
        JSON lines on standard output.
    title : str, optional
        Shown on a terminal.
    """
    if output is not None:
        _to_file(frame, output)
    elif as_json:
        click.echo(_json_lines(frame), nl=False)
    elif sys.stdout.isatty():
        _show(frame, title)
    else:
        click.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)


def free_name(name: str, taken: Any) -> str:
    """The name, with underscores behind it if a column has it already."""
    while name in taken:
        name += "_"
    return name


def _json_lines(frame: pandas.DataFrame) -> str:
    text: str = frame.to_json(orient="records", lines=True, date_format="iso", force_ascii=False)
    return text if text.endswith("\n") else text + "\n"


def _to_file(frame: pandas.DataFrame, output: Path) -> None:
    suffix = output.suffix.lower()
    if suffix == ".parquet":
        try:
            frame.to_parquet(output, index=False)
        except ImportError as error:
            raise ValueError(f"{output}: pandas writes Parquet with pyarrow: pip install pyarrow") from error
    elif suffix == ".jsonl":
        output.write_text(_json_lines(frame), encoding="utf-8")
    else:
        frame.to_csv(output, index=False, sep="\t" if suffix == ".tsv" else ",", lineterminator="\n")


def _show(frame: pandas.DataFrame, title: str | None) -> None:
    shown = frame.head(_SHOWN)
    if importlib.util.find_spec("rich") is None:
        click.echo(shown.to_string(index=False))
    else:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
        for column in shown.columns:
            number = shown[column].dtype.kind in "iuf"
            table.add_column(str(column), justify="right" if number else "left", no_wrap=number)
        for row in shown.itertuples(index=False):
            table.add_row(*(Text(_cell(value)) for value in row))
        Console().print(table)
    rest = len(frame) - len(shown)
    if rest:
        click.echo(f"… and {rest:,} more rows: -o FILE writes all of them")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.1f}"
    pandas = require("pandas", "tasks")
    if isinstance(value, pandas.Timestamp):
        return str(value.date() if value == value.normalize() else value)
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
