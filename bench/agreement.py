"""Whether two contenders computed the same thing. The bounds are those of the test suite."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from bench.problem import Problem

FORWARD = ("y", "hn", "cn")


def _load_tolerances() -> ModuleType:
    # By its path: tests/ on sys.path would offer its folder `torch` as that package.
    path = Path(__file__).parents[1] / "tests" / "tolerances.py"
    spec = importlib.util.spec_from_file_location("bench._tolerances", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_tolerances = _load_tolerances()


def tolerance(problem: Problem, name: str) -> float:
    """Largest error of this array of results that rounding explains.

    It is the derived bound for the size, and no less than what the project promises against PyTorch: the
    activations of some peers are rougher than the derivation assumes.
    """
    T, N, I, H = problem.shape  # noqa: E741
    float64 = problem.dtype == "float64"
    if name in FORWARD:
        promised = _tolerances.TORCH_FLOAT64 if float64 else _tolerances.TORCH_FLOAT32_FORWARD
        return max(_tolerances.forward_tolerance(problem.dtype, I + H, T), promised)
    promised = _tolerances.TORCH_FLOAT64 if float64 else _tolerances.TORCH_FLOAT32_BACKWARD
    return max(_tolerances.backward_tolerance(problem.dtype, I + H, T, T * N), promised)


def loss_tolerance(name: str) -> float:
    """Of the losses of some training steps: each rests on the gradients of those before it."""
    return float(_tolerances.TORCH_FLOAT32_BACKWARD)


def draw_error(cumulative: np.ndarray, drawn: int, uniform: float) -> float:
    """How far a uniform number is from those that draw this symbol, given the cumulative probabilities."""
    below = float(cumulative[drawn - 1]) if drawn else 0.0
    return max(below - uniform, uniform - float(cumulative[drawn]), 0.0)


def draw_tolerance() -> float:
    """What rounding may move the edge between two symbols: as much as the probabilities."""
    return float(_tolerances.TORCH_FLOAT32_FORWARD)


def error(actual: np.ndarray, desired: np.ndarray) -> float:
    """Largest difference against the largest magnitude of `desired`; infinite if shapes or NaNs differ."""
    if actual.shape != desired.shape or not np.array_equal(np.isfinite(actual), np.isfinite(desired)):
        return float("inf")
    if not desired.size:
        return 0.0
    magnitude = max(float(np.abs(desired).max()), _tolerances.FLOOR)
    return float(np.abs(actual.astype(np.float64) - desired).max()) / magnitude


def compare(actual: dict[str, np.ndarray], desired: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of all arrays in `desired`; one that `actual` lacks is an infinite error."""
    return {
        name: error(actual[name], value) if name in actual else float("inf")
        for name, value in desired.items()
    }


def disagreements(errors: dict[str, float], tolerance: Callable[[str], float]) -> list[str]:
    """What is to be said of errors beyond their tolerance, one line an array."""
    return [
        f"{name}: error {value:.3g}, tolerance {tolerance(name):.3g}"
        for name, value in errors.items()
        if not value <= tolerance(name)
    ]
