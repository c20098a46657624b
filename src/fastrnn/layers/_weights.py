"""Names and first values of the weights of one layer and direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastrnn._types import CELL_COUNTS, Array, CellWeights
from fastrnn.init import glorot_uniform, orthogonal, uniform

__all__ = ["INITS", "CellNames", "cell_names", "initial_weights"]

INITS = ("default", "torch")


class CellNames(NamedTuple):
    """Names of parameters, PyTorch's where it has them, in the order of ``CellWeights``; None for none."""

    weight_ih: str
    weight_hh: str
    bias_ih: str | None
    bias_hh: str | None
    weight_hr: str | None
    ln_ih: str | None
    ln_hh: str | None
    ln_c_weight: str | None
    ln_c_bias: str | None


def cell_names(cell: str, suffix: str, bias: bool, projection: bool) -> CellNames:
    """Names with a suffix such as ``_l0_reverse``."""
    norm = CELL_COUNTS[cell].norm
    norm_c = norm and CELL_COUNTS[cell].has_c
    return CellNames(
        "weight_ih" + suffix,
        "weight_hh" + suffix,
        "bias_ih" + suffix if bias else None,
        "bias_hh" + suffix if bias else None,
        "weight_hr" + suffix if projection else None,
        "ln_ih" + suffix if norm else None,
        "ln_hh" + suffix if norm else None,
        "ln_c_weight" + suffix if norm_c else None,
        "ln_c_bias" + suffix if norm_c else None,
    )


def initial_weights(
    rng: np.random.Generator,
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    bias: bool = True,
    proj_size: int = 0,
    init: str = "default",
    forget_bias: float = 0.0,
) -> CellWeights:
    """First weights of one layer and direction, float64.

    ``"torch"`` is uniform on +-1/sqrt(H) throughout. ``"default"`` draws each gate by itself: Glorot uniform
    from the input, orthogonal in the recurrence, biases zero but for the forget gate of an LSTM. Gains of
    layer normalisation are ones.
    """
    counts = CELL_COUNTS[cell]
    H, P = hidden_size, proj_size or hidden_size
    rows, recurrent_rows = counts.gates * H, counts.recurrent_gates * H
    norms: list[Array | None] = [None] * 4
    if counts.norm:
        norms[:2] = np.ones(rows), np.ones(recurrent_rows)
    if counts.norm and counts.has_c:
        norms[2:] = np.ones(H), np.zeros(H)
    if init == "torch":
        bound = 1.0 / math.sqrt(H)
        return CellWeights(
            uniform(rng, (rows, input_size), bound),
            uniform(rng, (recurrent_rows, P), bound),
            uniform(rng, (rows,), bound) if bias else None,
            uniform(rng, (recurrent_rows,), bound) if bias else None,
            uniform(rng, (P, H), bound) if proj_size else None,
            *norms,
        )

    def by_gate(
        draw: Callable[[np.random.Generator, tuple[int, int]], Array], gates: int, columns: int
    ) -> Array:
        return np.concatenate([np.empty((0, columns)), *(draw(rng, (H, columns)) for _ in range(gates))])

    weights = CellWeights(
        by_gate(glorot_uniform, counts.gates, input_size),
        by_gate(orthogonal, counts.recurrent_gates, P),
        np.zeros(rows) if bias else None,
        np.zeros(recurrent_rows) if bias else None,
        glorot_uniform(rng, (P, H)) if proj_size else None,
        *norms,
    )
    if counts.has_c and weights.bias_ih is not None:
        # Only one of the two biases, since they are added. Gate order i, f, g, o.
        weights.bias_ih[H : 2 * H] = forget_bias
    return weights
