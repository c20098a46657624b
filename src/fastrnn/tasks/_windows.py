"""Windows of series to train on: pieces with an origin at every step, drawn anew for each epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastrnn._types import Array
from fastrnn.data.batching import Batch
from fastrnn.tasks._lags import Indices, Track
from fastrnn.tasks._linear_forecast import LinearPool

__all__ = ["ForecastWindows", "network_inputs", "residuals"]

_CHUNK = 20_000
_MOST_KEPT = 2**24  # residuals
_LEAST_STEPS, _MOST_STEPS = 12, 120  # batches of an epoch


def network_inputs(track: Track, linear: LinearPool, t: Indices) -> Array:
    """What the network reads at origins ``t [M]``, ``[M, F]`` float32.

    The features of the track, and where the linear forecast goes from the last value, one step and all steps
    ahead.
    """
    parts = []
    for start in range(0, len(t), _CHUNK):
        some = t[start : start + _CHUNK]
        ways = linear.predict(track, some)[:, [0, -1] if track.recipe.horizon > 1 else [0]]
        ways = np.clip(ways - track.u[some][:, None], -6.0, 6.0)
        parts.append(
            np.concatenate([track.inputs(some), ways.reshape(len(some), -1)], axis=1).astype(np.float32)
        )
    return np.concatenate(parts)


def residuals(track: Track, linear: LinearPool, t: Indices) -> tuple[Array, Array]:
    """What the linear forecast leaves to the network, ``[M, H, V]``, and its weight: 0 where missing."""
    outcomes, there = track.outcomes(t)
    left = np.where(there, outcomes - linear.predict(track, t), 0.0)
    return left.astype(np.float32), there.astype(np.float32)


class ForecastWindows:
    """Batches of windows, `rows` side by side, each of so many steps with an origin at every step.

    The state is zero at the beginning of a window, so its first steps do not count, unless the series begins
    there. An epoch has as many batches as it takes to see every origin once, but between 12 and 120: a short
    series is seen several times, a long one in part, in other places in every epoch.

    Parameters
    ----------
    track : Track
    linear : LinearPool
    stops : sequence of int, [S]
        Origins of each series that may be trained on are those before.
    rows : int
    steps : int
        Of a window; less where all series are shorter.
    warm_up : int
        First steps of a window that do not count.
    seed : int

    Yields
    ------
    Batch
        ``x [T, N, F]``, ``y [T, N, H, V]`` and ``weight`` of the same shape.
    """

    def __init__(
        self,
        track: Track,
        linear: LinearPool,
        stops: Indices,
        rows: int,
        steps: int,
        warm_up: int,
        seed: int,
    ) -> None:
        self._track, self._linear = track, linear
        self._rows, self._seed = rows, seed
        self._steps = int(min(steps, stops.max()))
        self._warm_up = min(warm_up, self._steps // 2)
        self._place = np.cumsum(stops) - stops
        self._stops = stops
        origins = track.origins(np.zeros_like(stops), stops)
        self._inputs = network_inputs(track, linear, origins)
        # What is to be predicted may take a hundred times as much room: then it is computed as it is needed.
        recipe = track.recipe
        small = len(origins) * recipe.horizon * recipe.variables <= _MOST_KEPT
        self._residuals = residuals(track, linear, origins) if small else None
        self.width = self._inputs.shape[1]
        wanted = -(-int(stops.sum()) // (rows * max(1, self._steps - self._warm_up)))
        self._batches = int(np.clip(wanted, _LEAST_STEPS, _MOST_STEPS))

    @property
    def items_per_step(self) -> int:
        """Origins of a batch."""
        return self._rows * self._steps

    def __len__(self) -> int:
        return self._batches

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Give the batches of an epoch, counted from 0."""
        rng = np.random.default_rng((self._seed, epoch))
        share = self._stops / self._stops.sum()
        T = np.arange(self._steps)[:, None]
        for _ in range(self._batches):
            series = rng.choice(len(share), self._rows, p=share)
            # Windows may begin before the series does, so that its first steps are as frequent as others.
            latest = self._stops[series] - self._steps
            first = rng.integers(-self._warm_up, np.maximum(latest, 0) + 1)
            first = np.clip(first, 0, np.maximum(latest, 0))
            step = first + T
            inside = step < self._stops[series]
            step = np.where(inside, step, 0)
            place = self._place[series] + step
            if self._residuals is None:
                origins = (self._track.starts[series] + step).ravel()
                left = residuals(self._track, self._linear, origins)
                y, weight = (part.reshape(*step.shape, *part.shape[1:]) for part in left)
            else:
                y, weight = (part[place] for part in self._residuals)
            counts = inside & ((self._warm_up <= T) | (first == 0))
            yield Batch(self._inputs[place], y, weight=weight * counts[..., None, None])
