"""Noise inside the recurrence: variational dropout, zoneout and weight dropout.

Each is drawn once per forward call, layer and direction. All of them are exact in evaluation: dropout
and weight dropout vanish because their masks are scaled by 1 / keep while training, zoneout is replaced
by its expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._checks import check_probability
from fastrnn._types import Array

__all__ = ["Regularisation", "dropout_mask"]


def dropout_mask(rng: np.random.Generator, shape: tuple[int, ...], p: float, dtype: np.dtype[Any]) -> Array:
    """Zeros with probability ``p``, 1 / (1 - p) elsewhere."""
    kept = rng.random(shape, dtype=np.float32) >= np.float32(p)
    return np.multiply(kept, 1.0 / (1.0 - p), dtype=dtype)


def _probability(name: str, value: Any) -> float:
    return check_probability(name, value, allow_one=False)


@dataclass(frozen=True, slots=True)
class Regularisation:
    """Probabilities of one recurrent layer; the defaults switch everything off."""

    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0
    weight_dropout: float = 0.0

    @classmethod
    def read(
        cls, input_dropout: Any, recurrent_dropout: Any, zoneout: Any, weight_dropout: Any, has_cell: bool
    ) -> Regularisation:
        """Check constructor arguments; ``zoneout`` is a number, or ``(h, c)`` where there is a cell state."""
        if isinstance(zoneout, (tuple, list)):
            if not has_cell:
                raise TypeError(f"zoneout must be one number for a cell without c, got {zoneout!r}")
            if len(zoneout) != 2:
                raise ValueError(f"zoneout must be a number or a pair (h, c), got {zoneout!r}")
            zoneout_h, zoneout_c = (_probability(f"zoneout[{i}]", p) for i, p in enumerate(zoneout))
        else:
            zoneout_h = _probability("zoneout", zoneout)
            zoneout_c = zoneout_h if has_cell else 0.0
        return cls(
            _probability("input_dropout", input_dropout),
            _probability("recurrent_dropout", recurrent_dropout),
            zoneout_h,
            zoneout_c,
            _probability("weight_dropout", weight_dropout),
        )

    @property
    def is_off(self) -> bool:
        """Whether `arguments` would be empty."""
        return not (self.input_dropout or self.recurrent_dropout or self.zoneout_h or self.zoneout_c)

    def arguments(
        self,
        rng: np.random.Generator | None,
        dtype: np.dtype[Any],
        *,
        steps: int,
        rows: int,
        input_size: int,
        output_size: int,
        hidden_size: int,
    ) -> dict[str, Array]:
        """Keyword arguments of ``rnn_forward``: samples from ``rng``, or expectations if it is None."""
        made: dict[str, Array] = {}
        zoneouts = (
            ("zoneout_h", self.zoneout_h, (steps, rows, output_size)),
            ("zoneout_c", self.zoneout_c, (steps, rows, hidden_size)),
        )
        if rng is None:
            for name, p, shape in zoneouts:
                if p:
                    made[name] = np.broadcast_to(np.asarray(p, dtype), shape)
            return made
        if self.input_dropout:
            made["input_mask"] = dropout_mask(rng, (rows, input_size), self.input_dropout, dtype)
        if self.recurrent_dropout:
            made["hidden_mask"] = dropout_mask(rng, (rows, output_size), self.recurrent_dropout, dtype)
        for name, p, shape in zoneouts:
            if p:
                made[name] = (rng.random(shape, dtype=np.float32) < np.float32(p)).astype(dtype)
        return made
