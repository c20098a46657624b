"""One step at a time with N = 1, Python call included: ``python -m bench.stream --help``.

The bound of such a step is reading the weights once. What that takes is measured in the same rounds: `sasum`
of the BLAS in SciPy, which does nothing but read, over as many bytes, less the same call over one number.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from scipy.linalg.blas import sasum

from bench import command
from bench.agreement import tolerance
from bench.contenders import OURS, Prepared
from bench.contenders.steps import STEPS, Step
from bench.peak import Peak
from bench.problem import Problem, make_problem
from bench.rows import Row, check, enter, new_row, time_row
from bench.shapes import Shape
from bench.worker import Job

HIDDEN = [32, 64, 128, 256, 512]
CELLS = ("rnn_tanh", "lstm", "gru")
CHECKED_STEPS = 5
READ, CALL = "reading", "empty call"
LEAST_BYTES = 1 << 18
"""Of weights below this, reading takes less than the calls around it."""


def prepared(make: Callable[[Problem, int], Step], problem: Problem, threads: int) -> Prepared:
    """Step by step over the last x; what is compared are all steps of x, by a stream of its own."""
    step, last = make(problem, threads), problem.x[-1]

    def outputs(_: object) -> dict[str, np.ndarray]:
        fresh = make(problem, threads)
        return {"y": np.stack([fresh(x).copy() for x in problem.x])}

    return Prepared(lambda: step(last), outputs)


def over_reading(ours: list[float], read: list[float], call: list[float]) -> float:
    """Median over the rounds of our time over that of the reading alone."""
    return statistics.median(a / (b - c) for a, b, c in zip(ours, read, call, strict=True))


def measure_row(job: Job, cell: str, hidden: int, peak: Peak) -> Row:
    problem = make_problem(cell, Shape(CHECKED_STEPS, 1, hidden, hidden), job.dtype, False)
    row = new_row(job, cell, "step", f"H={hidden}", (1, 1, hidden, hidden))
    runs = {}
    truth: dict[str, np.ndarray] = {}
    for contender, make in STEPS.items():
        if contender.split()[0] not in (OURS, *job.parameters["peers"]):
            continue
        entered = enter(row, contender, lambda make=make: prepared(make, problem, job.threads))
        if entered is None:
            continue
        runs[contender], results = entered
        if contender == OURS:
            truth = results
        else:
            check(row, contender, results, truth, partial(tolerance, problem))
    weights = sum(problem.weights[name].size for name in ("weight_ih", "weight_hh"))
    data, one = np.ones(weights, np.float32), np.ones(1, np.float32)
    runs |= {READ: lambda: sasum(data), CALL: lambda: sasum(one)}
    samples = time_row(row, runs, peak, job.effort)
    for name in (READ, CALL):
        del row["contenders"][name], row["ratios"][name]
    ours, read, call = (samples[name] for name in (OURS, READ, CALL))
    row["figures"]["us"] = statistics.median(ours) * 1e6
    if data.nbytes >= LEAST_BYTES:
        speed = data.nbytes / statistics.median(r - c for r, c in zip(read, call, strict=True))
        row["figures"] |= {"read GB/s": speed / 1e9, "over reading": over_reading(ours, read, call)}
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    for cell, hidden in itertools.product(job.parameters["cells"], job.parameters["hidden"]):
        yield measure_row(job, cell, hidden, peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser("stream", "Measure layer.stream().step against the steps of others.", cells=CELLS)
    p.add_argument("--hidden", type=command.words(int), help=f"default: {','.join(map(str, HIDDEN))}")
    command.add_peers(p, ("torch", "onnxruntime"))
    options = p.parse_args(arguments)
    hidden = options.hidden or ([16, 256] if options.quick else HIDDEN)
    peers = command.installed_peers(options)
    parameters = {"cells": options.cells, "hidden": hidden, "peers": peers}
    jobs = command.make_jobs(options, "bench.stream", parameters, threads=(1,))
    return command.run(jobs, options)


if __name__ == "__main__":
    sys.exit(main())
