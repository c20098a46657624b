"""The PyTorch contender of the benchmarks computes what fastrnn computes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

if not (Path(__file__).parents[2] / "bench").is_dir():
    pytest.skip("wheels are tested without the benchmarks", allow_module_level=True)
pytest.importorskip("torch", minversion="2.0")

from bench import agreement
from bench.contenders import OURS, load
from bench.problem import make_problem
from bench.shapes import Shape
from fastrnn.backend import get_num_threads


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
def test_torch_agrees(cell: str, dtype: str, train: bool) -> None:
    problem = make_problem(cell, Shape(5, 3, 4, 6), dtype, train)
    found = []
    for name in (OURS, "torch"):
        prepared = load(name).prepare(problem, get_num_threads())
        prepared.run()
        found.append(prepared.read(prepared.run()))
    errors = agreement.compare(found[1], found[0])
    assert agreement.disagreements(errors, partial(agreement.tolerance, problem)) == []
