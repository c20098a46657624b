"""Forecaster as users meet it: what it learns, answers, keeps in files, and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecast_cases import prices, small, weekly
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from fastrnn import serialization
from fastrnn.errors import TrainingInterrupted
from fastrnn.tasks import Forecaster, SequenceRegressor
from fastrnn.tasks._linear_forecast import _equations, _ridge
from fastrnn.training import TrainingEvent

Y = weekly()
X = prices()
LEVELS = (0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return small().fit(Y[:120])


@pytest.fixture(scope="module")
def with_covariates() -> Forecaster:
    """The price is known ahead, the rain is not."""
    return small(known_future=("price",)).fit(Y[:120], X[:120])


def assert_same_forecasts(first: Forecaster, second: Forecaster, X_future: Any = None) -> None:
    a, b = (one.predict(X_future=X_future, quantiles=LEVELS) for one in (first, second))
    for key in a if isinstance(a, dict) else [None]:
        x, y = (one if key is None else one[key] for one in (a, b))
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y)
        else:
            pd.testing.assert_frame_equal(x, y, rtol=0, atol=0, check_freq=False)


# Learning


def test_a_season_is_learned() -> None:
    forecaster = small(horizon=14).fit(Y[:136])
    assert forecaster.season_ == 7
    weekend = Y[136:].to_numpy() > 60
    assert ((forecaster.predict() > 60) == weekend).all()
    assert np.abs(forecaster.predict() - Y[136:]).mean() < 4


def test_what_is_no_season() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=300), rng.normal(size=300).cumsum()):
        assert small(horizon=1).fit(values).season_ == 1


def test_trends_and_shifts_of_the_level_are_followed() -> None:
    """A model of levels would stay within what it has seen."""
    steps = np.arange(240)
    rising = 3.0 * steps + np.random.default_rng(0).normal(0, 1, 240)
    assert np.abs(small(horizon=5).fit(rising).predict() - 3.0 * np.arange(240, 245)).max() < 6
    shifted = np.random.default_rng(0).normal(0, 1, 240)
    for target in ("auto", "level"):
        forecaster = small(target=target).fit(shifted)
        after = forecaster.update(100 + np.random.default_rng(1).normal(0, 1, 40)).predict()
        assert np.abs(after - 100).max() < 5, target


def test_the_network_learns_what_no_linear_model_can() -> None:
    """The logistic map: the next value is a parabola of the last."""
    y = [0.3]
    while len(y) < 500:
        y.append(3.8 * y[-1] * (1 - y[-1]))
    forecaster = Forecaster(epochs=30, random_state=0).fit(y[:400])
    assert forecaster.core_.gate[0] > 0
    found = forecaster.evaluate(y[400:])
    assert found.best_baseline == "ridge" and found.skill > 0.5


def test_known_covariates_are_used() -> None:
    rng = np.random.default_rng(0)
    promotion = rng.integers(0, 2, 330).astype(float)
    y = 10 + 30 * promotion + rng.normal(0, 1, 330)
    forecaster = small().fit(y[:327], promotion[:327, None])
    np.testing.assert_allclose(forecaster.predict(X_future=[[1.0], [0.0], [1.0]]), [40, 10, 40], atol=3)
    blind = small(known_future=()).fit(y[:327], promotion[:327, None])
    assert np.ptp(blind.predict()) < 10
    with pytest.raises(ValueError, match="no covariate is known ahead"):
        blind.predict(X_future=[[1.0]] * 3)


def test_intervals_cover_what_they_say() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(0, 1 + (np.arange(1500) % 10 > 6), 1500)
    table = small(horizon=2, quantiles=(0.05, 0.5, 0.95)).fit(y[:1000]).evaluate(y[1000:]).table
    assert 0.86 < table.loc["fastrnn", "coverage"] < 0.94


def test_one_model_of_several_series() -> None:
    """Each is scaled by itself: a small one beside a large one is not lost."""
    many = {"large": 1000 * weekly(seed=1), "small": 0.001 * weekly(100, seed=2)}
    answers = small(horizon=7).fit(many).predict()
    assert list(answers) == ["large", "small"]
    for name, factor in (("large", 1000), ("small", 0.001)):
        assert answers[name].index[0] == many[name].index[-1] + pd.Timedelta("1D")
        assert 40 < answers[name].min() / factor < 56 and 64 < answers[name].max() / factor < 78


@pytest.mark.parametrize("settings", [{}, {"cell": "lstm", "num_layers": 2}, {"cell": "rnn"}], ids=str)
def test_seed_and_threads(settings: dict[str, Any]) -> None:
    first = small(**settings).fit(Y)
    assert_same_forecasts(small(**settings, n_threads=3).fit(Y), first)
    assert first.history_["loss"] != small(**settings, random_state=4).fit(Y).history_["loss"]


def test_a_series_does_not_depend_on_the_others_when_predicted() -> None:
    many = {name: weekly(120, seed) for seed, name in enumerate("abcd")}
    forecaster = small().fit(many)
    together = forecaster.predict()
    later = {name: weekly(125, seed)[120:] for seed, name in enumerate("abcd")}
    alone = {}
    for name in many:
        copy = small().fit(many)
        alone[name] = copy.update({name: later[name]}).predict()[name]
        for other in set(many) - {name}:
            pd.testing.assert_series_equal(copy.predict()[other], together[other], rtol=0, atol=0)
    updated = forecaster.update(later).predict()
    for name in many:
        pd.testing.assert_series_equal(updated[name], alone[name], rtol=0, atol=0)


def test_long_series_are_windowed_as_they_are_needed(
    fitted: Forecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastrnn.tasks._windows._MOST_KEPT", 10)
    assert_same_forecasts(small().fit(Y[:120]), fitted)


# What comes back is of the kind that was given


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
@pytest.mark.parametrize(
    "given",
    [
        Y.tolist(),
        Y.to_numpy(),
        Y.to_numpy()[:, None],
        np.stack([Y, 2 * Y], axis=1),
        Y,
        Y.to_frame(),
        pd.DataFrame({"a": Y, "b": 2 * Y}),
        {"north": Y, "south": Y * 2},
        {3: Y.to_numpy(), 4: Y.to_numpy()[:100]},
        Y.set_axis(Y.index.to_period("D")),
        Y.reset_index(drop=True),
        Y.set_axis(range(1000, 1300, 2)),
    ],
    ids=(
        [
            "list",
            "1-D",
            "column",
            "2-D",
            "Series",
            "frame",
            "2 columns",
            "dict",
            "2 arrays",
            "periods",
            "counted",
            "every second",
        ]
    ),
)
def test_kinds(given: Any, strategy: str, tmp_path: Path) -> None:
    forecaster = small(strategy=strategy).fit(given)
    point, bands = forecaster.predict(), forecaster.predict(quantiles=LEVELS)
    path = tmp_path / "m"
    forecaster.save(path)
    assert_same_forecasts(Forecaster.load(path), forecaster)
    first = given
    if isinstance(given, dict):
        assert list(point) == list(bands) == list(given)
        key = next(iter(given))
        first, point, bands = given[key], point[key], bands[key]
    assert len(point) == 3
    if isinstance(first, (list, np.ndarray)):
        assert isinstance(point, np.ndarray)
        assert point.shape == (3, *np.shape(first)[1:])
        assert bands.shape == (3, *np.shape(first)[1:], 3)
        return
    assert type(point) is type(first)
    step = first.index[1] - first.index[0]
    assert point.index.tolist() == [first.index[-1] + (k + 1) * step for k in range(3)]
    assert point.index.equals(bands.index)
    if isinstance(first, pd.Series):
        assert point.name == "sold" and bands.columns.tolist() == list(LEVELS)
        np.testing.assert_array_equal(bands[0.5] >= bands[0.1], True)
    else:
        assert point.columns.equals(first.columns)
        assert bands.columns.tolist() == [(name, level) for name in first for level in LEVELS]
        assert forecaster.feature_names_in_.tolist() == list(first)


def test_quantiles_are_in_order_and_any_may_be_asked_for(fitted: Forecaster) -> None:
    wanted = (0.99, 0.5, 0.025, 0.3)
    bands = fitted.predict(quantiles=wanted)
    assert bands.columns.tolist() == list(wanted)
    ordered = bands[sorted(wanted)].to_numpy()
    assert (np.diff(ordered, axis=1) >= 0).all() and (ordered[:, 0] < ordered[:, -1]).all()
    np.testing.assert_array_equal(fitted.predict(2), fitted.predict()[:2])
    np.testing.assert_array_equal(bands[0.5], fitted.predict())


def test_a_count_is_not_forecast_below_zero() -> None:
    """What was never negative and touched zero stays there."""
    y = np.maximum(0.0, np.random.default_rng(0).normal(0, 3, 300)).round()
    bands = small().fit(y).predict(quantiles=(0.01, 0.5, 0.99))
    assert (bands >= 0).all()


def test_recursive_forecasts_go_on_as_far_as_wanted() -> None:
    forecaster = small(strategy="recursive").fit(Y)
    long = forecaster.predict(30, quantiles=LEVELS)
    assert long.shape == (30, 3) and long.index[-1] == Y.index[-1] + pd.Timedelta("30D")
    np.testing.assert_array_equal(long[:3], forecaster.predict(quantiles=LEVELS))
    width = long[0.9] - long[0.1]
    assert width.iloc[-1] > width.iloc[2]
    with pytest.raises(ValueError, match=r"horizon must be at most 3, the steps that were learned; got 30"):
        small().fit(Y).predict(30)


# Going on


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
@pytest.mark.parametrize("covariates", [False, True], ids=["alone", "with covariates"])
def test_update_in_pieces_is_update_at_once(strategy: str, covariates: bool, tmp_path: Path) -> None:
    def given(start: int, stop: int) -> tuple[Any, ...]:
        return (Y[start:stop], X[start:stop]) if covariates else (Y[start:stop],)

    ahead = X[["price"]].set_axis(X.index + (Y.index[-1] - X.index[0]) + pd.Timedelta("1D"))[:3]
    X_future = ahead if covariates else None
    settings = {"strategy": strategy, "known_future": ["price"] if covariates else "all"}
    once, pieces, saved = (small(**settings).fit(*given(0, 100)) for _ in range(3))
    once.update(*given(100, 150))
    for stop in range(105, 151, 5):
        pieces.update(*given(stop - 5, stop))
    assert_same_forecasts(pieces, once, X_future)
    saved.update(*given(100, 120)).save(tmp_path / "m")
    assert_same_forecasts(Forecaster.load(tmp_path / "m").update(*given(120, 150)), once, X_future)


def test_update_is_what_evaluate_assumes(fitted: Forecaster) -> None:
    """Each forecast that is judged is the one that predict would have made there."""
    frame = fitted.evaluate(Y[120:]).forecasts
    forecaster = small().fit(Y[:120])
    for stop in (120, 121, 147):
        if stop > 120:
            forecaster = small().fit(Y[:120]).update(Y[120:stop])
        judged = frame[frame["origin"] == Y.index[stop - 1]]
        np.testing.assert_array_equal(judged["fastrnn"], forecaster.predict())
        np.testing.assert_array_equal(judged[["q0.1", "q0.5", "q0.9"]], forecaster.predict(quantiles=LEVELS))
    assert frame["origin"].min() == Y.index[119] and frame["origin"].max() == Y.index[146]


def test_update_with_a_gap_is_update_with_missing_values() -> None:
    one, other = small().fit(Y[:120]), small().fit(Y[:120])
    one.update(Y[125:130])
    holes = Y[120:130].copy()
    holes[:5] = np.nan
    assert_same_forecasts(one, other.update(holes))


def test_update_does_not_train(fitted: Forecaster) -> None:
    forecaster = small().fit(Y[:120])
    before = {name: value.copy() for name, value in forecaster.model_.state_dict().items()}
    forecaster.update(Y[120:])
    for name, value in forecaster.model_.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("new", "error", "message"),
    [
        (Y[100:], ValueError, "must begin after the last known step, 2026-05-04"),
        (Y[120:].to_frame(), None, None),
        (Y[120:].rename("other"), None, None),
        (Y[120:].tz_localize("UTC"), ValueError, "time zone of the old ones"),
        (Y[120:].shift(6, freq="h"), ValueError, "must lie on the grid of the old ones"),
        (Y[120:].resample("2D").mean(), ValueError, "must go on at the frequency of the old ones"),
        ({"a": Y[120:]}, TypeError, "new_y must be a pandas Series, as in fit; got a mapping"),
        (pd.DataFrame({"a": Y[120:], "b": Y[120:]}), ValueError, "must have the variables of fit"),
        ([], ValueError, "new_y is empty"),
        (Y[120:].astype(str), TypeError, "must be numeric"),
        (Y[120:] * np.inf, ValueError, "new_y must be finite"),
    ],
    ids=["again", "frame", "name", "zone", "off the grid", "frequency", "dict", "two", "none", "str", "inf"],
)
def test_updates_that_do_not_follow(new: Any, error: type[Exception] | None, message: str | None) -> None:
    forecaster = small().fit(Y[:120])
    before = forecaster.predict()
    if error is None:
        assert not forecaster.update(new).predict().index.equals(before.index)
        return
    with pytest.raises(error, match=message):
        forecaster.update(new)
    pd.testing.assert_series_equal(forecaster.predict(), before)  # nothing was lost


def test_what_is_given_is_not_changed() -> None:
    y, covariates = Y.copy(), X.copy()
    y.iloc[5] = np.nan
    kept = y.copy(), covariates.copy()
    small(known_future=()).fit(y[:120], covariates[:120]).evaluate(y[120:], covariates[120:])
    pd.testing.assert_series_equal(y, kept[0])
    pd.testing.assert_frame_equal(covariates, kept[1])


# Covariates


def test_covariates_must_come_along(with_covariates: Forecaster) -> None:
    ahead = X[["price"]][120:123]
    assert len(with_covariates.predict(X_future=ahead)) == 3
    np.testing.assert_array_equal(
        with_covariates.predict(X_future=X[120:123]), with_covariates.predict(X_future=ahead.to_numpy())
    )
    for given, message in (
        (None, r"X_future must hold the covariates \['price'\] of the 3 steps ahead; got None"),
        (ahead[:2], "a row for each of the 3 steps ahead, got 2"),
        (ahead.rename(columns={"price": "cost"}), "'price' is absent"),
        (X.to_numpy()[:3], "must have the 1 known covariates"),
        (X[["price"]][:3], "should be 2026-05-05"),
        (ahead * np.nan, "row 0 of 'price' is NaN"),
        (ahead * np.inf, "must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            with_covariates.predict(X_future=given)
    with pytest.raises(TypeError, match="X_future must be a pandas Series, got dict"):
        with_covariates.predict(X_future={"a": ahead})
    with pytest.raises(ValueError, match=r"X must hold the covariates \['price', 'rain'\] as in fit"):
        with_covariates.update(Y[120:])
    with pytest.raises(ValueError, match="must have the covariates of fit"):
        with_covariates.update(Y[120:], X[["price"]][120:])


@pytest.mark.parametrize(
    ("covariates", "error", "message"),
    [
        (X[1:120], ValueError, "X must have a row for each of the 120 steps of y, got 119"),
        (X[1:121], ValueError, "X must have the index of y"),
        (X[:120].assign(rain="wet"), TypeError, r"X\['rain'\] must be numeric"),
        ({"a": X[:120]}, TypeError, "X must be of the same kind as y"),
        (X[:120].set_axis(["a", "a"], axis=1), ValueError, "columns of different names"),
        (np.zeros((120, 1, 1)), ValueError, "1-D .one variable. or 2-D"),
    ],
    ids=["short", "other days", "words", "dict", "twice", "3-D"],
)
def test_covariates_that_do_not_fit(covariates: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small().fit(Y[:120], covariates)


# Interruption, checkpoints, files


class CtrlC:
    """Interrupt at a step, as the user would."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, event: TrainingEvent) -> None:
        if event.kind == "step" and event.total_steps == self.at:
            raise KeyboardInterrupt


