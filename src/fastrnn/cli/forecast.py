"""``fastrnn forecast``: continue series, with intervals, and measure how well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastrnn.cli.models import load_model
from fastrnn.cli.options import (
    COLUMN,
    MODEL,
    TABLE,
    Numbers,
    common,
    ordered,
    reading_options,
    training_options,
)
from fastrnn.cli.output import AS_JSON, check_table_output, check_writable, table_output, write_table
from fastrnn.cli.series_tables import SeriesColumns
from fastrnn.cli.settings import Decorator, F, SectionedCommand, explicit_settings, setting
from fastrnn.cli.tables import read_table
from fastrnn.cli.training import prepare, train as fit_and_save
from fastrnn.errors import require

if TYPE_CHECKING:
    import pandas

__all__ = ["forecast"]

_FORECASTER = "fastrnn.tasks.forecasting:Forecaster"
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def forecast() -> None:
    """Continue series: sales, weather, sensors.

    \b
    fastrnn forecast train sales.csv -o sales.model --value sold --horizon 14
    fastrnn forecast predict sales.model --plot sales.png
    fastrnn forecast backtest sales.csv --value sold --horizon 14
    """  # noqa: D301 (click's mark for lines that are not to be joined)


def _columns(function: F) -> F:
    return ordered(
        click.option(
            "--value",
            "values",
            multiple=True,
            type=COLUMN,
            help="Column to forecast (may be repeated).  [default: the only one with numbers]",
        ),
        click.option(
            "--time", type=COLUMN, help="Column with dates or whole numbers.  [default: a guess, shown]"
        ),
        click.option("--series", type=COLUMN, help="Column that says which series a row belongs to."),
        click.option(
            "--covariates",
            multiple=True,
            type=COLUMN,
            help="Column with what else is known (may be repeated).",
        ),
        reading_options,
    )(function)


class _Calendar(click.Choice):  # type: ignore[type-arg]
    """``auto``, or a truth."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the estimator takes."""
        word = super().convert(value, param, ctx)
        return {"yes": True, "no": False}.get(word, word)


class _Known(click.ParamType):  # type: ignore[type-arg]
    """``all``, ``none``, or names with commas between."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the estimator takes."""
        if value == "all" or not isinstance(value, str):
            return value
        return () if value == "none" else tuple(value.split(","))


def _settings(function: F) -> F:
    def own(name: str, kind: Any, text: str, none: str | None = None) -> Decorator:
        return setting(_FORECASTER, name, kind, text, section="Forecast", none=none)

    return ordered(
        own("horizon", int, "Steps ahead that are learned."),
        own("window", int, "Steps back that are looked at at once.", "as the data suggests"),
        own("strategy", ("direct", "recursive"), "All steps at once, or one after the other."),
        own("quantiles", Numbers(), "Quantiles that are learned."),
        own("target", ("auto", "level", "difference", "seasonal"), "What is predicted of the values."),
        own("season", int, "Steps of a season.", "found in the data"),
        own("calendar", _Calendar(["auto", "yes", "no"]), "Look at hour, weekday and season of the year."),
        own("known_future", _Known(), "Covariates known ahead: all, none, or names with commas between."),
        own("missing", ("carry", "raise"), "Carry the last value on, or refuse."),
        common(_FORECASTER, "Network", "cell num_layers hidden_size dropout recurrent_dropout"),
        common(
            _FORECASTER,
            "Training",
            "epochs max_seconds batch_size learning_rate schedule optimizer weight_decay clip_norm "
            "validation_fraction patience random_state n_threads checkpoint_every",
            batch_size="Places of the series that are learned from at once.",
            validation_fraction="Part at the end of the series that is held out.",
        ),
    )(function)


@forecast.command(cls=SectionedCommand)
@click.argument("file", type=TABLE)
@training_options
@_columns
@_settings
@click.pass_context
def train(
    ctx: click.Context,
    /,
    file: str,
    values: tuple[str, ...],
    time: str | None,
    series: str | None,
    covariates: tuple[str, ...],
    encoding: str,
    header: bool,
    **_: Any,
) -> None:
    """Train a forecaster on the series in FILE.

    A table in CSV, TSV, JSON lines or Parquet with a row for each time, or for each time of each series; - is
    standard input.

    Ctrl-C saves everything to MODEL.checkpoint and exits with 130; --resume continues.
    """
    from fastrnn.tasks import Forecaster

    forecaster = prepare(ctx, Forecaster)
    table = read_table(file, encoding=encoding, header=header)
    columns = SeriesColumns.find(table, values=values, time=time, series=series, covariates=covariates)
    fit_and_save(ctx, forecaster, *columns.read(table), notes=columns.to_dict())


