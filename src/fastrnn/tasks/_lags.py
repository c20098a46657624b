"""What a forecast is made from: lags, covariates and the calendar, at any origin of a series.

An origin t is the step whose value is the last that is known; step h of a forecast is about t + h. Everything
here is computed for the origins that are asked for, out of the series itself, so that memory does not grow
with the number of lags or steps ahead.

A. Values are in units of the series: ``u = (y - center) / unit``, both learned on the training part.
B. A forecast is a reference plus what is learned: nothing (target ``"level"``), the last value
   (``"difference"``, so that a random walk or a trend is followed wherever it goes), or the value a season
   before (``"seasonal"``).
C. Beyond the levels that were seen in training the target ``"level"`` knows nothing to return to: what the
   mean of the last lags exceeds the seen range by is taken off the lags and put on the forecast again, so
   that after a shift of the level forecasts go on from there.
D. All series lie in one array one after the other, with room before and after each, so that one index takes
   what is needed from any of them, and no lag reaches into another series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.tasks._series import Series, carry_forward
from fastrnn.tasks._timeline import calendar_columns, calendar_features

__all__ = ["TARGETS", "Indices", "Recipe", "Scale", "Track", "make_track"]

TARGETS = ("level", "difference", "seasonal")

_MOST_COMPANIONS = 64  # lags of all other variables together that a variable's forecast sees
_INPUT_LIMIT = 6.0  # units; what is further away must not blind the network to everything else

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """Which lags, covariates and calendar features a forecast is made from."""

    target: str
    season: int
    """Steps of a season; 1 is none."""
    lags: int
    """At least 2."""
    horizon: int
    """Steps ahead that are answered at once."""
    variables: int
    past: tuple[int, ...]
    """Columns of the covariates that are known only up to the origin."""
    known: tuple[int, ...]
    """Columns that are known ahead."""
    periods: tuple[str, ...]
    """Of the calendar."""
    means: tuple[int, ...]
    """Numbers of last steps whose means are looked at too, for a long memory with few coefficients."""
    indicators: bool
    """Whether the network is told what was missing."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Least and largest mean of the last lags in training, of each variable (see C)."""

    @property
    def reach(self) -> int:
        """Steps before an origin that are looked at."""
        seasonal = self.season + (self.lags if self.target == "seasonal" else 1)
        return max(self.lags, *self.means, seasonal if self.season > 1 else 0)

    @property
    def pending(self) -> int:
        """Last steps that the network can read only when the known covariates after them are given."""
        return self.horizon if self.known else 1

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Recipe:
        """What `to_dict` gave."""
        return cls(**{name: _tupled(value) for name, value in content.items()})


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Scale:
    """Center and unit of the variables of one series, and of its covariates."""

    center: Array
    unit: Array
    covariate_center: Array
    covariate_unit: Array

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {name: value.tolist() for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Scale:
        """What `to_dict` gave."""
        return cls(**{name: np.asarray(value, np.float64) for name, value in content.items()})


@dataclass(frozen=True)
class Track:
    """Series in their units, without holes, one after the other; ready to be looked at from any origin."""

    recipe: Recipe
    starts: Indices
    """``[S]``: where the first step of each series lies."""
    lengths: Indices
    """``[S]``: its steps."""
    u: Array
    """``[R, V]``; a missing value is the last one before it."""
    observed: NDArray[np.bool_]
    """``[R, V]``; False in the room between the series."""
    past: Array
    """``[R, P]``, scaled."""
    known: Array
    """``[R, K]``, scaled."""
    calendar: Array
    """``[R, C]``."""

    def origins(self, first: Sequence[int] | Indices, stop: Sequence[int] | Indices) -> Indices:
        """Places of the steps from `first` to before `stop` of each series, one series after the other."""
        spans = zip(self.starts, first, stop, strict=True)
        return np.concatenate([start + np.arange(a, b, dtype=np.int64) for start, a, b in spans])

    # Each of the following is about the origins ``t [M]``.

    def levels(self, t: Indices) -> Array:
        """Mean of the last lags, ``[M, V]``."""
        means: Array = self.u[t[:, None] - np.arange(self.recipe.lags)].mean(axis=1)
        return means

    def excess(self, t: Indices) -> Array:
        """What the level exceeds the range seen in training by, ``[M, V]``."""
        if self.recipe.bounds is None or self.recipe.target != "level":
            return np.zeros((len(t), self.recipe.variables))
        levels = self.levels(t)
        beyond: Array = levels - np.clip(levels, *self.recipe.bounds)
        return beyond

    def seen_as(self, recipe: Recipe) -> Track:
        """The same series for another recipe, of no more reach, horizon and calendar than its own."""
        periods = self.recipe.periods
        if recipe.periods == periods:
            return replace(self, recipe=recipe)
        kept = [column for period in recipe.periods for column in calendar_columns(periods, period)]
        return replace(self, recipe=recipe, calendar=self.calendar[:, kept])

    def bounded(self, t: Indices) -> Track:
        """With the range of levels that these origins have."""
        levels = self.levels(t)
        bounds = tuple(levels.min(axis=0).tolist()), tuple(levels.max(axis=0).tolist())
        return replace(self, recipe=replace(self.recipe, bounds=bounds))

    def reference(self, t: Indices) -> Array:
        """What the forecast is relative to, ``[M, H, V]``."""
        recipe = self.recipe
        if recipe.target == "level":
            return np.repeat(self.excess(t)[:, None], recipe.horizon, axis=1)
        if recipe.target == "difference":
            return np.repeat(self.u[t][:, None], recipe.horizon, axis=1)
        ahead = np.arange(1, recipe.horizon + 1)
        before: Array = self.u[t[:, None] + ahead - recipe.season * -(-ahead // recipe.season)]
        return before

    def outcomes(self, t: Indices) -> tuple[Array, NDArray[np.bool_]]:
        """Values that came, ``[M, H, V]``, and which of them are there."""
        places = t[:, None] + np.arange(1, self.recipe.horizon + 1)
        return self.u[places], self.observed[places]

    def lags(self, t: Indices, variable: int) -> Array:
        """What the linear forecast of a variable sees whatever the step ahead, ``[M, p]``."""
        recipe = self.recipe
        u, m, excess = self.u[:, variable], recipe.season, self.excess(t)
        back = t[:, None] - np.arange(recipe.lags)
        lagged = u[back]
        if recipe.target == "seasonal":
            lagged = lagged - u[back - m]
        parts = [lagged[:, :-1] - lagged[:, 1:]]
        if recipe.target != "difference":
            parts.append(lagged[:, :1] - excess[:, variable, None])
        if m > 1 and recipe.target != "seasonal":
            season = u[t[:, None] - m + np.arange(min(recipe.horizon, m) + 1)]
            start = season[:, :1] if recipe.target == "difference" else excess[:, variable, None]
            parts.append(season[:, 1:] - start)
        for count in recipe.means:
            mean = u[t[:, None] - np.arange(count)].mean(axis=1)
            parts.append((mean - (excess[:, variable] if recipe.target == "level" else u[t]))[:, None])
        others = recipe.variables - 1
        if others:
            count = min(recipe.lags - 1, max(1, _MOST_COMPANIONS // others))
            rows = np.delete(self.u[t[:, None] - np.arange(count + 1)], variable, axis=2)
            parts.append((rows[:, :-1] - rows[:, 1:]).reshape(len(t), -1))
            if recipe.target == "level":
                parts.append(rows[:, 0] - np.delete(excess, variable, axis=1))
        return np.concatenate([*parts, self.past[t], self.calendar[t + 1]], axis=1)

    def inputs(self, t: Indices) -> Array:
        """What the network reads at each origin beside the linear forecast, ``[M, F]``."""
        recipe = self.recipe
        u = self.u[t]
        parts = [u - self.u[t - 1]]
        if recipe.target == "level":
            parts.append(u - self.excess(t))
        if recipe.season > 1:
            parts.append(u - self.u[t - recipe.season])
        if recipe.indicators:
            parts.append(~self.observed[t])
        parts += [self.past[t], self.calendar[t + 1]]
        if recipe.known:
            parts += [self.known[t + h] for h in range(1, recipe.horizon + 1)]
        features: Array = np.clip(np.concatenate(parts, axis=1), -_INPUT_LIMIT, _INPUT_LIMIT)
        return features


def make_track(
    series: Sequence[Series],
    recipe: Recipe,
    scales: Sequence[Scale],
    future: Sequence[Array] | None = None,
    ahead: int = 0,
    reach: int = 0,
) -> Track:
    """Put series into their units; `future` are rows, ``[F, K]``, of the known covariates after each.

    Before a series its first value stands, after it nothing is observed, and the last row of the known
    covariates stands for those that are not given. There is
    room for `reach` steps before and `ahead` steps after a series, if the recipe does not ask for more.
    """
    front, back = max(recipe.reach, reach) + 1, max(recipe.horizon, ahead)
    parts = []
    for i, (one, scale) in enumerate(zip(series, scales, strict=True)):
        u = carry_forward((one.values - scale.center) / scale.unit)
        covariates = (one.covariates - scale.covariate_center) / scale.covariate_unit
        covariates = np.nan_to_num(carry_forward(covariates), nan=0.0)
        known = covariates[:, list(recipe.known)]
        if future is not None:
            center, unit = (a[list(recipe.known)] for a in (scale.covariate_center, scale.covariate_unit))
            known = np.concatenate([known, (future[i] - center) / unit])
        calendar = calendar_features(one.timeline.extended(back), recipe.periods)
        room = (front, back)
        parts.append(
            (
                np.pad(np.nan_to_num(u, nan=0.0), (room, (0, 0)), "edge"),
                np.pad(np.isfinite(one.values), (room, (0, 0))),
                np.pad(covariates[:, list(recipe.past)], (room, (0, 0)), "edge"),
                np.pad(known, ((front, back - len(known) + len(one)), (0, 0)), "edge"),
                np.pad(calendar, ((front, 0), (0, 0)), "edge"),
            )
        )
    lengths = np.array([len(one) for one in series], np.int64)
    ends = np.cumsum(lengths + front + back)
    joined = [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
    return Track(recipe, ends - back - lengths, lengths, *joined)