def test_interrupt_and_resume(fitted: Forecaster, tmp_path: Path) -> None:
    path = tmp_path / "state"
    stopped = small(progress=CtrlC(15), checkpoint=path)
    with pytest.raises(TrainingInterrupted):
        stopped.fit(Y[:120])
    assert len(stopped.predict()) == 3  # what was learned is not lost
    resumed = small(checkpoint=path).fit(Y[:120], resume=True)
    assert_same_forecasts(resumed, fitted)
    assert resumed.history_["loss"] == fitted.history_["loss"]
    with pytest.raises(ValueError, match=r"written with other settings: hidden_size=4 \(now 5\)"):
        small(checkpoint=path, hidden_size=5).fit(Y[:120], resume=True)
    with pytest.raises(ValueError, match="other data"):
        small(checkpoint=path).fit(Y[:121], resume=True)
    with pytest.raises(ValueError, match="resume=True needs the parameter checkpoint"):
        small().fit(Y, resume=True)


def test_budgets_and_the_best_epoch() -> None:
    assert small(epochs=None, max_seconds=1e-6).fit(Y).history_.stopped == "max_seconds"
    history = small(epochs=40, patience=2, learning_rate=0.05).fit(Y).history_
    assert history.stopped == "patience"
    assert history.best_epoch == int(np.argmin(history["val_loss"])) + 1
    assert len(small(validation_fraction=0.0).fit(Y).predict()) == 3


