"""How a forecaster is fitted: what it looks at, the linear forecast, the network's share, the calibration.

1. Season and calendar are read off the training part, and the linear forecast is chosen by forecasting later
   parts of it from earlier ones.
2. The network learns what the linear forecast leaves, by the pinball loss of the quantiles. It begins at
   their unconditional values, so at first it adds nothing.
3. On the held-out part it is decided how much of the network is added to the median, and the quantiles are
   moved so that they hold there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.layers.sequential import Sequential
from fastrnn.losses import quantile
from fastrnn.tasks._backtest import Baselines
from fastrnn.tasks._calibration import calibrate
from fastrnn.tasks._forecast_core import Core
from fastrnn.tasks._lags import TARGETS, Indices, Recipe, Track, make_track
from fastrnn.tasks._linear_forecast import LinearPool
from fastrnn.tasks._network import build_network
from fastrnn.tasks._season import guess_season
from fastrnn.tasks._select_linear import choose, fit_scale, median_offset, training_origins
from fastrnn.tasks._series import Series
from fastrnn.tasks._timeline import calendar_periods
from fastrnn.tasks._windows import ForecastWindows, residuals

__all__ = ["Plan", "plan"]

_LEAST_ORIGINS = 8
_LEAST_HELD_OUT = 8  # origins; with fewer the best epoch is a matter of luck
_LAGS = 14
MEANS = (28,)
_MOST_LAGS = 64
_WINDOW_STEPS = 64  # of a window to train on, besides those that warm it up
_WARM_UP = 16
_MOST_JUDGED = 20_000  # origins that an epoch is judged on
_MOST_RECURSIVE = 400  # origins that recursive forecasts are calibrated on
_READ_BEFORE = 256  # steps before the held-out part from which the state is built up
_GATES = (0.25, 0.5, 0.75, 1.0)
_CONFIDENCE = 2.0  # standard errors


def plan(series: list[Series], known: tuple[int, ...], settings: Any) -> Plan:
    """Decide all that is decided before the network is trained; `settings` is the estimator.

    Raises
    ------
    ValueError
        If the series are too short, or have no calendar where one is wanted.
    """
    recursive = settings.strategy == "recursive"
    horizon = 1 if recursive else settings.horizon
    lengths = np.array([len(one) for one in series], np.int64)
    held = np.floor(lengths * settings.validation_fraction).astype(np.int64)
    cuts = lengths - held
    origins = int(np.maximum(cuts - settings.horizon - 1, 0).sum())
    if origins < _LEAST_ORIGINS:
        raise ValueError(
            f"y is too short: its {int(lengths.sum())} steps (n_samples={int(lengths.sum())}) leave "
            f"{origins} forecasts of horizon={settings.horizon} to learn from, at least {_LEAST_ORIGINS} are "
            "needed"
        )
    longest = int(cuts.max())
    if settings.window is not None and settings.window + settings.horizon > longest:
        raise ValueError(
            f"window={settings.window} and horizon={settings.horizon} must fit into the {longest} steps to "
            "learn from: use a smaller window or longer series"
        )
    past = [one.part(0, int(cut)) for one, cut in zip(series, cuts, strict=True)]
    season = guess_season(past) if settings.season is None else settings.season
    if season > max(1, longest // 2):
        if settings.season is not None:
            raise ValueError(f"season={season} must be seen twice in the {longest} steps to learn from")
        season = 1
    periods = _periods(past, settings.calendar)
    lags = settings.window or max(2, min(max(_LAGS, season + 1), _MOST_LAGS, longest // 5))
    K = series[0].covariates.shape[1]
    recipe = Recipe(
        "level",
        season,
        lags,
        horizon,
        series[0].values.shape[1],
        tuple(i for i in range(K) if i not in known),
        known,
        periods,
        tuple(count for count in MEANS if 10 * count <= longest),
        any(not np.isfinite(one.values).all() for one in past),
    )
    wanted = (
        [t for t in TARGETS if t != "seasonal" or season > 1]
        if settings.target == "auto"
        else [settings.target]
    )
    if "seasonal" in wanted and season == 1:
        raise ValueError("target='seasonal' needs a season, and none was found: give season=")
    variants = [replace(recipe, target=target) for target in wanted]
    if settings.calendar == "auto" and "week" in periods:
        rest = tuple(period for period in periods if period != "week")
        variants += [replace(variant, periods=rest) for variant in variants]
    if settings.window is None and lags >= 8:
        variants += [replace(variant, lags=lags // 2) for variant in variants]
    chosen = choose(past, variants)
    recipe = replace(chosen[0][0].recipe, periods=periods, lags=lags)
    scales = [fit_scale(one, recipe.target, season, int(cut)) for one, cut in zip(series, cuts, strict=True)]
    reach = max(variant.reach for variant in variants)
    track = make_track(series, recipe, scales, ahead=settings.horizon, reach=reach)
    fitted = training_origins(track, cuts)
    track = track.bounded(fitted)
    linear = LinearPool.fit(track, fitted, [(*choice, weight) for choice, weight in chosen])
    trained = tuple(sorted({*settings.quantiles, 0.5})) if not recursive else (0.5,)
    return Plan(series, track, linear, cuts, settings.horizon, recursive, trained, tuple(settings.quantiles))


def _periods(past: Sequence[Series], calendar: str | bool) -> tuple[str, ...]:
    if calendar is False:
        return ()
    longest = max(past, key=len).timeline
    if longest.is_counted and calendar is True:
        raise ValueError("calendar=True needs y with a DatetimeIndex or PeriodIndex")
    return calendar_periods(longest)


@dataclass
class Plan:
    """A fit on its way."""

    series: list[Series]
    track: Track
    linear: LinearPool
    cuts: NDArray[np.int64]
    """Steps of each series that are trained on."""
    horizon: int
    recursive: bool
    trained: tuple[float, ...]
    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        t = training_origins(self.track, self.cuts)
        left, there = residuals(self.track, self.linear, t[:: max(1, len(t) // _MOST_JUDGED)])
        self.offsets = np.zeros((*left.shape[1:], len(self.trained)))
        for h, v in np.ndindex(*left.shape[1:]):
            known = left[there[:, h, v] > 0, h, v]
            if known.size:
                self.offsets[h, v] = np.quantile(known, self.trained) - np.median(known)
        self.offsets += median_offset(left, there > 0)[..., None]
        # Held out: from the last step that is trained on, as far as outcomes go.
        most = max(1, _MOST_JUDGED // len(self.series))
        self._stops = np.maximum(self.track.lengths - 1, 0)
        self._starts = np.maximum(self.cuts - 1, self._stops - most)
        self.held_out = bool((self.track.lengths - self.cuts).sum() >= _LEAST_HELD_OUT)
        self._judged: tuple[Indices, Array, Array] | None = None

    @property
    def most_rows(self) -> int:
        """Windows side by side that make sense."""
        return max(4, int(self.cuts.sum()) // 16)

    def windows(self, rows: int, seed: int) -> ForecastWindows:
        """Batches to train on."""
        stops = np.maximum(self.cuts - self.track.recipe.horizon, 0)
        return ForecastWindows(self.track, self.linear, stops, rows, _WINDOW_STEPS + _WARM_UP, _WARM_UP, seed)

    def network(self, width: int, settings: Any, seeds: Sequence[int]) -> Sequential:
        """A network that begins by answering the offsets."""
        model = build_network(
            [],
            width,
            self.offsets.size,
            cell=settings.cell,
            hidden_size=settings.hidden_size,
            num_layers=settings.num_layers,
            dropout=settings.dropout,
            recurrent_dropout=settings.recurrent_dropout,
            seeds=seeds,
        )
        weights = model.state_dict()
        last = str(len(model) - 1)
        weights[f"{last}.weight"] = np.zeros_like(weights[f"{last}.weight"])
        weights[f"{last}.bias"] = self.offsets.ravel().astype(np.float32)
        model.load_state_dict(weights)
        return model

    def loss(self, outputs: Any, targets: Array, weight: Array) -> tuple[float, Array]:
        """Pinball loss of outputs ``[T, N, H*V*Q]``."""
        split = np.reshape(outputs, (*targets.shape, len(self.trained)))
        value, gradient = quantile(split, targets, quantiles=self.trained, weight=weight)
        return value, gradient.reshape(np.shape(outputs))

    def _held_out(self) -> tuple[Indices, Array, Array]:
        """Origins, and what the linear forecast leaves, with weights; computed once."""
        if self._judged is None:
            t = self.track.origins(self._starts, self._stops)
            self._judged = t, *residuals(self.track, self.linear, t)
        return self._judged

    def _core(self, gate: Array, calibration: Array) -> Core:
        lower = tuple(
            np.where(np.nanmin(one.values[: int(cut)], axis=0, initial=np.inf) == 0.0, 0.0, -np.inf)
            for one, cut in zip(self.series, self.cuts, strict=True)
        )
        scales = [
            fit_scale(one, self.track.recipe.target, self.track.recipe.season, int(cut))
            for one, cut in zip(self.series, self.cuts, strict=True)
        ]
        return Core(
            self.track.recipe,
            self.recursive,
            self.trained,
            self.linear,
            self.offsets,
            gate,
            calibration,
            lower,
            tuple(scales),
        )

    def _outputs(self, model: Any, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Array:
        """Of the network at the origins `starts` to before `stops`, ``[M, O]``."""
        first = np.maximum(starts - _READ_BEFORE, 0)
        core = self._core(np.ones(self.track.recipe.variables), np.zeros((1, 1, 1, 1)))
        outputs, _ = core.read(model, self.track, first, stops, None)
        kept = np.isin(self.track.origins(first, stops), self.track.origins(starts, stops))
        return outputs[kept]

    def validation(self, model: Any) -> float:
        """Pinball loss on the held-out part."""
        _, left, there = self._held_out()
        return self.loss(self._outputs(model, self._starts, self._stops), left, there)[0]

    def calibrated(self, model: Any) -> Core:
        """Decide with the held-out part, or without one with the training part, what the network is worth."""
        starts, stops = self._starts, self._stops
        if not self.held_out:
            stops = self._stops
            starts = np.maximum(stops - _MOST_JUDGED, np.minimum(self.track.recipe.reach, stops))
        V = self.track.recipe.variables
        t = self.track.origins(starts, stops)
        outcomes, there = self.track.outcomes(t)
        outputs = self._outputs(model, starts, stops)
        core = self._core(np.ones(V), np.zeros((1, 1, 1, 1)))
        if self.held_out:
            core = replace(core, gate=self._gate(core, t, outputs, outcomes, there))
        if self.recursive:
            core = replace(core, calibration=self._recursive(core, model, starts, stops))
        else:
            core = replace(core, calibration=calibrate(core.combine(self.track, t, outputs), outcomes, there))
        # Last of all, as what was held out must not have been learned while it judged: the newest data
        # counts.
        return replace(core, linear=self._refitted()) if self.held_out else core

    def _refitted(self) -> LinearPool:
        """The linear forecast, fitted on everything."""
        members = [(one.recipe, one.alpha, one.absolute, weight) for weight, one in self.linear.members]
        return LinearPool.fit(self.track, training_origins(self.track, self.track.lengths), members)

    def _gate(
        self, core: Core, t: Indices, outputs: Array, outcomes: Array, there: NDArray[np.bool_]
    ) -> Array:
        """How much of the network is added to the median of each variable.

        The part with the least error, if that saves more than could be luck: twice the standard error of what
        is saved, where forecasts that overlap count as one.
        """

        def errors(gate: float) -> Array:
            trial = replace(core, gate=np.full(len(core.gate), gate))
            off = np.abs(outcomes - trial.combine(self.track, t, outputs)[..., core.median])
            count = np.maximum(there.sum(axis=1), 1)
            mean: Array = np.where(there, off, 0.0).sum(axis=1) / count
            return mean

        without = errors(0.0)
        gates = np.zeros(len(core.gate))
        saved = {gate: without - errors(gate) for gate in _GATES}
        for v in range(len(gates)):
            best = max(saved, key=lambda gate: float(saved[gate][:, v].mean()))
            gain = saved[best][:, v]
            error = gain.std() * np.sqrt(self.track.recipe.horizon / len(gain))
            if gain.mean() > _CONFIDENCE * error:
                gates[v] = best
        return gates

    def _recursive(
        self, core: Core, model: Any, starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> Array:
        """Errors of recursive forecasts on the held-out part."""
        starts = np.maximum(starts, stops - max(1, _MOST_RECURSIVE // len(starts)))
        first = np.maximum(starts - _READ_BEFORE, 0)
        forecasts = core.forecast(model, self.track, first, starts, stops, None, self.horizon)
        t = self.track.origins(starts, stops)
        long = replace(self.track, recipe=replace(self.track.recipe, horizon=self.horizon))
        return calibrate(forecasts, *long.outcomes(t))

    def baselines(self) -> Baselines:
        """Fitted on all that is known."""
        recipe = replace(self.track.recipe, horizon=self.horizon)
        return Baselines(recipe, self.series, self.track.lengths, self.quantiles)
