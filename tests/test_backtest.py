"""Backtests: nothing is seen before its time, and every figure is what it is said to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecast_cases import prices, small, weekly
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from fastrnn.tasks._backtest import BASELINES, OURS, Backtest
from fastrnn.tasks._calibration import LEVELS, apply_calibration, calibrate, conformal_quantiles

Y = weekly(220)
X = prices(220)


@pytest.fixture(scope="module")
def backtest() -> Backtest:
    return small().backtest(Y, folds=3)


# No look-ahead


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("strategy", ["direct", "recursive"])
@pytest.mark.parametrize("covariates", [False, True], ids=["alone", "with covariates"])
def test_no_forecast_knows_what_comes_after_it(covariates: bool, refit: bool, strategy: str) -> None:
    """From some step on everything is other: forecasts from before are the same to the last bit."""
    settings = {"known_future": ["price"] if covariates else "all", "strategy": strategy}
    how = {"folds": 2, "refit": refit, "test_fraction": 0.15}
    step = 201  # in the second half of the second fold
    other, other_X = Y.copy(), X.copy()
    other[step:] = np.random.default_rng(9).normal(-1e4, 1e3, len(Y) - step)
    other_X.iloc[step:, 1] = 1e6  # the rain, that is not known ahead
    frames = []
    for y, covered in ((Y, X), (other, other_X)):
        given = {"X": covered} if covariates else {}
        frames.append(small(**settings).backtest(y, **given, **how).forecasts.drop(columns="actual"))
    before = frames[0]["origin"] < Y.index[step]
    assert before.sum() > 40 and (~before).sum() > 10
    pd.testing.assert_frame_equal(frames[0][before], frames[1][before], rtol=0, atol=0)
    after = frames[0].loc[~before, OURS].to_numpy() != frames[1].loc[~before, OURS].to_numpy()
    assert after.all()  # the test can fail


def test_missing_values_are_not_filled_from_the_future() -> None:
    holes = Y.copy()
    holes.iloc[[195, 200, 201, 202]] = np.nan
    other = holes.copy()
    other.iloc[203:] = -1e4
    frames = [small().backtest(y, folds=1, test_fraction=0.2).forecasts for y in (holes, other)]
    before = frames[0]["origin"] < Y.index[203]
    columns = [OURS, *BASELINES, "q0.1", "q0.9"]
    pd.testing.assert_frame_equal(frames[0].loc[before, columns], frames[1].loc[before, columns])


def test_scales_season_and_calibration_are_of_the_training_part() -> None:
    """What is held out may decide the share of the network and the intervals, and not more."""
    other = Y[:100].copy()
    other[90:] = 1e6  # the held-out tenth
    first, second = (small().fit(y) for y in (Y[:100], other))
    for a, b in zip(first.core_.scales, second.core_.scales, strict=True):
        np.testing.assert_array_equal(a.center, b.center)
        np.testing.assert_array_equal(a.unit, b.unit)
    assert first.season_ == second.season_ == 7
    for name, value in first.history_.items():
        if name == "loss":
            assert value == second.history_["loss"]  # weights are learned on the rest


# Figures


def test_every_origin_is_judged_once(backtest: Backtest) -> None:
    frame = backtest.forecasts
    size = round(220 * 0.2) // 3
    origins = frame["origin"].drop_duplicates()
    assert len(origins) == 3 * (size - 2) == len(frame) / 3
    assert frame.groupby("fold")["origin"].min().tolist() == [
        Y.index[220 - (3 - fold) * size - 1] for fold in range(3)
    ]
    assert (frame["time"] - frame["origin"] == frame["step"] * pd.Timedelta("1D")).all()
    np.testing.assert_array_equal(frame["actual"], Y[frame["time"]])


def test_measures_by_hand(backtest: Backtest) -> None:
    frame, table = backtest.forecasts, backtest.table
    assert table.index.tolist() == [OURS, *BASELINES]
    actual = frame["actual"]
    size = round(220 * 0.2) // 3
    scales = [np.abs(np.diff(Y[: 220 - (3 - fold) * size])).mean() for fold in range(3)]
    for model in table.index:
        error = (actual - frame[model]).abs()
        row = table.loc[model]
        assert row["MAE"] == pytest.approx(error.mean())
        assert row["RMSE"] == pytest.approx(np.sqrt((error**2).mean()))
        assert row["MASE"] == pytest.approx((error / np.array(scales)[frame["fold"]]).mean())
        assert row["sMAPE"] == pytest.approx((200 * error / (actual.abs() + frame[model].abs())).mean())
    losses = [
        np.maximum(q * (actual - frame[f"q{q:g}"]), (q - 1) * (actual - frame[f"q{q:g}"])).mean()
        for q in (0.1, 0.5, 0.9)
    ]
    assert table.loc[OURS, "pinball"] == pytest.approx(np.mean(losses))
    inside = (frame["q0.1"] <= actual) & (actual <= frame["q0.9"])
    assert table.loc[OURS, "coverage"] == pytest.approx(inside.mean())
    for step in (1, 3):
        chosen = frame[frame["step"] == step]
        assert backtest.by_step.loc[step, OURS] == pytest.approx(
            (chosen["actual"] - chosen[OURS]).abs().mean()
        )
    assert backtest.by_variable.loc["sold", OURS] == pytest.approx(table.loc[OURS, "MAE"])


def test_baselines_by_hand(backtest: Backtest) -> None:
    frame = backtest.forecasts
    assert backtest.season == 7
    np.testing.assert_allclose(frame["naive"], Y[frame["origin"]])
    np.testing.assert_allclose(frame["seasonal naive"], Y[frame["time"] - pd.Timedelta("7D")])
    # Ridge regression on 14 lags, in units of their spread, for each step ahead.
    cut = 220 - 3 * (round(220 * 0.2) // 3)
    values = Y.to_numpy()
    for step in (1, 2, 3):
        origins = np.arange(13, cut - 3)
        lags = np.stack([values[origins - k] for k in range(14)], axis=1)
        moved = np.concatenate([lags[:, :-1] - lags[:, 1:], lags[:, :1]], axis=1)
        spread = moved.std(axis=0)
        model = Ridge(1.0).fit((moved - moved.mean(axis=0)) / spread, values[origins + step])
        at = np.arange(cut - 1, cut - 1 + 5)
        new = np.stack([values[at - k] for k in range(14)], axis=1)
        new = np.concatenate([new[:, :-1] - new[:, 1:], new[:, :1]], axis=1)
        expected = model.predict((new - moved.mean(axis=0)) / spread)
        found = frame[(frame["fold"] == 0) & (frame["step"] == step)]["ridge"][:5]
        np.testing.assert_allclose(found, expected, rtol=0.02)


def test_missing_outcomes_do_not_count() -> None:
    holes = Y.copy()
    holes.iloc[-10:-5] = np.nan
    found = small().backtest(holes, folds=2)
    frame = found.forecasts
    assert frame["actual"].isna().sum() == 15
    there = frame["actual"].notna()
    error = (frame["actual"] - frame[OURS])[there].abs()
    assert found.table.loc[OURS, "MAE"] == pytest.approx(error.mean())
    assert found.to_dict()["forecasts"] == there.sum()


def test_several_series_and_variables() -> None:
    many = {
        name: pd.DataFrame({"a": weekly(220, seed), "b": weekly(220, seed + 5)})
        for seed, name in enumerate("xy")
    }
    found = small().backtest(many, folds=2, refit=False)
    frame = found.forecasts
    assert set(frame["series"]) == {"x", "y"} and set(frame["variable"]) == {"a", "b"}
    assert found.by_variable.index.tolist() == ["a", "b"]
    row = frame.iloc[-1]
    assert row["actual"] == many[row["series"]][row["variable"]][row["time"]]


def test_the_verdict_is_honest(backtest: Backtest) -> None:
    assert backtest.best_baseline in BASELINES and backtest.skill > 0
    assert backtest.verdict.startswith(f"The best baseline ({backtest.best_baseline}) is beaten by ")
    walk = np.random.default_rng(0).normal(size=800).cumsum()
    none = small(horizon=1).backtest(walk, folds=2)
    assert none.skill < 0.02 and "forecast is not beaten" in none.verdict
    assert none.verdict in str(none) and none.to_dict()["verdict"] == none.verdict


def test_a_better_forecast_is_told_from_a_worse_one(backtest: Backtest) -> None:
    assert backtest.table.loc[OURS, "MAE"] < 0.6 * backtest.table.loc["naive", "MAE"]
    assert small().fit(Y[:180]).score(Y[180:]) == pytest.approx(
        -small().fit(Y[:180]).evaluate(Y[180:]).table.loc[OURS, "MAE"]
    )


def test_without_quantiles_or_with_one() -> None:
    point = small(quantiles=()).fit(Y[:180]).evaluate(Y[180:])
    assert point.table["coverage"].isna().all() and point.table["pinball"].isna().all()
    assert str(point) and point.to_dict()["models"][OURS]["coverage"] is None
    one = small(quantiles=(0.5,)).fit(Y[:180]).evaluate(Y[180:])
    assert one.table.loc[OURS, "pinball"] == pytest.approx(one.table.loc[OURS, "MAE"] / 2)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"folds": 0}, ValueError, "folds must be"),
        ({"folds": 100}, ValueError, r"100 folds of 3 steps leave 0 of 220 steps to learn from"),
        ({"horizon": 0}, ValueError, "horizon must be"),
        ({"horizon": 120, "folds": 2}, ValueError, "use fewer folds or a shorter horizon"),
        ({"test_fraction": 1.0}, ValueError, "test_fraction must be"),
        ({"refit": 1}, TypeError, "refit must be"),
    ],
    ids=str,
)
def test_what_cannot_be_judged(how: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small().backtest(Y, **how)


def test_evaluate_needs_as_many_steps_as_it_forecasts() -> None:
    forecaster = small().fit(Y[:200])
    with pytest.raises(ValueError, match="at least horizon=3 steps to be judged on, got 2"):
        forecaster.evaluate(Y[200:202])
    assert len(forecaster.evaluate(Y[200:203]).forecasts) == 3
    assert forecaster.evaluate(Y[200:], horizon=1).forecasts["step"].max() == 1
    with pytest.raises(ValueError, match="horizon must be"):
        forecaster.evaluate(Y[200:], horizon=4)


def test_backtest_does_not_fit_the_forecaster_itself() -> None:
    forecaster = small()
    forecaster.backtest(Y, folds=1)
    assert not hasattr(forecaster, "model_")


# Calibration


def test_conformal_quantiles_cover() -> None:
    """Of 19 errors the largest is the upper end of an interval that holds with probability 0.95."""
    errors = np.arange(1.0, 20.0)
    assert conformal_quantiles(errors, np.array([0.95])) == pytest.approx(19.0, abs=0.6)
    assert conformal_quantiles(errors, np.array([0.5])) == 10.0
    assert conformal_quantiles(np.array([3.0]), LEVELS).tolist() == [3.0] * len(LEVELS)


def test_calibration_moves_quantiles_to_where_they_hold() -> None:
    rng = np.random.default_rng(0)
    outcomes = rng.normal(5, 2, size=(4000, 2, 1))
    forecasts = np.zeros((4000, 2, 1, 3))  # of 0.1, 0.5, 0.9: all far too low, but the median is what it is
    found = calibrate(forecasts, outcomes, np.ones(outcomes.shape, bool))
    bands = apply_calibration(forecasts[:1], (0.1, 0.5, 0.9), found, (0.9, 0.1, 0.5))
    np.testing.assert_allclose(bands[0, 0, 0], [5 + 2 * 1.2816, 0, 0], atol=0.2)
    far = apply_calibration(np.zeros((1, 8, 1, 3)), (0.1, 0.5, 0.9), found, (0.9,))
    assert far[0, 7, 0] == pytest.approx(2 * far[0, 1, 0])  # four times as far ahead


def test_overlapping_forecasts_say_less() -> None:
    errors = np.random.default_rng(0).normal(size=60)
    widths = [np.ptp(conformal_quantiles(errors, np.array([0.1, 0.9]), overlap)) for overlap in (1, 10, 60)]
    assert widths[0] < widths[1] < widths[2] == np.ptp(errors)


def test_steps_without_outcomes_are_calibrated_like_those_before() -> None:
    rng = np.random.default_rng(0)
    there = np.ones((100, 3, 1), bool)
    there[:, 2] = False
    found = calibrate(np.zeros((100, 3, 1, 1)), rng.normal(size=(100, 3, 1)), there)
    np.testing.assert_allclose(found[2], found[1] * np.sqrt(1.5))
    assert (calibrate(np.zeros((5, 1, 1, 1)), np.zeros((5, 1, 1)), np.zeros((5, 1, 1), bool)) == 0).all()


def test_searches_of_scikit_learn() -> None:
    """In order of time: each part goes on where the one before ended."""
    quick, split = small(horizon=2, epochs=1), TimeSeriesSplit(2)
    scores = cross_val_score(quick, Y, cv=split)
    train, test = next(iter(split.split(Y)))
    assert scores[0] == small(horizon=2, epochs=1).fit(Y.iloc[train]).score(Y.iloc[test])
    search = GridSearchCV(quick, {"target": ["level", "seasonal"]}, cv=split).fit(Y)
    assert len(search.best_estimator_.predict()) == 2