def test_files(with_covariates: Forecaster, tmp_path: Path) -> None:
    path = tmp_path / "m"
    with_covariates.save(path)
    loaded = Forecaster.load(path)
    assert loaded.get_params() == with_covariates.get_params()
    ahead = X[["price"]][120:123]
    assert_same_forecasts(loaded, with_covariates, ahead)
    assert loaded.season_ == with_covariates.season_ and loaded.target_ == with_covariates.target_
    assert loaded.evaluate(Y[120:], X[120:]).to_dict() == with_covariates.evaluate(Y[120:], X[120:]).to_dict()
    with pytest.raises(ValueError, match="Forecaster"):
        SequenceRegressor.load(path)
    metadata = serialization.read_metadata(path)
    serialization.save(loaded.model_, tmp_path / "new", {**metadata, "task_version": 1000})
    with pytest.raises(ValueError, match=r"was written by a newer fastrnn .version 1000"):
        Forecaster.load(tmp_path / "new")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="m"):
        Forecaster.load(path)


def test_names_that_have_no_json(tmp_path: Path) -> None:
    forecaster = small().fit({pd.Timestamp("2026-01-01"): Y})
    with pytest.raises(TypeError, match="names of series and columns must be str or numbers"):
        forecaster.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
    two = {("a", 1): Y, ("b", 2): Y}
    small().fit(two).save(tmp_path / "m")
    assert list(Forecaster.load(tmp_path / "m").predict()) == list(two)


