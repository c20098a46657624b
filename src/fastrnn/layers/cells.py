"""One step at a time: RNNCell, LSTMCell and GRUCell, with PyTorch's names and shapes.

They are for loops whose next input depends on what came out before (decoders, environments). Over a known
sequence the layers of :mod:`fastrnn.layers.recurrent` are much faster, and for inference alone
``layer.stream()`` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from fastrnn import backend
from fastrnn._checks import check_bool, check_choice, check_float, check_positive_int, check_shape
from fastrnn._types import Array, CellWeights
from fastrnn.layers._sequence import as_real
from fastrnn.layers._weights import INITS, cell_names, initial_weights
from fastrnn.layers.base import Layer, PackCache, Parameter, float_dtype
from fastrnn.layers.parameter import Gradients, worth_borrowing

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


@dataclass(slots=True)
class _Context:
    saved: Any
    rows: int
    unbatched: bool
    module: ModuleType


class RecurrentCell(Layer):
    """Base class of the cells; :meth:`_step` and :meth:`_step_back` work on pairs ``(h, c)``."""

    _can_quantize: ClassVar[bool] = True

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool,
        dtype: Any,
        seed: int | np.random.Generator | None,
        init: str,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.input_size = check_positive_int("input_size", input_size)
        self.hidden_size = check_positive_int("hidden_size", hidden_size)
        self.bias = check_bool("bias", bias)
        self.dtype = float_dtype(dtype)
        self.seed = None if isinstance(seed, np.random.Generator) else seed
        self.init = check_choice("init", init, INITS)
        names = cell_names(cell, "", self.bias, False)
        self._packs = PackCache(names)
        weights = initial_weights(
            np.random.default_rng(seed),
            cell,
            self.input_size,
            self.hidden_size,
            bias=self.bias,
            init=init,
            forget_bias=forget_bias,
        )
        self._size = weights.weight_ih.size + weights.weight_hh.size
        for name, array in zip(names, weights, strict=True):
            if name is not None:
                setattr(self, name, Parameter(array, self.dtype))

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "bias": self.bias,
            "dtype": self.dtype.name,
            "seed": self.seed,
            "init": self.init,
            **self._quantized_config(),
        }

    def _read(self, name: str, value: Any, rows: int, unbatched: bool, own: bool = False) -> Array | None:
        if value is None:
            return None
        array = as_real(value, self.dtype, name, own=own)
        check_shape(name, array, (self.hidden_size,) if unbatched else (rows, self.hidden_size))
        return array.reshape(rows, self.hidden_size)

    def _step(self, x: Any, h: Any, c: Any, names: tuple[str, str]) -> tuple[Array, Array | None]:
        """Advance by one step; `names` are what messages call h and c."""
        training = self.training
        array = as_real(x, self.dtype, "x", own=training)
        if array.ndim not in (1, 2) or array.shape[-1] != self.input_size:
            raise ValueError(
                f"x must have shape (N, {self.input_size}) or ({self.input_size},), got {array.shape}"
            )
        unbatched = array.ndim == 1
        rows = 1 if unbatched else array.shape[0]
        h0 = self._read(names[0], h, rows, unbatched, training)
        c0 = self._read(names[1], c, rows, unbatched, training)
        module = backend.active()
        few = training and worth_borrowing(1, rows, self._size)
        packed = self._packs.get(module, self, training, few)
        y, _, cn, saved = module.rnn_forward(
            packed, array.reshape(1, rows, self.input_size), h0, c0, training=training
        )
        h_new: Array = y[0]
        if training:
            h_new.flags.writeable = False
            self._push(_Context(saved, rows, unbatched, module))
        if unbatched:
            return h_new[0], None if cn is None else cn[0]
        return h_new, cn

    def _pack(self, engine: ModuleType, weights: Sequence[Array | None], training: bool, borrow: bool) -> Any:
        return engine.pack_weights(self.cell, weights, training, self.quantized, borrow)

    def _step_back(self, dh: Any, dc: Any, names: tuple[str, str]) -> tuple[Array, Array, Array | None]:
        """Go back one step: gradients of x, h and c."""
        context: _Context = self._pop()
        rows, unbatched = context.rows, context.unbatched
        dy = self._read(names[0], dh, rows, unbatched)
        dcn = self._read(names[1], dc, rows, unbatched)
        gradients = Gradients(self._packs.parameters(self))
        dx, dh0, dc0 = context.module.rnn_backward(
            context.saved,
            None if dy is None else dy[None],
            None,
            dcn,
            grads=CellWeights._make(gradients.arrays),
            overwrite=gradients.overwrite,
        )
        gradients.written()
        if unbatched:
            return dx[0, 0], dh0[0], None if dc0 is None else dc0[0]
        return dx[0], dh0, dc0


class _PlainCell(RecurrentCell):
    """A cell whose state is its output h."""

    def __call__(self, x: Any, h: Any = None) -> Array:
        """Advance by one step.

        Parameters
        ----------
        x : array_like
            ``[N, I]``, or ``[I]`` without a batch.
        h : array_like, optional
            State before the step, ``[N, H]`` or ``[H]``. Default: zeros.

        Returns
        -------
        array
            State after the step, ``[N, H]`` or ``[H]``; read-only in train mode.

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If something is not numeric.
        """
        return self._step(x, h, None, ("h", "c"))[0]

    def backward(self, dh: Any) -> tuple[Array, Array]:
        """Go back through the last step not yet gone back through.

        Parameters
        ----------
        dh : array_like or None
            Gradient of the state after the step, ``[N, H]`` or ``[H]``; None for zeros.

        Returns
        -------
        dx : array
            Gradient of `x`.
        dh : array
            Gradient of the state before the step.

        Raises
        ------
        RuntimeError
            In eval mode, or if there is no step left to go back through.
        """
        dx, dh_before, _ = self._step_back(dh, None, ("dh", "dc"))
        return dx, dh_before


class RNNCell(_PlainCell):
    """One step of an Elman network; see :class:`fastrnn.RNN`.

    Parameters
    ----------
    input_size, hidden_size, bias, nonlinearity, dtype, seed, init
        As for :class:`fastrnn.RNN`, with `bias` and `nonlinearity` also by position, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import RNNCell
    >>> cell = RNNCell(3, 4, seed=0).train()
    >>> h = np.zeros((2, 4), np.float32)
    >>> for x in np.ones((5, 2, 3), np.float32):
    ...     h = cell(x, h)
    >>> dh = np.ones_like(h)
    >>> for _ in range(5):
    ...     dx, dh = cell.backward(dh)
    >>> dx.shape, dh.shape, cell.weight_ih.grad.shape
    ((2, 3), (2, 4), (4, 3))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
    ) -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            f"rnn_{nonlinearity}", input_size, hidden_size, bias=bias, dtype=dtype, seed=seed, init=init
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {**super().config(), "nonlinearity": self.nonlinearity}


