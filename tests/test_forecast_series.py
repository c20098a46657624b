"""Series as they are read: grids of time, gaps, what is missing, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecast_cases import small
from hypothesis import given, strategies as st

from fastrnn.tasks._season import autocorrelation, guess_season
from fastrnn.tasks._series import Series, carry_forward, continuation, join, read_series
from fastrnn.tasks._timeline import calendar_features, calendar_periods


def series_on(index: Any) -> pd.Series:
    return pd.Series(np.arange(float(len(index))), index)


def read(y: Any, X: Any = None, **settings: Any) -> Series:
    return read_series(y, X, **settings)[0][0]


@pytest.mark.parametrize("freq", ["5min", "h", "D", "B", "W-SUN", "W-WED", "MS", "ME", "QS-JAN", "YS-JAN"])
def test_frequencies_are_found_in_spite_of_gaps(freq: str) -> None:
    """With entries left out there is no freq, and none that pandas would infer."""
    index = pd.date_range("2024-01-01", periods=60, freq=freq)
    kept = np.ones(60, bool)
    kept[[5, 6, 20, 40]] = False
    one = read(series_on(index)[kept])
    assert len(one) == 60
    assert one.timeline.index().equals(index)
    np.testing.assert_array_equal(np.isnan(one.values[:, 0]), ~kept)
    assert one.timeline.after(3).index().equals(pd.date_range(index[-1], periods=4, freq=freq)[1:])


@pytest.mark.parametrize("start", ["2026-03-27", "2026-10-23"], ids=["forward", "back"])
def test_clocks_that_are_changed(start: str) -> None:
    """Hours of a time zone are all there, 23 or 25 of them in a day; days have any number of hours."""
    hours = pd.date_range(start, periods=24 * 14, freq="h", tz="Europe/Berlin")
    one = read(series_on(hours).drop(hours[7]))
    assert len(one) == len(hours) and one.timeline.index().equals(hours)
    clock = calendar_features(one.timeline, ("day",))
    same = hours.hour == 8
    assert np.ptp(clock[same], axis=0).max() < 1e-12  # eight o'clock is eight o'clock
    days = pd.date_range(start, periods=30, freq="D", tz="Europe/Berlin")
    assert read(series_on(days)).timeline.index().equals(days)
    later = one.timeline.after(24 * 10).index()
    assert (later[1:] - later[:-1] == pd.Timedelta("1h")).all()


def test_a_local_time_twice_is_told_apart_by_its_zone() -> None:
    naive = pd.date_range("2026-10-24 22:00", periods=12, freq="h", tz="Europe/Berlin").tz_localize(None)
    with pytest.raises(ValueError, match=r"2026-10-25 02:00:00 does; .* use tz_localize with a time zone"):
        read(series_on(naive))
    aware = naive.tz_localize("Europe/Berlin", ambiguous="infer")
    assert len(read(series_on(aware))) == 12


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (["a", "b", "c"], TypeError, "must be a DatetimeIndex, a PeriodIndex or whole numbers"),
        ([0.0, 0.5, 1.0], TypeError, "of dtype float64: set it with pandas.to_datetime"),
        (pd.to_datetime(["2026-01-01", None, "2026-01-03"]), ValueError, "entry 1 is NaT"),
        (pd.to_datetime(["2026-01-01"] * 3), ValueError, r"2026-01-01 00:00:00 does; keep one of each"),
        (
            pd.to_datetime(["2026-01-02", "2026-01-01", "2026-01-03"]),
            ValueError,
            r"2026-01-01 00:00:00 comes after 2026-01-02 00:00:00; sort it",
        ),
        (
            pd.to_datetime(["2026-01-01 00:00", "2026-01-01 01:00", "2026-01-01 02:17"]),
            ValueError,
            r"not regular: the usual distance is 0 days 01:00:00, but 2026-01-01 02:17:00 comes",
        ),
        (
            pd.to_datetime(["2026-01-01", "2026-01-02", "2026-12-01"]),
            ValueError,
            "more than half|not regular",
        ),
        ([0, 1, 90], ValueError, r"3 entries on a grid of 91 \(step 1\): more than half are missing"),
        ([0, 2, 5], ValueError, "5 is no multiple of 2 steps from 0"),
        (pd.MultiIndex.from_product([[1], [1, 2, 3]]), TypeError, "must have one level, got 2"),
    ],
    ids=["str", "float", "NaT", "twice", "back", "off", "hole", "counted hole", "counted off", "levels"],
)
def test_indices_that_are_no_grid(index: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(pd.Series([1.0, 2.0, 3.0], index))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, TypeError, "got NoneType"),
        ("1,2,3", TypeError, "got str"),
        (3.5, TypeError, "got float"),
        ({}, ValueError, "at least one series"),
        ([], ValueError, "y is empty"),
        (pd.Series([], dtype=float), ValueError, "y is empty"),
        (np.zeros((3, 0)), ValueError, "at least one variable"),
        (np.zeros((3, 1, 1)), ValueError, "1-D"),
        ([[1.0, 2.0], [3.0]], ValueError, "rows of one length"),
        (["one", "two"], ValueError, "must be numeric"),
        ([1.0, {}], TypeError, "must be numeric"),
        (np.array([1j, 2]), ValueError, "Complex data not supported"),
        ([1.0, np.inf], ValueError, "step 1 of 0 is infinity"),
        ([np.nan, np.nan], ValueError, "no value at all"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, np.nan]}), ValueError, "no value at all in 'b'"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", 2]}), TypeError, r"y\['b'\] must be numeric.*'x'"),
        (pd.Series(pd.date_range("2026", periods=3)), TypeError, "must be numeric, got dtype datetime64"),
        ({"a": [1.0, 2.0], "b": [[1.0, 2.0]] * 2}, ValueError, "all series must have the same variables"),
        ({"a": [1.0, 2.0], "b": pd.Series([1.0, 2.0])}, ValueError, "of one kind and frequency"),
    ],
    ids=repr,
)
def test_what_is_no_series(y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_series(y)


def test_series_of_other_frequency_or_covariates() -> None:
    days, hours = (series_on(pd.date_range("2026-01-01", periods=40, freq=freq)) for freq in ("D", "h"))
    with pytest.raises(ValueError, match=r"y\['b'\] is a pandas Series of frequency h, the first"):
        read_series({"a": days, "b": hours})
    with pytest.raises(ValueError, match="X must have the names of y; only one of them has b, c"):
        read_series({"a": days, "b": days}, {"a": days, "c": days})


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "int8", "float32"])
def test_dtypes_of_pandas(dtype: str) -> None:
    values = pd.Series([1, 0, 1, 1], dtype=dtype)
    assert read(values).values.dtype == np.float64
    if dtype[0].isupper():
        values[2] = pd.NA
        np.testing.assert_array_equal(read(values).values[:, 0], [1, 0, np.nan, 1])


@given(st.lists(st.one_of(st.none(), st.floats(-10, 10)), min_size=1, max_size=30))
def test_what_is_missing_is_what_was_seen_last(values: list[float | None]) -> None:
    array = np.array([[np.nan if value is None else value] for value in values])
    filled = carry_forward(array)
    last = np.nan
    for value, got in zip(array[:, 0], filled[:, 0], strict=True):
        last = last if np.isnan(value) else value
        np.testing.assert_equal(got, last)


@given(st.integers(1, 20), st.integers(0, 5), st.integers(1, 20))
def test_what_follows_is_joined(before: int, gap: int, after: int) -> None:
    index = pd.date_range("2026-01-01", periods=before + gap + after, freq="D")
    whole = series_on(index)
    first = read(whole[:before])
    second = read(pd.Series(whole[before + gap :], index[before + gap :]).asfreq("D"))
    joined = join(first, continuation(second, first.timeline))
    assert joined.timeline.index().equals(index)
    expected = whole.to_numpy().copy()
    expected[before : before + gap] = np.nan
    np.testing.assert_array_equal(joined.values[:, 0], expected)


# Seasons and the calendar


@pytest.mark.parametrize("season", [4, 7, 12, 24, 100])
def test_seasons_are_guessed(season: int) -> None:
    rng = np.random.default_rng(season)
    pattern = rng.normal(size=season)
    y = np.tile(pattern, 6)[: 5 * season + 3] + rng.normal(0, 0.3, 5 * season + 3)
    assert guess_season(read_series(y)[0]) == season
    assert guess_season(read_series(y + 0.2 * np.arange(len(y)))[0]) == season  # in spite of a trend


def test_noise_has_no_season() -> None:
    rng = np.random.default_rng(0)
    assert [guess_season(read_series(rng.normal(size=400))[0]) for _ in range(30)].count(1) >= 27
    assert guess_season(read_series(np.ones(100))[0]) == 1
    assert guess_season(read_series(np.arange(5.0))[0]) == 1


def test_autocorrelation() -> None:
    values = np.random.default_rng(0).normal(size=50)
    centred = values - values.mean()
    expected = [(centred[: 50 - k] * centred[k:]).sum() / (centred**2).sum() for k in range(10)]
    np.testing.assert_allclose(autocorrelation(values, 9), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("index", "periods"),
    [
        (pd.date_range("2026-01-01", periods=48, freq="h"), ("day",)),
        (pd.date_range("2026-01-01", periods=24 * 14, freq="h"), ("day", "week")),
        (pd.date_range("2026-01-01", periods=20, freq="D"), ("week",)),
        (pd.date_range("2024-01-01", periods=731, freq="D"), ("week", "year")),
        (pd.date_range("2024-01-01", periods=24, freq="MS"), ("year",)),
        (pd.period_range("2024-01", periods=24, freq="M"), ("year",)),
        (pd.RangeIndex(100), ()),
    ],
    ids=str,
)
def test_periods_that_were_seen_twice(index: Any, periods: tuple[str, ...]) -> None:
    timeline = read(series_on(index)).timeline
    assert calendar_periods(timeline) == periods
    features = calendar_features(timeline, periods)
    assert features.shape[0] == len(index) and np.abs(features).max(initial=0) <= 1


def test_the_calendar_is_used() -> None:
    """For those who know the day of the year there is no need to look 365 steps back."""
    index = pd.date_range("2020-01-01", periods=365 * 4, freq="D")
    y = pd.Series(10 * np.sin(2 * np.pi * index.day_of_year / 365.25), index)
    y += np.random.default_rng(0).normal(0, 3, len(y))
    with_year = small(horizon=60, season=1).fit(y[:-60])
    assert with_year.core_.recipe.periods == ("week", "year")
    without = small(horizon=60, season=1, calendar=False).fit(y[:-60])
    truth = 10 * np.sin(2 * np.pi * y.index[-60:].day_of_year / 365.25)
    errors = [np.abs(one.predict() - truth).mean() for one in (with_year, without)]
    assert errors[0] < min(2.0, errors[1])
