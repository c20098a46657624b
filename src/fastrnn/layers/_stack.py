"""What RNN, LSTM and GRU share: a stack of layers in one or two directions over any form of sequence.

A. All numbers are made by the backend, one call per layer and direction. This file decides what goes in:
   weights (packed and cached), masks, and slices of arrays that both directions write into.
B. ``backward`` mirrors ``__call__``: layers and directions from the last to the first, the same numbered
   steps undone.
C. State s of a stack is that of layer ``s // D`` and direction ``s % D``, as in PyTorch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastrnn import backend
from fastrnn._checks import (
    check_bool,
    check_choice,
    check_int,
    check_positive_int,
    check_probability,
)
from fastrnn._types import CELL_COUNTS, Array, CellWeights
from fastrnn.layers._regularisation import Regularisation, dropout_mask
from fastrnn.layers._sequence import SequenceInput, read_sequence
from fastrnn.layers._state import State, StateLayout
from fastrnn.layers._weights import INITS, cell_names, initial_weights
from fastrnn.layers.base import Layer, PackCache, Parameter, float_dtype
from fastrnn.layers.parameter import Gradients, worth_borrowing

if TYPE_CHECKING:
    from fastrnn.streaming import Stream

__all__ = ["RecurrentStack"]


@dataclass(slots=True)
class _Pass:
    """What one layer and direction leave for backward."""

    saved: Any
    weight_mask: Array | None


@dataclass(slots=True)
class _Context:
    source: SequenceInput
    module: ModuleType
    """The backend that made ``passes``: backward must be its own even if another one is active by then."""
    passes: list[_Pass]
    masks: list[Array]
    """Dropout masks between layers, ``[T, N, D * P]``; empty without dropout."""


class RecurrentStack(Layer):
    """Base class of :class:`~fastrnn.RNN`, :class:`~fastrnn.LSTM` and :class:`~fastrnn.GRU`."""

    recurrent: ClassVar[bool] = True
    uses_lengths: ClassVar[bool] = True
    _can_quantize: ClassVar[bool] = True

    num_directions: int
    """D, 2 if bidirectional, else 1."""
    state_size: int
    """P, the width of ``h``: ``proj_size`` if there is a projection, else ``hidden_size``."""
    output_size: int
    """Width of ``y``, ``num_directions * state_size``."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        dtype: Any,
        seed: int | np.random.Generator | None,
        init: str,
        regularisation: Regularisation,
        checkpoint_every: int | None,
        proj_size: int = 0,
        forget_bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.input_size = check_positive_int("input_size", input_size)
        self.hidden_size = check_positive_int("hidden_size", hidden_size)
        self.num_layers = check_positive_int("num_layers", num_layers)
        self.bias = check_bool("bias", bias)
        self.batch_first = check_bool("batch_first", batch_first)
        self.dropout = check_probability("dropout", dropout, allow_one=False)
        self.bidirectional = check_bool("bidirectional", bidirectional)
        self.proj_size = check_int("proj_size", proj_size, 0, self.hidden_size - 1)
        self.regularisation = regularisation
        self.checkpoint_every = (
            None if checkpoint_every is None else check_positive_int("checkpoint_every", checkpoint_every)
        )
        self.dtype = float_dtype(dtype)
        self.seed = None if isinstance(seed, np.random.Generator) else seed
        self.init = check_choice("init", init, INITS)
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                "dropout acts between layers: with num_layers=1 it has no effect", UserWarning, stacklevel=3
            )
        self._rng = np.random.default_rng(seed)
        self.num_directions = 1 + self.bidirectional
        self.state_size = self.proj_size or self.hidden_size
        self.output_size = self.num_directions * self.state_size
        c_size = self.hidden_size if CELL_COUNTS[cell].has_c else 0
        self._layout = StateLayout(self.num_layers * self.num_directions, self.state_size, c_size, self.dtype)
        one = self.num_layers == 1 and not self.bidirectional
        quiet = regularisation.is_off and not regularisation.weight_dropout
        self._plain = one and not self.batch_first and quiet
        self._packs: list[PackCache] = []
        self._sizes: list[int] = []  # of the weights of each state
        for k in range(self.num_layers):
            for reverse in range(self.num_directions):
                names = cell_names(cell, f"_l{k}" + "_reverse" * reverse, self.bias, self.proj_size > 0)
                weights = initial_weights(
                    self._rng,
                    cell,
                    self.output_size if k else self.input_size,
                    self.hidden_size,
                    bias=self.bias,
                    proj_size=self.proj_size,
                    init=init,
                    forget_bias=forget_bias,
                )
                for name, array in zip(names, weights, strict=True):
                    if name is not None:
                        setattr(self, name, Parameter(array, self.dtype))
                self._packs.append(PackCache(names))
                self._sizes.append(weights.weight_ih.size + weights.weight_hh.size)

    # Computing

    def __call__(
        self, x: Any, state: State = None, lengths: Any = None, resets: Any = None
    ) -> tuple[Any, State]:
        """Run over whole sequences.

        Parameters
        ----------
        x : array_like or list of array_like
            ``[T, N, I]``, or ``[N, T, I]`` with `batch_first`; ``[T, I]`` without a batch; or a list of N
            arrays ``[t, I]`` of different lengths. Cast to the layer's dtype. In train mode a copy is kept
            for `backward`, unless `x` is read-only.
        state : array or (array, array), optional
            ``h [num_layers * D, N, P]``, for LSTM ``(h, c)``; without the axis N if `x` is unbatched.
            D is the number of directions. Default: zeros.
        lengths : array_like of int, optional
            ``[N]``, steps of each row, 0 to T in any order. Outputs past a length are zero and the final
            state is the one at the length; the reverse direction starts at each row's own last step.
        resets : array_like of bool, optional
            ``[T, N]`` (``[N, T]`` with `batch_first`, ``[T]`` unbatched, a list of arrays ``[t]`` for a
            list): true where a new episode or document begins. The state does not cross that border in either
            direction: the forward direction sets it to zero before step t, the reverse direction before step
            t - 1. So each part of a row gives the outputs that it would give on its own.

        Returns
        -------
        y : array or list of array
            ``[T, N, D * P]`` in the form of `x`; read-only in train mode.
        state : array or (array, array)
            Final state, in the form of the initial one.

        Raises
        ------
        ValueError
            If a shape or a length does not fit.
        TypeError
            If something is not numeric, lengths are not integers or resets not boolean.
        """
        if self._plain and resets is None:
            done = self._run_plain(x, state, lengths)
            if done is not None:
                return done
        training = self.training
        source = read_sequence(
            x,
            self.input_size,
            self.dtype,
            batch_first=self.batch_first,
            lengths=lengths,
            resets=resets,
            own=training,
        )
        T, N = source.x.shape[:2]
        P, D, unbatched = self.state_size, self.num_directions, source.unbatched
        h0, c0 = self._layout.read("state", state, N, unbatched, own=training)
        hn, cn = [], []
        resets_of = (source.resets, source.reverse_resets() if D == 2 else None)
        module = backend.active()
        passes, masks, quiet = [], [], self.regularisation.is_off
        y, embedding = source.x, source.table
        for k in range(self.num_layers):
            # (1) dropout between layers
            inputs = y
            if training and k and self.dropout:
                masks.append(dropout_mask(self._rng, y.shape, self.dropout, self.dtype))
                inputs = y * masks[-1]
            # (2) both directions, side by side in one output
            batch_major = source.batch_major and k == self.num_layers - 1
            out = source.allocate(D * P, batch_major) if D == 2 or batch_major else None
            for d in range(D):
                s = k * D + d
                packed, weight_mask = self._packed(s, training, T, N)
                y, h, c, saved = module.rnn_forward(
                    packed,
                    inputs,
                    None if h0 is None else h0[s],
                    None if c0 is None else c0[s],
                    lengths=source.lengths,
                    resets=resets_of[d],
                    reverse=d == 1,
                    out=out if out is None or D == 1 else out[:, :, d * P : (d + 1) * P],
                    training=training,
                    checkpoint_every=self.checkpoint_every,
                    embedding=embedding,
                    **({} if quiet else self._noise(T, N, self.output_size if k else self.input_size)),
                )
                hn.append(h)
                cn.append(c)
                if training:
                    passes.append(_Pass(saved, weight_mask))
            embedding = None
            if out is not None:
                y = out
            if training:
                y.flags.writeable = False
        if training:
            self._push(_Context(source, module, passes, masks))
        return source.restore(y), self._layout.give(hn, cn, unbatched)

    def _run_plain(self, x: Any, state: State, lengths: Any) -> tuple[Array, State] | None:
        """Run one layer in one direction on arrays that need no conversion, else return None.

        A step of one row takes a microsecond, and the questions of the general way take several.
        """
        module, training, few = backend.active(), self.training, False
        if training:
            if type(x) is not np.ndarray or x.ndim != 3:
                return None
            few = worth_borrowing(x.shape[0], x.shape[1], self._sizes[0])
        packed = self._packs[0].get(module, self, training, few)
        done = module.layer_forward(packed, x, state, lengths, training, self.checkpoint_every)
        if done is None:
            return None
        y, final, saved = done
        if training:
            self._push((module, saved, x.shape))
        return y, final

    def _noise(self, steps: int, rows: int, input_size: int) -> dict[str, Array]:
        return self.regularisation.arguments(
            self._rng if self.training else None,
            self.dtype,
            steps=steps,
            rows=rows,
            input_size=input_size,
            output_size=self.state_size,
            hidden_size=self.hidden_size,
        )

    def backward(self, dy: Any, dstate: State = None, *, need_dx: bool = True) -> tuple[Any, State]:
        """Backpropagate through time, through the last forward pass not yet gone back through.

        Parameters
        ----------
        dy : array_like, list of array_like or None
            Gradient of `y`, in its form; None for zeros. Entries past a length are ignored.
        dstate : array or (array, array), optional
            Gradient of the final state, in its form; either part of a pair may be None. Default: zeros.
        need_dx : bool, default True
            False saves the product for the gradient of `x` when `x` is data.

        Returns
        -------
        dx : array, list of array or None
            Gradient of `x`, in its form, zero past a length; None if not needed.
        dstate : array or (array, array)
            Gradient of the initial state.

        Raises
        ------
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        ValueError
            If a shape does not fit.
        """
        context: _Context | tuple[ModuleType, Any, tuple[int, ...]] = self._pop()
        if type(context) is tuple:
            module, saved, shape = context
            gradients = Gradients(self._packs[0].parameters(self))
            done: tuple[Any, State] | None = module.layer_backward(
                saved, dy, dstate, gradients.arrays, need_dx, gradients.overwrite
            )
            if done is not None:
                gradients.written()
                return done
            x = np.broadcast_to(np.zeros((), self.dtype), shape)  # only its shape is asked for
            context = _Context(SequenceInput("time_major", x, None, None), module, [_Pass(saved, None)], [])
        assert isinstance(context, _Context)
        source = context.source
        N, P, D = source.x.shape[1], self.state_size, self.num_directions
        gradient = None if dy is None else source.read_gradient(dy, D * P)
        dhn, dcn = self._layout.read("dstate", dstate, N, source.unbatched)
        dh0: list[Any] = [None] * (self.num_layers * D)
        dc0 = dh0.copy()
        for k in reversed(range(self.num_layers)):
            # (2) both directions
            dx: Array | None = None
            for d in reversed(range(D)):
                s = k * D + d
                part, dh0[s], dc0[s] = self._backward_one(
                    s,
                    context.passes.pop(),
                    context.module.rnn_backward,
                    gradient if gradient is None or D == 1 else gradient[:, :, d * P : (d + 1) * P],
                    None if dhn is None else dhn[s],
                    None if dcn is None else dcn[s],
                    need_dx=need_dx or k > 0,
                    out=source.own_x if s == 0 and need_dx else None,
                )
                dx = part if dx is None else np.add(dx, part, out=dx)
            # (1) dropout between layers
            if k and context.masks:
                assert dx is not None
                dx *= context.masks.pop()
            gradient = dx
        if source.embedded is not None and gradient is not None:
            source.embedded.add_gradient(gradient)
            gradient = None
        dx = None if gradient is None or not need_dx else source.restore(gradient)
        return dx, self._layout.give(dh0, dc0, source.unbatched)

    def stream(self, batch_size: int = 1) -> Stream:
        """Make a stream: stateful inference, one step at a time.

        Parameters
        ----------
        batch_size : int, default 1
            Rows that step together.

        Returns
        -------
        fastrnn.streaming.Stream
            It holds a snapshot of the weights as they are now (later changes do not reach it) and its own
            state, which is zero at first. Any number of streams may come from one layer.

        Raises
        ------
        ValueError
            If the layer is bidirectional: the reverse direction would need the future.
        """
        from fastrnn.streaming import Stream  # which reads and gives states in this package's forms

        if self.bidirectional:
            raise ValueError(
                "a bidirectional layer cannot stream: its reverse direction needs the whole sequence; "
                "use bidirectional=False"
            )
        check_positive_int("batch_size", batch_size)
        packed = [self._packed(s, False)[0] for s in range(self.num_layers)]
        zoneout = [(self.regularisation.zoneout_h, self.regularisation.zoneout_c)] * self.num_layers
        return Stream(
            backend.active().StepStream(packed, batch_size, zoneout),
            batch_size,
            self.input_size,
            self._layout,
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments that all recurrent layers share, in types that JSON has."""
        return {
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "bidirectional": self.bidirectional,
            "dtype": self.dtype.name,
            "seed": self.seed,
            "init": self.init,
            "input_dropout": self.regularisation.input_dropout,
            "recurrent_dropout": self.regularisation.recurrent_dropout,
            "zoneout": self.regularisation.zoneout_h,
            "weight_dropout": self.regularisation.weight_dropout,
            "checkpoint_every": self.checkpoint_every,
            **self._quantized_config(),
        }

    # Weights

    def _packed(self, s: int, training: bool, T: int = 0, N: int = 0) -> tuple[Any, Array | None]:
        """Return the packed weights of state s, for T steps of N rows, and the mask on its ``weight_hh``."""
        p = self.regularisation.weight_dropout
        if training and p:
            # Other weights in every call: nothing to cache.
            values = [None if w is None else w.value for w in self._packs[s].parameters(self)]
            weights = CellWeights._make(values)
            mask = dropout_mask(self._rng, weights.weight_hh.shape, p, self.dtype)
            masked = weights._replace(weight_hh=weights.weight_hh * mask)
            return self._pack(backend.active(), masked, True, False), mask
        few = training and worth_borrowing(T, N, self._sizes[s])
        return self._packs[s].get(backend.active(), self, training, few), None

    def _pack(self, engine: ModuleType, weights: Sequence[Array | None], training: bool, borrow: bool) -> Any:
        return engine.pack_weights(self.cell, weights, training, self.quantized, borrow)

    def _backward_one(
        self, s: int, done: _Pass, run: Callable[..., Any], *args: Any, need_dx: bool, out: Array | None
    ) -> Any:
        """Call the backend's backward for state s with the arrays that gradients are added to."""
        parameters = self._packs[s].parameters(self)
        if done.weight_mask is None:
            gradients = Gradients(parameters)
            grads = CellWeights._make(gradients.arrays)
            result = run(
                done.saved, *args, grads=grads, need_dx=need_dx, overwrite=gradients.overwrite, out=out
            )
            gradients.written()
            return result
        grads = CellWeights._make([None if p is None else p.grad for p in parameters])
        masked = grads._replace(weight_hh=np.zeros_like(grads.weight_hh))
        result = run(done.saved, *args, grads=masked, need_dx=need_dx, out=out)
        grads.weight_hh[...] += masked.weight_hh * done.weight_mask
        return result