def test_clone_and_not_fitted(fitted: Forecaster, tmp_path: Path) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    for call in (
        lambda: copy.predict(),
        lambda: copy.update(Y),
        lambda: copy.evaluate(Y),
        lambda: copy.save(tmp_path / "m"),
        lambda: copy.plot(),
        lambda: copy.plot_history(),
    ):
        with pytest.raises(NotFittedError, match="this Forecaster is not fitted yet"):
            call()


def test_pictures(fitted: Forecaster, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fitted.plot(path=tmp_path / "ahead.png")
    fitted.plot(2, quantiles=(0.05, 0.95), history=20, path=tmp_path / "ahead.svg")
    fitted.plot_backtest(fitted.evaluate(Y[120:]), tmp_path / "back.png")
    for name in ("ahead.png", "ahead.svg", "back.png"):
        assert (tmp_path / name).stat().st_size > 5000
    axes = fitted.plot().axes[0]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"data", "forecast", "0.1 to 0.9"}
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), fitted.predict())
    with pytest.raises(TypeError, match="backtest must be what backtest or evaluate returned, got dict"):
        fitted.plot_backtest({})  # type: ignore[arg-type]


# Few, odd and hostile data


def test_a_constant_series() -> None:
    forecaster = small().fit(np.full(60, 7.0))
    np.testing.assert_allclose(forecaster.predict(), 7.0, atol=1e-6)
    bands = forecaster.predict(quantiles=LEVELS)
    np.testing.assert_allclose(bands, 7.0, atol=1e-6)
    assert np.isfinite(forecaster.update([8.0, 9.0]).predict()).all()
    assert "not beaten" in forecaster.evaluate(np.full(20, 9.0)).verdict


