"""What bad company, odd numbers and first calls cost: ``python -m bench.company --help``.

A. Two processes on the same cores, with as many threads each as there are cores, against one of them alone.
B. Data full of denormals against ordinary data.
C. The first call with a new T or N against the second; that of a new layer against packing and the second.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bench import command
from bench.agreement import tolerance
from bench.contenders import OURS, load
from bench.contenders.fastrnn_layer import make_layer, pair
from bench.peak import Peak
from bench.problem import Problem, make_problem
from bench.processes import Server
from bench.rows import Row, check, enter, new_row, time_row
from bench.shapes import Shape
from bench.timing import Effort, paired_ratio, time_once
from bench.worker import Job

DENORMAL = 1e-41
"""So small a factor that of ordinary numbers it leaves what only denormals can hold."""
PARTS = ("processes", "denormals", "first calls")
TURN_SECONDS = 0.2
"""Of one process alone: as long as many slices that a scheduler gives."""


# A. Processes


def repeated_run(contender: str, problem_arguments: Any, threads: int) -> Callable[[int], None]:
    """Built in a process of its own: repeat the run of a contender as often as asked."""
    prepared = load(contender).prepare(make_problem(*problem_arguments), threads)
    prepared.run()

    def repeat(calls: int) -> None:
        for _ in range(calls):
            prepared.run()

    return repeat


def together(servers: Sequence[Server], calls: int) -> float:
    """Seconds until all of them have done their calls."""
    start = time.perf_counter()
    for server in servers:
        server.begin(calls)
    for server in servers:
        server.wait()
    return time.perf_counter() - start


def processes_row(job: Job, cell: str, name: str, shape: Shape, mode: str) -> Row:
    """Every contender alone and with its twin, in turn."""
    row = new_row(job, cell, f"two processes over one, {mode}", name, shape)
    row["rounds_ms"] = {}
    rounds = job.effort.min_rounds
    for contender in job.parameters["contenders"]:
        arguments = (cell, shape, job.dtype, mode == "train")
        try:
            servers = [Server(repeated_run, contender, arguments, job.threads) for _ in range(2)]
        except RuntimeError as reason:
            row["absent"][contender] = str(reason)
            continue
        try:
            calls = max(1, round(job.parameters["turn_seconds"] / together(servers[:1], 1)))
            alone, both = zip(
                *(
                    (together(servers[k % 2 : k % 2 + 1], calls), together(servers, calls))
                    for k in range(rounds)
                ),
                strict=True,
            )
        finally:
            for server in servers:
                server.close()
        row["rounds_ms"][contender] = {
            way: [s / calls * 1e3 for s in seconds] for way, seconds in (("one", alone), ("two", both))
        }
        row["figures"][contender] = paired_ratio(both, alone)
    return row


# B. Denormals


def scaled(problem: Problem, factor: float) -> Problem:
    """Every other input, state and gradient times a factor, in new arrays."""

    def scale(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[..., ::2] *= factor
        return array

    arrays = {name: scale(getattr(problem, name)) for name in ("x", "dy")}
    states = {name: tuple(map(scale, getattr(problem, name))) for name in ("state", "dstate")}
    return replace(problem, **arrays, **states)


def denormals_row(job: Job, cell: str, name: str, shape: Shape, mode: str, peak: Peak) -> Row:
    row = new_row(job, cell, f"denormals against ordinary data, {mode}", name, shape)
    problem = make_problem(cell, shape, job.dtype, mode == "train")
    ordinary, spoiled = scaled(problem, 1.0), scaled(problem, DENORMAL)
    runs: dict[str, Callable[[], Any]] = {}
    twins: dict[str, Callable[[], Any]] = {}
    truth: dict[str, np.ndarray] = {}
    for contender in job.parameters["contenders"]:
        entered = enter(row, contender, lambda c=contender: load(c).prepare(spoiled, job.threads))
        if entered is None:
            continue
        runs[contender], results = entered
        twins[f"{contender} ordinary"] = load(contender).prepare(ordinary, job.threads).run
        truth = truth or results
        if contender != OURS:
            check(row, contender, results, truth, partial(tolerance, spoiled))
    # Not side by side: the second of two like calls finds its code and weights in cache.
    samples = time_row(row, runs | twins, peak, job.effort)
    # Who is faster is another question.
    row["ratios"], row["best_peer"] = {}, None
    row["figures"] = {
        f"{name}, ratio": paired_ratio(taken, samples[f"{name} ordinary"])
        for name, taken in samples.items()
        if f"{name} ordinary" in samples
    }
    return row


# C. First calls


def first_and_second(runs: Iterator[Callable[[], Any]], count: int) -> tuple[list[float], list[float]]:
    """Seconds of the first and of the second call of each."""
    pairs = [(time_once(run)[0], time_once(run)[0]) for run in itertools.islice(runs, count)]
    first, second = zip(*pairs, strict=True)
    return list(first), list(second)


def first_calls_row(job: Job, cell: str, name: str, shape: Shape) -> Row:
    """Inference. Each pair of calls has a new size, a little below that of the shape, or a new layer."""
    row = new_row(job, cell, "first calls", name, shape)
    problem = make_problem(cell, shape, job.dtype, False)
    layer, state = make_layer(problem), pair(problem.state)
    layer(problem.x, state)
    count = min(2 * job.effort.max_rounds, shape.T - 1)
    shorter = (partial(layer, problem.x[: shape.T - 1 - k], state) for k in itertools.count())
    fewer = (partial(layer, problem.x[:, : shape.N - 1 - k].copy()) for k in itertools.count())
    another = (partial(make_layer(problem), problem.x, state) for _ in itertools.count())
    for what, runs, pairs in (
        ("new T", shorter, count),
        ("new N", fewer, min(count, shape.N - 1)),
        ("new layer", another, count),
    ):
        first, second = first_and_second(runs, pairs)
        row["figures"][f"{what}, first / second"] = paired_ratio(first, second)
        if what == "new layer":
            packing = pack_seconds(problem, pairs)
            beyond = [f - s - p for f, s, p in zip(first, second, packing, strict=True)]
            row["figures"]["packing us"] = statistics.median(packing) * 1e6
            row["figures"]["beyond packing us"] = statistics.median(beyond) * 1e6
    return row


def pack_seconds(problem: Problem, count: int) -> list[float]:
    from fastrnn import backend
    from fastrnn._types import CellWeights

    weights = CellWeights(*problem.weights.values())
    engine = backend.active()
    return [time_once(lambda: engine.pack_weights(problem.cell, weights))[0] for _ in range(count)]


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    for part, cell, (name, shape) in itertools.product(p["parts"], p["cells"], p["shapes"]):
        if part == "first calls":
            yield first_calls_row(job, cell, name, Shape(*shape))
            continue
        for mode in ("train", "infer"):
            if part == "processes":
                yield processes_row(job, cell, name, Shape(*shape), mode)
            else:
                yield denormals_row(job, cell, name, Shape(*shape), mode, peak)
            gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser("company", "Measure what other processes, denormals and first calls cost.")
    full, quick = ["batch-64", "batch-128"], ["20,8,16,24"]
    command.add_shapes(p, ", ".join(full))
    p.add_argument(
        "--parts",
        type=command.words(command.one_of("parts", PARTS)),
        default=list(PARTS),
        help=f"of {', '.join(PARTS)}; default: all",
    )
    command.add_peers(p)
    options = p.parse_args(arguments)
    parameters = {
        "cells": options.cells,
        "shapes": command.chosen_shapes(options, full, quick),
        "contenders": [OURS, *command.installed_peers(options)],
        "turn_seconds": 0.01 if options.quick else TURN_SECONDS,
    }
    several, one = (
        [p for p in options.parts if p == "processes"],
        [p for p in options.parts if p != "processes"],
    )
    jobs = []
    if several:
        cores = min(2, len(options.cores or command.allowed_cores()))
        jobs += command.make_jobs(
            options, "bench.company", {**parameters, "parts": several}, threads=(cores,), effort=Effort()
        )
    if one:
        jobs += command.make_jobs(options, "bench.company", {**parameters, "parts": one}, threads=(1,))
    return command.run(jobs, options)


if __name__ == "__main__":
    sys.exit(main())
