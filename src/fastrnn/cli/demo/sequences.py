"""The demonstration of sequences: handwritten digits read row by row, beside logistic regression."""

from __future__ import annotations

from pathlib import Path

import click

from fastrnn.cli.demo.report import Finding, Section, columns, heading, paragraph, picture, table
from fastrnn.data import sets

__all__ = ["run"]

_TESTED = 0.2
_BASELINE = "logistic regression on all pixels"


def run(seconds: float, out: Path, seed: int) -> Section:
    """Train for so long, save model and pictures in `out`, print the figures."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from fastrnn.tasks import SequenceClassifier
    from fastrnn.tasks._evaluation import evaluate_classes

    images, y = sets.digits_rows()
    X_train, X_test, y_train, y_test = train_test_split(
        images, y, test_size=_TESTED, stratify=y, random_state=0
    )
    facts = f"{len(X_train):,} handwritten digits to learn from, {len(X_test):,} others to be judged on"
    click.echo(facts)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    pixels, test_pixels = (part.reshape(len(part), -1).astype(float) for part in (X_train, X_test))
    linear.fit(pixels, y_train)
    flat = evaluate_classes(y_test, linear.predict_proba(test_pixels), linear.classes_)
    classifier = SequenceClassifier(max_seconds=seconds, random_state=seed, progress=True)
    classifier.fit(X_train, y_train)
    evaluation = classifier.evaluate(X_test, y_test)
    classifier.save(out / "digits.model")
    matrix = evaluation.plot(out / "digits.png")
    loss = classifier.plot_history(out / "digits-loss.png")

    own = "recurrent network, row by row"
    rows = [(own, [evaluation.accuracy]), (_BASELINE, [flat.accuracy])]
    click.echo("accuracy on the test digits (higher is better)")
    for title, (accuracy,) in rows:
        click.echo(f"  {title:34} {accuracy:.3f}")
    return Section(
        "sequences",
        "Sequences",
        [
            paragraph(
                f"{facts}: 8 rows of 8 pixels. The network reads an image from top to bottom, a row a step; "
                f"it learned for {seconds:.0f} seconds."
            ),
            table(["", "accuracy"], rows, own=own, best={"accuracy": max}),
            columns(
                heading("What is taken for what")
                + picture(matrix, "Confusion matrix of the test digits", size=(4.6, 4.0)),
                heading("The training") + picture(loss, "Loss over the training steps", size=(4.6, 4.0)),
            ),
        ],
        [Finding("accuracy, higher is better", evaluation.accuracy, flat.accuracy, _BASELINE, True)],
    )