@pytest.mark.parametrize("length", [1, 2, 5, 11])
def test_too_short(length: int) -> None:
    with pytest.raises(ValueError, match=rf"y is too short: its {length} steps"):
        small().fit(np.arange(float(length)))


@pytest.mark.parametrize("length", [14, 20, 30])
def test_short(length: int) -> None:
    y = np.random.default_rng(0).normal(size=length)
    assert np.isfinite(small().fit(y).predict()).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e150])
def test_numbers_of_any_size(scale: float) -> None:
    expected = small().fit(Y.to_numpy()).predict()
    np.testing.assert_allclose(small().fit(Y.to_numpy() * scale).predict() / scale, expected, rtol=1e-3)


@pytest.mark.filterwarnings("error")
def test_missing_values_are_carried() -> None:
    rng = np.random.default_rng(0)
    holes = Y.copy()
    holes[rng.random(150) < 0.3] = np.nan
    holes[:4] = np.nan
    forecaster = small(horizon=7).fit(holes)
    assert np.abs(forecaster.predict() - weekly(157)[150:]).mean() < 8
    whole = small(missing="raise").fit(Y)
    assert_same_forecasts(whole, small().fit(Y))
    with pytest.raises(ValueError, match=r"with missing=.raise.: \d+ are NaN, the first in"):
        small(missing="raise").fit(holes)


