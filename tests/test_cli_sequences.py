"""``fastrnn sequences``: strings, rows of numbers, rows that are steps; classes and numbers; errors."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli_cases import failure, options, process, run, succeed

from fastrnn.serialization import load_arrays, read_metadata
from fastrnn.tasks import SequenceClassifier, SequenceRegressor, TextGenerator

SETTINGS = {"hidden_size": 4, "epochs": 2, "random_state": 3}
SMALL = options(SETTINGS)


def genes(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    letters = {"a": "AACG", "b": "GGTC"}
    kinds = [("a", "b")[i % 2] for i in range(rows)]
    strings = ["".join(rng.choice(list(letters[kind]), 6 + i % 3)) for i, kind in enumerate(kinds)]
    return pd.DataFrame({"dna": strings, "kind": kinds})


def waves(rows: int = 60) -> pd.DataFrame:
    steps = np.arange(8)
    table = pd.DataFrame(
        [np.sin((0.5 + i % 2) * steps + i).round(3) for i in range(rows)], columns=[f"t{k}" for k in steps]
    )
    table.insert(0, "label", [i % 2 for i in range(rows)])
    return table


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    genes().to_csv("genes.csv", index=False)
    waves().to_csv("waves.csv", index=False)


def predicted(*arguments: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(succeed("sequences", "predict", *arguments).stdout))


def test_strings() -> None:
    result = succeed("sequences", "train", "genes.csv", "-o", "m", "--label", "kind", *SMALL)
    assert "sequence column: 'dna' (guessed; --sequence chooses another)" in result.stderr
    assert read_metadata("m")["notes"]["layout"]["sequence"] == "dna"
    frame = genes()
    expected = SequenceClassifier(**SETTINGS).fit(frame["dna"].tolist(), frame["kind"])
    found = predicted("m", "genes.csv")
    assert list(found) == ["dna", "kind", "predicted", "probability"]
    assert found["predicted"].tolist() == expected.predict(frame["dna"].tolist()).tolist()
    evaluation = expected.evaluate(frame["dna"].tolist(), frame["kind"])
    facts = json.loads(succeed("sequences", "evaluate", "m", "genes.csv", "--json").stdout)
    assert facts == evaluation.to_dict()
    output = succeed("sequences", "evaluate", "m", "genes.csv", "--plot", "m.png").stdout
    assert "most frequent class, always" in output
    assert Path("m.png").exists()


def test_rows_of_numbers() -> None:
    result = succeed("sequences", "train", "waves.csv", "-o", "m", "-q", *SMALL)
    assert "label column: 'label' (guessed; --label chooses another)" in result.stderr
    assert "label 'label': 2 classes (guessed; --task regress says otherwise)" in result.stderr
    assert "numbers of each sequence: 8 columns, 't0', 't1', …, 't7'" in result.stderr
    frame = waves()
    X = [row.reshape(-1, 1) for row in frame.drop(columns="label").to_numpy(np.float32)]
    expected = SequenceClassifier(**SETTINGS).fit(X, frame["label"])
    found = predicted("m", "waves.csv", "--probabilities")
    assert found["predicted"].tolist() == expected.predict(X).tolist()
    assert np.allclose(found["probability of 1"], expected.predict_proba(X)[:, 1], atol=1e-6)
    # Without the label, and with steps of two numbers.
    frame.drop(columns="label").to_csv("new.csv", index=False)
    assert predicted("m", "new.csv")["row"].tolist() == [*range(2, 62)]
    succeed("sequences", "train", "waves.csv", "-o", "m", "-q", "--width", 2, *SMALL)
    assert read_metadata("m")["notes"]["layout"]["width"] == 2


def test_rows_that_are_steps() -> None:
    long = waves(24).melt("label", ignore_index=False).rename_axis("id").reset_index()
    long["time"] = long["variable"].str[1:].astype(int)
    long = long.drop(columns="variable").sample(frac=1, random_state=0)
    long.to_csv("long.csv", index=False)
    waves(24).to_csv("wide.csv", index=False)
    arguments = ("--columns", "value", *SMALL)
    succeed("sequences", "train", "long.csv", "-o", "l", "-q", "--id", "id", "--time", "time", *arguments)
    succeed("sequences", "train", "wide.csv", "-o", "w", "-q", *SMALL)
    found, wide = predicted("l", "long.csv"), predicted("w", "wide.csv")
    assert list(found) == ["id", "predicted", "probability"]
    assert sorted(found["id"]) == [*range(24)]
    assert len(wide) == 24
    output = succeed("sequences", "evaluate", "l", "long.csv", "--json").stdout
    assert json.loads(output)["rows"] == 24


def test_numbers() -> None:
    frame = waves().assign(label=lambda f: f["t1"] - f["t0"])
    frame.to_csv("slopes.csv", index=False)
    result = succeed("sequences", "train", "slopes.csv", "-o", "m", "-q", *SMALL)
    assert "label 'label': numbers (guessed; --task classify says otherwise)" in result.stderr
    X = [row.reshape(-1, 1) for row in frame.drop(columns="label").to_numpy(np.float32)]
    expected = SequenceRegressor(**SETTINGS).fit(X, frame["label"])
    assert np.allclose(predicted("m", "slopes.csv")["predicted"], expected.predict(X), atol=1e-6)
    evaluation = expected.evaluate(X, frame["label"])
    assert json.loads(succeed("sequences", "evaluate", "m", "slopes.csv", "--json").stdout) == (
        evaluation.to_dict()
    )
    assert succeed("sequences", "evaluate", "m", "slopes.csv").stdout.startswith(str(evaluation))
    succeed("sequences", "train", "waves.csv", "-o", "m", "-q", "--task", "regress", *SMALL)
    assert SequenceRegressor.load("m").predict(X).shape == (60,)


def test_lists_in_json() -> None:
    rows = [{"steps": [[i, -i], [1, 0]][: 1 + i % 2], "label": "xy"[i % 2]} for i in range(20)]
    Path("t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    succeed("sequences", "train", "t.jsonl", "-o", "m", "-q", *SMALL)
    output = succeed("sequences", "predict", "m", "t.jsonl", "--json").stdout
    assert {json.loads(line)["predicted"] for line in output.splitlines()} <= {"x", "y"}


# Errors


def test_errors() -> None:
    Path("gap.csv").write_text("label,a,b,c\nx,1,,3\ny,1,2,3\n")
    Path("one.csv").write_text("label,a,b\nx,1,2\nx,3,4\n")
    Path("nan.csv").write_text("label,a,b\n1.5,1,inf\n2.5,3,4\n")
    Path("word.csv").write_text("label,a,b\nx,1,2\ny,3,oops\n")
    Path("twice.csv").write_text("id,time,v,label\n1,1,2,x\n1,1,3,x\n2,1,1,y\n")

    def message(*arguments: str) -> str:
        return failure("sequences", "train", *SMALL, "-o", "m", *arguments)

    assert "gap.csv, row 2: 'b' is missing in the midst of the sequence" in message("gap.csv")
    assert "at least two classes" in message("one.csv")
    assert "nan.csv, row 2: 'b' is infinite" in message("nan.csv")
    assert "row 3: 'b' must hold numbers, got 'oops'" in message(
        "word.csv", "--columns", "a", "--columns", "b"
    )
    assert "twice.csv, row 3: its sequence has the 'time' 1 twice" in message(
        "twice.csv", "--id", "id", "--time", "time"
    )
    assert "no column 'dan' (--sequence): did you mean 'dna'?" in message("genes.csv", "--sequence", "dan")
    assert "'kind' must hold numbers, got 'a'" in message("genes.csv", "--label", "kind", "--task", "regress")
    assert not Path("m").exists()
    for arguments in (
        ["train", "genes.csv"],
        ["predict", "absent"],
        ["train", "genes.csv", "-o", "m", "--task", "x"],
    ):
        assert run("sequences", *arguments).exit_code == 2


def test_models_of_other_data() -> None:
    succeed("sequences", "train", "waves.csv", "-o", "m", "-q", *SMALL)
    assert "genes.csv has no column 't0' (as in the training)" in failure(
        "sequences", "predict", "m", "genes.csv"
    )
    TextGenerator(hidden_size=2, seq_len=8, epochs=1).fit("abcdefgh " * 20).save("text.model")
    assert "it is for fastrnn text" in failure("sequences", "predict", "text.model", "waves.csv")


# Interruption


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupt_and_resume() -> None:
    waves(2000).to_csv("many.csv", index=False)
    settings = ["--hidden-size", "4", "--epochs", "3", "--random-state", "1"]
    succeed("sequences", "train", "many.csv", "--width", 2, "-o", "whole", *settings)
    command = subprocess.Popen(
        process("sequences", "train", "many.csv", "--width", 2, "-o", "m", *settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    while "epoch 1" not in command.stderr.readline():  # until the first step is done
        assert command.poll() is None
    command.send_signal(signal.SIGINT)
    _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "fastrnn sequences train many.csv --width 2 -o m --resume" in message
    succeed("sequences", "train", "many.csv", "--width", 2, "-o", "m", "--resume", "-q")
    whole, resumed = load_arrays("whole")[0], load_arrays("m")[0]
    assert all((whole[name] == resumed[name]).all() for name in whole)
