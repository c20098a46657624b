"""The linear forecast on which the network builds: a direct autoregression for every step ahead.

Ridge regression in closed form on lags that are written as the last value and the movements before it, so
that the penalty pulls towards the reference: towards the last value for the target ``"difference"``, towards
the value a season before for ``"seasonal"``. Optionally it is reweighted to minimise absolute errors, which
is what a median forecast should do and squares do not.

Choosing a linear forecast takes thousands of small regressions. The equations are solved by SciPy and not by
scikit-learn's `Ridge`, which takes 2 ms to check its arguments, and by LAPACK's function itself, as
`scipy.linalg.solve` takes ten times as long as solving for the same bits.

References
----------
A. E. Hoerl, R. W. Kennard: Ridge regression. Technometrics 12(1), 1970.

E. J. Schlossmacher: An iterative technique for absolute deviations curve fitting. JASA 68, 1973
(reweighting).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from fastrnn._types import Array
from fastrnn.tasks._lags import Indices, Recipe, Track

__all__ = ["LinearForecast", "LinearPool", "Rows"]

_T = TypeVar("_T")

_MOST_ROWS = 50_000  # origins that are fitted on; more change nothing but the time
_REWEIGHTINGS = 10
_WORK = 2e10
_CHUNK = 20_000  # origins that are computed at once, so that memory stays bounded
_KEPT_BYTES = 10_000_000  # of rows that are kept for further forecasts, all variables together


class _Equations(NamedTuple):
    """Of a ridge regression, but for the penalty."""

    products: Array
    """``[p, p]``"""
    targets: Array
    """``[p, H]``"""
    x_mean: Array
    y_mean: Array


def _equations(x: Array, y: Array, weight: Array | None = None) -> _Equations:
    """Of rows ``[M, p]`` and outcomes ``[M, H]``."""
    x_mean, y_mean = (
        array.mean(axis=0) if weight is None else weight @ array / weight.sum() for array in (x, y)
    )
    x, y = x - x_mean, y - y_mean
    weighted = x if weight is None else x * weight[:, None]
    return _Equations(weighted.T @ x, weighted.T @ y, x_mean, y_mean)


def _ridge(equations: _Equations, alpha: float) -> tuple[Array, Array]:
    """Coefficients ``[H, p]`` and intercepts ``[H]``."""
    products = equations.products.copy()
    products.flat[:: len(products) + 1] += alpha
    _, solution, failed = dposv(products, equations.targets)
    if failed:
        raise np.linalg.LinAlgError("the equations of a linear forecast are not positive definite")
    coefficients = solution.T
    return coefficients, equations.y_mean - coefficients @ equations.x_mean


class _Regression:
    """Columns of unit variance for the rows ``[M, p]``, and outcomes ``[M, H]`` where they are there."""

    def __init__(self, rows: Array, wanted: Array, there: NDArray[np.bool_]) -> None:
        self.mean, spread = rows.mean(axis=0), rows.std(axis=0)
        # What hardly ever moves says nothing, and would say a lot once it moves.
        live = spread > 1e-8 * np.maximum(np.abs(self.mean), 1.0)
        self.spread = np.where(live, spread, 1.0)
        self.x = np.where(live, (rows - self.mean) / self.spread, 0.0)
        self.wanted, self.there = wanted, there

    @cached_property
    def equations(self) -> list[tuple[slice, _Equations]]:
        """For all steps ahead at once if every outcome is there, else for each that has any."""
        if self.there.all():
            return [(slice(None), _equations(self.x, self.wanted))]
        return [
            (slice(h, h + 1), _equations(self.x[known], self.wanted[known, h, None]))
            for h, known in enumerate(self.there.T)
            if known.any()
        ]


class Rows:
    """What linear forecasts with the recipe of a track see at the origins ``t [M]``.

    It is looked up once for all of them, as long as that does not take much memory.

    Parameters
    ----------
    track : Track
        Series and recipe.
    t : int array, [M]
        Origins.
    steps : int array, [H'], optional
        Indices of the steps ahead. Default: all.
    """

    def __init__(self, track: Track, t: Indices, steps: Indices | None = None) -> None:
        self.track, self.t = track, t
        self.recipe = track.recipe
        self.steps = np.arange(track.recipe.horizon) if steps is None else steps
        self._kept: dict[Any, Any] = {}

    @cached_property
    def reference(self) -> Array:
        """``[M, H', V]``."""
        return np.ascontiguousarray(self.track.reference(self.t)[:, self.steps])

    @cached_property
    def outcomes(self) -> tuple[Array, NDArray[np.bool_]]:
        """Values that came, ``[M, H', V]``, and which of them are there."""
        outcomes, there = self.track.outcomes(self.t)
        return outcomes[:, self.steps], there[:, self.steps]

    def lags(self, v: int) -> Array:
        """What does not depend on the step ahead, ``[M, p]``, for a variable."""
        return self._once(v, lambda: self.track.lags(self.t, v), lambda lags: lags.nbytes)

    def known(self, place: int) -> Array:
        """What is known about a step ahead, ``[M, K]``; steps[place] is its index."""
        known: Array = self.track.known[self.t + self.steps[place] + 1]
        return known

    def regression(self, v: int, place: int | None = None) -> _Regression:
        """For a variable; for one step ahead, or for all of them if nothing is known about them."""

        def make() -> _Regression:
            outcomes, there = self.outcomes
            wanted, there = (outcomes - self.reference)[..., v], there[..., v]
            lags = self.track.lags(self.t, v)
            if place is None:
                return _Regression(lags, wanted, there)
            rows = np.concatenate([lags, self.known(place)], axis=1)
            return _Regression(rows, wanted[:, place, None], there[:, place, None])

        places = 1 if place is None else len(self.steps)
        return self._once((v, place), make, lambda regression: regression.x.nbytes * places)

    def _once(self, key: Any, make: Callable[[], _T], size: Callable[[_T], int]) -> _T:
        if key in self._kept:
            kept: _T = self._kept[key]
            return kept
        made = make()
        if size(made) * self.recipe.variables <= _KEPT_BYTES:
            self._kept[key] = made
        return made


class LinearForecast:
    """Coefficients ``[V][H, p]`` and intercepts ``[V][H]``, relative to the reference.

    Parameters
    ----------
    alpha : float
        Penalty, for columns of unit variance. Infinite: the reference is the forecast.
    absolute : bool
        Minimise absolute errors instead of squares.
    work : float
        Multiplications that reweighting may cost; rows are left out to stay below.
    """

    recipe: Recipe
    """Of the track it was fitted on."""

    def __init__(self, alpha: float, absolute: bool, work: float = _WORK) -> None:
        self._work = work
        self.alpha = alpha
        self.absolute = absolute
        self.coefficients: list[Array] = []
        self.intercepts: list[Array] = []

    def fit(self, track: Track, t: Indices) -> LinearForecast:
        """Fit at the origins ``t [M]``; outcomes that are missing do not count."""
        return self.fit_rows(Rows(track, t[:: max(1, -(-len(t) // _MOST_ROWS))]))

    def fit_rows(self, rows: Rows) -> LinearForecast:
        """Fit on these rows, for their steps ahead."""
        self.recipe = recipe = rows.recipe
        self.coefficients, self.intercepts = [], []
        for v in range(recipe.variables):
            places: Sequence[int | None] = range(len(rows.steps)) if recipe.known else [None]
            solved = [self._solve(rows.regression(v, place)) for place in places]
            coefficients, intercepts = (np.concatenate(part) for part in zip(*solved, strict=True))
            self.coefficients.append(coefficients)
            self.intercepts.append(intercepts)
        return self

    def _solve(self, r: _Regression) -> tuple[Array, Array]:
        """Coefficients ``[H, p]`` and intercepts ``[H]``."""
        H, p = r.wanted.shape[1], r.x.shape[1]
        coefficients, intercepts = np.zeros((H, p)), np.zeros(H)
        if np.isinf(self.alpha):
            return coefficients, intercepts
        for steps, equations in r.equations:
            coefficients[steps], intercepts[steps] = _ridge(equations, self.alpha)
        if self.absolute:
            most = int(self._work / (_REWEIGHTINGS * H * p**2)) + 1
            every = max(1, -(-len(r.x) // most))
            for h in range(H):
                kept = r.there[::every, h]
                if kept.any():
                    self._reweight(
                        r.x[::every][kept], r.wanted[::every, h][kept], coefficients[h], intercepts, h
                    )
        coefficients /= r.spread
        return coefficients, intercepts - coefficients @ r.mean

    def _reweight(self, x: Array, y: Array, coefficients: Array, intercepts: Array, h: int) -> None:
        scale = np.abs(y - y.mean()).mean()
        if scale == 0:
            return
        for _ in range(_REWEIGHTINGS):
            off = np.abs(y - x @ coefficients - intercepts[h])
            weight = 1 / np.maximum(off, 0.05 * scale)
            equations = _equations(x, y[:, None], weight / weight.mean())
            (coefficients[:],), (intercepts[h],) = _ridge(equations, self.alpha)

    def predict(self, track: Track, t: Indices) -> Array:
        """Forecasts from the origins, ``[M, H, V]``, in units of the series."""
        chunks = [t[i : i + _CHUNK] for i in range(0, max(len(t), 1), _CHUNK)]
        return np.concatenate([self.predict_rows(Rows(track, chunk)) for chunk in chunks])

    def predict_rows(self, rows: Rows) -> Array:
        """Forecasts from the origins of rows with the steps ahead that were fitted, ``[M, H', V]``."""
        answers = rows.reference.copy()
        for v, (coefficients, intercepts) in enumerate(zip(self.coefficients, self.intercepts, strict=True)):
            lags = rows.lags(v)
            p = lags.shape[1]
            # einsum, not BLAS: the same bits whatever the number of rows.
            answers[..., v] += np.einsum("mp,hp->mh", lags, coefficients[:, :p]) + intercepts
            for place in range(len(rows.steps)) if self.recipe.known else []:
                answers[:, place, v] += np.einsum("mp,p->m", rows.known(place), coefficients[place, p:])
        return answers

    def to_dict(self) -> dict[str, Any]:
        """JSON, without the recipe."""
        return {
            "alpha": self.alpha,
            "absolute": self.absolute,
            "coefficients": [c.tolist() for c in self.coefficients],
            "intercepts": [c.tolist() for c in self.intercepts],
        }

    @classmethod
    def from_dict(cls, recipe: Recipe, content: dict[str, Any]) -> LinearForecast:
        """What `to_dict` gave."""
        linear = cls(content["alpha"], content["absolute"])
        linear.recipe = recipe
        linear.coefficients = [np.asarray(c, np.float64) for c in content["coefficients"]]
        linear.intercepts = [np.asarray(c, np.float64) for c in content["intercepts"]]
        return linear


class LinearPool:
    """A weighted mean of linear forecasts whose recipes may differ in target and calendar."""

    def __init__(self, members: Sequence[tuple[float, LinearForecast]]) -> None:
        self.members = list(members)

    @classmethod
    def fit(cls, track: Track, t: Indices, chosen: Sequence[tuple[Recipe, float, bool, float]]) -> LinearPool:
        """Fit members of the given recipe, penalty, kind of error and weight on one track."""
        return cls(
            [
                (weight, LinearForecast(alpha, absolute).fit(track.seen_as(recipe).bounded(t), t))
                for recipe, alpha, absolute, weight in chosen
            ]
        )

    def predict(self, track: Track, t: Indices) -> Array:
        """Forecasts from the origins, ``[M, H, V]``, in units of the series."""
        answers = np.zeros((len(t), track.recipe.horizon, track.recipe.variables))
        for weight, member in self.members:
            answers += weight * member.predict(track.seen_as(member.recipe), t)
        return answers

    @property
    def reach(self) -> int:
        """Steps before an origin that are looked at."""
        return max(member.recipe.reach for _, member in self.members)

    def to_dict(self) -> list[dict[str, Any]]:
        """JSON."""
        return [
            {"weight": weight, "recipe": member.recipe.to_dict(), **member.to_dict()}
            for weight, member in self.members
        ]

    @classmethod
    def from_dict(cls, content: Sequence[dict[str, Any]]) -> LinearPool:
        """What `to_dict` gave."""
        return cls(
            [
                (one["weight"], LinearForecast.from_dict(Recipe.from_dict(one["recipe"]), one))
                for one in content
            ]
        )
