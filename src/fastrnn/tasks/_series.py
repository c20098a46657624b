"""Series as users have them, and as the forecaster works with them.

A. A series lies on a regular grid. What pandas gives is put on it: timestamps that are left out become
   missing values, timestamps off the grid are refused by name.
B. A missing value is replaced by the last one seen, never by one that comes later: what stands at a step must
   not depend on what follows it. That it was missing is kept beside it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.errors import require
from fastrnn.tasks._timeline import Timeline

__all__ = [
    "MISSING",
    "Form",
    "Series",
    "carry_forward",
    "check_same_form",
    "continuation",
    "future_rows",
    "join",
    "name_from_json",
    "name_to_json",
    "read_series",
    "shaped",
]

MISSING = ("carry", "raise")

_NUMERIC = "biuf"


@dataclass(frozen=True)
class Series:
    """One series on its grid."""

    name: Hashable
    timeline: Timeline
    values: Array
    """``[T, V]`` float64; NaN where missing."""
    covariates: Array
    """``[T, K]`` float64; NaN where missing."""

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Series:
        """Steps from `start` to before `stop`."""
        return replace(
            self,
            timeline=self.timeline.part(start, stop),
            values=self.values[start:stop],
            covariates=self.covariates[start:stop],
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "name": name_to_json(self.name),
            "timeline": self.timeline.to_dict(),
            "values": _to_json(self.values),
            "covariates": _to_json(self.covariates),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Series:
        """What `to_dict` gave."""
        timeline = Timeline.from_dict(content["timeline"])
        arrays = (
            np.array(content[key], np.float64).reshape(len(timeline), -1) for key in ("values", "covariates")
        )
        return cls(name_from_json(content["name"]), timeline, *arrays)


def _to_json(array: Array) -> list[Any]:
    return [[None if x != x else x for x in row] for row in array.tolist()]


def name_to_json(name: Any) -> Any:
    """A name of a column or series in types that JSON has.

    Raises
    ------
    TypeError
        If it has no such form.
    """
    if isinstance(name, tuple):
        return {"tuple": [name_to_json(part) for part in name]}
    if isinstance(name, np.generic):
        return name.item()
    if name is None or isinstance(name, (str, int, float, bool)):
        return name
    raise TypeError(f"names of series and columns must be str or numbers to be saved, got {name!r}")


def name_from_json(content: Any) -> Hashable:
    """What `name_to_json` was given."""
    return tuple(map(name_from_json, content["tuple"])) if isinstance(content, dict) else content


@dataclass(frozen=True)
class Form:
    """What kind of thing was given, so that answers are of the same kind."""

    kind: str
    """``"array"``, ``"series"`` or ``"frame"``: what one series is."""
    flat: bool
    """Whether a series is 1-D."""
    many: bool
    """Whether there is a mapping of several."""
    variables: list[Hashable]
    covariates: list[Hashable]

    def describe(self) -> str:
        """For messages."""
        one = {
            "array": "an array" if not self.flat else "a 1-D array",
            "series": "a pandas Series",
            "frame": "a pandas DataFrame",
        }
        return f"a mapping of names, each to {one[self.kind]}" if self.many else one[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "kind": self.kind,
            "flat": self.flat,
            "many": self.many,
            "variables": [name_to_json(name) for name in self.variables],
            "covariates": [name_to_json(name) for name in self.covariates],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Form:
        """What `to_dict` gave."""
        names = {key: [name_from_json(name) for name in content[key]] for key in ("variables", "covariates")}
        return cls(content["kind"], content["flat"], content["many"], names["variables"], names["covariates"])


def read_series(
    y: Any, X: Any = None, *, missing: str = "carry", name: str = "y"
) -> tuple[list[Series], Form]:
    """Check one or several series and their covariates; `name` is what messages call the series.

    Raises
    ------
    ValueError
        If something is empty, infinite, not on a grid, of another length than its series, or missing where
        `missing` is ``"raise"``.
    TypeError
        If something is not numeric.
    """
    many = _is_many(y)
    if many and not y:
        raise ValueError("y must hold at least one series, got an empty mapping")
    if X is not None and _is_many(X) != many:
        raise TypeError(
            "X must be of the same kind as y: "
            f"{'a mapping with the same names' if many else 'not a mapping'}, got {type(X).__name__}"
        )
    given = dict(y) if many else {None: y}
    if many and X is not None and set(X) != set(given):
        odd = sorted(map(str, set(X) ^ set(given)))
        raise ValueError(f"X must have the names of y; only one of them has {', '.join(odd[:5])}")
    found: list[Series] = []
    form: Form | None = None
    for key, one in given.items():
        label = name if key is None else f"{name}[{key!r}]"
        series, this = _read_one(one, None if X is None else X[key] if many else X, label, missing)
        if many:
            series = replace(series, name=key)
        if form is None:
            form = replace(this, many=many)
        elif this.kind != form.kind or series.timeline.freq != found[0].timeline.freq:
            raise ValueError(
                f"all series must be of one kind and frequency: {label} is {this.describe()} of frequency "
                f"{series.timeline.freq}, the first is {replace(form, many=False).describe()} of frequency "
                f"{found[0].timeline.freq}"
            )
        elif (this.variables, this.covariates) != (form.variables, form.covariates):
            raise ValueError(
                f"all series must have the same variables: {label} has {_listed(this.variables)} and "
                f"covariates {_listed(this.covariates)}, the first has {_listed(form.variables)} and "
                f"{_listed(form.covariates)}"
            )
        found.append(series)
    assert form is not None
    return found, form


def _is_many(given: Any) -> bool:
    """Whether it is a mapping of series; one of SciPy's sparse arrays is a mapping, too."""
    return isinstance(given, Mapping) and not hasattr(given, "toarray")


