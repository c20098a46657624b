"""Where a fitted forecaster stands: the ends of its series, its network's state, and forecasts from there."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn._types import Array
from fastrnn.layers.sequential import Sequential
from fastrnn.tasks._backtest import OURS, Baselines, Judged
from fastrnn.tasks._forecast_core import Core
from fastrnn.tasks._lags import Track, make_track
from fastrnn.tasks._series import Form, Series, check_same_form, continuation, future_rows, join, read_series
from fastrnn.tasks._states import State, join_states, state_from_json, state_to_json, take_state

__all__ = ["Continued", "Present"]

_KEPT = 512  # last values that are kept to be drawn

Continued = list[tuple[int, Series, int]]
"""Place of each series, its tail with what is new, and the steps of the tail."""


class Present:
    """Series as a fitted forecaster has seen them, up to their last steps.

    `horizon` is the number of steps ahead that tracks reach at least.
    """

    def __init__(
        self,
        core: Core,
        model: Sequential,
        baselines: Baselines,
        form: Form,
        horizon: int,
        series: Sequence[Series],
    ) -> None:
        self.core, self.model, self.baselines, self.form = core, model, baselines, form
        self.horizon = horizon
        self.names = [one.name for one in series]
        track = self._track(series)
        stops = np.maximum(track.lengths - core.recipe.pending, 0)
        self.state: State
        _, self.state = core.read(model, track, np.zeros_like(stops), stops, None, answers=False)
        self.tails = [self._tail(one) for one in series]

    def _tail(self, one: Series) -> Series:
        """The last steps, as many as are looked at or drawn."""
        needed = max(self.core.reach, self.baselines.reach) + self.core.recipe.pending + 2
        return one.part(max(0, len(one) - max(needed, _KEPT)), len(one))

    def _track(
        self, series: Sequence[Series], future: list[Array] | None = None, rows: Any = None, ahead: int = 0
    ) -> Track:
        scales = self.core.scales if rows is None else [self.core.scales[i] for i in rows]
        return make_track(series, self.core.recipe, scales, future, max(ahead, self.horizon), self.core.reach)

    # Going on

    def read(self, y: Any, X: Any, name: str, missing: str) -> list[Series]:
        """Series that are meant to go on from those of fit."""
        if X is None and self.form.covariates:
            raise ValueError(
                f"X must hold the covariates {self.form.covariates} as in fit, for the steps of {name}; "
                "got None"
            )
        given, form = read_series(y, X, missing=missing, name=name)
        check_same_form(form, self.form, name)
        unknown = [one.name for one in given if one.name not in self.names] if form.many else []
        if unknown:
            raise ValueError(f"{name} holds a series {unknown[0]!r} that was not there in fit")
        return given

    def continued(self, given: Sequence[Series]) -> Continued:
        """What has been seen, and these series after it."""
        found = []
        for one in given:
            i = self.names.index(one.name) if self.form.many else 0
            tail = self.tails[i]
            found.append((i, join(tail, continuation(one, tail.timeline)), len(tail)))
        return found

    def advance(self, continued: Continued) -> None:
        """Take in what is new; in pieces or at once, the state is the same to the last bit."""
        pending = self.core.recipe.pending
        places = [i for i, _, _ in continued]
        track = self._track([joined for _, joined, _ in continued], rows=places)
        first = [max(0, old - pending) for _, _, old in continued]
        stop = [max(0, len(joined) - pending) for _, joined, _ in continued]
        before = take_state(self.state, places)
        _, after = self.core.read(self.model, track, first, stop, before, answers=False)
        states = [take_state(self.state, [j]) for j in range(len(self.tails))]
        tails = list(self.tails)
        for place, (i, joined, _) in enumerate(continued):
            states[i] = take_state(after, [place])
            tails[i] = self._tail(joined)
        self.state, self.tails = join_states(states), tails

    # Forecasts

    @property
    def known_covariates(self) -> list[Hashable]:
        """Names of the covariates that are known ahead."""
        return [self.form.covariates[i] for i in self.core.recipe.known]

    def ahead(self, steps: int, X_future: Any, levels: Sequence[float]) -> tuple[list[Array], list[Array]]:
        """Points ``[steps, V]`` and bands ``[steps, V, Q]`` of each series after its last step."""
        core = self.core
        future = self._future(X_future, steps)
        track = self._track(self.tails, future, ahead=steps)
        ends = track.lengths
        first = np.maximum(ends - core.recipe.pending, 0)
        raw = core.forecast(self.model, track, first, ends - 1, ends, self.state, steps)
        points, bands = core.median_of(raw), core.quantiles(raw, levels)
        each = range(len(self.tails))
        return (
            [core.restore(points[[i]], i)[0] for i in each],
            [core.restore(bands[[i]], i)[0] for i in each],
        )

    def _future(self, X_future: Any, steps: int) -> list[Array] | None:
        known = self.known_covariates
        if not known:
            if X_future is not None:
                raise ValueError(
                    "X_future was given, but no covariate is known ahead: the Forecaster was fitted "
                    + ("without covariates" if not self.form.covariates else "with known_future=()")
                )
            return None
        if X_future is None:
            raise ValueError(
                f"X_future must hold the covariates {known} of the {steps} steps ahead; got None (where they "
                "are not known ahead, fit with known_future=())"
            )
        if isinstance(X_future, Mapping) != self.form.many:
            raise TypeError(f"X_future must be {self.form.describe()}, got {type(X_future).__name__}")
        rows = []
        for name, tail in zip(self.names, self.tails, strict=True):
            if self.form.many and name not in X_future:
                raise ValueError(f"X_future must hold all series; {name!r} is absent")
            label = f"X_future[{name!r}]" if self.form.many else "X_future"
            given = X_future[name] if self.form.many else X_future
            rows.append(future_rows(given, known, tail.timeline, steps, label))
        return rows

    def judge(
        self, given: Sequence[Series], steps: int, levels: tuple[float, ...], fold: int = 0
    ) -> list[Judged]:
        """Forecast from every step of what follows, which is not taken in, and put what came beside it."""
        core = self.core
        found = []
        for i, joined, old in self.continued(given):
            if len(joined) - old < steps:
                raise ValueError(
                    f"y must have at least horizon={steps} steps to be judged on, got {len(joined) - old}"
                )
            start, stop = old - 1, len(joined) - steps
            track = self._track([joined], rows=[i], ahead=steps)
            first = max(0, old - core.recipe.pending)
            raw = core.forecast(
                self.model, track, [first], [start], [stop], take_state(self.state, [i]), steps
            )
            points, bands = self.baselines.forecast(joined, i, start, stop, steps)
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
                    self.baselines.step_sizes[i],
                )
            )
        return found

    # Files

    def to_dict(self) -> dict[str, Any]:
        """JSON, all but the network's weights."""
        return {
            "core": self.core.to_dict(),
            "baselines": self.baselines.to_dict(),
            "form": self.form.to_dict(),
            "tails": [tail.to_dict() for tail in self.tails],
            "state": state_to_json(self.state),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], model: Sequential, horizon: int) -> Present:
        """What `to_dict` gave."""
        present = cls(
            Core.from_dict(content["core"]),
            model,
            Baselines.from_dict(content["baselines"]),
            Form.from_dict(content["form"]),
            horizon,
            [Series.from_dict(tail) for tail in content["tails"]],
        )
        present.state = state_from_json(content["state"])
        return present
