"""Pictures of forecasts: what is ahead, and what would have been forecast."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._types import Array
from fastrnn.errors import require
from fastrnn.plot import save_figure
from fastrnn.tasks._series import Form, Series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastrnn.tasks._backtest import Backtest

__all__ = ["draw_backtest", "draw_forecast"]

_MOST_PANELS = 8
_MOST_STEPS = 400  # at the end of a backtest; more would be a black block


def _panels(count: int) -> list[Any]:
    figure = require("matplotlib.figure", "tasks").Figure(
        figsize=(7.5, 1.0 + 2.4 * count), dpi=120, layout="constrained"
    )
    panels: list[Any] = figure.subplots(count, 1, squeeze=False)[:, 0].tolist()
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return panels


def _places(index: Any) -> Any:
    return index.to_timestamp() if hasattr(index, "to_timestamp") else index


def _finish(panels: list[Any], path: str | os.PathLike[str] | None) -> Figure:
    panels[0].legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0))
    for axes in panels:
        axes.tick_params(axis="x", labelsize=8, rotation=20)
    if path is not None:
        save_figure(panels[0], path)
    figure: Figure = panels[0].figure
    return figure


def _bands(axes: Any, places: Any, band: Array, levels: Sequence[float]) -> None:
    """Shade between each low quantile and the high one that mirrors it."""
    order = np.argsort(levels)
    for k in range(len(order) // 2):
        low, high = order[k], order[-1 - k]
        name = f"{levels[low]:g} to {levels[high]:g}"
        axes.fill_between(
            places, band[:, low], band[:, high], color="tab:orange", alpha=0.22, linewidth=0, label=name
        )


def draw_forecast(
    tails: Sequence[Series],
    form: Form,
    points: Sequence[Array],
    bands: Sequence[Array],
    levels: Sequence[float],
    *,
    steps: int,
    history: int,
    path: str | os.PathLike[str] | None,
) -> Figure:
    """A panel for each variable of each series, eight at most: the last values, and the forecast."""
    shown = [(i, v) for i in range(len(tails)) for v in range(len(form.variables))][:_MOST_PANELS]
    panels = _panels(len(shown))
    for axes, (i, v) in zip(panels, shown, strict=True):
        tail = tails[i].part(max(0, len(tails[i]) - history), len(tails[i]))
        ahead = _places(tail.timeline.after(steps).index())
        marker = "." if steps == 1 else None
        axes.plot(
            _places(tail.timeline.index()), tail.values[:, v], color="tab:blue", linewidth=1.2, label="data"
        )
        _bands(axes, ahead, bands[i][:, v], levels)
        axes.plot(ahead, points[i][:, v], color="tab:orange", marker=marker, linewidth=1.6, label="forecast")
        axes.set_ylabel(_title(form, tails[i].name, v), fontsize=9)
    return _finish(panels, path)


def draw_backtest(backtest: Backtest, path: str | os.PathLike[str] | None) -> Figure:
    """Draw a panel for each variable of each series, eight at most: outcomes and last-step forecasts.

    Parameters
    ----------
    backtest : Backtest
    path : path-like or None
        Image file to write.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from fastrnn.tasks._backtest import OURS

    names = list(dict.fromkeys(part.name for part in backtest.judged))
    shown = [(name, v) for name in names for v in range(len(backtest.variables))][:_MOST_PANELS]
    panels = _panels(len(shown))
    best = backtest.best_baseline
    for axes, (name, v) in zip(panels, shown, strict=True):
        left = _MOST_STEPS
        for part in reversed([part for part in backtest.judged if part.name == name]):
            M, H = part.outcomes.shape[:2]
            kept = slice(max(0, M - left), M)
            left -= M
            if kept.start == M:
                break
            places = _places(part.timeline.index()[H : H + M])[kept]
            # One label for all folds: that of the last, which is drawn first.
            label = (lambda text: text) if left == _MOST_STEPS - M else (lambda text: f"_{text}")
            actual = np.where(part.there[:, -1, v], part.outcomes[:, -1, v], np.nan)
            axes.plot(places, actual[kept], color="tab:blue", linewidth=1.2, label=label("data"))
            _bands(axes, places, part.bands[OURS][kept, -1, v], backtest.quantiles)
            axes.plot(
                places,
                part.points[OURS][kept, -1, v],
                color="tab:orange",
                linewidth=1.2,
                label=label("forecast"),
            )
            axes.plot(
                places,
                part.points[best][kept, -1, v],
                color="0.45",
                linewidth=0.8,
                linestyle=":",
                label=label(best),
            )
            for patch in axes.collections[1:]:
                patch.set_label(f"_{patch.get_label()}")
        names_shown = dict.fromkeys(str(x) for x in (name, backtest.variables[v]) if x is not None)
        axes.set_ylabel(" ".join(names_shown), fontsize=9)  # a single Series has its name for both
    H = backtest.judged[0].outcomes.shape[1]
    panels[-1].set_xlabel(f"forecasts made {H} step{'s' if H > 1 else ''} before")
    return _finish(panels, path)


def _title(form: Form, name: Any, v: int) -> str:
    variable = form.variables[v] if form.kind != "array" or len(form.variables) > 1 else None
    return " ".join(str(x) for x in ((name if form.many else None), variable) if x is not None) or "y"
