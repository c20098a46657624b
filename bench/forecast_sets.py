"""How well series are forecast, with the default settings: ``python -m bench.forecast_sets --help``.

The first four fifths are fitted on, the rest is judged, from every step of it, without fitting anew. Beside
every figure stand those of the last value, the value a season before, and ridge regression on 14 lags. The
extra ``data`` brings the sets; those that are not found are named.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastrnn.data import sets
from fastrnn.errors import MissingExtraError
from fastrnn.tasks import Forecaster
from fastrnn.tasks._backtest import BASELINES, OURS


class Problem(NamedTuple):
    """A series, its covariates, how far it is forecast, and a factor for the figures."""

    y: Any
    steps: int
    X: Any = None
    factor: float = 1.0


def weather(column: str, steps: int, others: bool = False) -> Callable[[], Problem]:
    def read() -> Problem:
        frame = sets.seattle_weather()
        rest = frame[["precipitation", "temp_max", "temp_min", "wind"]].drop(columns=column)
        return Problem(frame[column], steps, rest if others else None)

    return read


def returns(share: str) -> Callable[[], Problem]:
    """Logarithms of prices: an error of their forecast is one of the return."""

    def read() -> Problem:
        prices = sets.stocks()[share].dropna()
        return Problem(np.log(prices.to_numpy()), 1, factor=100.0)

    return read


def monthly(package: str, file: str, command: str) -> Callable[[], Problem]:
    """A table of months in a package, whose last column counts."""

    def read() -> Problem:
        path = sets._package_folder(package, package, command) / "_data" / file
        frame = pd.read_csv(path, index_col=0)
        if "nonfarm" in frame:
            return Problem(frame["nonfarm"].set_axis(pd.PeriodIndex(frame.index, freq="M")), 12)
        months = frame.drop(columns="Annual").stack()
        index = pd.PeriodIndex([f"{year} {month}" for year, month in months.index], freq="M")
        return Problem(months.set_axis(index).astype(float), 12)

    return read


def glucose(grid: bool) -> Callable[[], Problem]:
    def read() -> Problem:
        readings = sets.glucose(grid)
        return Problem(readings if grid else readings.to_numpy(), 6)

    return read


def logistic_map() -> Problem:
    """Chaos: the next value is a parabola of the last."""
    y = [0.3]
    while len(y) < 1000:
        y.append(3.8 * y[-1] * (1 - y[-1]))
    return Problem(np.array(y), 1)


INSTALL = 'pip install "fastrnn[data]"'
SETS: dict[str, Callable[[], Problem]] = {
    "wind, 1 day": weather("wind", 1),
    "temp_max, 1 day": weather("temp_max", 1),
    "temp_max, 7 days": weather("temp_max", 7),
    "temp_max, 1 day, with the other weather": weather("temp_max", 1, others=True),
    "glucose, 30 minutes": glucose(False),
    "glucose on a grid, 30 minutes": glucose(True),
    "sea temperature, 24 hours": lambda: Problem(sets.sea_surface_temperature(), 48),
    **{f"{share}, log return in %, 1 day": returns(share) for share in ("AAPL", "IBM", "MSFT", "GOOG")},
    "logistic map, 1 step": logistic_map,
    "US employment, 12 months": monthly("vega_datasets", "us-employment.csv", INSTALL),
    "US unemployment, 12 months": monthly("bokeh_sampledata", "unemployment1948.csv", INSTALL),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.forecast_sets", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--sets", default=";".join(SETS), help="names, separated by ; (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
    given = parser.parse_args(arguments)
    print("Mean absolute error of the last step ahead; coverage of the intervals from 0.1 to 0.9.\n")
    print(
        "| series | train / test | fastrnn, by seed | naive | seasonal naive | ridge | coverage | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in given.sets.split(";"):
        try:
            problem = SETS[name]()
        except MissingExtraError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        cut = round(0.8 * len(problem.y))
        ours, coverages, seconds = [], [], []
        for seed in range(given.seeds):
            start = time.perf_counter()
            forecaster = Forecaster(problem.steps, known_future=(), random_state=seed).fit(
                problem.y[:cut], None if problem.X is None else problem.X[:cut]
            )
            seconds.append(time.perf_counter() - start)
            found = forecaster.evaluate(problem.y[cut:], None if problem.X is None else problem.X[cut:])
            errors = problem.factor * found.by_step.loc[problem.steps]
            ours.append(errors[OURS])
            coverages.append(found.table.loc[OURS, "coverage"])
        each = ", ".join(f"{error:.4g}" for error in ours)
        others = " | ".join(f"{errors[model]:.4g}" for model in BASELINES)
        print(
            f"| {name} | {cut:,} / {len(problem.y) - cut:,} | {each} | {others} | "
            f"{statistics.mean(coverages):.3f} | {statistics.mean(seconds):.1f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
