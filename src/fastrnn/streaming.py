"""Stateful inference one step at a time: what ``layer.stream()`` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn._checks import check_int_array, check_shape
from fastrnn._types import Array
from fastrnn.layers._sequence import as_real
from fastrnn.layers._state import State, StateLayout

__all__ = ["Stream"]


class Stream:
    """A recurrent layer that is fed one step at a time and keeps its own state.

    Made by ``layer.stream(batch_size)``. It computes what the layer computes in eval mode over the whole
    sequence (zoneout by its expectation, no dropout), from a snapshot of the weights at the time it was
    made. Streams of one layer share that snapshot, are independent of each other and may run in different
    threads; one stream belongs to one thread at a time.

    Attributes
    ----------
    step : callable
        ``y = stream.step(x)``: advance all rows by one step. `x` is ``[batch_size, I]`` in the layer's dtype,
        or anything that converts to it. The answer ``[batch_size, P]`` is the stream's own buffer, which the
        next step overwrites: copy what is to be kept. On the native backend it is the compiled method itself,
        so that a step costs no Python at all.
    batch_size : int
        Rows that step together.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import LSTM
    >>> layer = LSTM(3, 4, num_layers=2, seed=0)
    >>> stream = layer.stream()
    >>> x = np.random.default_rng(0).standard_normal((5, 1, 3), dtype=np.float32)
    >>> y = np.stack([stream.step(x_t).copy() for x_t in x])
    >>> np.allclose(y, layer(x)[0], atol=1e-6)
    True
    >>> guess = stream.fork()              # look ahead without moving the original
    >>> _ = guess.step(x[0])
    >>> stream.reset()
    >>> h, c = stream.state
    >>> h.shape, float(abs(h).max())
    ((2, 1, 4), 0.0)
    """

    __slots__ = ("_core", "_input_size", "_layout", "batch_size", "step")

    step: Callable[[Array], Array]
    batch_size: int

    def __init__(self, core: Any, batch_size: int, input_size: int, layout: StateLayout) -> None:
        self._core = core
        self._layout = layout
        self._input_size = input_size
        self.batch_size = batch_size
        # The compiled step checks its own input; NumPy would broadcast or fail in its own words.
        self.step = core.step if type(core).__module__ == "fastrnn._core" else self._checked_step

    def _checked_step(self, x: Any) -> Array:
        array = as_real(x, self._layout.dtype, "x")
        y: Array = self._core.step(check_shape("x", array, (self.batch_size, self._input_size)))
        return y

    @property
    def state(self) -> State:
        """Copy of the state in PyTorch's layout: ``h [num_layers, batch_size, P]``, for LSTM ``(h, c)``.

        Assigning the like of it, such as the final state that a layer returned, continues from there;
        None stands for zeros.
        """
        h, c = zip(*self._core.get_state(), strict=True)
        return self._layout.give(list(h), list(c), False)

    @state.setter
    def state(self, value: State) -> None:
        h, c = self._layout.read("state", value, self.batch_size, False)
        self._core.reset(None)
        parts = self._core.get_state()
        self._core.set_state(
            [(h_s if h is None else h[s], c_s if c is None else c[s]) for s, (h_s, c_s) in enumerate(parts)]
        )

    def reset(self, rows: Any = None) -> None:
        """Set the state to zero, of all rows or of some.

        Parameters
        ----------
        rows : array_like of int, optional
            Indices of rows, 0 to ``batch_size - 1``. Default: all.

        Raises
        ------
        TypeError
            If they are not integers.
        ValueError
            If one is out of range.
        """
        if rows is not None:
            rows = check_int_array("rows", np.atleast_1d(rows), ("R",), low=0, high=self.batch_size - 1)
        self._core.reset(rows)

    def fork(self) -> Stream:
        """Return an independent stream that starts from this one's state and shares its weights."""
        return Stream(self._core.fork(), self.batch_size, self._input_size, self._layout)
