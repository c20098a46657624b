"""``fastrnn sentiment``: train a classifier of short texts, apply it, measure it, explain what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fastrnn.cli.classes import as_known, labels, present, report, with_predictions
from fastrnn.cli.columns import choose, label_column, text_column, texts
from fastrnn.cli.models import load_model
from fastrnn.cli.options import COLUMN, MODEL, TABLE, common, reading_options, training_options
from fastrnn.cli.output import AS_JSON, check_table_output, check_writable, table_output, write_table
from fastrnn.cli.settings import SectionedCommand, setting
from fastrnn.cli.tables import read_table, read_tables
from fastrnn.cli.training import prepare, train as fit_and_save
from fastrnn.errors import require

__all__ = ["BASELINE", "linear_baseline", "sentiment"]

_CLASSIFIER = "fastrnn.tasks.sentiment:SentimentClassifier"
_TESTED = 0.2  # share of the rows
_FILE = click.Path(dir_okay=False, path_type=Path)
BASELINE = "TF-IDF, logistic regression"


@click.group()
def sentiment() -> None:
    """Classify short texts: positive, negative, or any classes.

    \b
    fastrnn sentiment train tweets.csv -o tweets.model --baseline
    fastrnn sentiment predict tweets.model new.csv -o out.csv
    fastrnn sentiment evaluate tweets.model other.csv
    fastrnn sentiment explain tweets.model "not bad at all"
    """  # noqa: D301 (click's mark for lines that are not to be joined)


@sentiment.command(cls=SectionedCommand)
@click.argument("files", nargs=-1, required=True, type=TABLE, metavar="FILE...")
@training_options
@click.option("--text", type=COLUMN, help="Column with the texts.  [default: a guess, shown]")
@click.option("--label", type=COLUMN, help="Column with the classes.  [default: a guess, shown]")
@reading_options
@click.option(
    "--baseline",
    is_flag=True,
    help="Train on four fifths of the rows, and show how well the others are predicted, beside TF-IDF "
    "with logistic regression.",
)
@setting(_CLASSIFIER, "level", ("word", "character", "subword"), "What is read as one token.", section="Text")
@setting(_CLASSIFIER, "max_vocabulary", int, "Tokens known, the most frequent.", section="Text")
@setting(_CLASSIFIER, "min_count", int, "Know tokens of at least so many texts.", section="Text")
@setting(_CLASSIFIER, "max_tokens", int, "Tokens of a text that are read.", section="Text")
@setting(_CLASSIFIER, "ngrams", bool, "Learn a linear model of n-grams beside.", section="Network")
@common(
    _CLASSIFIER,
    "Network",
    "cell num_layers hidden_size bidirectional embedding_size pooling dropout recurrent_dropout",
    embedding_size="Numbers that stand for one token.",
)
@setting(_CLASSIFIER, "token_dropout", float, "Probability of hiding a token.", section="Network")
@common(
    _CLASSIFIER,
    "Training",
    "class_weight calibrate epochs max_seconds batch_size learning_rate schedule optimizer weight_decay "
    "clip_norm validation_fraction patience random_state n_threads checkpoint_every",
    batch_size="Texts that are learned from at once.",
)
@click.pass_context
def train(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    text: str | None,
    label: str | None,
    encoding: str,
    header: bool,
    baseline: bool,
    **_: Any,
) -> None:
    """Train a classifier on the rows of FILEs.

    Tables in CSV, TSV, JSON lines or Parquet, compressed or not; - is standard input. Rows without text or
    label are left out.

    Ctrl-C saves everything to MODEL.checkpoint and exits with 130; --resume continues.
    """
    from fastrnn.tasks import SentimentClassifier

    classifier = prepare(ctx, SentimentClassifier)
    tables = read_tables(files, encoding=encoding, header=header)
    text = choose(tables[0], "text", text, "--text", text_column(label))
    label = choose(tables[0], "label", label, "--label", label_column(text))
    notes = {"text": text, "label": label}
    X, y = _examples([present(table, text, label) for table in tables], text, label)
    if not baseline:
        fit_and_save(ctx, classifier, X, y, notes=notes)
        return
    from sklearn.model_selection import train_test_split

    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=_TESTED, stratify=y, random_state=0)
    fit_and_save(ctx, classifier, X_train, y_train, notes=notes)
    report(
        classifier.evaluate(X_test, y_test),
        {BASELINE: linear_baseline(X_train, y_train, X_test, y_test)},
        model=ctx.params["output"].name,
        as_json=False,
        plot=None,
    )


@sentiment.command()
@click.argument("model", type=MODEL)
@click.argument("file", required=False, type=TABLE)
@click.option("--text", "strings", multiple=True, metavar="TEXT", help="A text itself (may be repeated).")
@click.option("--column", type=COLUMN, help="Column with the texts.  [default: as in the training]")
@reading_options
@click.option("--probabilities", is_flag=True, help="Those of all classes.")
@table_output
def predict(
    model: Path,
    file: str | None,
    strings: tuple[str, ...],
    column: str | None,
    encoding: str,
    header: bool,
    probabilities: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Predict the class of every text in FILE.

    The table comes out with the columns "predicted" and "probability" added.
    """
    if bool(file) == bool(strings):
        raise click.UsageError("give the texts: either FILE or --text TEXT")
    check_table_output(output)
    classifier, notes = load_model(model, "sentiment")
    if file is None:
        X = list(strings)
        frame = require("pandas", "tasks").DataFrame({"text": X})
    else:
        table = read_table(file, encoding=encoding, header=header)
        column = choose(table, "text", column, "--column", text_column(), remembered=notes.get("text"))
        X, frame = texts(table, column), table.frame
    found = classifier.predict_proba(X)
    result = with_predictions(frame, classifier.classes_, found, all_classes=probabilities)
    write_table(result, output, as_json=as_json)


