"""The arrays that every contender gets, and the work that they stand for.

Notation: T steps, N rows, I input size, H hidden size, G gates, R gates with recurrent weights;
gate order and layouts are PyTorch's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.shapes import Shape
from fastrnn._types import CELL_COUNTS

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

REFERENCE_FLOPS = 50_000_000
"""The NumPy reference takes part unasked in problems of at most this many operations."""


@dataclass(frozen=True)
class Problem:
    """One layer over one batch: inference, or a training step (forward, and backward to everything).

    The gradients asked for are those of x, of the initial states and of all weights.
    """

    cell: str
    shape: Shape
    dtype: str
    train: bool
    x: np.ndarray
    """``[T, N, I]``"""
    state: tuple[np.ndarray, ...]
    """h, and for an LSTM c: ``[1, N, H]`` each"""
    weights: dict[str, np.ndarray]
    """By the names in `WEIGHTS`: ``[G*H, I]``, ``[R*H, H]``, ``[G*H]``, ``[R*H]``"""
    dy: np.ndarray
    """``[T, N, H]``"""
    dstate: tuple[np.ndarray, ...]
    """Like `state`"""
    lengths: np.ndarray | None = None
    """``[N]``, the steps of each row of a ragged batch; None if all have T."""

    @property
    def steps(self) -> int:
        """Useful steps, all rows together."""
        return self.shape.T * self.shape.N if self.lengths is None else int(self.lengths.sum())

    @property
    def flops(self) -> int:
        """Floating-point operations of the matrix products; all else is left out.

        A training step does the products of a forward pass three times: forward, gradients of x and h,
        gradients of the weights.
        """
        _, _, I, H = self.shape  # noqa: E741
        counts = CELL_COUNTS[self.cell]
        products = counts.gates * I + counts.recurrent_gates * H
        return 2 * self.steps * H * products * (3 if self.train else 1)


def make_problem(
    cell: str, shape: Shape, dtype: str, train: bool, seed: int = 0, lengths: np.ndarray | None = None
) -> Problem:
    """Draw inputs, gradients ~ N(0, 1) and weights ~ U(-1/sqrt(H), 1/sqrt(H)), the same for the same seed."""
    rng = np.random.default_rng(seed)
    T, N, I, H = shape  # noqa: E741
    counts = CELL_COUNTS[cell]
    rows, recurrent_rows = counts.gates * H, counts.recurrent_gates * H

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal(size).astype(dtype)

    def weight(*size: int) -> np.ndarray:
        return rng.uniform(-(H**-0.5), H**-0.5, size).astype(dtype)

    states = 1 + counts.has_c
    return Problem(
        cell=cell,
        shape=shape,
        dtype=dtype,
        train=train,
        x=normal(T, N, I),
        state=tuple(normal(1, N, H) for _ in range(states)),
        weights=dict(
            zip(
                WEIGHTS,
                (weight(rows, I), weight(recurrent_rows, H), weight(rows), weight(recurrent_rows)),
                strict=True,
            )
        ),
        dy=normal(T, N, H),
        dstate=tuple(normal(1, N, H) for _ in range(states)),
        lengths=lengths,
    )
