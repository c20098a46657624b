"""Which linear forecast suits a series: target, penalty, squares or absolute errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler

from fastrnn._types import Array
from fastrnn.tasks._lags import Indices, Recipe, Scale, Track, make_track
from fastrnn.tasks._linear_forecast import LinearForecast
from fastrnn.tasks._series import Series, carry_forward

__all__ = ["Choice", "choose", "fit_scale", "median_offset", "step_sizes", "training_origins"]

ALPHAS = (1.0, 10.0, 100.0, 1000.0, math.inf)
_FOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST_ROWS = 20  # origins to fit on, for a fold to say anything
_WORK = 3e8
_MOST_FITTED = 10_000  # origins of a fold
_MOST_JUDGED = 2_000  # origins of a fold


class Choice(NamedTuple):
    """What was chosen."""

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


def choose(series: Sequence[Series], recipes: Sequence[Recipe]) -> Choice:
    """The linear forecast with the least absolute error where each tenth is forecast from what was before it."""
    lengths = np.array([len(one) for one in series])
    cuts = [cut for cut in _FOLDS if (lengths * cut - recipes[0].horizon).clip(0).sum() >= _LEAST_ROWS]
    if not cuts:
        return Choice(recipes[0], 10.0, False)
    errors: dict[Choice, float] = {}
    for recipe in recipes:
        folds = [
            _Fold(series, recipe, (lengths * cut).astype(int), (lengths * (cut + 0.1)).astype(int))
            for cut in cuts
        ]
        for alpha in ALPHAS:
            if recipe.target != "level" or math.isfinite(alpha):
                errors[Choice(recipe, alpha, False)] = sum(fold.error(alpha, False) for fold in folds)
        alpha = min((c for c in errors if c.recipe is recipe), key=errors.__getitem__).alpha
        if math.isfinite(alpha):
            errors[Choice(recipe, alpha, True)] = sum(fold.error(alpha, True) for fold in folds)
    return min(errors, key=errors.__getitem__)


class _Fold:
    """Origins to fit on, and origins to judge on, of a recipe."""

    def __init__(self, series: Sequence[Series], recipe: Recipe, cuts: Indices, stops: Indices) -> None:
        scales = [
            fit_scale(one, recipe.target, recipe.season, cut) for one, cut in zip(series, cuts, strict=True)
        ]
        part = [one.part(0, int(stop)) for one, stop in zip(series, stops, strict=True)]
        track = make_track(part, recipe, scales)
        fitted = training_origins(track, cuts)
        self._track = track.bounded(fitted)
        self._fitted = fitted[:: max(1, -(-len(fitted) // _MOST_FITTED))]
        judged = track.origins(np.maximum(cuts - 1, 0), np.maximum(stops - 1, 0))
        self._judged = judged[:: max(1, len(judged) // _MOST_JUDGED)]
        sizes = [
            scale.unit / step_sizes(one, cut) for one, scale, cut in zip(series, scales, cuts, strict=True)
        ]
        place = np.searchsorted(track.starts, self._judged, side="right") - 1
        self._weight = np.stack(sizes)[place][:, None]
        self._median_of = self._fitted[:: max(1, len(self._fitted) // _MOST_JUDGED)]

    def error(self, alpha: float, absolute: bool) -> float:
        """Mean absolute error, in mean moves of the series from step to step."""
        track = self._track
        linear = LinearForecast(alpha, absolute, work=_WORK).fit(track, self._fitted)
        offset = median_offset(track, linear, self._median_of)
        outcomes, there = track.outcomes(self._judged)
        off = np.abs(outcomes - linear.predict(track, self._judged) - offset) * self._weight
        return float(off[there].mean()) if there.any() else 0.0


def training_origins(track: Track, cuts: Indices) -> Indices:
    """Origins of each series all of whose outcomes lie before its cut, and whose lags are there."""
    ends = np.maximum(cuts - track.recipe.horizon, 0)
    return track.origins(np.minimum(track.recipe.reach - 1, ends // 3), ends)


def median_offset(track: Track, linear: LinearForecast, t: Indices) -> Array:
    """Median of what the linear forecast leaves, ``[H, V]``."""
    outcomes, there = track.outcomes(t)
    left = np.ma.masked_array(outcomes - linear.predict(track, t), ~there)
    found: Array = np.ma.median(left, axis=0).filled(0.0)
    return found
