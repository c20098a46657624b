"""Which linear forecast suits a series: target, penalty, squares or absolute errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from fastrnn._types import Array
from fastrnn.tasks._lags import Indices, Recipe, Scale, Track, make_track
from fastrnn.tasks._linear_forecast import LinearForecast, Rows
from fastrnn.tasks._series import Series, carry_forward

__all__ = ["Choice", "choose", "fit_scale", "median_offset", "step_sizes", "training_origins"]

ALPHAS = (1.0, 10.0, 100.0, 1000.0, math.inf)
_FOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST_ROWS = 20  # origins to fit on, for a fold to say anything
_WORK = 3e8
_MOST_STEPS = 6  # ahead, from the first to the last, that a fold judges
_ROUNDS = 10
_SPREAD = 0.03  # part of the error by which a candidate may be worse and still weigh a third
_LEAST_WEIGHT = 0.03
_MOST_FITTED = 10_000  # origins of a fold
_MOST_JUDGED = 2_000  # origins of a fold


class Choice(NamedTuple):
    """One linear forecast."""

    recipe: Recipe
    alpha: float
    absolute: bool


def fit_scale(one: Series, target: str, season: int, stop: int) -> Scale:
    """Center and unit of a series, learned on the steps before `stop`."""
    values = one.values[:stop]
    level = StandardScaler().fit(_some(values))
    unit = level.scale_
    if target != "level":
        lag = season if target == "seasonal" else 1
        filled = carry_forward(values)
        if len(filled) > lag + 1:
            unit = StandardScaler().fit(_some(filled[lag:] - filled[:-lag])).scale_
    covariates = StandardScaler().fit(_some(one.covariates[:stop])) if one.covariates.shape[1] else None
    return Scale(
        np.nan_to_num(level.mean_),
        unit,
        np.empty(0) if covariates is None else np.nan_to_num(covariates.mean_),
        np.empty(0) if covariates is None else covariates.scale_,
    )


def _some(values: Array) -> Array:
    """The values, with 0 in columns that have none, of which StandardScaler would warn."""
    silent = ~np.isfinite(values).any(axis=0)
    return np.where(silent, 0.0, values)


def step_sizes(one: Series, stop: int, lag: int = 1) -> Array:
    """Mean absolute difference of values `lag` steps apart before `stop`, ``[V]``; 1 where there is none."""
    filled = carry_forward(one.values[:stop])
    if len(filled) <= lag:
        return np.ones(filled.shape[1])
    moves = np.abs(filled[lag:] - filled[:-lag])
    there = np.isfinite(moves)
    sizes = np.where(there, moves, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(sizes > 0, sizes, 1.0)


def choose(series: Sequence[Series], recipes: Sequence[Recipe]) -> list[tuple[Choice, float]]:
    """Linear forecasts and their weights in a mean of them, the heaviest first.

    Each tenth of the later half of the series is forecast from what was before it. Of each recipe the best
    penalty is a candidate, with squares and with absolute errors. One half of the weights comes from a
    selection: starting from the best candidate, the one that lowers the absolute error of the mean most is
    added, over and over; one may be added again [1]_. The other half falls off with the error of each, as
    what was best in the past by a little need not be best in the future.

    References
    ----------
    .. [1] R. Caruana et al.: Ensemble selection from libraries of models. ICML 2004.
    """
    lengths = np.array([len(one) for one in series])
    cuts = [cut for cut in _FOLDS if (lengths * cut - recipes[0].horizon).clip(0).sum() >= _LEAST_ROWS]
    if not cuts:
        return [(Choice(recipes[0], 10.0, False), 1.0)]
    parts = [_Part(series, (lengths * cut).astype(int), (lengths * (cut + 0.1)).astype(int)) for cut in cuts]
    candidates: dict[Choice, Array] = {}
    for recipe in recipes:
        folds = [_Fold(part, recipe) for part in parts]

        def errors(alpha: float, absolute: bool, folds: list[_Fold] = folds) -> Array:
            return np.concatenate([fold.errors(alpha, absolute) for fold in folds])

        alphas = [alpha for alpha in ALPHAS if recipe.target != "level" or math.isfinite(alpha)]
        tried = {alpha: errors(alpha, False) for alpha in alphas}
        best = min(alphas, key=lambda alpha: float(np.abs(tried[alpha]).sum()))
        candidates[Choice(recipe, best, False)] = tried[best]
        if math.isfinite(best):
            candidates[Choice(recipe, best, True)] = errors(best, True)
    return _select(candidates)


def _select(candidates: dict[Choice, Array]) -> list[tuple[Choice, float]]:
    """Weights: half from greedy selection with replacement, half from how good each candidate is alone."""
    alone = {choice: float(np.abs(errors).mean()) for choice, errors in candidates.items()}
    least = min(alone.values())
    if least == 0:
        return [(min(alone, key=alone.__getitem__), 1.0)]
    chosen: Counter[Choice] = Counter()
    total: Array | float = 0.0
    for size in range(1, _ROUNDS + 1):
        trials = {choice: float(np.abs(total + errors).sum()) / size for choice, errors in candidates.items()}
        best = min(trials, key=trials.__getitem__)
        total = total + candidates[best]
        chosen[best] += 1
    soft = {choice: math.exp(-(error / least - 1) / _SPREAD) for choice, error in alone.items()}
    weights = {
        choice: 0.5 * chosen[choice] / _ROUNDS + 0.5 * soft[choice] / sum(soft.values())
        for choice in candidates
    }
    kept = {choice: weight for choice, weight in weights.items() if weight >= _LEAST_WEIGHT}
    return [
        (choice, weight / sum(kept.values()))
        for choice, weight in sorted(kept.items(), key=lambda pair: -pair[1])
    ]


class _Part:
    """Series up to `stops`, to be fitted on up to `cuts`: what all recipes have in common."""

    def __init__(self, series: Sequence[Series], cuts: Indices, stops: Indices) -> None:
        self.cuts, self.stops = cuts, stops
        self.series = [one.part(0, int(stop)) for one, stop in zip(series, stops, strict=True)]
        self.scales = [fit_scale(one, "level", 1, cut) for one, cut in zip(series, cuts, strict=True)]
        self.weights = np.stack(
            [
                scale.unit / step_sizes(one, cut)
                for one, scale, cut in zip(series, self.scales, cuts, strict=True)
            ]
        )


class _Fold:
    """Origins to fit on, and origins to judge on, of a recipe."""

    def __init__(self, part: _Part, recipe: Recipe) -> None:
        cuts, stops = part.cuts, part.stops
        track = make_track(part.series, recipe, part.scales)
        fitted = training_origins(track, cuts)
        bounded = track.bounded(fitted)
        fitted = fitted[:: max(1, -(-len(fitted) // _MOST_FITTED))]
        judged = track.origins(np.maximum(cuts - 1, 0), np.maximum(stops - 1, 0))
        judged = judged[:: max(1, len(judged) // _MOST_JUDGED)]
        place = np.searchsorted(track.starts, judged, side="right") - 1
        self._weight = part.weights[place][:, None]
        steps = np.unique(np.linspace(0, recipe.horizon - 1, _MOST_STEPS).round().astype(np.int64))
        self._fitted = Rows(bounded, fitted, steps)
        self._median_of = Rows(bounded, fitted[:: max(1, len(fitted) // _MOST_JUDGED)], steps)
        self._judged = Rows(bounded, judged, steps)

    def errors(self, alpha: float, absolute: bool) -> Array:
        """Errors of all known outcomes, ``[n]``, in mean moves of the series from step to step."""
        linear = LinearForecast(alpha, absolute, _WORK).fit_rows(self._fitted)
        outcomes, there = self._median_of.outcomes
        offset = median_offset(outcomes - linear.predict_rows(self._median_of), there)
        outcomes, there = self._judged.outcomes
        off: Array = (outcomes - linear.predict_rows(self._judged) - offset) * self._weight
        return off[there].astype(np.float32)


def training_origins(track: Track, cuts: Indices) -> Indices:
    """Origins of each series all of whose outcomes lie before its cut, and whose lags are there."""
    ends = np.maximum(cuts - track.recipe.horizon, 0)
    return track.origins(np.minimum(track.recipe.reach - 1, ends // 3), ends)


def median_offset(left: Array, there: NDArray[np.bool_]) -> Array:
    """Median ``[H, V]`` of what a linear forecast leaves, ``[M, H, V]``, drawn to zero by its standard error.

    Of a random walk it is luck, and would be added to every forecast as a drift.
    """
    M, H, V = left.shape
    if M and there.all():
        return _drawn_median(np.ascontiguousarray(left.transpose(1, 2, 0)), np.arange(1, H + 1)[:, None])
    found = np.zeros((H, V))
    for h, v in np.ndindex(H, V):
        known = left[there[:, h, v], h, v]
        if known.size:
            found[h, v] = _drawn_median(known, h + 1)
    return found


def _drawn_median(values: Array, overlap: Any) -> Array:
    """Of the last axis. So many values say as much as one."""
    middle = np.median(values, axis=-1).astype(np.float64)
    # Of the median of a normal distribution.
    error = 1.2533 * values.std(axis=-1).astype(np.float64) * np.sqrt(overlap / values.shape[-1])
    drawn: Array = np.copysign(np.maximum(np.abs(middle) - error, 0.0), middle)
    return drawn
