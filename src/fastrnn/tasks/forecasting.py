"""Forecasts of time series: :class:`Forecaster`."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import clone

from fastrnn._checks import (
    check_bool,
    check_choice,
    check_float,
    check_int,
    check_positive_int,
    check_probability,
)
from fastrnn._types import Array
from fastrnn.errors import TrainingInterrupted
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks import _forecast_fit, _forecast_plots
from fastrnn.tasks._backtest import OURS, Backtest, Baselines, Judged
from fastrnn.tasks._base import TaskEstimator, digest
from fastrnn.tasks._forecast_core import Core
from fastrnn.tasks._lags import TARGETS, Track, make_track
from fastrnn.tasks._network import CELLS
from fastrnn.tasks._series import (
    MISSING,
    Form,
    Series,
    check_same_form,
    continuation,
    future_rows,
    join,
    name_from_json,
    name_to_json,
    read_series,
    shaped,
)
from fastrnn.tasks._states import join_states, state_from_json, state_to_json, take_state

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Forecaster"]

STRATEGIES = ("direct", "recursive")
_KEPT = 512  # last values that are kept to be drawn
_TEST_FRACTION = 0.2


class Forecaster(TaskEstimator):
    """Learns to continue time series."""

    _unit: ClassVar[str] = "pinball loss"
    _items: ClassVar[str] = "step"

    model_: Sequential

    def __init__(
        self,
        horizon: int = 1,
        *,
        window: int | None = None,
        strategy: str = "direct",
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        target: str = "auto",
        season: int | None = None,
        calendar: str | bool = "auto",
        known_future: str | Sequence[Hashable] = "all",
        missing: str = "carry",
        cell: str = "gru",
        num_layers: int = 1,
        hidden_size: int = 24,
        dropout: float = 0.1,
        recurrent_dropout: float = 0.0,
        batch_size: int = 32,
        epochs: int | None = None,
        max_seconds: float | None = None,
        learning_rate: float = 0.005,
        optimizer: str = "adam",
        schedule: str = "cosine",
        weight_decay: float = 0.001,
        clip_norm: float | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        random_state: Any = None,
        n_threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | None = 60.0,
        progress: bool | Callable[..., Any] = False,
    ) -> None:
        self.horizon = horizon
        self.window = window
        self.strategy = strategy
        self.quantiles = quantiles
        self.target = target
        self.season = season
        self.calendar = calendar
        self.known_future = known_future
        self.missing = missing
        self.cell = cell
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.batch_size = batch_size
        self.epochs = epochs
        self.max_seconds = max_seconds
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.progress = progress

    # Training

    def fit(self, y: Any, X: Any = None, *, resume: bool = False) -> Self:
        """Learn from the past of one or several series."""
        self._check_settings()
        return self._fit_series(*read_series(y, X, missing=self.missing), resume=resume)

    def _fit_series(self, series: list[Series], form: Form, *, resume: bool = False) -> Self:
        known = _known_columns(self.known_future, form.covariates)
        plan = _forecast_fit.plan(series, known, self)
        data = digest(*(array for one in series for array in (one.values, one.covariates)))
        self.seed_ = self._resumed_seed(data) if resume else self._draw_seed()
        seeds = [int(state) for state in np.random.SeedSequence(self.seed_).generate_state(8)]
        windows = plan.windows(min(self.batch_size, plan.most_rows), seeds[-1])
        model = plan.network(windows.width, self, seeds)

        def learned() -> None:
            with self._threads():
                self.core_ = plan.calibrated(model)
                self.model_ = model
                self._learned(series, form, plan.baselines())

        try:
            self._train(
                model,
                windows,
                plan.loss,
                validation=plan.validation if plan.held_out else None,
                data=data,
                items_per_step=windows.items_per_step,
                carry_state=False,
                resume=resume,
            )
        except TrainingInterrupted:
            learned()
            raise
        learned()
        return self

    def _check_settings(self) -> None:
        self._check_training_settings()
        check_choice("cell", self.cell, CELLS)
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("target", self.target, ("auto", *TARGETS))
        check_choice("missing", self.missing, MISSING)
        for name in ("horizon", "num_layers", "hidden_size", "batch_size"):
            check_positive_int(name, getattr(self, name))
        for name in ("dropout", "recurrent_dropout"):
            check_probability(name, getattr(self, name), allow_one=False)
        if self.window is not None:
            check_int("window", self.window, low=2)
        if self.season is not None:
            check_positive_int("season", self.season)
        if self.calendar != "auto":
            check_bool("calendar", self.calendar)
        _check_quantiles(self.quantiles)

    def _learned(self, series: list[Series], form: Form, baselines: Baselines) -> None:
        core = self.core_
        self.form_, self.baselines_ = form, baselines
        self.season_ = core.recipe.season
        self.target_ = core.recipe.target
        self.n_features_in_ = len(form.variables)
        if form.kind == "frame" and all(isinstance(name, str) for name in form.variables):
            self.feature_names_in_ = np.array(form.variables, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._names = [one.name for one in series]
        track = self._track(series)
        stops = np.maximum(track.lengths - core.recipe.pending, 0)
        _, self._state = core.read(self.model_, track, np.zeros_like(stops), stops, None, answers=False)
        self._tails = [self._tail(one) for one in series]

    def _tail(self, one: Series) -> Series:
        """The last steps, as many as are looked at or drawn."""
        recipe = self.core_.recipe
        needed = max(self.core_.reach, self.baselines_.reach) + recipe.pending + 2
        return one.part(max(0, len(one) - max(needed, _KEPT)), len(one))

    def _track(
        self, series: list[Series], future: list[Array] | None = None, rows: Any = None, ahead: int = 0
    ) -> Track:
        scales = self.core_.scales if rows is None else [self.core_.scales[i] for i in rows]
        return make_track(
            series, self.core_.recipe, scales, future, max(ahead, self.horizon), self.core_.reach
        )

    # Going on

    def update(self, new_y: Any, new_X: Any = None) -> Self:
        """Take in what has been observed since, without training: only the state moves on."""
        self._check_fitted()
        self._advance(self._continued(self._read(new_y, new_X, "new_y")))
        return self

    def _read(self, y: Any, X: Any, name: str) -> list[Series]:
        """Series that are meant to go on from those of fit."""
        if X is None and self.form_.covariates:
            raise ValueError(
                f"X must hold the covariates {self.form_.covariates} as in fit, for the steps of {name}; "
                "got None"
            )
        given, form = read_series(y, X, missing=self.missing)
        check_same_form(form, self.form_, name)
        unknown = [one.name for one in given if one.name not in self._names] if form.many else []
        if unknown:
            raise ValueError(f"{name} holds a series {unknown[0]!r} that was not there in fit")
        return given

    def _continued(self, given: list[Series]) -> list[tuple[int, Series, int]]:
        """Place of each given series, its tail with what is new, and the steps of the tail."""
        found = []
        for one in given:
            i = self._names.index(one.name) if self.form_.many else 0
            tail = self._tails[i]
            found.append((i, join(tail, continuation(one, tail.timeline)), len(tail)))
        return found

    def _advance(self, continued: list[tuple[int, Series, int]]) -> None:
        pending = self.core_.recipe.pending
        places = [i for i, _, _ in continued]
        track = self._track([joined for _, joined, _ in continued], rows=places)
        first = [max(0, old - pending) for _, _, old in continued]
        stop = [max(0, len(joined) - pending) for _, joined, _ in continued]
        with self._threads():
            before = take_state(self._state, places)
            _, after = self.core_.read(self.model_, track, first, stop, before, answers=False)
        states = [take_state(self._state, [j]) for j in range(len(self._tails))]
        tails = list(self._tails)
        for place, (i, joined, _) in enumerate(continued):
            states[i] = take_state(after, [place])
            tails[i] = self._tail(joined)
        self._state, self._tails = join_states(states), tails

    # Forecasts

    def predict(self, horizon: int | None = None, X_future: Any = None, quantiles: Any = None) -> Any:
        """Forecast what follows the data."""
        self._check_fitted()
        steps = self._check_horizon(horizon)
        levels = None if quantiles is None else _check_quantiles(quantiles, empty=False)
        points, bands = self._ahead(steps, X_future, levels or ())
        answers = {}
        for i, name in enumerate(self._names):
            timeline = self._tails[i].timeline.after(steps)
            answers[name] = shaped(
                self.form_, name, timeline.index(), points[i] if levels is None else bands[i], levels
            )
        return answers if self.form_.many else answers[self._names[0]]

    def _check_horizon(self, horizon: int | None) -> int:
        if horizon is None:
            return self.horizon
        steps = check_positive_int("horizon", horizon)
        if steps > self.core_.recipe.horizon and not self.core_.recursive:
            raise ValueError(
                f"horizon must be at most {self.core_.recipe.horizon}, the steps that were learned; got "
                f"{steps}: "
                f"fit a Forecaster(horizon={steps}), or one with strategy='recursive'"
            )
        return steps

    def _ahead(self, steps: int, X_future: Any, levels: Sequence[float]) -> tuple[list[Array], list[Array]]:
        """Points ``[steps, V]`` and bands ``[steps, V, Q]`` of each series after its last step."""
        core = self.core_
        future = self._future(X_future, steps)
        track = self._track(self._tails, future, ahead=steps)
        ends = track.lengths
        first = np.maximum(ends - core.recipe.pending, 0)
        with self._threads():
            raw = core.forecast(self.model_, track, first, ends - 1, ends, self._state, steps)
        points, bands = core.median_of(raw), core.quantiles(raw, levels)
        each = range(len(self._tails))
        return (
            [core.restore(points[[i]], i)[0] for i in each],
            [core.restore(bands[[i]], i)[0] for i in each],
        )

    def _future(self, X_future: Any, steps: int) -> list[Array] | None:
        known = [self.form_.covariates[i] for i in self.core_.recipe.known]
        if not known:
            if X_future is not None:
                raise ValueError(
                    "X_future was given, but no covariate is known ahead: the Forecaster was fitted "
                    + ("without covariates" if not self.form_.covariates else "with known_future=()")
                )
            return None
        if X_future is None:
            raise ValueError(
                f"X_future must hold the covariates {known} of the {steps} steps ahead; got None (where they "
                "are "
                "not known ahead, fit with known_future=())"
            )
        if isinstance(X_future, Mapping) != self.form_.many:
            raise TypeError(f"X_future must be {self.form_.describe()}, got {type(X_future).__name__}")
        rows = []
        for name, tail in zip(self._names, self._tails, strict=True):
            if self.form_.many and name not in X_future:
                raise ValueError(f"X_future must hold all series; {name!r} is absent")
            label = f"X_future[{name!r}]" if self.form_.many else "X_future"
            given = X_future[name] if self.form_.many else X_future
            rows.append(future_rows(given, known, tail.timeline, steps, label))
        return rows

    # Evaluation

    def evaluate(self, y: Any, X: Any = None, *, horizon: int | None = None) -> Backtest:
        """Judge forecasts from every step of what follows the data."""
        self._check_fitted()
        steps = self.horizon if horizon is None else check_int("horizon", horizon, low=1, high=self.horizon)
        return self._backtest_of(self._judge(self._read(y, X, "y"), steps, 0))

    def _judge(self, given: list[Series], steps: int, fold: int) -> list[Judged]:
        core = self.core_
        found = []
        for i, joined, old in self._continued(given):
            if len(joined) - old < steps:
                raise ValueError(
                    f"y must have at least horizon={steps} steps to be judged on, got {len(joined) - old}"
                )
            start, stop = old - 1, len(joined) - steps
            track = self._track([joined], rows=[i], ahead=steps)
            first = max(0, old - core.recipe.pending)
            with self._threads():
                raw = core.forecast(
                    self.model_, track, [first], [start], [stop], take_state(self._state, [i]), steps
                )
            levels = tuple(self.quantiles)
            points, bands = self.baselines_.forecast(joined, i, start, stop, steps)
            places = np.arange(start, stop)[:, None] + np.arange(1, steps + 1)
            outcomes = joined.values[places]
            found.append(
                Judged(
                    joined.name,
                    fold,
                    joined.timeline.part(start, len(joined)),
                    np.nan_to_num(outcomes),
                    np.isfinite(outcomes),
                    {OURS: core.restore(core.median_of(raw), i), **points},
                    {OURS: core.restore(core.quantiles(raw, levels), i), **bands},
                    self.baselines_.step_sizes[i],
                )
            )
        return found

    def _backtest_of(self, judged: list[Judged]) -> Backtest:
        return Backtest(judged, tuple(self.quantiles), self.form_.variables, self.season_)

    def score(self, y: Any, X: Any = None) -> float:
        """Negative mean absolute error of `evaluate`."""
        return -float(self.evaluate(y, X).table.loc[OURS, "MAE"])

    def backtest(
        self,
        y: Any,
        horizon: int | None = None,
        folds: int = 5,
        X: Any = None,
        *,
        test_fraction: float = _TEST_FRACTION,
        refit: bool = True,
    ) -> Backtest:
        """Judge forecasts of the last part of series, each made from nothing but what came before it."""
        check_positive_int("folds", folds)
        check_bool("refit", refit)
        check_float("test_fraction", test_fraction, low=0.0, high=1.0, open_low=True, open_high=True)
        steps = self.horizon if horizon is None else check_positive_int("horizon", horizon)
        fresh = clone(self).set_params(horizon=steps, checkpoint=None)
        fresh._check_settings()
        series, form = read_series(y, X, missing=self.missing)
        shortest = min(map(len, series))
        size = max(round(shortest * test_fraction) // folds, steps)
        if shortest - folds * size < max(size, 4):
            raise ValueError(
                f"y is too short to be judged: {folds} folds of {size} steps leave "
                f"{max(shortest - folds * size, 0)} of {shortest} steps to learn from; use fewer folds or a "
                "shorter horizon"
            )
        judged: list[Judged] = []
        for fold in range(folds):
            cuts = [len(one) - (folds - fold) * size for one in series]
            new = [one.part(cut, cut + size) for one, cut in zip(series, cuts, strict=True)]
            if refit or not fold:
                past = [one.part(0, cut) for one, cut in zip(series, cuts, strict=True)]
                fresh = clone(fresh)._fit_series(past, form)
            judged += fresh._judge(new, steps, fold)
            if not refit:
                fresh._advance(fresh._continued(new))
        backtest: Backtest = fresh._backtest_of(judged)
        return backtest

    # Pictures

    def plot(
        self,
        horizon: int | None = None,
        X_future: Any = None,
        path: str | os.PathLike[str] | None = None,
        *,
        history: int | None = None,
        quantiles: Any = None,
    ) -> Figure:
        """Draw the last values and the forecast with its intervals."""
        self._check_fitted()
        steps = self._check_horizon(horizon)
        levels = _check_quantiles(self.quantiles if quantiles is None else quantiles)
        points, bands = self._ahead(steps, X_future, levels)
        shown = max(4 * steps, 60) if history is None else check_positive_int("history", history)
        return _forecast_plots.draw_forecast(
            self._tails, self.form_, points, bands, levels, steps=steps, history=shown, path=path
        )

    def plot_backtest(self, backtest: Backtest, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what was forecast beside what came."""
        if not isinstance(backtest, Backtest):
            raise TypeError(
                f"backtest must be what backtest or evaluate returned, got {type(backtest).__name__}"
            )
        return backtest.plot(path)

    # scikit-learn and files

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = True
        tags.input_tags.allow_nan = self.missing != "raise"
        tags.target_tags.required = False
        tags.non_deterministic = self.random_state is None or self.max_seconds is not None
        return tags

    def _settings(self) -> dict[str, Any]:
        settings = super()._settings()
        settings["quantiles"] = [float(q) for q in self.quantiles]
        if not isinstance(self.known_future, str):
            settings["known_future"] = [name_to_json(name) for name in self.known_future]
        return settings

    def _fitted_metadata(self) -> dict[str, Any]:
        return {
            "core": self.core_.to_dict(),
            "baselines": self.baselines_.to_dict(),
            "form": self.form_.to_dict(),
            "tails": [tail.to_dict() for tail in self._tails],
            "state": state_to_json(self._state),
        }

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.quantiles = tuple(self.quantiles)
        if not isinstance(self.known_future, str):
            self.known_future = tuple(map(name_from_json, self.known_future))
        self.core_ = Core.from_dict(content["core"])
        baselines = Baselines.from_dict(content["baselines"])
        form = Form.from_dict(content["form"])
        tails = [Series.from_dict(tail) for tail in content["tails"]]
        self._learned(tails, form, baselines)
        self._state = state_from_json(content["state"])


def _check_quantiles(quantiles: Any, *, empty: bool = True) -> tuple[float, ...]:
    if isinstance(quantiles, (str, bytes)) or not np.iterable(quantiles):
        raise TypeError(f"quantiles must be a sequence of numbers between 0 and 1, got {quantiles!r}")
    levels = tuple(
        check_float("quantiles", q, low=0.0, high=1.0, open_low=True, open_high=True) for q in quantiles
    )
    if len(set(levels)) != len(levels):
        raise ValueError(f"quantiles must differ from one another, got {quantiles!r}")
    if not levels and not empty:
        raise ValueError("quantiles must hold at least one number between 0 and 1, got none")
    return levels


def _known_columns(known_future: Any, covariates: list[Hashable]) -> tuple[int, ...]:
    """Columns of X that are known ahead."""
    if isinstance(known_future, str):
        check_choice("known_future", known_future, ("all",))
        return tuple(range(len(covariates)))
    if not np.iterable(known_future):
        raise TypeError(f"known_future must be 'all' or a sequence of columns of X, got {known_future!r}")
    for name in known_future:
        if name not in covariates:
            raise ValueError(f"known_future must name columns of X, {covariates}; got {name!r}")
    return tuple(covariates.index(name) for name in known_future)
