"""The demonstration of forecasting: the temperature of the coming week, beside naive and linear forecasts."""

from __future__ import annotations

from pathlib import Path

import click

from fastrnn.cli.demo.report import Finding, Section, columns, heading, paragraph, picture, table
from fastrnn.data import sets

__all__ = ["run"]

_COLUMN = "temp_max"
_HORIZON = 7
_FOLDS = 3
_SHOWN = 14  # days that the picture forecasts, and what came
_MEASURES = ("MAE", "RMSE", "MASE", "pinball", "coverage")


def run(seconds: float, out: Path, seed: int) -> Section:
    """Train for so long, save model and pictures in `out`, print the figures."""
    y = sets.seattle_weather()[_COLUMN]
    from fastrnn.tasks import Forecaster

    click.echo(
        f"Seattle, highest temperature of {len(y):,} days; forecasts of {_HORIZON} days in the last fifth"
    )
    forecaster = Forecaster(_HORIZON, max_seconds=seconds / (_FOLDS + 1), random_state=seed)
    backtest = forecaster.backtest(y, folds=_FOLDS)
    forecaster.set_params(horizon=_SHOWN, progress=True).fit(y[:-_SHOWN])
    forecaster.save(out / "forecast.model")
    ahead = forecaster.plot(history=60)
    ahead.axes[0].plot(y.index[-_SHOWN:], y[-_SHOWN:], "o", color="black", markersize=3, label="what came")
    ahead.axes[0].legend()
    ahead.savefig(out / "forecast.png")
    judged = backtest.plot(out / "backtest.png")

    figures = backtest.table
    click.echo(f"errors of {_HORIZON} days ahead, in °C (lower is better)")
    for name, error in figures["MAE"].items():
        click.echo(f"  {name:16} {error:.3f}")
    click.echo(f"  {backtest.verdict}")
    click.echo(f"Go on: fastrnn forecast predict {out / 'forecast.model'}")
    best = backtest.best_baseline
    own = str(figures.index[0])
    return Section(
        "forecasting",
        "Forecasting",
        [
            paragraph(
                f"The highest temperature of each day in Seattle, {y.index[0]:%Y} to {y.index[-1]:%Y}. For "
                f"every day of the last fifth the next {_HORIZON} were forecast from what came before; the "
                f"network learned anew {_FOLDS} times, for {seconds / (_FOLDS + 1):.0f} seconds each."
            ),
            table(
                ["", *_MEASURES],
                [(str(name), [float(row[m]) for m in _MEASURES]) for name, row in figures.iterrows()],
                own=own,
                best={"MAE": min, "RMSE": min, "MASE": min, "pinball": min},
            ),
            paragraph(
                f"{backtest.verdict} MAE and RMSE are in °C; MASE is the error over that of the naive "
                "forecast of one day; coverage is the share of days inside intervals that should hold "
                f"{max(backtest.quantiles) - min(backtest.quantiles):g} of them.",
                soft=True,
            ),
            columns(
                heading(f"The last {_SHOWN} days, not seen in training")
                + picture(ahead, "The last weeks, and a forecast with its intervals beside what came"),
                heading("The backtest")
                + picture(judged, "Forecasts beside what came, and errors by step ahead"),
            ),
            paragraph(f"`fastrnn forecast predict {out / 'forecast.model'}` forecasts the days after."),
        ],
        [
            Finding(
                "mean absolute error in °C, lower is better",
                float(figures.loc[own, "MAE"]),
                float(figures.loc[best, "MAE"]),
                best,
                higher_is_better=False,
            )
        ],
    )
