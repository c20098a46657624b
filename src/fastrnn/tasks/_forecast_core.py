"""All that a fitted forecaster knows, and forecasts from any origin of any series with it.

A forecast of a quantile is the linear forecast, an offset, and a part (`gate`) of what the network adds,
which is then moved by the errors of the held-out part (:mod:`fastrnn.tasks._calibration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastrnn._types import Array
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks._calibration import apply_calibration
from fastrnn.tasks._lags import Indices, Recipe, Scale, Track
from fastrnn.tasks._linear_forecast import LinearPool
from fastrnn.tasks._states import State, run, step_states, take_state
from fastrnn.tasks._windows import network_inputs

__all__ = ["Core"]

_AT_ONCE = 4096  # origins that a recursive forecast takes side by side


@dataclass(frozen=True)
class Core:
    """What was learned, the network's weights excepted."""

    recipe: Recipe
    recursive: bool
    trained: tuple[float, ...]
    """Quantiles that the network answers, in order, the median among them."""
    linear: LinearPool
    offsets: Array
    """``[H, V, Q]``: quantiles of what the linear forecast leaves."""
    gate: Array
    """``[V]``: the part of the network that is added, 0 to 1."""
    calibration: Array
    """``[steps, V, Q, LEVELS]``."""
    lower: tuple[Array, ...]
    """``[V]`` of each series: no forecast is below; in its own numbers."""
    scales: tuple[Scale, ...]
    """Of each series."""

    @property
    def reach(self) -> int:
        """Steps before an origin that are looked at."""
        return max(self.recipe.reach, self.linear.reach)

    @property
    def median(self) -> int:
        """Place of the median in `trained`."""
        return self.trained.index(0.5)

    def combine(self, track: Track, t: Indices, outputs: Array) -> Array:
        """Quantiles without calibration, ``[M, H, V, Q]``, in units, from outputs ``[M, H*V*Q]``."""
        shape = (len(t), *self.offsets.shape)
        added = outputs.reshape(shape).astype(np.float64) - self.offsets
        forecast: Array = self.linear.predict(track, t)[..., None] + self.offsets + self.gate[:, None] * added
        return forecast

    def read(
        self,
        model: Sequential,
        track: Track,
        first: Sequence[int] | Indices,
        stop: Sequence[int] | Indices,
        state: State | None,
        *,
        answers: bool = True,
    ) -> tuple[Array, State]:
        """Let the network read steps of each series: outputs ``[M, O]``, series after series, and states."""
        lengths = np.asarray(stop) - np.asarray(first)
        t = track.origins(first, stop)
        inputs = np.split(network_inputs(track, self.linear, t), np.cumsum(lengths)[:-1])
        outputs, state = run(model, inputs, state, answers=answers)
        return (np.concatenate(outputs) if answers else np.empty((0, 0))), state

    def forecast(
        self,
        model: Sequential,
        track: Track,
        first: Sequence[int] | Indices,
        start: Sequence[int] | Indices,
        stop: Sequence[int] | Indices,
        state: State | None,
        steps: int,
    ) -> Array:
        """Quantiles without calibration from the origins `start` to before `stop` of each series.

        `state` is that before step `first`, which is not after `start`.

        Returns
        -------
        array, [M, steps, V, Q]
            In units, series after series; Q is 1, the median, for recursive forecasts.
        """
        t = track.origins(start, stop)
        if self.recursive:
            return self._recursive(model, track, first, start, stop, state, steps)
        outputs, _ = self.read(model, track, first, stop, state)
        kept = np.isin(track.origins(first, stop), t)
        return self.combine(track, t, outputs[kept])[:, :steps]

    def _recursive(
        self,
        model: Sequential,
        track: Track,
        first: Sequence[int] | Indices,
        start: Sequence[int] | Indices,
        stop: Sequence[int] | Indices,
        state: State | None,
        steps: int,
    ) -> Array:
        found = []
        for i in range(len(track.starts)):
            mine = None if state is None else take_state(state, [i])
            read = track.starts[i] + np.arange(first[i], stop[i])
            inputs = network_inputs(track, self.linear, read)
            wanted = np.arange(first[i], stop[i]) >= start[i]
            before = step_states(model, inputs, mine, wanted)
            t = read[wanted]
            for chunk in range(0, len(t), _AT_ONCE):
                rows = np.arange(chunk, min(chunk + _AT_ONCE, len(t)))
                found.append(self._recur(model, track, t[rows], take_state(before, rows), steps))
        return np.concatenate(found)

    def _recur(self, model: Sequential, track: Track, t: Indices, state: State, steps: int) -> Array:
        """Each forecast is taken for the next value; all origins side by side, each on a copy of its past."""
        reach = self.reach + 1
        places = t[:, None] + np.arange(-reach, steps + 1)
        width = places.shape[1]
        flat = places.ravel()
        origin = np.repeat(t, width)
        copy = replace(
            track,
            u=track.u[np.minimum(flat, origin)],
            observed=track.observed[np.minimum(flat, origin)] | (flat > origin)[:, None],
            past=track.past[np.minimum(flat, origin)],  # what is not known ahead stays as it was
            known=track.known[flat],
            calendar=track.calendar[flat],
        )
        here = np.arange(len(t), dtype=np.int64) * width + reach
        answers = np.empty((len(t), steps, self.recipe.variables, 1))
        for step in range(steps):
            outputs, state = model(network_inputs(copy, self.linear, here + step)[None], state)
            value = self.combine(copy, here + step, outputs[0])[:, 0, :, self.median]
            copy.u[here + step + 1] = value
            answers[:, step, :, 0] = value
        return answers

    def quantiles(self, forecasts: Array, levels: Sequence[float]) -> Array:
        """Calibrated quantiles, in units."""
        trained = (0.5,) if self.recursive else self.trained
        return apply_calibration(forecasts, trained, self.calibration, levels)

    def median_of(self, forecasts: Array) -> Array:
        """The forecast without quantiles, ``[M, H, V]``, in units."""
        return forecasts[..., 0 if self.recursive else self.median]

    def restore(self, values: Array, i: int) -> Array:
        """Numbers of series i, ``[M, H, V]`` or with quantiles ``[M, H, V, Q]``, from units."""
        scale = self.scales[i]
        wide = (slice(None),) + (None,) * (values.ndim - 3)
        answers: Array = values * scale.unit[wide] + scale.center[wide]
        return np.maximum(answers, self.lower[i][wide])

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "recipe": self.recipe.to_dict(),
            "recursive": self.recursive,
            "trained": self.trained,
            "linear": self.linear.to_dict(),
            "offsets": self.offsets.tolist(),
            "gate": self.gate.tolist(),
            "calibration": self.calibration.tolist(),
            "lower": [[None if np.isinf(x) else x for x in low.tolist()] for low in self.lower],
            "scales": [scale.to_dict() for scale in self.scales],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Core:
        """What `to_dict` gave."""
        recipe = Recipe.from_dict(content["recipe"])
        return cls(
            recipe,
            content["recursive"],
            tuple(content["trained"]),
            LinearPool.from_dict(content["linear"]),
            np.asarray(content["offsets"], np.float64),
            np.asarray(content["gate"], np.float64),
            np.asarray(content["calibration"], np.float64),
            tuple(np.array([-np.inf if x is None else x for x in low]) for low in content["lower"]),
            tuple(map(Scale.from_dict, content["scales"])),
        )
