"""``fastrnn sentiment``: what it prints and writes, which columns it takes, its errors, and Ctrl-C."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import failure, options, process, run, succeed

from fastrnn.cli.sentiment import BASELINE, linear_baseline
from fastrnn.serialization import load_arrays, read_metadata
from fastrnn.tasks import SentimentClassifier, TextGenerator

SETTINGS = {"hidden_size": 4, "embedding_size": 4, "epochs": 2, "random_state": 3}
SMALL = options(SETTINGS)


def reviews(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = random.Random(seed)
    good, bad = ("good", "lovely", "great", "happy"), ("bad", "awful", "late", "broken")
    made = []
    for i in range(rows):
        words = good if i % 2 else bad
        sentence = f"the {rng.choice(['train', 'film', 'meal'])} was {rng.choice(words)}, {rng.choice(words)}"
        made.append((sentence, "positive" if i % 2 else "negative"))
    return pd.DataFrame(made, columns=["text", "label"])


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(80).to_csv("reviews.csv", index=False)


@pytest.fixture(scope="module")
def classifier() -> SentimentClassifier:
    frame = reviews(80)
    return SentimentClassifier(**SETTINGS).fit(frame["text"].tolist(), frame["label"].tolist())


@pytest.fixture(scope="module")
def model(classifier: SentimentClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "reviews.model"
    classifier.save(path, {"text": "text", "label": "label"})
    return path


def test_train(classifier: SentimentClassifier) -> None:
    result = succeed("sentiment", "train", "reviews.csv", "-o", "m", *SMALL)
    assert result.stdout == ""
    assert "text column: 'text' (guessed; --text chooses another)" in result.stderr
    assert "label column: 'label' (guessed; --label chooses another)" in result.stderr
    assert "on the held-out part" not in result.stderr  # 8 rows are too few for one
    assert sorted(os.listdir()) == ["m", "reviews.csv"]
    loaded = SentimentClassifier.load("m")
    for name, value in classifier.model_.state_dict().items():
        assert (loaded.model_.state_dict()[name] == value).all()
    assert read_metadata("m")["notes"] == {"text": "text", "label": "label"}


def test_train_from_several_places() -> None:
    reviews(80).to_csv("half.tsv", index=False, sep="\t")
    result = succeed(
        "sentiment", "train", "half.tsv", "-", "-o", "m", "-q", *SMALL, input=Path("reviews.csv").read_text()
    )
    assert result.stderr.count("guessed") == 2
    assert SentimentClassifier.load("m").classes_.tolist() == ["negative", "positive"]


def test_train_with_a_baseline() -> None:
    result = succeed("sentiment", "train", "reviews.csv", "-o", "m", "-q", "--baseline", *SMALL)
    assert "16 rows" in result.stdout
    for name in ("m ", BASELINE, "most frequent class, always"):
        assert name in result.stdout
    assert "0.500" in result.stdout


def test_predict(classifier: SentimentClassifier, model: Path) -> None:
    X = ["what a lovely film", "", "late, as ever"]
    pd.DataFrame({"id": [7, 8, 9], "text": X}).to_csv("new.csv", index=False)
    output = succeed("sentiment", "predict", model, "new.csv").stdout
    frame = pd.read_csv(pd.io.common.StringIO(output), keep_default_na=False)
    assert list(frame) == ["id", "text", "predicted", "probability"]
    assert frame["predicted"].tolist() == classifier.predict(X).tolist()
    assert np.allclose(frame["probability"], classifier.predict_proba(X).max(axis=1), atol=1e-6)

    succeed("sentiment", "predict", model, "new.csv", "--probabilities", "-o", "out.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["probability of positive"] for row in rows] == pytest.approx(
        classifier.predict_proba(X)[:, 1], abs=1e-6
    )
    result = succeed("sentiment", "predict", model, "--text", X[0], "--text", X[2], "--json")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == [X[0], X[2]]


def test_predict_chooses_the_column(model: Path) -> None:
    Path("new.csv").write_text("said,other\nlovely,x\n")
    result = succeed("sentiment", "predict", model, "new.csv", "--column", "other")
    assert result.stderr == ""
    assert "(guessed; --column chooses another)" in succeed("sentiment", "predict", model, "new.csv").stderr


def test_evaluate(classifier: SentimentClassifier, model: Path) -> None:
    test = reviews(40, seed=1)
    test.to_csv("test.csv", index=False)
    expected = classifier.evaluate(test["text"].tolist(), test["label"].tolist())
    arguments = ("sentiment", "evaluate", model, "test.csv", "--baseline", "reviews.csv")
    result = succeed(*arguments, "--plot", "confusion.png")
    assert f"{expected.accuracy:.3f}" in result.stdout
    assert "confusion (rows: true, columns: predicted)" in result.stdout
    assert Path("confusion.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads(succeed(*arguments, "--json").stdout)
    baselines = facts.pop("baselines")
    assert facts == expected.to_dict()
    frame = reviews(80)
    linear = linear_baseline(frame["text"], frame["label"], test["text"], test["label"])
    assert baselines == {BASELINE: {"accuracy": linear.accuracy, "macro_f1": linear.macro_f1}}


def test_evaluate_classes_that_are_numbers() -> None:
    frame = reviews(40).assign(label=lambda f: (f["label"] == "positive").astype(int))
    frame.to_csv("stars.csv", index=False)
    succeed("sentiment", "train", "stars.csv", "-o", "m", "-q", *SMALL)
    # An empty cell, and pandas reads floating-point numbers.
    frame.assign(label=frame["label"].where(frame.index > 3)).to_csv("test.csv", index=False)
    result = succeed("sentiment", "evaluate", "m", "test.csv", "--json")
    assert json.loads(result.stdout)["classes"] == ["0", "1"]
    assert "4 rows are left out for want of 'text' or 'label', first row 2" in result.stderr


def test_explain(classifier: SentimentClassifier, model: Path) -> None:
    text = "a lovely film, <never> late"
    explanation = classifier.explain(text, "negative")
    arguments = ("sentiment", "explain", model, text, "--label", "negative")
    result = succeed(*arguments, "--html", "words.html", "--plot", "words.svg")
    assert result.stdout == f"{explanation}\n"
    assert Path("words.html").read_text() == explanation.html()
    assert "&lt;" in Path("words.html").read_text()
    assert "<svg" in Path("words.svg").read_text()
    facts = json.loads(succeed(*arguments, "--json").stdout)
    assert facts["label"] == "negative"
    assert facts["words"][1]["word"] == "lovely"
    assert facts["words"][1]["contribution"] == pytest.approx(explanation.words[1].contribution)


# Errors


def test_errors_of_training() -> None:
    Path("empty.csv").touch()
    Path("one.csv").write_text("text\nx\ny\n")
    Path("class.csv").write_text("text,label\nx,a\ny,a\n")
    Path("row.csv").write_text("text,label\nx,a\n")
    Path("latin.csv").write_bytes(b"text,label\ncaf\xe9,a\n")
    Path("ragged.csv").write_text("text,label\nx,a\ny,b,c\n")
    Path("nested.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": ["y"], "label": "b"}\n')
    Path("none.csv").write_text("text,label\n,a\nx,\n")

    def message(*arguments: str) -> str:
        return failure("sentiment", "train", *SMALL, "-o", "m", *arguments)

    assert "empty.csv is empty" in message("empty.csv")
    assert "which column is the label? Say it with --label. It has: text" in message("one.csv")
    assert "at least two classes" in message("class.csv")
    assert "at least two classes" in message("row.csv")
    assert "line 2 holds the byte 0xe9. Name its encoding, as in --encoding latin-1" in message("latin.csv")
    assert "ragged.csv, row 3: 3 fields where the first row has 2" in message("ragged.csv")
    assert "nested.jsonl, row 2: 'text' must hold text, got a list" in message("nested.jsonl")
    assert "no row has 'text' and 'label'" in message("none.csv")
    assert "no column 'txt' (--text): did you mean 'text'?" in message("reviews.csv", "--text", "txt")
    assert "hidden_size must be at least 1" in message("reviews.csv", "--hidden-size", "0")
    assert "nothing to resume: there is no m.checkpoint" in message("reviews.csv", "--resume")
    assert not [path for path in Path().iterdir() if path.suffix not in (".csv", ".jsonl")]
    assert "there is no directory nowhere" in failure("sentiment", "train", "reviews.csv", "-o", "nowhere/m")


def test_a_huge_text_among_others() -> None:
    frame = reviews(40)
    frame.loc[3, "text"] = "bad " * 500_000  # 2 MB: beyond the limits of csv, and of max_tokens
    frame.to_csv("huge.csv", index=False)
    succeed("sentiment", "train", "huge.csv", "-o", "m", "-q", *SMALL)
    assert len(succeed("sentiment", "predict", "m", "huge.csv", "--json").stdout.splitlines()) == 40


def test_errors_of_the_other_commands(model: Path) -> None:
    for arguments in (
        ["predict", model],
        ["predict", model, "reviews.csv", "--text", "x"],
        ["predict", "absent", "reviews.csv"],
        ["evaluate", model],
        ["explain", model],
        ["train", "-o", "m"],
        ["train", "reviews.csv"],
    ):
        assert run("sentiment", *arguments).exit_code == 2, arguments
    assert "must end with one of" in failure("sentiment", "predict", model, "reviews.csv", "-o", "x.xls")
    assert "no directory nowhere" in failure(
        "sentiment", "evaluate", model, "reviews.csv", "--plot", "nowhere/x.png"
    )
    assert "there is no class 'neutral'; the model knows negative, positive" in failure(
        "sentiment", "explain", model, "x", "--label", "neutral"
    )
    assert "not a safetensors file" in failure("sentiment", "predict", "reviews.csv", "reviews.csv")


def test_models_of_other_tasks(model: Path) -> None:
    TextGenerator(hidden_size=2, seq_len=8, epochs=1).fit("abcdefgh " * 20).save("text.model")
    assert failure("sentiment", "predict", "text.model", "reviews.csv") == (
        "Error: text.model holds a TextGenerator, which fastrnn sentiment cannot use: it is for fastrnn text"
    )
    assert "it is for fastrnn sentiment" in failure("text", "generate", model)


# Interruption


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupt_and_resume() -> None:
    reviews(2000).rename(columns={"text": "my tweet"}).to_csv("many.csv", index=False)
    settings = ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "3", "--random-state", "1"]
    columns = ["--text", "my tweet", "--label", "label"]
    succeed("sentiment", "train", "many.csv", *columns, "-o", "whole", *settings)
    command = subprocess.Popen(
        process("sentiment", "train", "many.csv", *columns, "-o", "m", *settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    assert "epoch 1" in command.stderr.readline()  # the first step is done
    command.send_signal(signal.SIGINT)
    _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "fastrnn sentiment train many.csv --text 'my tweet' --label label -o m --resume" in message
    assert len(succeed("sentiment", "predict", "m", "--text", "good").stdout.splitlines()) == 2
    assert "continue it with --resume" in failure("sentiment", "train", "many.csv", "-o", "m")
    assert "is not the checkpoint of a TextGenerator" in failure(
        "text", "train", "many.csv", "-o", "m", "--resume"
    )
    succeed("sentiment", "train", "many.csv", *columns, "-o", "m", "--resume", "-q")
    assert sorted(os.listdir()) == ["m", "many.csv", "reviews.csv", "whole"]
    whole, resumed = load_arrays("whole")[0], load_arrays("m")[0]
    assert all((whole[name] == resumed[name]).all() for name in whole)
