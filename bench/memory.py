"""Peak memory of a training step, and what checkpoints save: ``python -m bench.memory --help``.

Every figure comes from a process of its own, warmed up with a small problem, so that only what this problem
needs is counted: its arrays, the layer, and whatever the step takes in passing. A layer copies an x that its
caller could still write to, and need not copy a read-only one; checkpoints are compared on the latter.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import fastrnn
from bench import command
from bench.contenders import OURS, load
from bench.peak import Peak
from bench.problem import Problem, make_problem
from bench.processes import in_fresh_process
from bench.resident import STATUS, peak_of
from bench.rows import Row, check, enter, new_row, time_row
from bench.shapes import Shape
from bench.timing import Effort, paired_ratio
from bench.worker import Job

MEGABYTE = 1e6
WARM_UP = Shape(3, 2, 4, 5)
LONG, QUICK = "20000,8,256,256", "2000,8,32,32"
KEPT = {
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "lstm": 6,
    "gru": 4,
    "gru_reset_before": 4,
    "mingru": 2,
    "minlstm": 3,
    "lstm_norm": 15,
    "gru_norm": 9,
}
"""Reals for each hidden unit and step that backward needs besides x and y, its own gradients in their place:
the gates; of an LSTM also c and tanh(c), of a GRU also the recurrent part of n. With layer normalisation also
both products, of an LSTM c before zoneout too, and the recurrent part of n is among them."""


def needed_bytes(problem: Problem) -> int:
    """Arrays that a training step cannot do without: given ones, kept ones and results.

    Weights are there five times: given, the layer's own, their gradients, packed for either direction.
    """
    T, N, _, H = problem.shape
    kept = T * N * KEPT[problem.cell] * H
    states = 4 * sum(s.size for s in problem.state)  # first, final, and their gradients
    weights = 5 * sum(w.size for w in problem.weights.values())
    return sequence_bytes(problem) + (kept + states + weights) * np.dtype(problem.dtype).itemsize


def sequence_bytes(problem: Problem) -> int:
    """Of x, y and their gradients: what the caller gives and gets, whatever the layer keeps."""
    T, N, I, H = problem.shape  # noqa: E741
    return T * N * 2 * (I + H) * np.dtype(problem.dtype).itemsize


def given_bytes(problem: Problem) -> int:
    """Of the arrays of a problem."""
    arrays = (problem.x, problem.dy, *problem.state, *problem.dstate, *problem.weights.values())
    return sum(a.nbytes for a in arrays)


def step_peak(contender: str, problem_arguments: Any, threads: int, read_only: bool, options: Any) -> int:
    """Bytes of a problem, its layer and one training step, at the highest. To be run in a fresh process."""
    prepare = partial(load(contender).prepare, threads=threads, **options)
    cell, shape, dtype = problem_arguments
    prepare(make_problem(cell, WARM_UP, dtype, True)).run()
    problem = make_problem(cell, shape, dtype, True)
    problem.x.flags.writeable = not read_only
    peak, _ = peak_of(lambda: prepare(problem).run())
    return given_bytes(problem) + peak


def measure_peak(job: Job, contender: str, problem: Problem, read_only: bool = False, **options: int) -> int:
    arguments = (problem.cell, problem.shape, problem.dtype)
    return in_fresh_process(step_peak, contender, arguments, job.threads, read_only, options)


def memory_row(job: Job, cell: str, name: str, shape: Shape) -> Row:
    row = new_row(job, cell, "peak memory of a training step", name, shape)
    problem = make_problem(cell, shape, job.dtype, True)
    needed = needed_bytes(problem)
    ours = measure_peak(job, OURS, problem)
    read_only = measure_peak(job, OURS, problem, read_only=True)
    row["figures"] = {
        "needed MB": needed / MEGABYTE,
        "MB": ours / MEGABYTE,
        "over needed": ours / needed,
        "x read-only": read_only / needed,
    }
    for peer in job.parameters["peers"]:
        row["figures"][f"{peer} over needed"] = measure_peak(job, peer, problem) / needed
    return row


def checkpoint_row(job: Job, cell: str, name: str, shape: Shape, peak: Peak) -> Row:
    every = job.parameters["every"] or round(math.sqrt(shape.T))
    row = new_row(job, cell, f"training step, checkpoint_every={every}", name, shape)
    problem = make_problem(cell, shape, job.dtype, True)
    whole, sequences = f"{OURS} keeping all", sequence_bytes(problem)
    few = measure_peak(job, OURS, problem, read_only=True, checkpoint_every=every)
    all_steps = measure_peak(job, OURS, problem, read_only=True)
    runs = {}
    results = {}
    for contender, options in ((OURS, {"checkpoint_every": every}), (whole, {})):
        prepare = partial(load(OURS).prepare, problem, job.threads, **options)
        entered = enter(row, contender, prepare)
        assert entered is not None
        runs[contender], results[contender] = entered
    # The same bits: no tolerance.
    check(row, whole, results[whole], results[OURS], lambda _: 0.0)
    results.clear()
    samples = time_row(row, runs, peak, job.effort)
    row["figures"] = {
        "MB": few / MEGABYTE,
        "MB keeping all": all_steps / MEGABYTE,
        "fraction": few / all_steps,
        "besides x, y, dx, dy": (few - sequences) / (all_steps - sequences),
        "time": paired_ratio(samples[OURS], samples[whole]),
    }
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    for cell, (name, shape) in itertools.product(p["cells"], p["shapes"]):
        yield memory_row(job, cell, name, Shape(*shape))
    for cell, (name, shape) in itertools.product(p["cells"], p["long"]):
        yield checkpoint_row(job, cell, name, Shape(*shape), peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser("memory", "Measure the peak memory of training steps.")
    full = ["batch-128", "batch-256", "single-64", "500,32,64,256"]
    command.add_shapes(p, ", ".join(full))
    command.add_peers(p, default=["torch"])
    p.add_argument(
        "--long",
        nargs="*",
        type=command.shape_list,
        metavar="SHAPE",
        help=f"for the comparison of checkpoints with none; default: {LONG}",
    )
    p.add_argument("--every", type=int, help="steps between checkpoints; default: near the square root of T")
    options = p.parse_args(arguments)
    if not STATUS.exists():
        raise SystemExit(f"memory is read from {STATUS}, which this system does not have")
    long = [command.shape_list(QUICK if options.quick else LONG)] if options.long is None else options.long
    if "checkpoint_every" not in inspect.signature(fastrnn.LSTM).parameters:
        print("This fastrnn has no checkpoint_every.", file=sys.stderr)
        long = []
    parameters = {
        "cells": options.cells,
        "shapes": command.chosen_shapes(options, full, [QUICK]),
        "long": [shape for part in long for shape in part],
        "every": options.every,
        "peers": command.installed_peers(options),
    }
    jobs = command.make_jobs(options, "bench.memory", parameters, threads=(1,), effort=Effort(min_rounds=3))
    return command.run(jobs, options)


if __name__ == "__main__":
    sys.exit(main())
