"""``fastrnn sequences``: learn to tell sequences of any kind apart, or a number from each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from fastrnn.cli.classes import as_known, labels, present, report, with_predictions
from fastrnn.cli.columns import choose, label_column, numbers
from fastrnn.cli.models import load_model
from fastrnn.cli.options import COLUMN, MODEL, TABLE, common, reading_options, training_options
from fastrnn.cli.output import (
    AS_JSON,
    check_table_output,
    check_writable,
    free_name,
    table_output,
    write_table,
)
from fastrnn.cli.sequence_tables import Layout
from fastrnn.cli.settings import SectionedCommand, setting
from fastrnn.cli.tables import Table, read_table
from fastrnn.cli.training import prepare, train as fit_and_save

__all__ = ["sequences"]

_CLASSIFIER = "fastrnn.tasks.sequences:SequenceClassifier"
_TASKS = ("classify", "regress")
_MOST_CLASSES = 20  # that whole numbers are taken for, if nobody says otherwise


@click.group()
def sequences() -> None:
    """Classify sequences of any kind, or predict a number from each.

    \b
    fastrnn sequences train genes.csv -o genes.model --label family
    fastrnn sequences predict genes.model new.csv
    fastrnn sequences evaluate genes.model test.csv

    \b
    A table holds sequences in one of three ways:
    a string a row         one column: genomes, log lines, words
    a row of numbers each  many columns, a step each; or, with --width, several
    a row for each step    --id says which sequence it belongs to, --time sorts
    """  # noqa: D301 (click's mark for lines that are not to be joined)


@sequences.command(cls=SectionedCommand)
@click.argument("file", type=TABLE)
@training_options
@click.option("--label", type=COLUMN, help="Column to predict.  [default: a guess, shown]")
@click.option(
    "--task",
    type=click.Choice(_TASKS),
    help="Predict classes or numbers.  [default: classes if the label is no number, or few whole numbers]",
)
@click.option("--sequence", type=COLUMN, help="Column with whole sequences: strings, or lists in JSON.")
@click.option(
    "--columns",
    multiple=True,
    type=COLUMN,
    help="Column with numbers (may be repeated).  [default: all others that hold numbers]",
)
@click.option(
    "--width",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Numbers of a step, where a row is a sequence.",
)
@click.option("--id", type=COLUMN, help="Rows are steps: column with the name of their sequence.")
@click.option("--time", type=COLUMN, help="Rows are steps: column that sorts them.")
@reading_options
@setting(_CLASSIFIER, "scale", bool, "Standardise the numbers.", section="Network")
@common(
    _CLASSIFIER,
    "Network",
    "cell num_layers hidden_size bidirectional embedding_size pooling dropout recurrent_dropout",
)
@setting(
    _CLASSIFIER, "projection", int, "Features that each step is projected to.", section="Network", none="none"
)
@common(
    _CLASSIFIER,
    "Training",
    "class_weight calibrate epochs max_seconds batch_size learning_rate schedule optimizer weight_decay "
    "clip_norm validation_fraction patience random_state n_threads checkpoint_every",
)
@click.pass_context
def train(
    ctx: click.Context,
    /,
    file: str,
    label: str | None,
    task: str | None,
    sequence: str | None,
    columns: tuple[str, ...],
    width: int,
    id: str | None,
    time: str | None,
    encoding: str,
    header: bool,
    **_: Any,
) -> None:
    """Train on the sequences in FILE.

    A table in CSV, TSV, JSON lines or Parquet, compressed or not; - is standard input. Rows without a label
    are left out; in a row of numbers, what is missing at the end makes the sequence shorter.

    Ctrl-C saves everything to MODEL.checkpoint and exits with 130; --resume continues.
    """
    check_writable(ctx.params["output"])
    table = read_table(file, encoding=encoding, header=header)
    label = choose(table, "label", label, "--label", label_column(sequence, id, time, *columns))
    table = present(table, label)
    layout = Layout.find(
        table, sequence=sequence, columns=columns, width=width, id=id, time=time, label=label
    )
    examples = layout.read(table)
    task = task or _guess_task(examples.table, label)
    from fastrnn.tasks import SequenceClassifier, SequenceRegressor

    estimator = prepare(ctx, SequenceClassifier if task == "classify" else SequenceRegressor)
    y = (labels if task == "classify" else numbers)(examples.table, label)
    fit_and_save(ctx, estimator, examples.X, y, notes={"label": label, "layout": layout.to_dict()})


@sequences.command()
@click.argument("model", type=MODEL)
@click.argument("file", type=TABLE)
@reading_options
@click.option("--probabilities", is_flag=True, help="Those of all classes.")
@table_output
def predict(
    model: Path,
    file: str,
    encoding: str,
    header: bool,
    probabilities: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Predict the class, or the number, of every sequence in FILE.

    FILE is laid out as in the training. Out comes a row for each sequence, with the column "predicted", and
    for classes "probability".
    """
    check_table_output(output)
    estimator, notes = load_model(model, "sequences")
    table = read_table(file, encoding=encoding, header=header)
    layout = Layout(**notes["layout"])
    examples = layout.read(table)
    frame = examples.table.frame
    keep = [layout.id] if layout.id else [c for c in frame.columns if c not in layout.columns]
    if hasattr(estimator, "predict_proba"):
        found = estimator.predict_proba(examples.X)
        result = with_predictions(frame[keep], estimator.classes_, found, all_classes=probabilities)
    else:
        result = frame[keep].copy()
        result[free_name("predicted", keep)] = estimator.predict(examples.X)
    if not keep:
        result.insert(0, "row", [table.first_row + int(place) for place in frame.index])
    write_table(result, output, as_json=as_json)


@sequences.command()
@click.argument("model", type=MODEL)
@click.argument("file", type=TABLE)
@click.option("--label", type=COLUMN, help="Column to compare with.  [default: as in the training]")
@reading_options
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it.")
@AS_JSON
def evaluate(
    model: Path,
    file: str,
    label: str | None,
    encoding: str,
    header: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure how well MODEL predicts the labels in FILE.

    Beside it stands what can be reached without looking at the sequences: always the most frequent class, or
    the mean of the numbers.
    """
    if plot is not None:
        check_writable(plot)
    estimator, notes = load_model(model, "sequences")
    table = read_table(file, encoding=encoding, header=header)
    label = choose(table, "label", label, "--label", label_column(), remembered=notes["label"])
    examples = Layout(**notes["layout"]).read(present(table, label))
    if hasattr(estimator, "predict_proba"):
        y = as_known(labels(examples.table, label), estimator.classes_)
        report(estimator.evaluate(examples.X, y), {}, model=model.name, as_json=as_json, plot=plot)
    else:
        _report_numbers(estimator, examples.X, numbers(examples.table, label), as_json, plot)


def _guess_task(table: Table, label: str) -> str:
    column = table.frame[label]
    if column.dtype.kind not in "iuf":
        return "classify"
    values = np.asarray(column, np.float64)
    kinds = len(np.unique(values))
    task = "classify" if kinds <= _MOST_CLASSES and (values == np.rint(values)).all() else "regress"
    what = f"{kinds} classes" if task == "classify" else "numbers"
    other = _TASKS[1 - _TASKS.index(task)]
    click.echo(f"label {label!r}: {what} (guessed; --task {other} says otherwise)", err=True)
    return task


def _report_numbers(estimator: Any, X: list[Any], y: Any, as_json: bool, plot: Path | None) -> None:
    evaluation = estimator.evaluate(X, y)
    if plot is not None:
        evaluation.plot(plot)
    click.echo(json.dumps(evaluation.to_dict()) if as_json else str(evaluation))