def _read_one(y: Any, X: Any, label: str, missing: str) -> tuple[Series, Form]:
    pd = require("pandas", "tasks")
    kind = "series" if isinstance(y, pd.Series) else "frame" if isinstance(y, pd.DataFrame) else "array"
    values, variables, flat = _numbers(y, label)
    if not values.shape[1]:
        raise ValueError(
            f"{label} must have at least one variable: it has 0 feature(s) (shape={values.shape}) "
            "while a minimum of 1 is required."
        )
    name = y.name if kind == "series" else None
    if not len(values):
        raise ValueError(f"{label} is empty: a series needs at least one value (0 sample(s))")
    if X is None:
        covariates, names = np.empty((len(values), 0)), list[Hashable]()
        index_of_X = None
    else:
        label_X = label.replace("y", "X", 1)
        covariates, names, _ = _numbers(X, label_X)
        index_of_X = X.index if isinstance(X, (pd.Series, pd.DataFrame)) else None
        if len(covariates) != len(values):
            raise ValueError(
                f"{label_X} must have a row for each of the {len(values)} steps of {label}, got "
                f"{len(covariates)}"
            )
        twice = {str(column) for column in names if names.count(column) > 1}
        if twice:
            raise ValueError(f"{label_X} must have columns of different names; {min(twice)!r} occurs twice")
    if kind == "array":
        timeline = Timeline.counted(0, len(values))
    else:
        if index_of_X is not None and not index_of_X.equals(y.index):
            raise ValueError(f"{label.replace('y', 'X', 1)} must have the index of {label}")
        timeline, places = Timeline.from_index(y.index, label)
        if len(timeline) != len(values):
            values, covariates = (_spread(a, places, len(timeline)) for a in (values, covariates))
    if missing == "raise":
        _refuse_missing(values, covariates, timeline, label, variables, names)
    silent = ~np.isfinite(values).any(axis=0)
    if silent.any():
        raise ValueError(f"{label} holds no value at all in {variables[int(silent.argmax())]!r}: all are NaN")
    return Series(name, timeline, values, covariates), Form(kind, flat, False, variables, names)


