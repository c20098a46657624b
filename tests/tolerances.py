"""Every tolerance of the test suite, derived from the rounding unit and the length of the sums behind it.

Errors are measured per array: the largest absolute difference against the largest magnitude of the expected
array, which is taken as at least `FLOOR` so that an array of rounding errors around zero compares as zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn._types import CELL_COUNTS

FLOOR = 0.1
"""Outputs and gradients in the tests are of order one; what is a tenth of that counts as noise-free zero."""


def eps(dtype: DTypeLike) -> float:
    """Distance from 1 to the next number."""
    return float(np.finfo(dtype).eps)


def forward_tolerance(dtype: DTypeLike, K: int, T: int = 1) -> float:
    """States after T steps with products of K terms.

    Rounding errors of a sum of K terms grow like sqrt(K) (they have both signs), the activations add up to 4
    units, and errors of T steps of a network that neither explodes nor contracts add like sqrt(T). Twice
    that.
    """
    return 2 * eps(dtype) * (math.sqrt(K) + 4) * math.sqrt(max(T, 1))


def backward_tolerance(dtype: DTypeLike, K: int, T: int = 1, rows: int = 1) -> float:
    """Gradients through T steps with products of K terms, of weights summed over this many rows.

    The forward error enters once through what was saved and once through the mirrored computation, hence
    twice `forward_tolerance`, and the sum over rows (T*N of them for weights) adds sqrt(rows) roundings.
    """
    return 4 * eps(dtype) * (math.sqrt(K) + math.sqrt(rows) + 4) * math.sqrt(max(T, 1))


def magnification(cell: str) -> float:
    """How much larger errors of this cell get than the sums they come from.

    A norm of a few numbers divides by their differences, a tenth of their size now and then.
    """
    return 10 if CELL_COUNTS[cell].norm else 1


def central_difference_step() -> float:
    """Step h of a float64 central difference: truncation h^2 and rounding eps/h are equal at eps^(1/3)."""
    return eps(np.float64) ** (1 / 3)


def central_difference_tolerance() -> float:
    """The error at that step is a few eps^(2/3) = 3.7e-11 for functions with derivatives of order one.

    The tests sum about 20 outputs whose third derivatives reach a few units, hence the factor 100.
    """
    return 100 * eps(np.float64) ** (2 / 3)


def int8_forward_tolerance(K: int, T: int = 1) -> float:
    """States after T steps with int8 weights, where two backends round activations near a tie differently.

    States that differ in their last bit round to another of 8191 integers about once in a thousand, which
    moves a sum by one unit times a weight. Weights of the tests are below 1, a few such cases in T steps of K
    terms add up like sqrt(T), as rounding errors do. Twice that.
    """
    return forward_tolerance(np.float32, K, T) + 2 / 8191 * math.sqrt(T)


def sum_tolerance(dtype: DTypeLike, K: int) -> float:
    """One sum of K terms in two orders, with a few roundings before and after it."""
    return 2 * eps(dtype) * (math.sqrt(K) + 4)


def logarithm_tolerance(largest: float, steps: int) -> float:
    """Exponentials of the difference of two float64 logarithms of this size, each a sum over so many steps.

    Every step rounds a logarithm by up to half a unit in its place, of both signs.
    """
    return 2 * eps(np.float64) * largest * math.sqrt(max(steps, 1))


def elementwise_tolerance(dtype: DTypeLike, operations: int = 8) -> float:
    """The same formula of this many operations, associated or contracted (FMA) in another way."""
    return operations * eps(dtype)


def within(actual: ArrayLike, desired: ArrayLike, tolerance: float, name: str = "array") -> None:
    """Assert equal shapes and dtypes, equal NaNs, and a largest difference within the tolerance."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape, f"{name}: shape {actual.shape}, expected {desired.shape}"
    assert actual.dtype == desired.dtype, f"{name}: dtype {actual.dtype}, expected {desired.dtype}"
    if not desired.size:
        return
    assert np.array_equal(np.isfinite(actual), np.isfinite(desired)), f"{name}: not finite where expected"
    difference = np.abs(np.where(np.isfinite(desired), actual - desired, 0))
    scale = max(float(np.abs(desired[np.isfinite(desired)]).max(initial=0)), FLOOR)
    worst = np.unravel_index(int(difference.argmax()), difference.shape)
    error = float(difference.max()) / scale
    assert error <= tolerance, (
        f"{name}: error {error:.3g} > {tolerance:.3g} at {tuple(map(int, worst))}: "
        f"{actual[worst]} instead of {desired[worst]}"
    )


TORCH_FLOAT64 = 1e-12
"""Against PyTorch in float64, outputs and gradients, small sizes: 4500 roundings, the project's promise."""

TORCH_FLOAT32_FORWARD = 1e-5
"""Against PyTorch in float32, outputs: 84 roundings, the project's promise."""

TORCH_FLOAT32_BACKWARD = 1e-4
"""Against PyTorch in float32, gradients: 840 roundings, the project's promise."""


def code_length_tolerance(characters: int, hidden_size: int) -> float:
    """Bits for this many characters by a float32 network, read in two ways.

    Each logit is a sum of H products of a state that has forgotten all but the last 50 steps or so; a
    prediction moves by at most twice the error of its logits, and is measured in bits.
    """
    return 2 / math.log(2) * forward_tolerance(np.float32, hidden_size, 50) * characters


CHI_SQUARED_2 = 18.4
"""Exceeded once in 10,000 times by chi-squared with two degrees of freedom: -2 ln(1e-4)."""
