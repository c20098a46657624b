"""Pictures: what is drawn, and that drawing needs no display and touches nothing global."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fastrnn.errors import MissingExtraError
from fastrnn.plot import new_axes, plot_history, save_figure, smooth
from fastrnn.training import History

pytest.importorskip("matplotlib")


def make_history(validated: bool = True) -> History:
    history = History(loss=[3.0, 2.0, 1.5])
    if validated:
        history["val_loss"] = [2.5, 2.0, 1.9]
    history.step_loss = list(np.linspace(4.0, 1.0, 30))
    history.epoch_steps = [10, 10, 10]
    return history


def drawn(axes: object) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}  # type: ignore[attr-defined]


def test_what_is_drawn() -> None:
    axes = plot_history(make_history(), ylabel="bits/char", scale=2.0, baselines={"n-gram": 3.25}, title="T")
    lines = drawn(axes)
    np.testing.assert_allclose(lines["held out"], [[10, 5.0], [20, 4.0], [30, 3.8]])
    np.testing.assert_allclose(lines["n-gram: 3.25"][:, 1], 3.25)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("training steps", "bits/char", "T")
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["training (moving average)", "held out", "n-gram: 3.25"]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.linspace(8.0, 2.0, 30))


def test_limits_show_what_matters() -> None:
    history = make_history()
    history.step_loss = [1000.0, *np.linspace(4.0, 1.0, 199)]
    low, high = plot_history(history, baselines={"baseline": 0.5}).get_ylim()
    assert low < 0.5
    assert 2.5 < high < 1000


def test_without_validation() -> None:
    assert "held out" not in drawn(plot_history(make_history(validated=False)))


def test_constant_loss_and_single_step() -> None:
    history = History(loss=[1.0])
    history.step_loss, history.epoch_steps = [1.0], [1]
    low, high = plot_history(history).get_ylim()
    assert low < 1.0 < high


def test_given_axes_are_used() -> None:
    axes = new_axes()
    assert plot_history(make_history(), ax=axes) is axes


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="history is empty"):
        plot_history(History())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saved(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"loss.{suffix}"
    save_figure(plot_history(make_history()), path)
    assert path.stat().st_size > 1000
    with pytest.raises(ValueError, match="nosuchformat"):
        save_figure(new_axes(), tmp_path / "loss.nosuchformat")


def test_removed_axes_cannot_be_saved(tmp_path: Path) -> None:
    axes = new_axes()
    axes.remove()
    with pytest.raises(ValueError, match="axes must belong to a figure"):
        save_figure(axes, tmp_path / "loss.png")


def test_nothing_global() -> None:
    before = sys.modules.get("matplotlib.pyplot")
    plot_history(make_history())
    assert sys.modules.get("matplotlib.pyplot") is before


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"fastrnn\[tasks\]"):
        plot_history(make_history())


def test_smooth_is_a_weighted_mean() -> None:
    values = np.array([4.0, 0.0, 8.0])
    weights = np.array([0.25, 0.5, 1.0])
    smoothed = smooth(values, span=2)
    assert smoothed[0] == 4.0
    assert smoothed[2] == pytest.approx((weights * values).sum() / weights.sum(), rel=1e-15)
    np.testing.assert_array_equal(smooth(values, span=1), values)
    assert smooth([], span=3).shape == (0,)


def test_smooth_refuses() -> None:
    with pytest.raises(ValueError, match="span must be at least 1"):
        smooth([1.0], span=0.5)
    with pytest.raises(ValueError, match="values must have one axis"):
        smooth([[1.0]], span=2)
