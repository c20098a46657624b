"""Which column is what, and its contents in the type that an estimator takes."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from fastrnn.cli.tables import Table
from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

__all__ = [
    "choose",
    "is_number",
    "is_text",
    "label_column",
    "named",
    "numbers",
    "text_column",
    "texts",
    "times",
]

_TEXT_NAMES = ("text", "tweet", "review", "comment", "sentence", "message", "content", "body", "document")
_LABEL_NAMES = ("label", "sentiment", "class", "target", "category", "polarity", "y")
_MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "-"})


def named(table: Table, column: str, option: str) -> str:
    """The column, if the table has it.

    Raises
    ------
    ValueError
        If it has not; the message names the most similar one.
    """
    columns = list(table.frame.columns)
    if column in columns:
        return column
    near = difflib.get_close_matches(column, columns, n=1)
    hint = f": did you mean {near[0]!r}?" if near else "."
    shown = columns[:12] + (["…"] if len(columns) > 12 else [])
    raise ValueError(f"{table.name} has no column {column!r} ({option}){hint} It has: {', '.join(shown)}")


def choose(
    table: Table,
    role: str,
    given: str | None,
    option: str,
    guess: Callable[[Table], str | None],
    *,
    remembered: str | None = None,
) -> str:
    """The column for a role: the one that was given, or that of the training, or a guess, which is shown.

    Parameters
    ----------
    table : Table
    role : str
        As in messages: ``"text"``.
    given : str or None
        The value of `option`.
    option : str
        For example ``"--text"``.
    guess : callable
        Gives a name, or None.
    remembered : str, optional
        The column that the model was trained on.

    Raises
    ------
    ValueError
        If there is no such column, or none can be guessed.
    """
    if given is not None:
        return named(table, given, option)
    if remembered is not None and remembered in table.frame.columns:
        return remembered
    found = guess(table)
    if found is None:
        raise ValueError(
            f"{table.name}: which column is the {role}? Say it with {option}. "
            f"It has: {', '.join(table.frame.columns)}"
        )
    click.echo(f"{role} column: {found!r} (guessed; {option} chooses another)", err=True)
    return found


def is_number(column: Any) -> bool:
    """Whether a column holds numbers; not if True and False."""
    return column.dtype.kind in "iuf"


def is_text(column: Any) -> bool:
    """Whether a column holds strings."""
    return column.dtype.kind not in "iufbMm"


def by_name(table: Table, names: Sequence[str], besides: Sequence[str] = ()) -> str | None:
    """The first column with one of these names, in the order of the names, whatever their case."""
    known = {column.strip().lower(): column for column in table.frame.columns if column not in besides}
    return next((known[name] for name in names if name in known), None)


def text_column(*besides: str | None) -> Callable[[Table], str | None]:
    """A guess: the column that is called so, or the one with the longest strings."""
    others = [column for column in besides if column is not None]

    def guess(table: Table) -> str | None:
        found = by_name(table, _TEXT_NAMES, others)
        if found is not None:
            return found
        candidates = [c for c in table.frame.columns if c not in others and is_text(table.frame[c])]
        return max(candidates, key=lambda c: _mean_length(table.frame[c]), default=None)

    return guess


def label_column(*besides: str | None) -> Callable[[Table], str | None]:
    """A guess: the column that is called so, or the one with the fewest different values."""
    others = [column for column in besides if column is not None]

    def guess(table: Table) -> str | None:
        found = by_name(table, _LABEL_NAMES, others)
        if found is not None:
            return found
        kinds = {c: _different(table.frame[c]) for c in table.frame.columns if c not in others}
        few = {c: n for c, n in kinds.items() if 2 <= n <= max(2, len(table.frame) // 2)}
        return min(few, key=few.__getitem__, default=None)

    return guess


def _different(column: Any) -> int:
    nested = column.dtype == object and column.map(lambda value: isinstance(value, (list, dict))).any()
    return 0 if nested else int(column.nunique())


def _mean_length(column: Any) -> float:
    return float(column.dropna().astype(str).str.len().mean())


def texts(table: Table, column: str) -> list[str]:
    """The contents of a column as strings; what is missing is an empty one.

    Raises
    ------
    ValueError
        If a value is neither text nor number.
    """
    values = table.frame[column]
    found = []
    for i, (value, missing) in enumerate(zip(values.tolist(), values.isna(), strict=True)):
        if not missing and not isinstance(value, (str, int, float)):
            kind = type(value).__name__
            raise ValueError(f"{table.name}, {table.row(i)}: {column!r} must hold text, got a {kind}")
        found.append("" if missing else str(value))
    return found


def numbers(table: Table, column: str) -> NDArray[np.float64]:
    """The contents of a column as numbers; empty cells and the usual marks of missing ones are NaN.

    Raises
    ------
    ValueError
        If a cell holds something else.
    """
    values = table.frame[column]
    if values.dtype.kind in "iufb":
        return np.asarray(values, np.float64)
    found = np.empty(len(values))
    for i, (value, missing) in enumerate(zip(values.tolist(), values.isna(), strict=True)):
        word = value.strip() if isinstance(value, str) else value
        if missing or (isinstance(word, str) and word in _MISSING):
            found[i] = np.nan
            continue
        try:
            found[i] = float(word)
        except (TypeError, ValueError):
            raise ValueError(
                f"{table.name}, {table.row(i)}: {column!r} must hold numbers, got {_short(value)}"
            ) from None
    return found


def times(table: Table, column: str) -> pandas.Index:
    """The contents of a column as points in time: dates, or whole numbers that count steps.

    Raises
    ------
    ValueError
        If a cell holds neither.
    """
    pandas = require("pandas", "tasks")
    values = table.frame[column]
    missing = np.flatnonzero(values.isna())
    if missing.size:
        raise ValueError(f"{table.name}, {table.row(missing[0])}: there is no {column!r}")
    if values.dtype.kind in "iuM":
        return pandas.Index(values, name=column)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it looks at every date by itself
            parsed = pandas.to_datetime(values, errors="coerce")
    except (ValueError, TypeError, OverflowError) as error:  # mixed time zones
        raise ValueError(f"{table.name}: {column!r} must hold dates: {str(error).splitlines()[0]}") from error
    wrong = np.flatnonzero(parsed.isna())
    if wrong.size:
        raise ValueError(
            f"{table.name}, {table.row(wrong[0])}: {column!r} must hold dates, all written in the same way, "
            f"got {_short(values.iloc[wrong[0]])}"
        )
    return pandas.DatetimeIndex(parsed, name=column)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "…" + shown[-1]
