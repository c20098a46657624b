"""What judges a forecaster: forecasts of what it has not learned from, beside what came."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import clone

from fastrnn._checks import check_bool, check_float, check_int, check_positive_int
from fastrnn.tasks._backtest import OURS, Backtest, Judged
from fastrnn.tasks._base import TaskEstimator
from fastrnn.tasks._present import Present
from fastrnn.tasks._series import Form, Series, read_series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["JudgedForecaster"]

_TEST_FRACTION = 0.2


class JudgedForecaster(TaskEstimator):
    """Base class of :class:`~fastrnn.tasks.Forecaster`, which fits."""

    horizon: int
    quantiles: Sequence[float]
    missing: str

    season_: int
    _present: Present

    def _check_settings(self) -> None:
        raise NotImplementedError

    def _fit_series(self, series: list[Series], form: Form, *, resume: bool = False) -> Self:
        raise NotImplementedError

    def evaluate(self, y: Any, X: Any = None, *, horizon: int | None = None) -> Backtest:
        """Judge forecasts from every step of what follows the data, without training.

        Parameters
        ----------
        y, X : as in `update`
            At least `horizon` steps that follow the known ones. The forecaster does not take them in.
        horizon : int, optional
            Judge only so many steps ahead. Default: all.

        Returns
        -------
        Backtest
            Errors beside those of the last value, the value a season before and ridge regression.

        Raises
        ------
        NotFittedError
            If the forecaster has not been fitted.
        ValueError, TypeError
            As `update` does; or if there are fewer steps than `horizon`.
        """
        self._check_fitted()
        steps = self.horizon if horizon is None else check_int("horizon", horizon, low=1, high=self.horizon)
        given = self._present.read(y, X, "y", self.missing)
        with self._threads():
            return self._backtest_of(self._present.judge(given, steps, tuple(self.quantiles)))

    def _backtest_of(self, judged: list[Judged]) -> Backtest:
        return Backtest(judged, tuple(self.quantiles), self._present.form.variables, self.season_)

    def score(self, y: Any, X: Any = None) -> float:
        """Negative mean absolute error of `evaluate`, so that greater is better.

        Parameters
        ----------
        y, X : as in `evaluate`

        Returns
        -------
        float
            In the unit of the series; 0 would be perfect.
        """
        return -float(self.evaluate(y, X).table.loc[OURS, "MAE"])

    def backtest(
        self,
        y: Any,
        horizon: int | None = None,
        folds: int = 5,
        X: Any = None,
        *,
        test_fraction: float = _TEST_FRACTION,
        refit: bool = True,
    ) -> Backtest:
        """Judge forecasts of the last part of series, each made from nothing but what came before it.

        A fresh copy of the forecaster is fitted on all that precedes a fold and judged on forecasts from
        every step of it. The forecaster itself is not touched.

        Parameters
        ----------
        y : as in `fit`
        horizon : int, optional
            Steps ahead. Default: those of the constructor.
        folds : int, default 5
            Parts of equal length, one after the other, that are judged.
        X : as in `fit`, optional
        test_fraction : float, default 0.2
            Part of the (shortest) series that the folds share, at the end of it; more where the folds would
            be shorter than `horizon`.
        refit : bool, default True
            Fit anew before every fold. False fits once, and then only updates the state.

        Returns
        -------
        Backtest

        Raises
        ------
        ValueError
            If the series are too short for so many folds, or as in `fit`.
        TypeError
            As in `fit`.
        """
        check_positive_int("folds", folds)
        check_bool("refit", refit)
        check_float("test_fraction", test_fraction, low=0.0, high=1.0, open_low=True, open_high=True)
        steps = self.horizon if horizon is None else check_positive_int("horizon", horizon)
        fresh = clone(self).set_params(horizon=steps, checkpoint=None)
        fresh._check_settings()
        series, form = read_series(y, X, missing=self.missing)
        shortest = min(map(len, series))
        size = max(round(shortest * test_fraction) // folds, steps)
        if shortest - folds * size < max(size, 4):
            raise ValueError(
                f"y is too short to be judged: {folds} folds of {size} steps leave "
                f"{max(shortest - folds * size, 0)} of {shortest} steps to learn from; use fewer folds or a "
                "shorter horizon"
            )
        judged: list[Judged] = []
        for fold in range(folds):
            cuts = [len(one) - (folds - fold) * size for one in series]
            new = [one.part(cut, cut + size) for one, cut in zip(series, cuts, strict=True)]
            if refit or not fold:
                past = [one.part(0, cut) for one, cut in zip(series, cuts, strict=True)]
                fresh = clone(fresh)._fit_series(past, form)
            present: Present = fresh._present
            with fresh._threads():
                judged += present.judge(new, steps, tuple(fresh.quantiles), fold)
                if not refit:
                    present.advance(present.continued(new))
        backtest: Backtest = fresh._backtest_of(judged)
        return backtest

    def plot_backtest(self, backtest: Backtest, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what was forecast beside what came.

        Parameters
        ----------
        backtest : Backtest
            What `backtest` or `evaluate` returned.
        path : path-like, optional
            Image file to write; the suffix decides the format.

        Returns
        -------
        matplotlib.figure.Figure
            With a panel for each variable of each series, eight at most, of forecasts for the last step
            ahead.

        Raises
        ------
        TypeError
            If `backtest` is something else.
        MissingExtraError
            If matplotlib is not installed.
        """
        if not isinstance(backtest, Backtest):
            raise TypeError(
                f"backtest must be what backtest or evaluate returned, got {type(backtest).__name__}"
            )
        return backtest.plot(path)
