"""The grid of times that a series lies on, and features of the calendar."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.errors import require

__all__ = ["Timeline", "calendar_columns", "calendar_features", "calendar_periods", "usual_seasons"]

_DAYS = ("D", "B", "W-SUN", "W-MON", "W-TUE", "W-WED", "W-THU", "W-FRI", "W-SAT")
_MONTHS = ("MS", "ME", "BMS", "BME", "QS", "QE", "YS", "YE")
_LEAST_FILLED = 0.5  # of the grid; with less, the grid is a guess


@dataclass(frozen=True)
class Timeline:
    """Steps at regular distances: counted, periods, or times."""

    freq: str
    """Alias of pandas, or ``"step N"`` where steps are just counted."""
    start: Any
    """The first label: int, pandas.Period or pandas.Timestamp."""
    length: int
    kind: str = "counted"
    """``"counted"``, ``"times"`` or ``"periods"``."""
    name: Any = None

    def __len__(self) -> int:
        return self.length

    @property
    def is_counted(self) -> bool:
        """Whether there is no calendar."""
        return self.kind == "counted"

    @property
    def _step(self) -> int:
        return int(self.freq.removeprefix("step "))

    @classmethod
    def counted(cls, start: int, length: int, step: int = 1, name: Any = None) -> Timeline:
        """Steps that are counted."""
        return cls(f"step {step}", start, length, "counted", name)

    @classmethod
    def from_index(cls, index: Any, label: str) -> tuple[Timeline, NDArray[np.intp]]:
        """The grid of an index, and the place of each of its entries on it.

        Raises
        ------
        ValueError
            If entries repeat, go back, or lie on no grid.
        TypeError
            If it is an index of another kind.
        """
        pd = require("pandas", "tasks")
        if isinstance(index, pd.MultiIndex):
            raise TypeError(f"the index of {label} must have one level, got {index.nlevels}")
        times = isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex))
        if not times and index.dtype.kind not in "iu":
            raise TypeError(
                f"the index of {label} must be a DatetimeIndex, a PeriodIndex or whole numbers, got "
                f"{type(index).__name__} of dtype {index.dtype}: set it with pandas.to_datetime, or drop "
                "it with reset_index(drop=True)"
            )
        if times and index.hasnans:
            raise ValueError(
                f"the index of {label} must not hold missing times: entry "
                f"{int(np.flatnonzero(index.isna())[0])} is NaT"
            )
        if index.has_duplicates:
            twice = index[index.duplicated()][0]
            hint = f"keep one of each: {label}[~{label}.index.duplicated()]"
            if isinstance(index, pd.DatetimeIndex) and index.tz is None:
                hint += "; where clocks were set back, use tz_localize with a time zone first"
            raise ValueError(f"the index of {label} must not hold a time twice: {twice} does; {hint}")
        if not index.is_monotonic_increasing:
            place = int(np.flatnonzero(np.asarray(index[1:] < index[:-1]))[0]) + 1
            raise ValueError(
                f"the index of {label} must be in order of time: {index[place]} comes after "
                f"{index[place - 1]}; "
                f"sort it: {label}.sort_index()"
            )
        if not times:
            return _counted(index, label)
        if isinstance(index, pd.PeriodIndex):
            grid = pd.period_range(index[0], index[-1], freq=index.freq)
            _check_filled(index, len(grid), index.freqstr, label)
            return cls(index.freqstr, index[0], len(grid), "periods", index.name), grid.get_indexer(index)
        freq = _frequency(index, label)
        grid = pd.date_range(index[0], index[-1], freq=freq)
        return cls(freq, index[0], len(grid), "times", index.name), grid.get_indexer(index)

    def index(self) -> Any:
        """As pandas has it."""
        pd = require("pandas", "tasks")
        if self.kind == "counted":
            stop = self.start + self._step * self.length
            return pd.RangeIndex(self.start, stop, self._step, name=self.name)
        if self.kind == "periods":
            return pd.period_range(self.start, periods=self.length, freq=self.freq, name=self.name)
        return pd.date_range(self.start, periods=self.length, freq=self.freq, name=self.name)

    def label(self, step: int) -> str:
        """The label of a step, for messages."""
        return f"step {self.start + self._step * step}" if self.is_counted else str(self.index()[step])

    def part(self, start: int, stop: int) -> Timeline:
        """Steps from `start` to before `stop`."""
        return self._from(start, stop - start)

    def after(self, steps: int) -> Timeline:
        """The steps that follow."""
        return self._from(self.length, steps)

    def extended(self, steps: int) -> Timeline:
        """The same and so many steps more."""
        return self._from(0, self.length + steps)

    def steps_to(self, other: Timeline) -> int:
        """Steps from the last of this to the first of `other`; 1 if it follows at once or is only counted."""
        pd = require("pandas", "tasks")
        if other.kind != self.kind:
            if other.kind == "counted":
                return 1
            raise ValueError(
                f"the new values must be indexed like the old ones ({self.kind}), got {other.kind}"
            )
        if self.kind == "counted":
            if other.start == 0:
                return 1
            return int((other.start - self.start) // self._step - self.length + 1)
        if self.kind == "periods":
            return int((other.start - self.start).n) - self.length + 1
        if str(other.start.tz) != str(self.start.tz):
            raise ValueError(
                f"the new values must have the time zone of the old ones, {self.start.tz}; got "
                f"{other.start.tz}"
            )
        if other.start <= self.start:
            return 0
        grid = pd.date_range(self.start, other.start, freq=self.freq)
        if grid[-1] != other.start:
            raise ValueError(
                f"the new values must lie on the grid of the old ones (frequency {self.freq}); "
                f"{other.start} does not"
            )
        return len(grid) - self.length

    def _from(self, skip: int, length: int) -> Timeline:
        if self.kind == "counted":
            start = self.start + self._step * skip
        elif self.kind == "periods":
            start = self.start + skip
        else:
            pd = require("pandas", "tasks")
            start = pd.date_range(self.start, periods=skip + 1, freq=self.freq)[-1] if skip else self.start
        return Timeline(self.freq, start, length, self.kind, self.name)

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        start = self.start if self.is_counted else str(self.start)
        zone = None if self.kind != "times" or self.start.tz is None else str(self.start.tz)
        return {
            "freq": self.freq,
            "start": start,
            "length": self.length,
            "kind": self.kind,
            "name": self.name,
            "zone": zone,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Timeline:
        """What `to_dict` gave."""
        pd = require("pandas", "tasks")
        start = content["start"]
        if content["kind"] == "periods":
            start = pd.Period(start, freq=content["freq"])
        elif content["kind"] == "times":
            start = pd.Timestamp(start)
            if content["zone"] is not None:
                start = start.tz_convert(content["zone"])
        return cls(content["freq"], start, content["length"], content["kind"], content["name"])


def _counted(index: Any, label: str) -> tuple[Timeline, NDArray[np.intp]]:
    numbers = np.asarray(index, np.int64)
    distances = np.diff(numbers)
    step = int(distances.min(initial=np.iinfo(np.int64).max)) if len(distances) else 1
    off = np.flatnonzero((numbers - numbers[0]) % step)
    if off.size:
        raise ValueError(
            f"the index of {label} must be regular: {numbers[off[0]]} is no multiple of {step} steps from "
            f"{numbers[0]}"
        )
    places = (numbers - numbers[0]) // step
    length = int(places[-1]) + 1
    _check_filled(index, length, f"step {step}", label)
    return Timeline.counted(int(numbers[0]), length, step, index.name), places.astype(np.intp)


def _check_filled(index: Any, length: int, freq: str, label: str) -> None:
    if len(index) < _LEAST_FILLED * length:
        distances = np.diff(
            np.asarray(index.astype("int64") if hasattr(index, "freqstr") else index).astype(np.int64)
        )
        place = int(distances.argmax())
        raise ValueError(
            f"the index of {label} has {len(index)} entries on a grid of {length} ({freq}): more than half "
            f"are missing; the largest gap is from {index[place]} to {index[place + 1]}"
        )


def _frequency(index: Any, label: str) -> str:
    """The frequency on whose grid all times lie, with the fewest gaps."""
    pd = require("pandas", "tasks")
    if index.freq is not None:
        return str(index.freqstr)
    if len(index) == 1:
        return "D"
    if len(index) >= 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it will return an offset instead of a str
            found = pd.infer_freq(index)
        if found is not None:
            return str(getattr(found, "freqstr", found))
    distances = pd.Series(index[1:] - index[:-1])
    usual, least = distances.mode()[0], distances.min()
    day = pd.Timedelta("1D")
    candidates = [*_DAYS, *_MONTHS] if usual >= day - pd.Timedelta("1h") else []
    if usual < day:
        candidates += [
            pd.tseries.frequencies.to_offset(step).freqstr for step in dict.fromkeys((usual, least))
        ]
    best: tuple[int, str] | None = None
    for freq in candidates:
        span = (index[-1] - index[0]) / least
        if span > 4 * len(index) / _LEAST_FILLED and freq not in _DAYS + _MONTHS:
            continue
        grid = pd.date_range(index[0], index[-1], freq=freq)
        fits = len(grid) and grid[0] == index[0] and index.isin(grid).all()
        if fits and len(index) >= _LEAST_FILLED * len(grid) and (best is None or len(grid) < best[0]):
            best = len(grid), freq
    if best is None:
        off = int(np.flatnonzero(np.asarray(distances != usual))[0])
        raise ValueError(
            f"the index of {label} is not regular: the usual distance is {usual}, but {index[off + 1]} comes "
            f"{distances[off]} after {index[off]}; put it on a grid, for example {label}.resample('"
            f"{_alias(usual)}').mean(), or forecast rows as they come: {label}.to_numpy()"
        )
    return best[1]


def _alias(distance: Any) -> str:
    pd = require("pandas", "tasks")
    return str(pd.tseries.frequencies.to_offset(distance).freqstr)


# Calendar: what repeats by the clock, as sine and cosine

_PERIODS = {"day": 1.0, "week": 7.0, "year": 365.2425}  # in days
_HARMONICS = {"day": 2, "week": 2, "year": 1}


def calendar_periods(timeline: Timeline) -> tuple[str, ...]:
    """Periods that this series has seen at least twice, and that are longer than two of its steps."""
    if timeline.is_counted or len(timeline) < 3:
        return ()
    days = _stamps(timeline)
    step = float(np.median(np.diff(days)))
    span = float(days[-1] - days[0])
    return tuple(name for name, period in _PERIODS.items() if 2 * step < period and span >= 2 * period - step)


def calendar_features(timeline: Timeline, periods: tuple[str, ...]) -> Array:
    """Sine and cosine of the place in each period by the local clock, ``[T, C]``."""
    if not periods:
        return np.empty((len(timeline), 0))
    pd = require("pandas", "tasks")
    index = timeline.index()
    times = index.to_timestamp() if timeline.kind == "periods" else index
    local = times.tz_localize(None) if getattr(times, "tz", None) is not None else times
    clock = (local - local.normalize()) / pd.Timedelta("1D")
    places = {
        "day": np.asarray(clock, np.float64),
        "week": np.asarray(local.day_of_week, np.float64) + np.asarray(clock, np.float64),
        "year": np.asarray(local.day_of_year, np.float64) - 1 + np.asarray(clock, np.float64),
    }
    columns = []
    for name in periods:
        for k in range(1, _HARMONICS[name] + 1):
            angle = 2 * np.pi * k * places[name] / _PERIODS[name]
            columns += [np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1)


def calendar_columns(periods: tuple[str, ...], period: str) -> list[int]:
    """Columns that a period has in the features of `periods`."""
    before = sum(2 * _HARMONICS[name] for name in periods[: periods.index(period)])
    return list(range(before, before + 2 * _HARMONICS[period]))


def _stamps(timeline: Timeline) -> Array:
    """Days since the epoch."""
    pd = require("pandas", "tasks")
    index = timeline.index()
    times = index.to_timestamp() if timeline.kind == "periods" else index
    if getattr(times, "tz", None) is not None:
        times = times.tz_convert("UTC").tz_localize(None)
    return np.asarray((times - pd.Timestamp(0)) / pd.Timedelta("1D"), np.float64)


def usual_seasons(timeline: Timeline) -> list[int]:
    """Steps in a day, a week and a year, where these are whole numbers of steps."""
    if timeline.is_counted or len(timeline) < 3:
        return []
    step = float(np.median(np.diff(_stamps(timeline))))
    if timeline.freq.startswith("B") and 0.9 < step < 1.1:
        return [5]
    counts = [(period, round(period / step)) for period in _PERIODS.values()]
    return [count for period, count in counts if count > 1 and abs(period / step - count) < 0.05 * count]