@forecast.command()
@click.argument("model", type=MODEL)
@click.option("--horizon", type=click.IntRange(min=1), help="Steps ahead.  [default: as in the training]")
@click.option("--quantiles", type=Numbers(), help="For example 0.1,0.5,0.9.  [default: as in the training]")
@click.option("--update", type=TABLE, metavar="FILE", help="What has been observed since the training.")
@click.option("--future", type=TABLE, metavar="FILE", help="Covariates of the times ahead.")
@reading_options
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw the forecast: .png, .svg or .pdf.")
@table_output
def predict(
    model: Path,
    horizon: int | None,
    quantiles: tuple[float, ...] | None,
    update: str | None,
    future: str | None,
    encoding: str,
    header: bool,
    plot: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Forecast what follows the data that MODEL has seen."""
    check_table_output(output)
    if plot is not None:
        check_writable(plot)
    forecaster, notes = load_model(model, "forecast")
    columns = SeriesColumns(**notes)
    if update is not None:
        forecaster.update(*columns.read(read_table(update, encoding=encoding, header=header)))
    X_future = None
    if future is not None:
        table = read_table(future, encoding=encoding, header=header)
        X_future = columns.read(table, with_values=False)[1]
    elif known := forecaster.known_covariates_:
        raise ValueError(
            f"{model} needs the covariates {', '.join(map(str, known))} of the steps ahead: give --future a "
            "table of them, or train with --known-future none"
        )
    levels = forecaster.quantiles if quantiles is None else quantiles
    points = forecaster.predict(horizon, X_future=X_future)
    bands = forecaster.predict(horizon, X_future=X_future, quantiles=levels) if levels else None
    if plot is not None:
        forecaster.plot(horizon, X_future=X_future, quantiles=levels, path=plot)
    write_table(_long(points, bands, columns), output, as_json=as_json)


@forecast.command(cls=SectionedCommand)
@click.argument("file", type=TABLE)
@_columns
@click.option("--folds", type=click.IntRange(min=1), default=5, show_default=True, help="Forecasts to judge.")
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw the forecasts: .png, .svg or .pdf.")
@AS_JSON
@_settings
@click.pass_context
def backtest(
    ctx: click.Context,
    /,
    file: str,
    values: tuple[str, ...],
    time: str | None,
    series: str | None,
    covariates: tuple[str, ...],
    encoding: str,
    header: bool,
    folds: int,
    plot: Path | None,
    as_json: bool,
    **_: Any,
) -> None:
    """Measure how well the past of FILE could have been forecast.

    For each fold a forecaster is trained on what came before it. Beside it stand the last value, the last
    season, and ridge regression.
    """
    from fastrnn.tasks import Forecaster

    if plot is not None:
        check_writable(plot)
    table = read_table(file, encoding=encoding, header=header)
    columns = SeriesColumns.find(table, values=values, time=time, series=series, covariates=covariates)
    y, X = columns.read(table)
    result = Forecaster(**explicit_settings(ctx)).backtest(y, folds=folds, X=X)
    if plot is not None:
        result.plot(plot)
    click.echo(json.dumps(result.to_dict()) if as_json else str(result))


def _long(points: Any, bands: Any, columns: SeriesColumns) -> pandas.DataFrame:
    """A forecast as a table: [series,] time, then each variable and its quantiles."""
    pandas = require("pandas", "tasks")
    frames = []
    for name in points if columns.series is not None else (None,):
        point = points if name is None else points[name]
        frame = pandas.DataFrame(point)  # of a Series or a DataFrame
        if bands is not None:
            band = bands if name is None else bands[name]
            titles = [_title(column, len(columns.values) > 1) for column in band.columns]
            frame = pandas.concat([frame, band.set_axis(titles, axis=1)], axis=1)
        frame.insert(0, columns.time or "step", frame.index)
        if name is not None:
            frame.insert(0, str(columns.series), name)
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True)


def _title(column: Any, several: bool) -> str:
    return f"{column[0]} q{column[1]:g}" if several else f"q{column:g}"
