"""Pictures (extra ``tasks``). They use matplotlib without its global state, so no display is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastrnn.training import History

__all__ = ["new_axes", "plot_history", "save_figure", "smooth"]


def new_axes(width: float = 7.5, height: float = 4.5) -> Axes:
    """Axes of a new figure that belongs to no window.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.axes.Axes
        ``axes.figure.savefig(path)`` writes it to a file.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastrnn.plot import new_axes
    >>> axes = new_axes(4, 3)
    >>> axes.figure.get_size_inches().tolist()
    [4.0, 3.0]
    """
    # Figure, not pyplot: nothing global is touched, and it works in any thread without a display.
    figure = require("matplotlib.figure", "tasks").Figure(
        figsize=(width, height), dpi=120, layout="constrained"
    )
    axes: Axes = figure.add_subplot()
    return axes


def save_figure(axes: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure that the axes belong to.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    path : path-like
        The suffix decides the format: ``.png``, ``.svg``, ``.pdf`` and others.

    Raises
    ------
    ValueError
        If the axes have been removed from their figure, or the format is unknown.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastrnn.plot import new_axes, save_figure
    >>> path = os.path.join(tempfile.mkdtemp(), "empty.svg")
    >>> save_figure(new_axes(), path)
    >>> os.path.getsize(path) > 0
    True
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must belong to a figure")
    figure.savefig(path)


def smooth(values: ArrayLike, span: float) -> NDArray[np.float64]:
    """Exponential moving average without the pull of its first value.

    Parameters
    ----------
    values : array_like, [n]
    span : float
        About how many values are averaged, at least 1.

    Returns
    -------
    float64 array, [n]

    Raises
    ------
    ValueError
        If `span` is less than 1 or `values` has not one axis.

    Notes
    -----
    The weights of the values so far are normalised to 1, as D. P. Kingma and J. Ba do in Adam (ICLR 2015,
    section 3).

    Examples
    --------
    >>> from fastrnn.plot import smooth
    >>> smooth([4.0, 4.0, 4.0], span=10).tolist()
    [4.0, 4.0, 4.0]
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"values must have one axis, got shape {array.shape}")
    if span < 1:
        raise ValueError(f"span must be at least 1, got {span!r}")
    keep = 1.0 - 1.0 / span
    out = np.empty_like(array)
    total = weight = 0.0
    for i, value in enumerate(array):
        total = keep * total + value
        weight = keep * weight + 1.0
        out[i] = total / weight
    return out


def plot_history(
    history: History,
    ax: Axes | None = None,
    *,
    ylabel: str = "loss",
    scale: float = 1.0,
    baselines: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the loss of every step, its moving average, the held-out loss of every epoch, and baselines.

    Parameters
    ----------
    history : fastrnn.training.History
        What `fit` returned, or an estimator's ``history_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the axes of a new figure.
    ylabel : str, default "loss"
        Name of the loss, with its unit.
    scale : float, default 1.0
        Losses are multiplied with it; 1 / ln 2 turns nats into bits.
    baselines : mapping of str to float, optional
        Horizontal lines, named, in the unit of the axis.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is nothing in the history yet.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastrnn.plot import plot_history
    >>> from fastrnn.training import History
    >>> history = History(loss=[2.0, 1.5], val_loss=[2.1, 1.7])
    >>> history.step_loss, history.epoch_steps = [2.5, 1.5, 1.6, 1.4], [2, 2]
    >>> axes = plot_history(history, ylabel="bits/char", baselines={"n-gram": 1.9})
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('training steps', 'bits/char')
    """
    if not history.step_loss:
        raise ValueError("history is empty: no step has been trained")
    axes = new_axes() if ax is None else ax
    steps = np.arange(1, len(history.step_loss) + 1)
    losses = scale * np.asarray(history.step_loss)
    average = smooth(losses, span=max(1.0, len(losses) / 50))
    axes.plot(steps, losses, color="tab:blue", alpha=0.25, linewidth=0.6)
    axes.plot(steps, average, color="tab:blue", linewidth=1.6, label="training (moving average)")
    shown: list[Any] = [average]
    held_out = history.get("val_loss")
    if held_out:
        ends = np.cumsum(history.epoch_steps)
        values = scale * np.asarray(held_out)
        axes.plot(ends, values, color="tab:orange", marker="o", markersize=4, linewidth=1.2, label="held out")
        shown.append(values)
    for number, (name, value) in enumerate((baselines or {}).items()):
        axes.axhline(
            value, color=f"C{number + 2}", linestyle="--", linewidth=1.2, label=f"{name}: {value:.2f}"
        )
        shown.append([value])
    _limit(axes, average, np.concatenate(shown))
    axes.set_xlabel("training steps")
    axes.set_ylabel(ylabel)
    if title is not None:
        axes.set_title(title)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(framealpha=0.8, edgecolor="none")  # legible where it lies over a line
    return axes


def _limit(axes: Axes, average: NDArray[np.float64], shown: NDArray[np.float64]) -> None:
    """Leave out the steep fall of the first steps, which would squeeze everything else."""
    low = float(shown.min())
    settled = float(average[len(average) // 50])
    high = max(settled, float(np.median(shown)), float(shown[len(average) :].max(initial=low)))
    margin = 0.08 * (high - low) or 0.1
    axes.set_ylim(low - 2 * margin, high + margin)