@sentiment.command()
@click.argument("model", type=MODEL)
@click.argument("file", type=TABLE)
@click.option("--text", type=COLUMN, help="Column with the texts.  [default: as in the training]")
@click.option("--label", type=COLUMN, help="Column with the classes.  [default: as in the training]")
@reading_options
@click.option("--baseline", type=TABLE, metavar="FILE", help="Train the baseline on these rows.")
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw the confusion matrix: .png, .svg or .pdf.")
@AS_JSON
def evaluate(
    model: Path,
    file: str,
    text: str | None,
    label: str | None,
    encoding: str,
    header: bool,
    baseline: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure how well MODEL predicts the labels in FILE.

    Beside it stands what always answering the most frequent class would reach, and with --baseline what
    TF-IDF with logistic regression reaches that was trained on the rows of another FILE.
    """
    if plot is not None:
        check_writable(plot)
    classifier, notes = load_model(model, "sentiment")
    table = read_table(file, encoding=encoding, header=header)
    text = choose(table, "text", text, "--text", text_column(label), remembered=notes.get("text"))
    label = choose(table, "label", label, "--label", label_column(text), remembered=notes.get("label"))
    X, y = _examples([present(table, text, label)], text, label)
    baselines = {}
    if baseline is not None:
        known = read_table(baseline, encoding=encoding, header=header)
        seen = _examples([present(known, text, label)], text, label)
        baselines[BASELINE] = linear_baseline(*seen, X, y)
    report(
        classifier.evaluate(X, as_known(y, classifier.classes_)),
        baselines,
        model=model.name,
        as_json=as_json,
        plot=plot,
    )


@sentiment.command()
@click.argument("model", type=MODEL)
@click.argument("text")
@click.option("--label", metavar="CLASS", help="Explain this class.  [default: the predicted one]")
@click.option("--html", type=_FILE, metavar="FILE", help="Write the text with its words highlighted.")
@click.option("--plot", type=_FILE, metavar="FILE", help="Draw it: .png, .svg or .pdf.")
@AS_JSON
def explain(
    model: Path, text: str, label: str | None, html: Path | None, plot: Path | None, as_json: bool
) -> None:
    """Show how much each word of TEXT contributes to the answer."""
    for path in (html, plot):
        if path is not None:
            check_writable(path)
    classifier = load_model(model, "sentiment")[0]
    explanation = classifier.explain(text, _class(label, classifier.classes_))
    if html is not None:
        html.write_text(explanation.html(), encoding="utf-8")
    if plot is not None:
        explanation.plot(plot)
    if not as_json:
        click.echo(str(explanation))
        return
    facts = {
        "text": explanation.text,
        "label": explanation.label,
        "probability": explanation.probability,
        "baseline": explanation.baseline,
        "log_odds": explanation.log_odds,
        "words": [entry._asdict() for entry in explanation.words],
    }
    click.echo(json.dumps(facts, ensure_ascii=False))


def linear_baseline(X_train: Any, y_train: Any, X_test: Any, y_test: Any) -> Any:
    """Evaluation of TF-IDF of words and pairs of words with logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from fastrnn.tasks._evaluation import evaluate_classes

    linear = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=1, sublinear_tf=True), LogisticRegression(max_iter=1000)
    ).fit(X_train, y_train)
    return evaluate_classes(np.asarray(y_test), linear.predict_proba(X_test), linear.classes_)


def _examples(tables: Any, text: str, label: str) -> tuple[list[str], NDArray[Any]]:
    X = [string for table in tables for string in texts(table, text)]
    return X, np.concatenate([labels(table, label) for table in tables])


def _class(word: str | None, classes: NDArray[Any]) -> Any:
    """The class that a word on the command line names."""
    if word is None:
        return None
    known = {str(label): label for label in classes.tolist()}
    if word not in known:
        raise ValueError(f"there is no class {word!r}; the model knows {', '.join(known)}")
    return known[word]