def test_a_missing_value_at_the_end() -> None:
    y = Y.copy()
    y.iloc[-2:] = np.nan
    forecaster = small().fit(y)
    assert forecaster.predict().index[0] == Y.index[-1] + pd.Timedelta("1D")
    assert np.isfinite(forecaster.predict()).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"horizon": 0}, ValueError, "horizon must be"),
        ({"horizon": 2.5}, TypeError, "horizon must be"),
        ({"window": 1}, ValueError, "window must be"),
        ({"window": 149}, ValueError, "window=149 and horizon=3 must fit into the 135 steps"),
        ({"strategy": "both"}, ValueError, "strategy must be one of"),
        ({"quantiles": (0.0, 0.5)}, ValueError, "quantiles must be"),
        ({"quantiles": (0.5, 0.5)}, ValueError, "quantiles must differ"),
        ({"quantiles": 0.5}, TypeError, "quantiles must be a sequence"),
        ({"quantiles": "0.5"}, TypeError, "quantiles must be a sequence"),
        ({"target": "trend"}, ValueError, "target must be one of"),
        ({"season": 0}, ValueError, "season must be"),
        ({"season": 100}, ValueError, "season=100 must be seen twice in the 135 steps"),
        ({"calendar": "yes"}, TypeError, "calendar must be"),
        ({"known_future": "none"}, ValueError, "known_future must be one of"),
        ({"known_future": ["sun"]}, ValueError, r"must name columns of X, \['price', 'rain'\]; got 'sun'"),
        ({"known_future": 3}, TypeError, "known_future must be"),
        ({"missing": "drop"}, ValueError, "missing must be one of"),
        ({"cell": "mgu"}, ValueError, "cell must be one of"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be"),
        ({"dropout": 1.0}, ValueError, "dropout must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"epochs": 0}, ValueError, "epochs must be"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate must be"),
        ({"optimizer": "lion"}, ValueError, "optimizer must be one of"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction must be"),
        ({"patience": 2, "validation_fraction": 0}, ValueError, "patience needs held-out data"),
        ({"n_threads": 0}, ValueError, "n_threads must be"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_settings(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(**settings).fit(Y, X)


def test_settings_that_need_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="target='seasonal' needs a season"):
        small(target="seasonal").fit(np.random.default_rng(0).normal(size=100))
    with pytest.raises(ValueError, match="calendar=True needs y with a DatetimeIndex"):
        small(calendar=True).fit(Y.to_numpy())
    for quantiles, message in (((), "at least one"), ((1.5,), "quantiles must be")):
        with pytest.raises(ValueError, match=message):
            small().fit(Y).predict(quantiles=quantiles)


@pytest.mark.parametrize("target", ["level", "difference", "seasonal"])
def test_targets(target: str) -> None:
    forecaster = small(target=target).fit(Y)
    assert forecaster.target_ == target
    assert forecaster.predict().min() > 30 and forecaster.predict().max() < 90


def test_equations_without_a_solution_are_an_error() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        _ridge(_equations(x, x[:, :1]), -1e3)