def _numbers(given: Any, label: str) -> tuple[Array, list[Hashable], bool]:
    """``[T, columns]`` float64, names of the columns, and whether it was 1-D."""
    pd = require("pandas", "tasks")
    if given is None or isinstance(given, (str, bytes)) or np.isscalar(given):
        raise TypeError(
            f"{label} must be an array, a pandas Series or DataFrame, or a mapping of names to these, "
            f"got {type(given).__name__}"
        )
    if hasattr(given, "toarray"):
        raise TypeError(f"{label} must be dense, sparse input is not supported: pass {label}.toarray()")
    if isinstance(given, (pd.Series, pd.DataFrame)):
        columns = [given.name] if isinstance(given, pd.Series) else list(given.columns)
        parts = [given] if isinstance(given, pd.Series) else [given.iloc[:, i] for i in range(len(columns))]
        for column, part in zip(columns, parts, strict=True):
            _check_numeric(part, f"{label}[{column!r}]" if isinstance(given, pd.DataFrame) else label)
        array = given.to_numpy(np.float64, na_value=np.nan)
        flat = isinstance(given, pd.Series)
    else:
        try:
            array = np.asarray(given)
        except ValueError as error:
            raise ValueError(
                f"{label} must be a sequence of numbers or of rows of one length: {error}"
            ) from None
        flat = array.ndim == 1
        if array.dtype.kind == "c":
            raise ValueError(f"{label} must be real. Complex data not supported")
        if array.dtype.kind == "O":
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError) as error:
                # Both types, as float() raises them: a str is a bad value, a dict no number at all.
                raise type(error)(
                    f"{label} must be numeric, argument must be a string or a number: {error}"
                ) from None
        if array.dtype.kind not in _NUMERIC:
            raise ValueError(f"{label} must be numeric, got dtype {array.dtype}")
        if array.ndim not in (1, 2):
            raise ValueError(
                f"{label} must be 1-D (one variable) or 2-D [steps, variables], got shape {array.shape}"
            )
        columns = list(range(1 if array.ndim == 1 else array.shape[1]))
    array = array.astype(np.float64)
    array = array[:, None] if array.ndim == 1 else array
    endless = np.argwhere(np.isinf(array))
    if endless.size:
        step, column = endless[0]
        raise ValueError(f"{label} must be finite: step {step} of {columns[column]!r} is infinity (inf)")
    return array, columns, flat


def _check_numeric(column: Any, label: str) -> None:
    kind = getattr(column.dtype, "kind", "O")
    if kind in _NUMERIC:
        return
    first = next((v for v in column if not isinstance(v, (int, float, np.number)) and v is not None), None)
    raise TypeError(
        f"{label} must be numeric, got dtype {column.dtype} (first other value: {first!r}); convert it with "
        "pandas.to_numeric, or leave the column out"
    )


def _spread(array: Array, places: NDArray[np.intp], length: int) -> Array:
    wide = np.full((length, array.shape[1]), np.nan)
    wide[places] = array
    return wide


def _refuse_missing(
    values: Array,
    covariates: Array,
    timeline: Timeline,
    label: str,
    variables: Sequence[Hashable],
    names: Sequence[Hashable],
) -> None:
    for array, what, columns in ((values, label, variables), (covariates, "X", names)):
        holes = np.argwhere(np.isnan(array))
        if holes.size:
            step, column = holes[0]
            raise ValueError(
                f"{what} must not have missing values with missing='raise': {len(holes)} are NaN, the first "
                f"in {columns[column]!r} at {timeline.label(int(step))}"
            )


def carry_forward(array: Array) -> Array:
    """Replace NaN by the last value before it in the column; NaN at the beginning stays."""
    known = np.isfinite(array)
    if known.all():
        return array
    rows = np.where(known, np.arange(len(array))[:, None], 0)
    np.maximum.accumulate(rows, axis=0, out=rows)
    filled: Array = np.take_along_axis(array, rows, axis=0)
    return filled


def continuation(series: Series, timeline: Timeline) -> Series:
    """`series`, given as what follows `timeline`; counted from its end if it has no index of its own.

    Raises
    ------
    ValueError
        If it does not follow, or not on the same grid.
    """
    if timeline.freq != series.timeline.freq and len(series) > 1:
        raise ValueError(
            f"the new values must go on at the frequency of the old ones, {timeline.freq}; "
            f"got {series.timeline.freq}"
        )
    gap = timeline.steps_to(series.timeline)
    if gap == 1:
        return replace(series, timeline=timeline.after(len(series)))
    if gap < 1:
        raise ValueError(
            f"the new values must begin after the last known step, {timeline.label(len(timeline) - 1)}; "
            f"got {series.timeline.label(0)}"
        )
    hole = gap - 1
    return Series(
        series.name,
        timeline.after(hole + len(series)),
        np.concatenate([np.full((hole, series.values.shape[1]), np.nan), series.values]),
        np.concatenate([np.full((hole, series.covariates.shape[1]), np.nan), series.covariates]),
    )


