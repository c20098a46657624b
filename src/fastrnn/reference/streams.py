"""Stateful inference, one step at a time: StepStream on vectors, TokenStream on tokens with sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._types import Array
from fastrnn.reference.embedding import embedding_forward
from fastrnn.reference.linear import linear_forward
from fastrnn.reference.sequence import rnn_forward
from fastrnn.reference.weights import Packed, PackedLinear

__all__ = ["StepStream", "TokenStream"]

State = list[tuple[Array, Array | None]]


def _copied(state: State) -> State:
    return [(h.copy(), None if c is None else c.copy()) for h, c in state]


class StepStream:
    """A stack of recurrent layers that keeps its own state between steps."""

    def __init__(
        self, packed: list[Packed], batch_size: int, zoneout: list[tuple[float, float]] | None = None
    ) -> None:
        self._packed = list(packed)
        self._zoneout = [(0.0, 0.0)] * len(packed) if zoneout is None else list(zoneout)
        self._batch_size = batch_size
        self._state: State = []
        for p in self._packed:
            h = np.zeros((batch_size, p.proj_size or p.hidden_size), p.dtype)
            c = np.zeros((batch_size, p.hidden_size), p.dtype) if p.counts.has_c else None
            self._state.append((h, c))
        self._y = np.zeros_like(self._state[-1][0])

    def step(self, x: Array) -> Array:
        """Advance by x [N, I] and return y [N, P], a buffer that the next step overwrites."""
        y = x[None]
        for i, packed in enumerate(self._packed):
            (h, c), (k_h, k_c) = self._state[i], self._zoneout[i]
            y, h, c, _ = rnn_forward(packed, y, h, c, zoneout_h=k_h or None, zoneout_c=k_c or None)
            self._state[i] = (h, c)
        self._y[...] = y[0]
        return self._y

    def get_state(self) -> State:
        """Return copies of (h [N, P], c [N, H] or None), one pair a layer."""
        return _copied(self._state)

    def set_state(self, state: State) -> None:
        """Continue from copies of what `get_state` gave."""
        for (h, c), (new_h, new_c) in zip(self._state, state, strict=True):
            h[...] = new_h
            if c is not None:
                c[...] = new_c

    def reset(self, rows: Array | None = None) -> None:
        """Set the state of these rows, or of all, to zero."""
        for h, c in self._state:
            h[slice(None) if rows is None else rows] = 0
            if c is not None:
                c[slice(None) if rows is None else rows] = 0

    def fork(self) -> StepStream:
        """Build an independent stream that starts from the same state."""
        twin = StepStream(self._packed, self._batch_size, self._zoneout)
        twin.set_state(self._state)
        return twin


class TokenStream:
    """Embedding, recurrent stack, output layer, softmax and sampling, for one row."""

    def __init__(self, embedding: Array, packed: list[Packed], out: PackedLinear) -> None:
        self._embedding = np.array(embedding)
        self._out = out
        self._stack = StepStream(packed, 1)

    def feed(self, tokens: Array) -> None:
        """Advance the state through tokens [n]."""
        for vector in embedding_forward(self._embedding, np.asarray(tokens)):
            self._stack.step(vector[None])

    @property
    def logits(self) -> Array:
        """Logits [V] of the next token."""
        h = self._stack.get_state()[-1][0]
        y: Array = linear_forward(self._out, h)[0]
        return y

    def sample(self, uniforms: Array, temperature: float, top_k: int, top_p: float) -> Array:
        """Draw a token with each number in [0, 1), feed it, and return them all [n]."""
        tokens = np.empty(len(uniforms), np.int64)
        for i, u in enumerate(uniforms):
            tokens[i] = _draw(self.logits, float(u), temperature, top_k, top_p)
            self.feed(tokens[i : i + 1])
        return tokens

    def get_state(self) -> State:
        """Return copies of the recurrent state, one pair a layer."""
        return self._stack.get_state()

    def set_state(self, state: State) -> None:
        """Continue from copies of what `get_state` gave."""
        self._stack.set_state(state)

    def fork(self) -> TokenStream:
        """Build an independent stream that starts from the same state."""
        twin = object.__new__(TokenStream)
        twin._embedding, twin._out, twin._stack = self._embedding, self._out, self._stack.fork()
        return twin


def _draw(logits: Array, u: float, temperature: float, top_k: int, top_p: float) -> int:
    """Inverse-transform sampling of softmax(logits / temperature), truncated to top_k and top_p.

    top_p is the nucleus of A. Holtzman et al., "The curious case of neural text degeneration", ICLR 2020.
    """
    if temperature == 0:
        return int(np.argmax(logits))
    scores = logits.astype(np.float64)
    p: Any = np.exp((scores - scores.max()) / temperature)
    p /= p.sum()
    order = np.arange(p.size)
    if top_k or top_p < 1:
        order = np.argsort(-p, kind="stable")[: top_k or None]
        p = p[order] / p[order].sum()
        if top_p < 1:
            kept = int(np.searchsorted(np.cumsum(p), top_p)) + 1
            order, p = order[:kept], p[:kept] / p[:kept].sum()
    # Rounding may leave the last cumulative sum just below u.
    last = int(np.flatnonzero(p)[-1])
    return int(order[min(int(np.searchsorted(np.cumsum(p), u, side="right")), last)])
