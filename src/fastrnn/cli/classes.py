"""What the commands about classes share: labels from tables, and figures beside their baselines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from fastrnn.cli.output import free_name
from fastrnn.cli.tables import Table
from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

    from fastrnn.tasks._evaluation import ClassificationEvaluation

__all__ = ["as_known", "labels", "present", "report", "with_predictions"]


def present(table: Table, *columns: str) -> Table:
    """The table without the rows where one of the columns is empty, which is said.

    Raises
    ------
    ValueError
        If no row is left.
    """
    missing = np.flatnonzero(table.frame[list(columns)].isna().any(axis=1))
    if not missing.size:
        return table
    listed = " or ".join(repr(column) for column in columns)
    if missing.size == len(table.frame):
        raise ValueError(f"{table.name}: no row has {' and '.join(repr(column) for column in columns)}")
    rows = "row is" if missing.size == 1 else "rows are"
    click.echo(
        f"{table.name}: {missing.size:,} {rows} left out for want of {listed}, first {table.row(missing[0])}",
        err=True,
    )
    return Table(table.name, table.frame.drop(table.frame.index[missing]), table.first_row)


def labels(table: Table, column: str) -> NDArray[Any]:
    """The classes in a column: whole numbers, or else strings.

    Raises
    ------
    ValueError
        If a value is a list or the like.
    """
    values = table.frame[column]
    if values.dtype.kind in "iu":
        return np.asarray(values)
    for i, value in enumerate(values.tolist()):
        if not isinstance(value, (str, int, float)):
            kind = type(value).__name__
            raise ValueError(f"{table.name}, {table.row(i)}: {column!r} must hold a class, got a {kind}")
    return np.asarray([_label(value) for value in values.tolist()])


def _label(value: Any) -> str:
    # An empty cell makes a column of whole numbers one of floating-point ones.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def with_predictions(
    frame: pandas.DataFrame, classes: Sequence[Any], probabilities: NDArray[Any], *, all_classes: bool
) -> pandas.DataFrame:
    """The table with the predicted class and its probability, or those of all classes, behind its columns."""
    result = frame.copy()
    best = probabilities.argmax(axis=1)
    result[free_name("predicted", result.columns)] = np.asarray(classes)[best]
    result[free_name("probability", result.columns)] = probabilities.max(axis=1).round(6)
    if all_classes:
        for label, column in zip(classes, probabilities.T, strict=True):
            result[free_name(f"probability of {label}", result.columns)] = column.round(6)
    return result


def report(
    evaluation: ClassificationEvaluation,
    baselines: dict[str, ClassificationEvaluation],
    *,
    model: str,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Print how well classes were predicted, and how well it can be done without a network."""
    if plot is not None:
        evaluation.plot(plot)
    if as_json:
        facts = evaluation.to_dict()
        if baselines:
            facts["baselines"] = {
                name: {"accuracy": other.accuracy, "macro_f1": other.macro_f1}
                for name, other in baselines.items()
            }
        click.echo(json.dumps(facts))
        return
    pandas = require("pandas", "tasks")
    share = evaluation.majority
    rows = {model: (evaluation.accuracy, evaluation.macro_f1)}
    rows.update({name: (other.accuracy, other.macro_f1) for name, other in baselines.items()})
    kinds = int((evaluation.per_class["support"] > 0).sum())
    rows["most frequent class, always"] = (share, 2 * share / (1 + share) / kinds)
    figures = pandas.DataFrame.from_dict(rows, orient="index", columns=["accuracy", "macro-F1"])
    click.echo(f"{evaluation.rows:,} rows")
    for frame in (figures, evaluation.per_class):
        click.echo("\n" + frame.to_string(float_format=lambda value: f"{value:.3f}"))
    click.echo(f"\nconfusion (rows: true, columns: predicted)\n{evaluation.confusion.to_string()}")


def as_known(found: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Labels from a table in the type of the classes that a model knows: 1 and "1" are the same class.

    Raises
    ------
    ValueError
        If the model knows numbers, and a label is none.
    """
    if found.dtype.kind == classes.dtype.kind:
        return found
    if classes.dtype.kind in "iu":
        try:
            return found.astype(classes.dtype)
        except ValueError:
            names = ", ".join(map(str, classes.tolist()))
            odd = sorted(set(map(str, found.tolist())) - set(map(str, classes.tolist())))
            raise ValueError(f"there is no class {odd[0]!r}; the model knows {names}") from None
    return found.astype(str)
