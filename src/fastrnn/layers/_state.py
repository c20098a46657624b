"""The state of a stack of recurrent layers: PyTorch's layout outside, one array per part inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._checks import check_shape
from fastrnn._types import Array
from fastrnn.layers._sequence import as_real

__all__ = ["State", "StateLayout"]

State = Any
"""``h [S, N, P]``, for LSTM ``(h, c [S, N, H])``; without the axis N for an unbatched sequence."""


@dataclass(frozen=True, slots=True)
class StateLayout:
    """Shapes of a state; S is the number of layers times directions."""

    count: int
    """S."""
    h_size: int
    """P."""
    c_size: int
    """H of an LSTM, 0 for cells without c."""
    dtype: np.dtype[Any]

    def read(
        self, name: str, state: State, rows: int, unbatched: bool, *, own: bool = False
    ) -> tuple[Array | None, Array | None]:
        """Check a state and return ``h [S, N, P]`` and ``c [S, N, H]``; None stays None."""
        if state is None:
            return None, None
        if not self.c_size:
            return self._read_part(name, state, self.h_size, rows, unbatched, own), None
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise TypeError(f"{name} of an LSTM must be a pair (h, c), got {type(state).__name__}")
        return (
            self._read_part(f"{name}[0] (h)", state[0], self.h_size, rows, unbatched, own),
            self._read_part(f"{name}[1] (c)", state[1], self.c_size, rows, unbatched, own),
        )

    def _read_part(
        self, name: str, value: Any, size: int, rows: int, unbatched: bool, own: bool
    ) -> Array | None:
        if value is None:
            return None
        array = as_real(value, self.dtype, name, own=own)
        check_shape(name, array, (self.count, size) if unbatched else (self.count, rows, size))
        return array[:, None] if unbatched else array

    def give(self, h: list[Array], c: list[Array], unbatched: bool) -> State:
        """Return the caller's form of S arrays ``[N, P]`` and S arrays ``[N, H]`` (or anything without c)."""
        return (_join(h, unbatched), _join(c, unbatched)) if self.c_size else _join(h, unbatched)


def _join(parts: list[Array], unbatched: bool) -> Array:
    joined = parts if unbatched else [part[np.newaxis] for part in parts]
    return joined[0] if len(joined) == 1 else np.concatenate(joined)
