"""fastrnn against every peer that is installed: ``python -m bench.peers --help``; see bench/README.md."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from bench import command
from bench.agreement import tolerance
from bench.contenders import MODULES, OURS, REFERENCE, load
from bench.peak import Peak
from bench.problem import REFERENCE_FLOPS, Problem, make_problem
from bench.rows import Row, check, enter, new_row, peak_fraction, time_row
from bench.shapes import Shape
from bench.worker import Job
from fastrnn import set_num_threads

MODES = ["train", "infer"]
ONE_THREAD = "fastrnn, one thread"
SPEED_UP = "over one thread"


def takes_part(contender: str, problem: Problem, reference: str) -> bool:
    if contender != REFERENCE:
        return True
    return reference == "always" or (reference == "small" and problem.flops <= REFERENCE_FLOPS)


def measure_row(job: Job, name: str, shape: Shape, cell: str, mode: str, peak: Peak) -> Row:
    """One problem, all contenders."""
    problem = make_problem(cell, shape, job.dtype, mode == "train")
    row = new_row(job, cell, mode, name, shape)
    row["flops"] = problem.flops
    runs = {}
    truth: dict[str, Any] = {}
    for contender in job.parameters["contenders"]:
        if not takes_part(contender, problem, job.parameters["reference"]):
            continue
        entered = enter(row, contender, lambda c=contender: load(c).prepare(problem, job.threads))
        if entered is None:
            continue
        runs[contender], results = entered
        if contender == OURS:
            truth = results
        else:
            check(row, contender, results, truth, partial(tolerance, problem))
    before = {}
    if job.threads > 1:
        runs[ONE_THREAD] = runs[OURS]
        before = {OURS: partial(set_num_threads, job.threads), ONE_THREAD: partial(set_num_threads, 1)}
    samples = time_row(row, runs, peak, job.effort, before)
    row["peak_fraction"] = peak_fraction(samples, problem.flops, peak)
    if job.threads > 1:
        del row["contenders"][ONE_THREAD]
        row["figures"][SPEED_UP] = row["ratios"].pop(ONE_THREAD)
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    for mode, cell, (name, shape) in itertools.product(p["modes"], p["cells"], p["shapes"]):
        yield measure_row(job, name, Shape(*shape), cell, mode, peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser(
        "peers", "Measure fastrnn, and every peer that is installed, in turn on the same arrays."
    )
    command.add_shapes(p, "all")
    p.add_argument(
        "--modes",
        type=command.words(command.one_of("modes", MODES)),
        default=MODES,
        help="train, infer or both",
    )
    p.add_argument(
        "--dtype",
        type=command.words(command.one_of("dtype", ("float32", "float64"))),
        default=["float32"],
        help="float32, float64 or both",
    )
    command.add_peers(p)
    p.add_argument(
        "--reference",
        choices=("small", "always", "never"),
        default="small",
        help="when the NumPy reference takes part",
    )
    options = p.parse_args(arguments)
    wanted = [OURS, *command.installed_peers(options), REFERENCE]
    parameters = {
        "cells": options.cells,
        "modes": options.modes,
        "shapes": command.chosen_shapes(options, ["all"], ["quick"]),
        "contenders": [name for name in MODULES if name in wanted],
        "reference": options.reference,
    }
    jobs = command.make_jobs(options, "bench.peers", parameters, dtypes=options.dtype)
    return command.run(jobs, options)


if __name__ == "__main__":
    sys.exit(main())
