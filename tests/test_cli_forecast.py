"""``fastrnn forecast``: tables of series in, tables of forecasts out, the backtest, errors, Ctrl-C."""

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
from fastrnn.tasks import Forecaster, TextGenerator

SETTINGS = {"horizon": 3, "hidden_size": 4, "epochs": 2, "random_state": 3}
SMALL = options(SETTINGS)


def sales(days: int = 84) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    dates = pd.date_range("2026-01-05", periods=days)
    sold = 50 + 20 * (np.arange(days) % 7 > 4) + rng.normal(0, 3, days)
    return pd.DataFrame({"date": dates, "sold": sold.round(1), "price": rng.normal(5, 1, days).round(2)})


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sales().to_csv("sales.csv", index=False)


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster(**SETTINGS).fit(sales().set_index("date")["sold"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    sales().to_csv(folder / "sales.csv", index=False)
    succeed("forecast", "train", folder / "sales.csv", "-o", folder / "m", "--value", "sold", "-q", *SMALL)
    return folder / "m"


def predicted(*arguments: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(succeed("forecast", "predict", *arguments).stdout))


def test_train_and_predict(forecaster: Forecaster, model: Path) -> None:
    assert read_metadata(model)["notes"] == {
        "values": ["sold"],
        "time": "date",
        "series": None,
        "covariates": [],
    }
    found = predicted(model, "--plot", "ahead.png")
    assert list(found) == ["date", "sold", "q0.1", "q0.5", "q0.9"]
    assert found["date"].tolist() == ["2026-03-30", "2026-03-31", "2026-04-01"]
    assert found["sold"].tolist() == forecaster.predict().tolist()
    bands = forecaster.predict(quantiles=(0.1, 0.5, 0.9))
    assert np.allclose(found[["q0.1", "q0.5", "q0.9"]], bands)
    assert Path("ahead.png").read_bytes().startswith(b"\x89PNG")
    found = predicted(model, "--horizon", 2, "--quantiles", "0.05,0.95")
    assert list(found) == ["date", "sold", "q0.05", "q0.95"]
    assert len(found) == 2
    rows = succeed("forecast", "predict", model, "--json").stdout.splitlines()
    assert json.loads(rows[0])["date"].startswith("2026-03-30")


def test_guesses_are_shown() -> None:
    sales().drop(columns="price").to_csv("one.csv", index=False)
    result = succeed("forecast", "train", "one.csv", "-o", "m", *SMALL)
    assert "time column: 'date' (guessed; --time chooses another)" in result.stderr
    assert "value column: 'sold' (guessed; --value chooses another)" in result.stderr
    assert "m: " in result.stderr


def test_update(model: Path) -> None:
    whole = sales(91)
    whole[84:].to_csv("new.csv", index=False)
    found = predicted(model, "--update", "new.csv")
    assert found["date"].tolist()[0] == "2026-04-06"
    expected = Forecaster.load(model).update(whole[84:].set_index("date")["sold"]).predict()
    assert np.allclose(found["sold"], expected)
    assert "must begin after the last known step" in failure(
        "forecast", "predict", model, "--update", "sales.csv"
    )


def test_covariates_and_variables() -> None:
    whole = sales(87).assign(visits=lambda f: f["sold"] * 2)
    whole[:84].to_csv("known.csv", index=False)
    whole[84:][["date", "price"]].to_csv("ahead.csv", index=False)
    columns = ("--value", "sold", "--value", "visits", "--covariates", "price")
    succeed("forecast", "train", "known.csv", "-o", "m", "-q", *columns, *SMALL)
    found = predicted("m", "--future", "ahead.csv", "--quantiles", "0.5")
    assert list(found) == ["date", "sold", "visits", "sold q0.5", "visits q0.5"]
    assert "m needs the covariates price of the steps ahead: give --future" in failure(
        "forecast", "predict", "m"
    )


def test_several_series_without_dates() -> None:
    frame = pd.concat([sales(60).assign(shop=name) for name in ("north", "south")])
    frame.drop(columns="date").to_csv("shops.csv", index=False)
    arguments = ("--value", "sold", "--series", "shop")
    result = succeed("forecast", "train", "shops.csv", "-o", "m", "-q", *arguments, *SMALL)
    assert "time column: none, rows are taken for evenly spaced" in result.stderr
    found = predicted("m")
    assert found["shop"].tolist() == ["north"] * 3 + ["south"] * 3
    assert found["step"].tolist() == [60, 61, 62] * 2


def test_backtest() -> None:
    arguments = ("forecast", "backtest", "sales.csv", "--value", "sold", "--folds", 2, *SMALL)
    facts = json.loads(succeed(*arguments, "--json").stdout)
    expected = Forecaster(**SETTINGS).backtest(sales().set_index("date")["sold"], folds=2)
    assert facts == expected.to_dict()
    assert set(facts["models"]) == {"fastrnn", "naive", "seasonal naive", "ridge"}
    result = succeed(*arguments, "--plot", "b.svg")
    assert result.stdout == f"{expected}\n"
    assert "<svg" in Path("b.svg").read_text()


# Errors


def test_errors() -> None:
    Path("empty.csv").touch()
    Path("short.csv").write_text("date,v\n2026-01-01,1\n2026-01-02,2\n")
    Path("word.csv").write_text("date,v\n2026-01-01,1\n2026-01-02,much\n")
    Path("twice.csv").write_text("date,v\n2026-01-01,1\n2026-01-02,2\n2026-01-01,3\n")
    Path("gaps.csv").write_text("date,v\n2026-01-01,1\n2026-01-02,2\n2026-03-09,3\n2026-09-01,3\n")
    Path("none.csv").write_text("date,v\n2026-01-01,NA\n2026-01-02,\n")

    def message(*arguments: str) -> str:
        return failure("forecast", "train", *SMALL, "-o", "m", *arguments)

    assert "empty.csv is empty" in message("empty.csv")
    assert "step" in message("short.csv")
    assert "row 3: 'v' must hold numbers, got 'much'" in message("word.csv", "--value", "v")
    assert "twice.csv, row 4: 'date' is 2026-01-01" in message("twice.csv")
    assert "more than half" in message("gaps.csv") or "not regular" in message("gaps.csv")
    assert "no value at all" in message("none.csv", "--value", "v")
    assert "which column is the value? Say it with --value" in message("sales.csv")
    assert "no column 'solt' (--value): did you mean 'sold'?" in message("sales.csv", "--value", "solt")
    assert "horizon must be at least 1" in message("sales.csv", "--value", "sold", "--horizon", "0")
    assert not Path("m").exists()
    assert run("forecast", "train", "sales.csv", "-o", "m", "--quantiles", "a,b").exit_code == 2
    assert run("forecast", "predict").exit_code == 2


def test_a_constant_series() -> None:
    sales().assign(sold=5.0).to_csv("flat.csv", index=False)
    succeed("forecast", "train", "flat.csv", "-o", "m", "-q", "--value", "sold", *SMALL)
    assert np.allclose(predicted("m")["sold"], 5.0)


def test_models_of_other_tasks(model: Path) -> None:
    TextGenerator(hidden_size=2, seq_len=8, epochs=1).fit("abcdefgh " * 20).save("text.model")
    assert "it is for fastrnn text" in failure("forecast", "predict", "text.model")
    assert "it is for fastrnn forecast" in failure("text", "generate", model)


# Interruption


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_interrupt_and_resume() -> None:
    sales(3000).to_csv("many.csv", index=False)
    columns = ["--value", "sold", "--time", "date"]
    settings = ["--hidden-size", "4", "--epochs", "3", "--random-state", "1"]
    succeed("forecast", "train", "many.csv", *columns, "-o", "whole", *settings)
    command = subprocess.Popen(
        process("forecast", "train", "many.csv", *columns, "-o", "m", *settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stderr is not None
    assert "epoch 1" in command.stderr.readline()  # the first step is done
    command.send_signal(signal.SIGINT)
    _, message = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "fastrnn forecast train many.csv --value sold --time date -o m --resume" in message
    assert len(succeed("forecast", "predict", "m").stdout.splitlines()) == 2
    succeed("forecast", "train", "many.csv", *columns, "-o", "m", "--resume", "-q")
    whole, resumed = load_arrays("whole")[0], load_arrays("m")[0]
    assert all((whole[name] == resumed[name]).all() for name in whole)
