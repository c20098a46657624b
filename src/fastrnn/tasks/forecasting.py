"""Forecasts of time series: :class:`Forecaster`."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastrnn._checks import (
    check_bool,
    check_choice,
    check_float,
    check_int,
    check_positive_int,
    check_probability,
)
from fastrnn.errors import TrainingInterrupted
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks import _forecast_fit, _forecast_plots
from fastrnn.tasks._base import digest
from fastrnn.tasks._judged_forecaster import JudgedForecaster
from fastrnn.tasks._lags import TARGETS
from fastrnn.tasks._network import CELLS
from fastrnn.tasks._present import Present
from fastrnn.tasks._series import MISSING, Form, Series, name_from_json, name_to_json, read_series, shaped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Forecaster"]

STRATEGIES = ("direct", "recursive")


class Forecaster(JudgedForecaster):
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
                core, baselines = plan.calibrated(model), plan.baselines()
                self._learned(Present(core, model, baselines, form, self.horizon, series))

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

    def _learned(self, present: Present) -> None:
        self._present, self.core_, self.model_ = present, present.core, present.model
        self.season_ = present.core.recipe.season
        self.target_ = present.core.recipe.target
        form = present.form
        self.n_features_in_ = len(form.variables)
        if form.kind == "frame" and all(isinstance(name, str) for name in form.variables):
            self.feature_names_in_ = np.array(form.variables, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

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
        present = self._present
        continued = present.continued(present.read(new_y, new_X, "new_y", self.missing))
        with self._threads():
            present.advance(continued)
        return self

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
        present = self._present
        with self._threads():
            points, bands = present.ahead(steps, X_future, levels or ())
        answers = {}
        for i, name in enumerate(present.names):
            index = present.tails[i].timeline.after(steps).index()
            answers[name] = shaped(
                present.form, name, index, points[i] if levels is None else bands[i], levels
            )
        return answers if present.form.many else answers[present.names[0]]

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

    @property
    def known_covariates_(self) -> list[Hashable]:
        """Names of the covariates that `predict` needs in X_future."""
        self._check_fitted()
        return self._present.known_covariates

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
        with self._threads():
            points, bands = self._present.ahead(steps, X_future, levels)
        shown = max(4 * steps, 60) if history is None else check_positive_int("history", history)
        return _forecast_plots.draw_forecast(
            self._present.tails,
            self._present.form,
            points,
            bands,
            levels,
            steps=steps,
            history=shown,
            path=path,
        )

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
        return self._present.to_dict()

    def _restore_fitted(self, content: Mapping[str, Any]) -> None:
        self.quantiles = tuple(self.quantiles)
        if not isinstance(self.known_future, str):
            self.known_future = tuple(map(name_from_json, self.known_future))
        self._learned(Present.from_dict(content, self.model_, self.horizon))


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
