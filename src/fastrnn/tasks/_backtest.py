"""Judging forecasts: baselines, errors, and what `backtest` and `evaluate` return."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error

from fastrnn._types import Array
from fastrnn.errors import require
from fastrnn.tasks._calibration import apply_calibration, calibrate
from fastrnn.tasks._lags import Recipe, Scale, Track, make_track
from fastrnn.tasks._linear_forecast import LinearForecast
from fastrnn.tasks._select_linear import fit_scale, step_sizes, training_origins
from fastrnn.tasks._series import Series
from fastrnn.tasks._timeline import Timeline

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["BASELINES", "OURS", "Backtest", "Baselines", "Judged"]

OURS = "fastrnn"
BASELINES = ("naive", "seasonal naive", "ridge")

_RIDGE_LAGS = 14
_LITTLE = 0.005  # a smaller part of the error is no skill


@dataclass(frozen=True)
class Judged:
    """Forecasts of one series from several origins, beside what came."""

    name: Hashable
    fold: int
    timeline: Timeline
    """Of the origins and all steps that were forecast."""
    outcomes: Array
    """``[M, H, V]``."""
    there: NDArray[np.bool_]
    """``[M, H, V]``: which outcomes are known."""
    points: dict[str, Array]
    """``[M, H, V]`` of each model."""
    bands: dict[str, Array]
    """``[M, H, V, Q]`` of each model."""
    step_size: Array
    """``[V]``: mean absolute error of the naive forecast one step ahead in training, for MASE."""


class Baselines:
    """What is forecast without a network: the last value, the value a season before, and ridge regression.

    Ridge regression is on the last 14 values of the variables and the covariates, one for each step ahead.
    The intervals of all three are quantiles of their errors in training.
    """

    def __init__(
        self, recipe: Recipe, series: Sequence[Series], stops: NDArray[np.int64], quantiles: Sequence[float]
    ) -> None:
        self.quantiles = tuple(quantiles)
        lags = max(2, min(_RIDGE_LAGS, int(stops.max()) // 4))
        common = {
            "horizon": recipe.horizon,
            "variables": recipe.variables,
            "past": recipe.past,
            "known": recipe.known,
            "periods": (),
            "means": (),
            "indicators": False,
        }
        self.recipes = {
            "naive": Recipe(target="difference", season=1, lags=lags, **common),  # type: ignore[arg-type]
            "seasonal naive": Recipe(target="seasonal", season=recipe.season, lags=lags, **common),  # type: ignore[arg-type]
            "ridge": Recipe(target="level", season=1, lags=lags, **common),  # type: ignore[arg-type]
        }
        self.scales = [fit_scale(one, "level", 1, int(stop)) for one, stop in zip(series, stops, strict=True)]
        self.step_sizes = [step_sizes(one, int(stop)) for one, stop in zip(series, stops, strict=True)]
        self.ridge = LinearForecast(1.0, False)
        self.errors: dict[str, Array] = {}
        for name, own in self.recipes.items():
            track = make_track(series, own, self.scales)
            t = training_origins(track, stops)
            if name == "ridge":
                self.ridge.fit(track, t)
            outcomes, there = track.outcomes(t)
            self.errors[name] = calibrate(self._forecast(name, track, t)[..., None], outcomes, there)

    @property
    def reach(self) -> int:
        """Steps before an origin that are looked at."""
        return max(recipe.reach for recipe in self.recipes.values())

    def _forecast(self, name: str, track: Track, t: NDArray[np.int64]) -> Array:
        return self.ridge.predict(track, t) if name == "ridge" else track.reference(t)

    def forecast(
        self, series: Series, i: int, start: int, stop: int, steps: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Points and bands, `steps` ahead, from the origins `start` to before `stop` of series i."""
        points, bands = {}, {}
        scale = self.scales[i]
        for name, recipe in self.recipes.items():
            track = make_track([series], recipe, [scale])
            found = self._forecast(name, track, track.origins([start], [stop]))[:, :steps]
            banded = apply_calibration(found[..., None], (0.5,), self.errors[name], self.quantiles)
            points[name] = found * scale.unit + scale.center
            bands[name] = banded * scale.unit[:, None] + scale.center[:, None]
        return points, bands

    def to_dict(self) -> dict[str, Any]:
        """JSON."""
        return {
            "quantiles": self.quantiles,
            "recipes": {name: recipe.to_dict() for name, recipe in self.recipes.items()},
            "scales": [scale.to_dict() for scale in self.scales],
            "step_sizes": [sizes.tolist() for sizes in self.step_sizes],
            "ridge": self.ridge.to_dict(),
            "errors": {name: errors.tolist() for name, errors in self.errors.items()},
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Baselines:
        """What `to_dict` gave."""
        new = cls.__new__(cls)
        new.quantiles = tuple(content["quantiles"])
        new.recipes = {name: Recipe.from_dict(recipe) for name, recipe in content["recipes"].items()}
        new.scales = [Scale.from_dict(scale) for scale in content["scales"]]
        new.step_sizes = [np.asarray(sizes, np.float64) for sizes in content["step_sizes"]]
        new.ridge = LinearForecast.from_dict(new.recipes["ridge"], content["ridge"])
        new.errors = {name: np.asarray(errors, np.float64) for name, errors in content["errors"].items()}
        return new


def _smape(true: Array, forecast: Array) -> float:
    size = np.abs(true) + np.abs(forecast)
    return float(200 * np.mean(np.abs(true - forecast) / np.where(size > 0, size, 1.0)))


@dataclass(frozen=True)
class Backtest:
    """How well forecasts did beside the baselines. ``str()`` is for people, `to_dict` for machines.

    ``MAE`` and ``RMSE`` are in the unit of the series. ``MASE`` [1]_ is the absolute error over that of the
    naive forecast one step ahead in the training part. ``sMAPE`` [2]_ is in percent, 0 to 200, and says
    little about series that come near zero. ``pinball`` is the mean pinball loss over the quantiles, and
    ``coverage`` the share of outcomes between the lowest and the highest of them.

    References
    ----------
    .. [1] R. J. Hyndman, A. B. Koehler: Another look at measures of forecast accuracy. International Journal
       of Forecasting 22(4), 2006.
    .. [2] S. Makridakis: Accuracy measures: theoretical and practical concerns. International Journal of
       Forecasting 9(4), 1993.
    """

    judged: list[Judged]
    """The forecasts, a part for each series and fold."""
    quantiles: tuple[float, ...]
    variables: list[Hashable]
    season: int

    def _rows(self, model: str, step: int | None = None, variable: int | None = None) -> tuple[Array, ...]:
        """Outcomes, points, bands ``[n, Q]`` and step sizes of all that is judged."""
        pick_h = slice(None) if step is None else slice(step, step + 1)
        pick_v = slice(None) if variable is None else slice(variable, variable + 1)
        columns: list[list[Array]] = [[], [], [], []]
        for part in self.judged:
            there = part.there[:, pick_h, pick_v]
            sizes = np.broadcast_to(part.step_size[pick_v], there.shape)
            found = (part.outcomes, part.points[model], part.bands[model])
            for column, array in zip(columns, (*(a[:, pick_h, pick_v] for a in found), sizes), strict=True):
                column.append(array[there])
        return tuple(np.concatenate(column) for column in columns)

    def _errors(self, model: str, step: int | None = None, variable: int | None = None) -> dict[str, float]:
        true, point, band, size = self._rows(model, step, variable)
        if not len(true):
            return dict.fromkeys(("MAE", "RMSE", "MASE", "sMAPE", "pinball", "coverage"), np.nan)
        levels = self.quantiles
        losses = [mean_pinball_loss(true, band[:, q], alpha=level) for q, level in enumerate(levels)]
        inside = (
            (band.min(axis=1) <= true) & (true <= band.max(axis=1)) if len(levels) > 1 else np.array(np.nan)
        )
        return {
            "MAE": float(mean_absolute_error(true, point)),
            "RMSE": float(np.sqrt(mean_squared_error(true, point))),
            "MASE": float(np.mean(np.abs(true - point) / size)),
            "sMAPE": _smape(true, point),
            "pinball": float(np.mean(losses)) if losses else np.nan,
            "coverage": float(inside.mean()),
        }

    @cached_property
    def table(self) -> pandas.DataFrame:
        """A row for each model, a column for each measure, over all series, variables, steps and origins."""
        pandas = require("pandas", "tasks")
        return pandas.DataFrame({model: self._errors(model) for model in (OURS, *BASELINES)}).T

    @cached_property
    def by_step(self) -> pandas.DataFrame:
        """Mean absolute error: a row for each step ahead, a column for each model."""
        pandas = require("pandas", "tasks")
        H = self.judged[0].outcomes.shape[1]
        rows = {h + 1: {m: self._errors(m, step=h)["MAE"] for m in (OURS, *BASELINES)} for h in range(H)}
        return pandas.DataFrame(rows).T.rename_axis("step")

    @cached_property
    def by_variable(self) -> pandas.DataFrame:
        """Mean absolute error: a row for each variable, a column for each model."""
        pandas = require("pandas", "tasks")
        rows = {
            name: {m: self._errors(m, variable=v)["MAE"] for m in (OURS, *BASELINES)}
            for v, name in enumerate(self.variables)
        }
        return pandas.DataFrame(rows).T.rename_axis("variable")

    @cached_property
    def forecasts(self) -> pandas.DataFrame:
        """Every forecast: series, variable, fold, origin, step, time, actual, each model, our quantiles."""
        pandas = require("pandas", "tasks")
        frames = []
        for part in self.judged:
            M, H, V = part.outcomes.shape
            index = part.timeline.index()
            m, h, v = (axis.ravel() for axis in np.indices((M, H, V)))
            columns: dict[str, Any] = {
                "series": pandas.Series([part.name] * len(m), dtype=object),
                "variable": pandas.Series([self.variables[i] for i in v], dtype=object),
                "fold": part.fold,
                "origin": index[m],
                "step": h + 1,
                "time": index[m + h + 1],
                "actual": np.where(part.there, part.outcomes, np.nan).ravel(),
            }
            columns |= {model: points.ravel() for model, points in part.points.items()}
            columns |= {f"q{q:g}": part.bands[OURS][..., i].ravel() for i, q in enumerate(self.quantiles)}
            frames.append(pandas.DataFrame(columns))
        return pandas.concat(frames, ignore_index=True)

    @property
    def best_baseline(self) -> str:
        """The baseline with the least MAE."""
        return str(self.table.loc[list(BASELINES), "MAE"].idxmin())

    @property
    def skill(self) -> float:
        """Part of the best baseline's MAE that is saved; 0 or less where it is not beaten."""
        ours, best = self.table.loc[OURS, "MAE"], self.table.loc[self.best_baseline, "MAE"]
        return float(1 - ours / best) if best > 0 else 0.0

    @property
    def verdict(self) -> str:
        """One sentence: which baseline is beaten, and by how much, or that none is."""
        best, skill = self.best_baseline, self.skill
        if skill > _LITTLE:
            return f"The best baseline ({best}) is beaten by {100 * skill:.1f} % of its MAE."
        if skill < -_LITTLE:
            return f"The {best} forecast is not beaten: it is better by {-100 * skill:.1f} % of its MAE."
        return (
            f"The {best} forecast is not beaten: no skill beyond it was found "
            f"({100 * skill:+.1f} % of its MAE)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single forecasts in types that JSON has; NaN is None."""

        def plain(frame: Any) -> dict[str, Any]:
            return {
                str(row): {name: None if value != value else float(value) for name, value in columns.items()}
                for row, columns in frame.to_dict("index").items()
            }

        return {
            "models": plain(self.table),
            "by_step": plain(self.by_step),
            "by_variable": plain(self.by_variable),
            "quantiles": list(self.quantiles),
            "season": self.season,
            "forecasts": int(sum(part.there.sum() for part in self.judged)),
            "verdict": self.verdict,
        }

    def __str__(self) -> str:
        M = sum(len(part.outcomes) for part in self.judged)
        H = self.judged[0].outcomes.shape[1]
        head = f"{M:,} origins, {H} step{'s' if H > 1 else ''} ahead, season {self.season}"
        if len(self.quantiles) > 1:
            nominal = max(self.quantiles) - min(self.quantiles)
            head += f", intervals that should cover {nominal:g}"
        table = self.table.to_string(float_format=lambda value: f"{value:.4g}")
        return f"{head}\n\n{table}\n\n{self.verdict}"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what was forecast beside what came; see :meth:`Forecaster.plot_backtest`."""
        from fastrnn.tasks._forecast_plots import draw_backtest

        return draw_backtest(self, path)
