"""Sequences in tables: one a row, in one column or in many; or one step a row.

A `Layout` says which; it is found once, in the training, and kept with the model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import click
import numpy as np

from fastrnn._types import Array
from fastrnn.cli.columns import by_name, is_number, named, numbers, times
from fastrnn.cli.tables import Table

if TYPE_CHECKING:
    import pandas

__all__ = ["Examples", "Layout"]

_SEQUENCE_NAMES = ("sequence", "seq", "genome", "dna", "series", "string", "text")


@dataclass(frozen=True)
class Examples:
    """Sequences from a table."""

    X: list[Any]
    """Strings, or arrays [T, I]."""
    table: Table
    """A row for each: that of the file, or the first of a sequence with a step a row."""


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a table are."""

    sequence: str | None = None
    """Column that holds whole sequences: strings, or lists of numbers in JSON lines."""
    columns: list[str] = field(default_factory=list)
    """With `id`: the numbers of a step. Else: the numbers of a sequence, step by step."""
    width: int = 1
    """Numbers of a step, where a row is a sequence."""
    id: str | None = None
    """Column that says which sequence a row belongs to, where a row is a step."""
    time: str | None = None
    """Column to sort the steps by."""

    @classmethod
    def find(
        cls,
        table: Table,
        *,
        sequence: str | None,
        columns: tuple[str, ...],
        width: int,
        id: str | None,
        time: str | None,
        label: str | None,
    ) -> Self:
        """Complete what the command line says by a guess, which is shown.

        Raises
        ------
        ValueError
            If there is no such column, or no sequence is to be found.
        """
        given = {"--sequence": sequence, "--id": id, "--time": time}
        for option, column in given.items():
            if column is not None:
                named(table, column, option)
        chosen = [named(table, column, "--columns") for column in columns]
        others = [c for c in table.frame.columns if c not in (label, id, time)]
        if id is None and time is not None:
            raise ValueError("--time sorts the steps of a sequence: say with --id which rows belong to one")
        if sequence is not None:
            return cls(sequence=sequence, width=width)
        numeric = chosen or [column for column in others if is_number(table.frame[column])]
        if id is not None:
            layout = cls(columns=numeric, id=id, time=time)
        elif len(numeric) >= 2:
            layout = cls(columns=numeric, width=width)
        else:
            layout = cls(sequence=_likely(table, others), width=width)
        if not layout.columns and layout.sequence is None:
            raise ValueError(f"{table.name}: there is nothing to learn from beside the label {label!r}")
        if not chosen:
            click.echo(layout.describe(), err=True)
        return layout

    def describe(self) -> str:
        """What was guessed, and how to say otherwise."""
        if self.sequence is not None:
            return f"sequence column: {self.sequence!r} (guessed; --sequence chooses another)"
        shown = [repr(column) for column in self.columns]
        listed = ", ".join(shown if len(shown) <= 4 else [*shown[:2], "…", shown[-1]])
        of = "each step" if self.id is not None else "each sequence"
        return f"numbers of {of}: {len(shown)} columns, {listed} (guessed; --columns chooses others)"

    def read(self, table: Table) -> Examples:
        """The sequences.

        Raises
        ------
        ValueError
            If a column is missing, or a cell holds what cannot be part of a sequence; the message names the
            row.
        """
        for column in (self.sequence, self.id, self.time, *self.columns):
            if column is not None:
                named(table, column, "as in the training")
        if self.sequence is not None:
            return Examples(self._cells(table, self.sequence), table)
        values = np.stack([numbers(table, column) for column in self.columns], axis=1)
        endless = np.argwhere(np.isinf(values))
        if endless.size:
            row, column = endless[0]
            raise ValueError(f"{table.name}, {table.row(row)}: {self.columns[column]!r} is infinite")
        return self._by_id(table, values) if self.id is not None else self._by_row(table, values)

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        return asdict(self)

    def _cells(self, table: Table, column: str) -> list[Any]:
        found: list[Any] = []
        for i, value in enumerate(table.frame[column].tolist()):
            where = f"{table.name}, {table.row(i)}"
            if isinstance(value, list):
                found.append(self._steps(value, f"{where}: {column!r}"))
            elif isinstance(value, str) and value:
                found.append(value)
            else:
                raise ValueError(f"{where}: there is no sequence in {column!r}")
            if isinstance(value, str) != isinstance(found[0], str):
                raise ValueError(f"{where}: {column!r} must hold strings or lists of numbers, not both")
        return found

    def _steps(self, value: list[Any], where: str) -> Array:
        try:
            steps = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            raise ValueError(f"{where} must hold numbers, or lists of one length for each step") from None
        if not steps.size or not np.isfinite(steps).all():
            raise ValueError(f"{where} must hold finite numbers, at least one")
        return self._folded(steps, where) if steps.ndim == 1 else steps

    def _folded(self, steps: Array, where: str) -> Array:
        if len(steps) % self.width:
            raise ValueError(f"{where}: {len(steps)} numbers are no whole number of steps of {self.width}")
        return steps.reshape(-1, self.width)

    def _by_row(self, table: Table, values: Array) -> Examples:
        """What is missing at the end of a row makes its sequence shorter."""
        known = np.isfinite(values)
        X = []
        for i, (row, there) in enumerate(zip(values, known, strict=True)):
            length = int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0
            where = f"{table.name}, {table.row(i)}"
            if not length:
                raise ValueError(f"{where}: there are no numbers")
            if not there[:length].all():
                column = self.columns[int(np.flatnonzero(~there)[0])]
                raise ValueError(f"{where}: {column!r} is missing in the midst of the sequence")
            X.append(self._folded(row[:length].astype(np.float32), where))
        return Examples(X, table)

    def _by_id(self, table: Table, values: Array) -> Examples:
        holes = np.argwhere(np.isnan(values))
        if holes.size:
            row, column = holes[0]
            raise ValueError(f"{table.name}, {table.row(row)}: {self.columns[column]!r} is missing")
        places = table.frame[self.id].reset_index(drop=True)
        if places.isna().any():
            row = int(np.flatnonzero(places.isna())[0])
            raise ValueError(f"{table.name}, {table.row(row)}: there is no {self.id!r}")
        order = None if self.time is None else times(table, self.time)
        X, first = [], []
        for _, group in places.groupby(places, sort=False):
            rows = group.index.to_numpy()
            if order is not None:
                rows = _in_order(table, rows, order[rows], str(self.time))
            X.append(values[rows].astype(np.float32))
            first.append(int(group.index[0]))
        return Examples(X, Table(table.name, table.frame.iloc[first], table.first_row))


def _in_order(table: Table, rows: Array, order: pandas.Index, column: str) -> Array:
    twice = np.flatnonzero(order.duplicated())
    if twice.size:
        raise ValueError(
            f"{table.name}, {table.row(rows[twice[0]])}: its sequence has the {column!r} "
            f"{order[twice[0]]} twice"
        )
    sorted_rows: Array = rows[np.asarray(order.argsort())]
    return sorted_rows


def _likely(table: Table, others: list[str]) -> str | None:
    found = by_name(table, _SEQUENCE_NAMES, [c for c in table.frame.columns if c not in others])
    if found is not None:
        return found
    candidates = [column for column in others if not is_number(table.frame[column])]
    lengths = {c: float(table.frame[c].dropna().map(_length).mean()) for c in candidates}
    return max(lengths, key=lengths.__getitem__, default=None)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, list)) else 0