class GRUCell(_PlainCell):
    """One step of a gated recurrent unit; see :class:`fastrnn.GRU`.

    Parameters
    ----------
    input_size, hidden_size, bias, reset_after, dtype, seed, init
        As for :class:`fastrnn.GRU`, with `bias` also by position, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import GRUCell
    >>> cell = GRUCell(3, 4, seed=0)
    >>> h = cell(np.ones(3))                             # unbatched
    >>> h.shape
    (4,)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        reset_after: bool = True,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
    ) -> None:
        self.reset_after = check_bool("reset_after", reset_after)
        cell = "gru" if reset_after else "gru_reset_before"
        super().__init__(cell, input_size, hidden_size, bias=bias, dtype=dtype, seed=seed, init=init)

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {**super().config(), "reset_after": self.reset_after}


class LSTMCell(RecurrentCell):
    """One step of an LSTM; see :class:`fastrnn.LSTM`.

    Parameters
    ----------
    input_size, hidden_size, bias, forget_bias, dtype, seed, init
        As for :class:`fastrnn.LSTM`, with `bias` also by position, as in PyTorch.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import LSTMCell
    >>> cell = LSTMCell(3, 4, seed=0)
    >>> h, c = cell(np.ones((2, 3)))
    >>> h, c = cell(np.ones((2, 3)), (h, c))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        forget_bias: float = 1.0,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
    ) -> None:
        self.forget_bias = check_float("forget_bias", forget_bias)
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            bias=bias,
            dtype=dtype,
            seed=seed,
            init=init,
            forget_bias=self.forget_bias,
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {**super().config(), "forget_bias": self.forget_bias}

    def __call__(self, x: Any, state: Any = None) -> tuple[Array, Array]:
        """Advance by one step.

        Parameters
        ----------
        x : array_like
            ``[N, I]``, or ``[I]`` without a batch.
        state : (array_like, array_like), optional
            ``(h, c)`` before the step, each ``[N, H]`` or ``[H]``. Default: zeros.

        Returns
        -------
        h, c : array
            State after the step; h is read-only in train mode.

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If something is not numeric, or `state` no pair.
        """
        h, c = _pair("state", state)
        h_new, c_new = self._step(x, h, c, ("state[0] (h)", "state[1] (c)"))
        assert c_new is not None
        return h_new, c_new

    def backward(self, dstate: Any) -> tuple[Array, tuple[Array, Array]]:
        """Go back through the last step not yet gone back through.

        Parameters
        ----------
        dstate : (array_like or None, array_like or None)
            Gradients ``(dh, dc)`` of the state after the step; None for zeros.

        Returns
        -------
        dx : array
            Gradient of `x`.
        dstate : (array, array)
            Gradients ``(dh, dc)`` of the state before the step.

        Raises
        ------
        RuntimeError
            In eval mode, or if there is no step left to go back through.
        TypeError
            If `dstate` is no pair.
        """
        dh, dc = _pair("dstate", dstate)
        dx, dh_before, dc_before = self._step_back(dh, dc, ("dstate[0] (h)", "dstate[1] (c)"))
        assert dc_before is not None
        return dx, (dh_before, dc_before)


def _pair(name: str, state: Any) -> tuple[Any, Any]:
    if state is None:
        return None, None
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        raise TypeError(f"{name} of an LSTM must be a pair (h, c), got {type(state).__name__}")
    return state[0], state[1]
