"""Batches of different lengths: ``python -m bench.ragged --help``.

Lengths are uniform in 1..T. In the same rounds: our layer on such a batch, our layer on equal lengths with as
many useful steps as near as whole steps come, and PyTorch over packed sequences, padded in and padded out.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from bench import command
from bench.agreement import tolerance
from bench.contenders import OURS, load
from bench.peak import Peak
from bench.problem import Problem, make_problem
from bench.rows import Row, check, enter, new_row, peak_fraction, time_row
from bench.shapes import Shape
from bench.timing import paired_ratio
from bench.worker import Job

EQUAL = f"{OURS} equal"
PEERS = ("torch",)


def ragged_problem(cell: str, shape: Shape, dtype: str, train: bool) -> Problem:
    lengths = np.random.default_rng(0).integers(1, shape.T + 1, shape.N)
    return make_problem(cell, shape, dtype, train, lengths=lengths)


def equal_problem(ragged: Problem) -> Problem:
    """Equal lengths, as many useful steps up to half a step a row."""
    T = max(1, round(ragged.steps / ragged.shape.N))
    return make_problem(ragged.cell, ragged.shape._replace(T=T), ragged.dtype, ragged.train)


def measure_row(job: Job, name: str, shape: Shape, cell: str, mode: str, peak: Peak) -> Row:
    row = new_row(job, cell, f"ragged {mode}", name, shape)
    ragged = ragged_problem(cell, shape, job.dtype, mode == "train")
    equal = equal_problem(ragged)
    ours = load(OURS)
    runs = {}
    entered = enter(row, OURS, lambda: ours.prepare(ragged, job.threads))
    assert entered is not None
    runs[OURS], truth = entered
    runs[EQUAL] = ours.prepare(equal, job.threads).run
    for peer in job.parameters["peers"]:
        if entered := enter(row, peer, lambda name=peer: load(name).prepare(ragged, job.threads)):
            runs[peer], results = entered
            check(row, peer, results, truth, partial(tolerance, ragged))
    samples = time_row(row, runs, peak, job.effort)
    row["peak_fraction"] = peak_fraction(samples, ragged.flops, peak)
    cost = paired_ratio(samples[OURS], samples[EQUAL]) * equal.steps / ragged.steps
    row["figures"] = {"a step, ragged / equal": cost}
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    for mode, cell, (name, shape) in itertools.product(("train", "infer"), p["cells"], p["shapes"]):
        yield measure_row(job, name, Shape(*shape), cell, mode, peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser("ragged", "Measure batches of rows of different lengths.")
    full, quick = ["batch-64", "batch-128", "50,32,256,256"], ["20,8,16,24"]
    command.add_shapes(p, ", ".join(full))
    command.add_peers(p, PEERS)
    options = p.parse_args(arguments)
    parameters = {
        "cells": options.cells,
        "shapes": command.chosen_shapes(options, full, quick),
        "peers": command.installed_peers(options),
    }
    return command.run(command.make_jobs(options, "bench.ragged", parameters), options)


if __name__ == "__main__":
    sys.exit(main())
