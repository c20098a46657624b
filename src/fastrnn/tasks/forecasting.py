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
    """Learns to continue time series: one or several, of one or several variables, covariates or not.

    A linear autoregression for every step ahead, chosen by forecasting later parts of the training data from
    earlier ones, and on what it leaves a recurrent network that is trained on the pinball loss [1]_ of the
    quantiles. How much of the network is added is decided on a held-out part, and so is how far apart the
    quantiles lie, so that intervals hold what they say [2]_. What cannot be forecast better than by the last
    value is therefore forecast about as well as that, and `backtest` says so.

    Parameters
    ----------
    horizon : int, default 1
        Steps ahead that are forecast.
    window : int, optional
        Last steps that the linear forecast looks at, at least 2. Default: a season and one, at least 14, at
        most 64. The network remembers what it needs.
    strategy : {"direct", "recursive"}, default "direct"
        ``"direct"`` learns every step ahead by itself. ``"recursive"`` learns one step, takes its forecast
        for the next value, and goes on as far as is wanted; it is the better choice for hundreds of steps.
    quantiles : sequence of float, default (0.1, 0.5, 0.9)
        Levels in (0, 1) that are trained on, judged and drawn. `predict` answers others, too, from these.
    target : {"auto", "level", "difference", "seasonal"}, default "auto"
        What is forecast: the value itself, its distance from the last value, or from the value a season
        before. ``"auto"`` weighs them by how well they did.
    season : int, optional
        Steps after which the series repeat. Default: guessed; 1 means none.
    calendar : bool or "auto", default "auto"
        Use the time of day, day of the week and day of the year, as far as the data has seen each period
        twice. ``True`` insists on an index that has them.
    known_future : "all" or sequence of column names, default "all"
        Columns of X that are known ahead, such as prices and holidays. They must be given to `predict`. The
        others are used up to the present.
    missing : {"carry", "raise"}, default "carry"
        What a missing value is replaced by: the last one before it, which the network is told of; or nothing.
        A missing value is never what a forecast is judged by.
    cell : {"gru", "lstm", "rnn"}, default "gru"
        Recurrent cell.
    num_layers : int, default 1
        Recurrent layers on top of each other.
    hidden_size : int, default 24
        Units of each.
    dropout : float, default 0.1
        Probability in [0, 1) of dropping elements before and after every recurrent layer.
    recurrent_dropout : float, default 0.0
        Variational dropout on the recurrent path, the same for all steps.
    batch_size : int, default 32
        Windows of 80 steps that are learned from at once.
    epochs : int, optional
        Passes over the series, of 12 to 120 batches each. Default: as many as `max_seconds` allows, else 10,
        and more where the series are so short that they make less than 1,000 steps.
    max_seconds : float, optional
        Train for so long, validation included, and anneal the learning rate to fit. What comes out then
        depends on the speed of the machine.
    learning_rate : float, default 0.005
        The largest one.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"}, default "adam"
        ``"sgd"`` has a momentum of 0.9.
    schedule : {"cosine", "constant"}, default "cosine"
        Course of the learning rate; ``"cosine"`` falls to a hundredth of it.
    weight_decay : float, default 0.001
    clip_norm : float, optional, default 1.0
        Largest Euclidean norm of the gradients together. None: no limit.
    validation_fraction : float, default 0.1
        Last part of every series that is held out: it decides which epoch was best, how much of the network
        is added, and the intervals. Where it would be less than 8 steps the training data does, and intervals
        are too narrow.
    patience : int, optional
        Stop after so many epochs without progress on the held-out part.
    random_state : int, numpy.random.RandomState or None, default None
        Seed. The same int gives the same weights, bit for bit, on any number of threads (but see
        `max_seconds`).
    n_threads : int, optional
        Threads while training and predicting. Default: as set by :func:`fastrnn.set_num_threads`.
    checkpoint : path-like, optional
        File to continue from after an interruption (see `fit`).
    checkpoint_every : float, optional, default 60.0
        Seconds between checkpoints.
    progress : bool or callable, default False
        True shows progress on standard error; a callable is given every
        :class:`fastrnn.training.TrainingEvent` and stops training by returning a true value.

    Attributes
    ----------
    season_ : int
        Steps of the season; 1 is none.
    target_ : str
        The heaviest of the targets that are weighed.
    core_ : object
        All that was learned besides the network's weights: ``gate`` says how much of the network is added to
        the forecast of each variable.
    model_ : fastrnn.layers.Sequential
        The network.
    history_ : fastrnn.training.History
        Course of the training; pinball losses in units of the scaled series.
    seed_ : int
        The seed that was used.
    known_covariates_ : list
        Names of the covariates that `predict` needs in X_future.
    n_features_in_ : int
        Variables; ``feature_names_in_`` are their names, if they are columns of a DataFrame.

    See Also
    --------
    SequenceRegressor : numbers for whole sequences, instead of what follows them.

    Notes
    -----
    Series lie on a regular grid. Steps that an index leaves out become missing values; times off the grid and
    times twice are refused by name. Arrays are taken for evenly spaced. Mean and deviation by which each
    series is scaled are learned on the part that is trained on.

    A variable that was never negative and was zero at least once is not forecast below zero.

    References
    ----------
    .. [1] R. Koenker, G. Bassett: Regression quantiles. Econometrica 46(1), 1978.
    .. [2] Y. Romano, E. Patterson, E. Candès: Conformalized quantile regression. NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from fastrnn.tasks import Forecaster
    >>> rng = np.random.default_rng(0)
    >>> days = pd.date_range("2026-01-05", periods=120)
    >>> sold = pd.Series(50 + 20 * (days.day_of_week > 4) + rng.normal(0, 3, 120), days)
    >>> forecaster = Forecaster(horizon=7, epochs=5, random_state=0).fit(sold[:113])
    >>> (forecaster.predict() > 60).tolist()  # from Tuesday to Monday
    [False, False, False, False, True, True, False]
    >>> forecaster.predict(quantiles=[0.1, 0.9]).shape
    (7, 2)
    """

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
        """Learn from the past of one or several series.

        Parameters
        ----------
        y : array_like [T] or [T, V], Series, DataFrame, or mapping of names to these
            A column is a variable; all are forecast together. A mapping holds several series for one model,
            each with its own scale; they may have any lengths. NaN is a missing value.
        X : array_like [T, K], Series, DataFrame, or mapping as y, optional
            Covariates, a row for each step of y. NaN is allowed.
        resume : bool, default False
            Continue the training whose state is in the file `checkpoint`, to the very weights it would have
            reached without the interruption. Series and settings must be the same, those excepted that only
            say for how long or where to train (`epochs`, `max_seconds`, `patience`, `n_threads`,
            `checkpoint_every`, `progress`); a `random_state` of None means the seed used before.

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        ValueError
            If a setting is not accepted; if the series are too short for `horizon` and `window`, infinite,
            without any value, or on no grid; if X does not go with y; or if the checkpoint belongs to another
            training.
        TypeError
            If something is of the wrong type or not numeric.
        TrainingInterrupted
            On Ctrl-C, a KeyboardInterrupt; what was learned is kept, and is in the checkpoint.
        MissingExtraError
            If pandas is not installed.
        """
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
        """Take in what has been observed since, without training: only the state moves on.

        In pieces or at once, the state is the same to the last bit.

        Parameters
        ----------
        new_y : as y of `fit`
            What follows. With an index it must go on from the known steps, on their grid; a gap between is
            taken for missing values. Of several series some may be left out.
        new_X : as X of `fit`, optional
            Their covariates; required if there were some in `fit`.

        Returns
        -------
        Forecaster
            Itself.

        Raises
        ------
        NotFittedError
            If the forecaster has not been fitted.
        ValueError
            If it does not follow, or has other variables or covariates; nothing is taken in then.
        TypeError
            If it is of another kind, or not numeric.
        """
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
        given, form = read_series(y, X, missing=self.missing, name=name)
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
        """Forecast what follows the data.

        Parameters
        ----------
        horizon : int, optional
            Steps. Default: those of the constructor, which are also the most that the direct strategy knows.
        X_future : array_like [horizon, K], DataFrame, or mapping as y, optional
            The covariates that are known ahead, for the steps that follow; required if there are any.
        quantiles : sequence of float, optional
            Levels in (0, 1). Default: none, only the forecast itself, a median.

        Returns
        -------
        array, Series, DataFrame, or dict
            Of the kind that y was in `fit`, indexed with the steps that follow: ``[horizon]`` or
            ``[horizon, V]``, and with quantiles ``[horizon, Q]`` or ``[horizon, V, Q]`` (a DataFrame has
            columns of two levels instead). Quantiles never cross.

        Raises
        ------
        NotFittedError
            If the forecaster has not been fitted.
        ValueError
            If `horizon` is larger than what was learned, X_future is missing, incomplete, or about other
            steps, or a level is not in (0, 1).
        TypeError
            If something is of the wrong type.
        """
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

    @property
    def known_covariates_(self) -> list[Hashable]:
        """Names of the covariates that `predict` needs in X_future."""
        self._check_fitted()
        return [self.form_.covariates[i] for i in self.core_.recipe.known]

    def _future(self, X_future: Any, steps: int) -> list[Array] | None:
        known = self.known_covariates_
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
                "are not known ahead, fit with known_future=())"
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
        """Judge forecasts from every step of what follows the data, without training.

        Parameters
        ----------
        y, X : as in `update`
            At least `horizon` steps that follow the known ones. The forecaster does not take them in.
        horizon : int, optional
            Judge only so many steps ahead. Default: all.

        Returns
        -------
        Backtest
            Errors beside those of the last value, the value a season before and ridge regression.

        Raises
        ------
        NotFittedError
            If the forecaster has not been fitted.
        ValueError, TypeError
            As `update` does; or if there are fewer steps than `horizon`.
        """
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
        """Negative mean absolute error of `evaluate`, so that greater is better.

        Parameters
        ----------
        y, X : as in `evaluate`

        Returns
        -------
        float
            In the unit of the series; 0 would be perfect.
        """
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
        """Judge forecasts of the last part of series, each made from nothing but what came before it.

        A fresh copy of the forecaster is fitted on all that precedes a fold and judged on forecasts from
        every step of it. The forecaster itself is not touched.

        Parameters
        ----------
        y : as in `fit`
        horizon : int, optional
            Steps ahead. Default: those of the constructor.
        folds : int, default 5
            Parts of equal length, one after the other, that are judged.
        X : as in `fit`, optional
        test_fraction : float, default 0.2
            Part of the (shortest) series that the folds share, at the end of it; more where the folds would
            be shorter than `horizon`.
        refit : bool, default True
            Fit anew before every fold. False fits once, and then only updates the state.

        Returns
        -------
        Backtest

        Raises
        ------
        ValueError
            If the series are too short for so many folds, or as in `fit`.
        TypeError
            As in `fit`.
        """
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
        """Draw the last values and the forecast with its intervals.

        Parameters
        ----------
        horizon, X_future : as in `predict`
        path : path-like, optional
            Image file to write; the suffix decides the format.
        history : int, optional
            Last known steps that are drawn, at most 512. Default: four times the horizon, at least 60.
        quantiles : sequence of float, optional
            Default: those of the constructor. Each and the one that mirrors it enclose a shaded band.

        Returns
        -------
        matplotlib.figure.Figure
            With a panel for each variable of each series, eight at most.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            As `predict` does.
        MissingExtraError
            If matplotlib is not installed.
        """
        self._check_fitted()
        steps = self._check_horizon(horizon)
        levels = _check_quantiles(self.quantiles if quantiles is None else quantiles)
        points, bands = self._ahead(steps, X_future, levels)
        shown = max(4 * steps, 60) if history is None else check_positive_int("history", history)
        return _forecast_plots.draw_forecast(
            self._tails, self.form_, points, bands, levels, steps=steps, history=shown, path=path
        )

    def plot_backtest(self, backtest: Backtest, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what was forecast beside what came.

        Parameters
        ----------
        backtest : Backtest
            What `backtest` or `evaluate` returned.
        path : path-like, optional
            Image file to write; the suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure
            With a panel for each variable of each series, eight at most, of forecasts for the last step
            ahead.

        Raises
        ------
        TypeError
            If `backtest` is something else.
        MissingExtraError
            If matplotlib is not installed.
        """
        if not isinstance(backtest, Backtest):
            raise TypeError(
                f"backtest must be what backtest or evaluate returned, got {type(backtest).__name__}"
            )
        return backtest.plot(path)

    # scikit-learn and files

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
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
