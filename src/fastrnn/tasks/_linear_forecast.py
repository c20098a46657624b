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

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from fastrnn._types import Array
from fastrnn.tasks._lags import Indices, Recipe, Track

__all__ = ["LinearForecast", "LinearPool"]

_MOST_ROWS = 50_000  # origins that are fitted on; more change nothing but the time
_REWEIGHTINGS = 10
_WORK = 2e10
_CHUNK = 20_000  # origins that are computed at once, so that memory stays bounded


def _ridge(x: Array, y: Array, alpha: float, weight: Array | None = None) -> tuple[Array, Array]:
    """Coefficients ``[H, p]`` and intercepts ``[H]`` for rows ``[M, p]`` and outcomes ``[M, H]``."""
    x_mean, y_mean = (
        array.mean(axis=0) if weight is None else weight @ array / weight.sum() for array in (x, y)
    )
    x, y = x - x_mean, y - y_mean
    weighted = x if weight is None else x * weight[:, None]
    products = weighted.T @ x
    products.flat[:: len(products) + 1] += alpha
    _, solution, failed = dposv(products, weighted.T @ y)
    if failed:
        raise np.linalg.LinAlgError("the equations of a linear forecast are not positive definite")
    coefficients = solution.T
    return coefficients, y_mean - coefficients @ x_mean


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
    steps : int array, [H'], optional
        Indices of the steps ahead that are forecast. Default: all.
    """

    recipe: Recipe
    """Of the track it was fitted on."""

    def __init__(
        self, alpha: float, absolute: bool, work: float = _WORK, steps: Indices | None = None
    ) -> None:
        self._work = work
        self._steps = steps
        self.alpha = alpha
        self.absolute = absolute
        self.coefficients: list[Array] = []
        self.intercepts: list[Array] = []

    def fit(self, track: Track, t: Indices) -> LinearForecast:
        """Fit at the origins ``t [M]``; outcomes that are missing do not count."""
        self.recipe = recipe = track.recipe
        t = t[:: max(1, -(-len(t) // _MOST_ROWS))]
        outcomes, there = track.outcomes(t)
        wanted = outcomes - track.reference(t)
        if self._steps is not None:
            wanted, there = wanted[:, self._steps], there[:, self._steps]
        self.coefficients, self.intercepts = [], []
        for v in range(recipe.variables):
            lags = track.lags(t, v)
            if recipe.known:
                steps = [
                    self._solve(
                        np.concatenate([lags, track.known[t + h + 1]], axis=1),
                        wanted[:, place, None, v],
                        there[:, place, None, v],
                    )
                    for place, h in enumerate(self._ahead())
                ]
                coefficients, intercepts = (np.concatenate(part) for part in zip(*steps, strict=True))
            else:
                coefficients, intercepts = self._solve(lags, wanted[..., v], there[..., v])
            self.coefficients.append(coefficients)
            self.intercepts.append(intercepts)
        return self

    def _solve(self, rows: Array, wanted: Array, there: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Coefficients ``[H, p]`` and intercepts ``[H]`` for outcomes ``[M, H]``."""
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        # What hardly ever moves says nothing, and would say a lot once it moves.
        live = spread > 1e-8 * np.maximum(np.abs(mean), 1.0)
        spread = np.where(live, spread, 1.0)
        x = np.where(live, (rows - mean) / spread, 0.0)
        H = wanted.shape[1]
        coefficients, intercepts = np.zeros((H, x.shape[1])), np.zeros(H)
        if np.isinf(self.alpha):
            return coefficients, intercepts
        if there.all():
            coefficients, intercepts = _ridge(x, wanted, self.alpha)
        else:
            for h in range(H):
                if there[:, h].any():
                    known = there[:, h]
                    (coefficients[h],), (intercepts[h],) = _ridge(
                        x[known], wanted[known, h, None], self.alpha
                    )
        if self.absolute:
            most = int(self._work / (_REWEIGHTINGS * H * x.shape[1] ** 2)) + 1
            every = max(1, -(-len(x) // most))
            for h in range(H):
                kept = there[::every, h]
                if kept.any():
                    self._reweight(x[::every][kept], wanted[::every, h][kept], coefficients[h], intercepts, h)
        # The same layout as after loading: einsum may sum in another order in another one.
        coefficients = np.ascontiguousarray(coefficients / spread)
        return coefficients, intercepts - coefficients @ mean

    def _reweight(self, x: Array, y: Array, coefficients: Array, intercepts: Array, h: int) -> None:
        scale = np.abs(y - y.mean()).mean()
        if scale == 0:
            return
        for _ in range(_REWEIGHTINGS):
            off = np.abs(y - x @ coefficients - intercepts[h])
            weight = 1 / np.maximum(off, 0.05 * scale)
            (coefficients[:],), (intercepts[h],) = _ridge(x, y[:, None], self.alpha, weight / weight.mean())

    def predict(self, track: Track, t: Indices) -> Array:
        """Forecasts from the origins, ``[M, H, V]``, in units of the series."""
        answers = track.reference(t)
        if self._steps is not None:
            answers = answers[:, self._steps]
        for start in range(0, len(t), _CHUNK):
            self._move(answers[start : start + _CHUNK], track, t[start : start + _CHUNK])
        return answers

    def _move(self, answers: Array, track: Track, t: Indices) -> None:
        for v, (coefficients, intercepts) in enumerate(zip(self.coefficients, self.intercepts, strict=True)):
            lags = track.lags(t, v)
            p = lags.shape[1]
            # einsum, not BLAS: the same bits whatever the number of rows.
            answers[..., v] += np.einsum("mp,hp->mh", lags, coefficients[:, :p]) + intercepts
            for place, h in enumerate(self._ahead() if self.recipe.known else []):
                known = track.known[t + h + 1]
                answers[:, place, v] += np.einsum("mp,p->m", known, coefficients[place, p:])

    def _ahead(self) -> list[int]:
        """Indices of the steps ahead."""
        return list(range(self.recipe.horizon)) if self._steps is None else [int(h) for h in self._steps]

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
