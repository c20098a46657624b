"""The native backend on every instruction set of this machine, and the reference's results in float64."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from recurrent_cases import Problem, Result, make_problem, run
from tolerances import backward_tolerance, forward_tolerance, magnification, within

from fastrnn import _core as native
from fastrnn._types import CellWeights
from fastrnn.backend import available_isas
from fastrnn.reference import _core as reference

DTYPES = [np.float32, np.float64]
by_isa = pytest.mark.parametrize("isa", available_isas())
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])

EDGE_SIZES = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 67]
"""One, the vector lengths of every instruction set with both neighbours, and primes."""


def widened(p: Problem) -> Problem:
    """The same problem in float64."""

    def wide(a: Any) -> Any:
        return a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a

    return Problem(
        p.cell,
        CellWeights._make(map(wide, p.weights)),
        *map(wide, (p.x, p.h0, p.c0, p.dy, p.dhn, p.dcn)),
        {key: wide(value) for key, value in p.options.items()},
    )


@cache
def expectation(cell: str, sizes: tuple[int, ...], dtype: type, options: tuple) -> Result:
    """What the reference computes in float64; it is the same for every instruction set."""
    return run(reference, widened(make_problem(cell, *sizes, dtype=dtype, **dict(options))))


def assert_agrees(p: Problem, got: Result, expected: Result) -> None:
    """Compare all outputs and gradients with the float64 reference."""
    T, N = p.x.shape[:2]
    dtype = p.x.dtype
    for name, a, b in zip(got._fields, got, expected, strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            if name in ("y", "hn", "cn"):
                tolerance = forward_tolerance(dtype, p.K, T)
            else:
                rows = 1 if name in ("dx", "dh0", "dc0") else T * N
                tolerance = backward_tolerance(dtype, p.K, T, rows)
            assert a.dtype == dtype, name
            within(a, b.astype(dtype), tolerance * magnification(p.cell), name)


def assert_same_bits(a: Any, b: Any, name: str = "") -> None:
    """Equal to the last bit, NaNs and signs of zeros included."""
    if a is None or b is None:
        assert a is None and b is None, name
    else:
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        assert a.shape == b.shape and a.tobytes() == b.tobytes(), f"{name} differs"


__all__ = [
    "DTYPES",
    "EDGE_SIZES",
    "assert_agrees",
    "assert_same_bits",
    "by_dtype",
    "by_isa",
    "expectation",
    "native",
    "reference",
    "widened",
]