def join(first: Series, second: Series) -> Series:
    """Both as one; the second follows at once."""
    return replace(
        first,
        timeline=first.timeline.extended(len(second)),
        values=np.concatenate([first.values, second.values]),
        covariates=np.concatenate([first.covariates, second.covariates]),
    )


def check_same_form(given: Form, fitted: Form, label: str) -> None:
    """Whether what is given is like what was given to fit.

    Raises
    ------
    ValueError
        If it has other variables or covariates.
    TypeError
        If it is one series instead of several, or the other way round.
    """
    if given.many != fitted.many:
        raise TypeError(f"{label} must be {fitted.describe()}, as in fit; got {given.describe()}")
    for what in ("variables", "covariates"):
        new, old = getattr(given, what), getattr(fitted, what)
        same = len(new) == len(old) if "array" in (given.kind, fitted.kind) or given.flat else new == old
        if not same:
            raise ValueError(
                f"{label} must have the {what} of fit, {_listed(old)}; it has {_listed(new)} ({len(new)} "
                f"features, but Forecaster is expecting {len(old)} features as input)"
            )


def shaped(form: Form, name: Hashable, index: Any, values: Array, levels: Sequence[float] | None) -> Any:
    """A forecast of one series, ``[h, V]`` or with quantiles ``[h, V, Q]``, as the kind that was given."""
    pd = require("pandas", "tasks")
    if form.kind == "array":
        return values[:, 0] if form.flat else values
    if form.flat:
        title = form.variables[0]
        if levels is None:
            return pd.Series(values[:, 0], index, name=title)
        return pd.DataFrame(values[:, 0], index, columns=pd.Index(levels, name="quantile"))
    if levels is None:
        return pd.DataFrame(values, index, columns=form.variables)
    columns = pd.MultiIndex.from_product([form.variables, levels], names=["variable", "quantile"])
    return pd.DataFrame(values.reshape(len(values), -1), index, columns=columns)


def future_rows(
    X: Any, columns: Sequence[Hashable], timeline: Timeline, horizon: int, label: str = "X_future"
) -> Array:
    """Known covariates of the steps after `timeline`, ``[horizon, columns]``.

    Raises
    ------
    ValueError
        If columns or rows are missing, or values are.
    """
    pd = require("pandas", "tasks")
    rows, names, _ = _numbers(X, label)
    if isinstance(X, pd.DataFrame):
        absent = [column for column in columns if column not in names]
        if absent:
            raise ValueError(
                f"{label} must have the known covariates {_listed(columns)}; {absent[0]!r} is absent"
            )
        rows = rows[:, [names.index(column) for column in columns]]
    elif rows.shape[1] != len(columns):
        raise ValueError(
            f"{label} must have the {len(columns)} known covariates {_listed(columns)} as columns, got "
            f"{rows.shape[1]}"
        )
    if len(rows) < horizon:
        raise ValueError(f"{label} must have a row for each of the {horizon} steps ahead, got {len(rows)}")
    if isinstance(X, (pd.DataFrame, pd.Series)) and not timeline.is_counted:
        ahead = timeline.after(horizon).index()
        if not X.index[:horizon].equals(ahead) and not (X.index[:horizon] == ahead).all():
            raise ValueError(
                f"{label} must be about the steps that follow the data: its row 0 should be {ahead[0]}, "
                f"got {X.index[0]}"
            )
    rows = rows[:horizon]
    holes = np.argwhere(np.isnan(rows))
    if holes.size:
        step, column = holes[0]
        raise ValueError(f"{label} must not have missing values: row {step} of {columns[column]!r} is NaN")
    return rows


def _listed(names: Sequence[Hashable]) -> str:
    shown = ", ".join(repr(name) for name in names[:6])
    return f"[{shown}{', ...' if len(names) > 6 else ''}]"
