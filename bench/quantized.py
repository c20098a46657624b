"""What weights in fewer bits save: ``python -m bench.quantized --help``.

``step`` is a row of a stream, ``sequence`` 100 steps of one row, ``batch`` 100 steps of 32 rows, and
``character`` 50 characters of text, one after the other, from a network with an embedding of 64 and an
alphabet of 100. A ratio is float32's time over that of the fewer bits, in the same rounds.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bench import agreement, command
from bench.contenders import OURS, Prepared
from bench.network import EMBEDDING, SYMBOLS
from bench.peak import Peak
from bench.problem import WEIGHTS, make_problem
from bench.rows import Row, enter, new_row, time_row
from bench.shapes import Shape
from bench.timing import paired_ratio
from bench.worker import Job
from fastrnn import backend
from fastrnn._types import CellWeights

CELLS = ("rnn_tanh", "lstm", "gru", "gru_reset_before")
FORMATS = ("bfloat16", "int8")
SIZES = (64, 128, 256, 512, 1024)
STEPS = {"step": 1, "sequence": 100, "batch": 100, "character": 50}


def make_run(cell: str, shape: Shape, kind: str, dtype: str, form: str | None) -> Callable[[], Any]:
    """What is timed, with weights of this format."""
    problem = make_problem(cell, shape, dtype, train=False)
    engine = backend.active()
    packed = engine.pack_weights(cell, CellWeights(*(problem.weights[name] for name in WEIGHTS)), False, form)
    if kind == "step":
        step = engine.StepStream([packed], shape.N).step
        return lambda: step(problem.x[0])
    if kind == "character":
        rng = np.random.default_rng(0)
        embedding, weight = (
            rng.standard_normal((SYMBOLS, width)).astype(dtype) / 8 for width in (shape.I, shape.H)
        )
        output = engine.pack_linear(weight, np.zeros(SYMBOLS, dtype), False, form)
        sample = engine.TokenStream(embedding, [packed], output).sample
        uniforms = rng.random(shape.T)
        return lambda: sample(uniforms, 1.0, 0, 1.0)
    return lambda: engine.rnn_forward(packed, problem.x)[0]


def measure_row(job: Job, kind: str, cell: str, H: int, peak: Peak) -> Row:
    shape = Shape(STEPS[kind], 32 if kind == "batch" else 1, EMBEDDING if kind == "character" else H, H)
    row = new_row(job, cell, f"weights in fewer bits, {kind}", f"H={H}", shape)
    runs: dict[str, Callable[[], Any]] = {}
    truth: dict[str, np.ndarray] = {}
    for form in (None, *FORMATS):
        name = f"{OURS} {form}" if form else OURS
        run = make_run(cell, shape, kind, job.dtype, form)
        entered = enter(row, name, lambda run=run: Prepared(run, lambda first: {"y": np.array(first)}))
        assert entered is not None
        runs[name], results = entered
        truth = truth or results
        if kind != "character":  # fewer bits are another network: no tolerance, and a text of its own
            row["errors"][name] = agreement.compare(results, truth)
    samples = time_row(row, runs, peak, job.effort)
    for form in FORMATS:
        row["figures"][f"{form} ratio"] = paired_ratio(samples[OURS], samples[f"{OURS} {form}"])
    return row


def measure(job: Job, peak: Peak) -> Iterator[Row]:
    p = job.parameters
    for kind, cell, H in itertools.product(p["kinds"], p["cells"], p["sizes"]):
        yield measure_row(job, kind, cell, H, peak)
        gc.collect()


def main(arguments: Sequence[str] | None = None) -> int:
    p = command.new_parser(
        "quantized", "Measure weights in fewer bits against float32.", cells=CELLS, default_cells=CELLS
    )
    kinds = command.words(command.one_of("kinds", tuple(STEPS)))
    p.add_argument("--kinds", type=kinds, default=list(STEPS), help="of " + ", ".join(STEPS))
    p.add_argument(
        "--sizes",
        type=command.words(int),
        help=f"hidden sizes, and input sizes with them; default: {','.join(map(str, SIZES))}",
    )
    p.set_defaults(peers=[])
    options = p.parse_args(arguments)
    parameters = {
        "cells": options.cells,
        "kinds": options.kinds,
        "sizes": options.sizes or ([16] if options.quick else list(SIZES)),
    }
    return command.run(command.make_jobs(options, "bench.quantized", parameters, threads=(1,)), options)


if __name__ == "__main__":
    sys.exit(main())
