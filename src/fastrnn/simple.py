"""SimpleRNN: the recurrent network of textbooks, column vectors and all, computed by the backend.

Shapes are those of the textbook: weights act on columns ``[size, B]`` (B is 1 in the plain case), so that
the arrays of the engine ``[B, size]`` are their transposes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn import backend, losses
from fastrnn._checks import check_choice, check_float, check_positive_int, check_shape
from fastrnn._columns import pad, read_batch, read_columns, read_single, read_targets
from fastrnn._types import Array, CellWeights
from fastrnn.clipping import clip_grad_norm
from fastrnn.errors import NonFiniteLossError
from fastrnn.layers.parameter import Parameter, as_array
from fastrnn.optim import Adam
from fastrnn.schedules import CosineSchedule

__all__ = ["SimpleRNN"]

_NAMES = ("Wxh", "Whh", "Why", "bh", "by")


class _Pass(NamedTuple):
    """What backward needs of a forward pass."""

    saved: Any
    backward: Callable[..., Any]
    weights: dict[str, Array]
    h: Array
    """Last hidden state, ``[B, H]``."""


class SimpleRNN:
    """One recurrent layer with tanh, and an output computed from the last hidden state.

    ::

        h_t = tanh(Wxh x_t + Whh h_{t-1} + bh),   h_0 = 0,   y = Why h_T + by

    The class that tutorials write in NumPy: same constructor, attributes, shapes and first numbers, only that
    the work is done by compiled code; and `backward`, `step` and `fit` beyond it. For more than one layer,
    LSTM or GRU cells, float32 and batches use :class:`fastrnn.RNN` and its kin.

    Parameters
    ----------
    input_size : int
        Size I of an input column.
    output_size : int
        Size O of the output column.
    hidden_size : int, default 64
        Size H of the hidden state.

    Attributes
    ----------
    Wxh, Whh, Why : array
        Weights ``[H, I]``, ``[H, H]`` and ``[O, H]``, float64. First 0.01 times standard normal numbers from
        NumPy's global generator, drawn in this order: ``numpy.random.seed`` decides about them. Assigning to
        an attribute takes effect, and so does writing into its array.
    bh, by : array
        Biases ``[H, 1]`` and ``[O, 1]``, first zero.
    dWxh, dWhh, dWhy, dbh, dby : array
        Gradients, there after `backward`.
    h : array or None
        Hidden state ``[H, B]`` of `step`, None for zeros.

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer of at least 1.

    References
    ----------
    J. Elman: Finding structure in time. Cognitive Science 14, 1990. P. Werbos: Backpropagation through time:
    what it does and how to do it. Proceedings of the IEEE 78, 1990.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import SimpleRNN
    >>> np.random.seed(0)
    >>> rnn = SimpleRNN(input_size=10, output_size=1)
    >>> inputs = [np.random.randn(10, 1) for _ in range(5)]
    >>> output = rnn.forward(inputs)
    >>> output.shape
    (1, 1)
    >>> gradients = rnn.backward(output - 3.0)     # of (output - 3)**2 / 2
    >>> rnn.by -= 0.5 * gradients["by"]
    >>> bool(abs(rnn.forward(inputs) - 3.0) < abs(output - 3.0))
    True
    """

    dWxh: Array
    dWhh: Array
    dWhy: Array
    dbh: Array
    dby: Array

    def __init__(self, input_size: int, output_size: int, hidden_size: int = 64) -> None:
        input_size = check_positive_int("input_size", input_size)
        output_size = check_positive_int("output_size", output_size)
        self.hidden_size = check_positive_int("hidden_size", hidden_size)
        # The global generator in the textbook's order is the point: both classes then hold the same numbers.
        self.Wxh: Any = np.random.randn(hidden_size, input_size) * 0.01  # noqa: NPY002
        self.Whh: Any = np.random.randn(hidden_size, hidden_size) * 0.01  # noqa: NPY002
        self.Why: Any = np.random.randn(output_size, hidden_size) * 0.01  # noqa: NPY002
        self.bh: Any = np.zeros((hidden_size, 1))
        self.by: Any = np.zeros((output_size, 1))
        self.h: Any = None
        self._last: _Pass | None = None

    def forward(self, inputs: Any) -> Array:
        """Compute the output after a sequence that begins with the hidden state zero.

        Parameters
        ----------
        inputs : iterable of array_like, or array
            Columns ``[I, 1]``, one a step (or ``[I, B]``, B sequences side by side; or plain vectors
            ``[I]``); an array ``[T, I]`` or ``[T, I, B]`` also.

        Returns
        -------
        array
            ``[O, 1]`` (or ``[O, B]``), float64. What `backward` needs is kept until the next call.

        Raises
        ------
        ValueError
            If the shapes of inputs and attributes do not fit together.
        TypeError
            If something is not numeric.
        """
        weights = self._weights()
        y, self._last = _run(weights, read_columns(inputs, weights["Wxh"].shape[1]), None, training=True)
        return np.ascontiguousarray(y.T)

    def backward(self, dy: Any) -> dict[str, Array]:
        """Backpropagate through time, through the last `forward`.

        Parameters
        ----------
        dy : array_like
            Gradient of the output, in its shape.

        Returns
        -------
        dict of str to array
            Gradients of ``"Wxh"``, ``"Whh"``, ``"Why"``, ``"bh"``, ``"by"`` in the shapes of these, also kept
            as the attributes dWxh, dWhh, dWhy, dbh and dby; and of ``"inputs"``, ``[T, I, B]``.

        Raises
        ------
        RuntimeError
            If there was no `forward` since the last backward.
        ValueError
            If `dy` does not have the shape of the output.
        """
        last = self._last
        if last is None:
            raise RuntimeError("backward needs a forward: each call uses up what the last forward has kept")
        shape = (last.weights["Why"].shape[0], last.h.shape[0])
        gradient = check_shape("dy", as_array(dy, "dy").astype(np.float64), shape)
        self._last = None
        gradients, dx = _gradients(last, np.ascontiguousarray(gradient.T), need_dx=True)
        for name, array in gradients.items():
            setattr(self, "d" + name, array)
        assert dx is not None
        return {**gradients, "inputs": np.ascontiguousarray(dx.transpose(0, 2, 1))}

    def step(self, x: Any) -> Array:
        """Advance the hidden state `h` by one input, and compute the output there.

        Parameters
        ----------
        x : array_like
            Column ``[I, 1]``, or ``[I, B]``, or ``[I]``.

        Returns
        -------
        array
            ``[O, 1]`` or ``[O, B]``: what `forward` would give for all inputs since the last `reset`.

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If something is not numeric.
        """
        weights = self._weights()
        column = read_columns([x], weights["Wxh"].shape[1])
        h0 = None
        if self.h is not None:
            h = as_array(self.h, "h").astype(np.float64)
            h0 = np.ascontiguousarray(check_shape("h", h, (self.hidden_size, column.shape[1])).T)
        y, last = _run(weights, column, None, training=False, h0=h0)
        self.h = np.ascontiguousarray(last.h.T)
        return np.ascontiguousarray(y.T)

    def reset(self) -> None:
        """Set the hidden state of `step` to zero."""
        self.h = None

    def predict(self, sequences: Sequence[Any]) -> Array:
        """Compute the outputs of many sequences at once.

        Parameters
        ----------
        sequences : sequence of sequences
            Each as for `forward` with B = 1, of any length; an array ``[N, T, I]`` also.

        Returns
        -------
        array
            ``[N, O]``.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        weights = self._weights()
        return _run(weights, *read_batch(sequences, weights["Wxh"].shape[1]), training=False)[0]

    def fit(
        self,
        sequences: Sequence[Any],
        targets: Any,
        epochs: int = 100,
        lr: float = 0.01,
        *,
        batch_size: int = 32,
        loss: str = "mse",
        clip: float = 1.0,
        seed: int | np.random.Generator | None = None,
        callback: Callable[[int, float], object] | None = None,
    ) -> list[float]:
        """Learn to map sequences to targets, with Adam [1]_ on gradients of limited norm [2]_.

        Parameters
        ----------
        sequences : sequence of sequences
            As for `predict`; N of them.
        targets : array_like
            ``[N, O]`` (or ``[N]`` if O is 1) for ``loss="mse"``; class numbers ``[N]`` for
            ``"cross_entropy"``.
        epochs : int, default 100
            Passes over all sequences.
        lr : float, default 0.01
            Learning rate at the start; it falls to zero on half a cosine [3]_.
        batch_size : int, default 32
            Sequences per step.
        loss : {"mse", "cross_entropy"}, default "mse"
            Mean squared error, or cross-entropy of the softmax of the output.
        clip : float, default 1.0
            Largest norm of the gradient; ``math.inf`` for no limit.
        seed : int or numpy.random.Generator, optional
            For the order of the sequences. Default: fresh randomness.
        callback : callable, optional
            Called as ``callback(epoch, loss)`` after each epoch, counted from 1.

        Returns
        -------
        list of float
            Mean loss of each epoch.

        Raises
        ------
        ValueError
            If shapes or numbers do not fit together.
        fastrnn.errors.NonFiniteLossError
            If the loss becomes infinite or NaN, so that going on has no use.

        References
        ----------
        .. [1] D. Kingma, J. Ba: Adam: a method for stochastic optimization. ICLR 2015.
        .. [2] R. Pascanu, T. Mikolov, Y. Bengio: On the difficulty of training recurrent neural networks.
           ICML 2013.
        .. [3] I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017.
        """
        epochs, batch_size = (
            check_positive_int("epochs", epochs),
            check_positive_int("batch_size", batch_size),
        )
        check_choice("loss", loss, ("mse", "cross_entropy"))
        check_float("clip", clip, low=0.0, open_low=True) if clip != math.inf else None
        parameters = {name: Parameter(array) for name, array in self._weights().items()}
        input_size, output_size = parameters["Wxh"].shape[1], parameters["Why"].shape[0]
        arrays = [read_single(f"sequences[{i}]", s, input_size) for i, s in enumerate(sequences)]
        if not arrays:
            raise ValueError("sequences must hold at least one sequence, got none")
        goals = read_targets(targets, loss, len(arrays), output_size)
        compute_loss = losses.mse if loss == "mse" else losses.cross_entropy
        optimizer = Adam(parameters.values(), lr=lr)
        schedule = CosineSchedule(optimizer, epochs * -(-len(arrays) // batch_size))
        rng = np.random.default_rng(seed)
        history = []
        for epoch in range(1, epochs + 1):
            total = 0.0
            order = rng.permutation(len(arrays))
            for rows in np.split(order, range(batch_size, len(order), batch_size)):
                weights = {name: p.value for name, p in parameters.items()}
                y, last = _run(weights, *pad([arrays[i] for i in rows], input_size), training=True)
                value, dy = compute_loss(y, goals[rows])
                if not math.isfinite(value):
                    raise NonFiniteLossError(
                        f"loss became {value} in epoch {epoch}: try a smaller lr than {lr:g}"
                    )
                for name, gradient in _gradients(last, dy, need_dx=False)[0].items():
                    parameters[name].grad = gradient
                clip_grad_norm(parameters.values(), clip)
                optimizer.step()
                schedule.step()
                total += value * len(rows)
            for name, p in parameters.items():
                setattr(self, name, p.value.copy())
            history.append(total / len(arrays))
            if callback is not None:
                callback(epoch, history[-1])
        return history

    def _weights(self) -> dict[str, Array]:
        """Return the attributes as float64 arrays that fit together."""
        weights = {name: as_array(getattr(self, name), name).astype(np.float64) for name in _NAMES}
        H = self.hidden_size
        check_shape("Wxh", weights["Wxh"], (H, "I"))
        check_shape("Whh", weights["Whh"], (H, H))
        check_shape("Why", weights["Why"], ("O", H))
        check_shape("bh", weights["bh"], (H, 1))
        check_shape("by", weights["by"], (weights["Why"].shape[0], 1))
        return {name: np.ascontiguousarray(array) for name, array in weights.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # belongs to a running step, not to a copy


def _run(
    weights: dict[str, Array], x: Array, lengths: Array | None, *, training: bool, h0: Array | None = None
) -> tuple[Array, _Pass]:
    """Run over x [T, B, I]: outputs [B, O]."""
    engine = backend.active()
    cell = CellWeights(weights["Wxh"], weights["Whh"], weights["bh"][:, 0])
    packed = engine.pack_weights("rnn_tanh", cell, training)
    _, h, _, saved = engine.rnn_forward(packed, x, h0, lengths=lengths, training=training)
    y: Array = h @ weights["Why"].T + weights["by"][:, 0]
    return y, _Pass(saved, engine.rnn_backward, weights, h)


def _gradients(last: _Pass, dy: Array, *, need_dx: bool) -> tuple[dict[str, Array], Array | None]:
    """Gradients by name and that of x [T, B, I], from dy [B, O]."""
    weights = last.weights
    dbh = np.empty(weights["bh"].shape[0])
    grads = CellWeights(np.empty_like(weights["Wxh"]), np.empty_like(weights["Whh"]), dbh)
    dx, _, _ = last.backward(
        last.saved, None, dy @ weights["Why"], None, grads=grads, need_dx=need_dx, overwrite=True
    )
    gradients = (
        grads.weight_ih,
        grads.weight_hh,
        dy.T @ last.h,
        dbh[:, None],
        dy.sum(axis=0)[:, None],
    )
    return dict(zip(_NAMES, gradients, strict=True)), dx
