"""Every cell over whole sequences: inference, and training steps with all gradients."""

from __future__ import annotations

from typing import Any

import pytest

from bench.contenders import REFERENCE, Unsupported, load
from bench.problem import REFERENCE_FLOPS, make_problem
from bench.shapes import Shape
from fastrnn._types import CELLS


@pytest.mark.parametrize("mode", ["train", "infer"])
@pytest.mark.parametrize("cell", CELLS)
def test_layer(benchmark: Any, cell: str, shape: Shape, mode: str, contender: str, threads: int) -> None:
    problem = make_problem(cell, shape, "float32", mode == "train")
    if contender == REFERENCE and problem.flops > REFERENCE_FLOPS:
        pytest.skip("too slow for the NumPy reference")
    try:
        prepared = load(contender).prepare(problem, threads)
    except Unsupported as reason:
        pytest.skip(str(reason))
    benchmark.group = f"{cell} {mode} {shape}"
    benchmark.extra_info["flops"] = problem.flops
    benchmark(prepared.run)
