"""Series in tables: a row for each time, or for each time of each series.

The columns are found once, in the training, and kept with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import click
import numpy as np
from numpy.typing import NDArray

from fastrnn.cli.columns import by_name, choose, is_number, named, numbers, times
from fastrnn.cli.tables import Table
from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

__all__ = ["SeriesColumns"]

_TIME_NAMES = ("time", "timestamp", "date", "datetime", "ds", "day", "month", "week", "hour", "year")


@dataclass(frozen=True)
class SeriesColumns:
    """Which column of a table is what."""

    values: list[str]
    """What is forecast."""
    time: str | None = None
    """When; None where the rows are evenly spaced and in order."""
    series: str | None = None
    """Which series a row belongs to."""
    covariates: list[str] = field(default_factory=list)
    """What else is known."""

    @classmethod
    def find(
        cls,
        table: Table,
        *,
        values: Sequence[str],
        time: str | None,
        series: str | None,
        covariates: Sequence[str],
    ) -> Self:
        """Complete what the command line says by a guess, which is shown.

        Raises
        ------
        ValueError
            If there is no such column, or more than one that could be forecast.
        """
        if series is not None:
            named(table, series, "--series")
        known = [named(table, column, "--covariates") for column in covariates]
        if time is not None:
            named(table, time, "--time")
        else:
            time = _guess_time(table, [*values, *known, series])
            told = f"{time!r}" if time is not None else "none, rows are taken for evenly spaced"
            click.echo(f"time column: {told} (guessed; --time chooses another)", err=True)
        if values:
            chosen = [named(table, column, "--value") for column in values]
        else:
            others = {time, series, *known}
            numeric = [c for c in table.frame.columns if c not in others and is_number(table.frame[c])]
            only = numeric[0] if len(numeric) == 1 else None
            chosen = [choose(table, "value", None, "--value", lambda _: only)]
        return cls(chosen, time, series, known)

    def read(self, table: Table, *, with_values: bool = True) -> tuple[Any, Any]:
        """Series as :class:`fastrnn.tasks.Forecaster` takes them.

        Returns
        -------
        y : pandas.Series, DataFrame or dict of these
            None without values.
        X : pandas.DataFrame, dict of these, or None

        Raises
        ------
        ValueError
            If a column is missing, a cell holds what it must not, or a time occurs twice; the message names
            the row.
        """
        for column in (self.time, self.series, *self.covariates, *(self.values if with_values else ())):
            if column is not None:
                named(table, column, "as in the training")
        index = None if self.time is None else times(table, self.time)
        y = self._numbers(table, self.values, index) if with_values else None
        X = self._numbers(table, self.covariates, index) if self.covariates else None
        if y is not None and len(self.values) == 1:
            y = y[self.values[0]]
        if self.series is None:
            rows = self._in_order(table, np.arange(len(table.frame)), index)
            return _taken(y, rows, index), _taken(X, rows, index)
        groups = self._groups(table, index)
        several = [
            None if part is None else {name: _taken(part, rows, index) for name, rows in groups.items()}
            for part in (y, X)
        ]
        return several[0], several[1]

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        return asdict(self)

    def _numbers(self, table: Table, columns: Sequence[str], index: Any) -> pandas.DataFrame:
        pandas = require("pandas", "tasks")
        found = {column: numbers(table, column) for column in columns}
        for column, values in found.items():
            endless = np.flatnonzero(np.isinf(values))
            if endless.size:
                raise ValueError(f"{table.name}, {table.row(endless[0])}: {column!r} is infinite")
        return pandas.DataFrame(found, index=index)

    def _groups(self, table: Table, index: Any) -> dict[str, NDArray[np.int64]]:
        places = table.frame[self.series].reset_index(drop=True)
        missing = np.flatnonzero(places.isna())
        if missing.size:
            raise ValueError(f"{table.name}, {table.row(missing[0])}: there is no {self.series!r}")
        return {
            str(name): self._in_order(table, group.index.to_numpy(), index)
            for name, group in places.groupby(places, sort=False)
        }

    def _in_order(self, table: Table, rows: NDArray[np.int64], index: Any) -> NDArray[np.int64]:
        if index is None:
            return rows
        order = index[rows]
        twice = np.flatnonzero(order.duplicated())
        if twice.size:
            first = int(np.flatnonzero(order == order[twice[0]])[0])
            raise ValueError(
                f"{table.name}, {table.row(rows[twice[0]])}: {self.time!r} is {order[twice[0]]}, as in "
                f"{table.row(rows[first])}"
                + ("" if self.series is not None else " (are these several series? --series names them)")
            )
        in_order: NDArray[np.int64] = rows[np.asarray(order.argsort())]
        return in_order


def _taken(part: Any, rows: NDArray[np.int64], index: Any) -> Any:
    if part is None:
        return None
    taken = part.iloc[rows]
    return taken if index is not None else taken.reset_index(drop=True)


def _guess_time(table: Table, others: Sequence[str | None]) -> str | None:
    besides = [column for column in others if column is not None]
    found = by_name(table, _TIME_NAMES, besides)
    if found is not None:
        return found
    pandas = require("pandas", "tasks")
    for column in table.frame.columns:
        values = table.frame[column]
        if column in besides or is_number(values):
            continue
        try:
            pandas.to_datetime(values.head(20), format="ISO8601")
        except (ValueError, TypeError):
            continue
        return str(column)
    return None
