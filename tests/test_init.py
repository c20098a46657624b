"""First values of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tolerances import forward_tolerance, within

from fastrnn import init


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(17)


DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "uniform": lambda rng, shape: init.uniform(rng, shape, 0.3),
    "normal": lambda rng, shape: init.normal(rng, shape, 0.3),
    "glorot_uniform": init.glorot_uniform,
    "glorot_normal": init.glorot_normal,
    "orthogonal": init.orthogonal,
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 1), (0, 3), (3, 0)])
def test_the_generator_decides(name: str, shape: tuple[int, int]) -> None:
    first, second = (DRAWS[name](np.random.default_rng(seed), shape) for seed in (4, 4))
    assert first.shape == shape
    assert first.dtype == np.float64
    assert first.flags.c_contiguous
    assert np.array_equal(first, second)
    if first.size > 1:
        assert not np.array_equal(first, DRAWS[name](np.random.default_rng(5), shape))


# Means and variances of 10^5 draws: four standard deviations of their estimates.
@pytest.mark.parametrize(
    ("name", "variance", "kurtosis"),
    [
        ("uniform", 0.09 / 3, 1.8),
        ("normal", 0.09, 3),
        ("glorot_uniform", 2 / 1250, 1.8),
        ("glorot_normal", 2 / 1250, 3),
    ],
)
def test_moments(name: str, variance: float, kurtosis: float, rng: np.random.Generator) -> None:
    w = DRAWS[name](rng, (1000, 250))
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) < 4 * math.sqrt((kurtosis - 1) / w.size)


def test_uniform_stays_inside(rng: np.random.Generator) -> None:
    w = init.uniform(rng, (1000,), 0.5)
    assert w.min() >= -0.5
    assert w.max() < 0.5
    assert not init.uniform(rng, (3,), 0.0).any()


@pytest.mark.parametrize("gain", [1.0, 2.5])
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5)])
def test_orthogonal(shape: tuple[int, int], gain: float, rng: np.random.Generator) -> None:
    w = init.orthogonal(rng, shape, gain)
    small = w @ w.T if shape[0] <= shape[1] else w.T @ w
    within(small, gain**2 * np.eye(min(shape)), 4 * forward_tolerance(np.float64, max(shape)))


def test_orthogonal_matrices_have_no_preferred_sign(rng: np.random.Generator) -> None:
    # Householder QR alone gives the diagonal one sign.
    corners = np.array([init.orthogonal(rng, (3, 3))[0, 0] for _ in range(400)])
    assert abs((corners > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(400)
    determinants = np.array([np.linalg.det(init.orthogonal(rng, (3, 3))) for _ in range(400)])
    assert abs((determinants > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(400)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: init.uniform(rng, (2,), -1), "bound must be at least 0"),
        (lambda rng: init.uniform(rng, (2,), math.nan), "bound must be at least 0"),
        (lambda rng: init.normal(rng, (2,), -1), "std must be at least 0"),
        (lambda rng: init.orthogonal(rng, (2,)), "shape must be that of a matrix"),  # type: ignore[arg-type]
        (lambda rng: init.glorot_uniform(rng, (2, 3, 4)), "shape must be that of a matrix"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments(call: Callable[..., Any], message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=message):
        call(rng)
