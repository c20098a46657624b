"""Running a recurrent network over several series at once, with their states kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._types import Array
from fastrnn.data.batching import pad_sequences
from fastrnn.layers.sequential import Sequential

__all__ = ["join_states", "run", "state_from_json", "state_to_json", "step_states", "take_state"]

_AT_ONCE = 2**22  # numbers of an input, padding included

State = Any
"""A tuple with the entry of each recurrent layer: ``[L, N, H]``, or a tuple of two for an LSTM."""


def take_state(state: State, rows: Any) -> State:
    """State of some rows."""
    if isinstance(state, tuple):
        return tuple(take_state(part, rows) for part in state)
    return state[:, rows]


def join_states(states: Sequence[State]) -> State:
    """States one after the other along the rows."""
    if isinstance(states[0], tuple):
        return tuple(join_states(parts) for parts in zip(*states, strict=True))
    return np.concatenate(states, axis=1)


def run(
    model: Sequential, inputs: Sequence[Array], state: State | None, *, answers: bool = True
) -> tuple[list[Array], State]:
    """Read the inputs of each series, ``[T_i, F]``, from its state on.

    Returns
    -------
    outputs : list of arrays, [T_i, O]
        Empty ones unless `answers`.
    state : tuple
        After the last step of each.
    """
    outputs: list[Any] = [None] * len(inputs)
    states: list[Any] = [None] * len(inputs)
    lengths = np.array([len(x) for x in inputs])
    width = inputs[0].shape[1]
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        # Series of similar length side by side, as many as fit.
        stop = first + 1
        while stop < len(order) and (stop + 1 - first) * lengths[order[stop]] * width <= _AT_ONCE:
            stop += 1
        rows = order[first:stop]
        given = None if state is None else take_state(state, rows)
        found, after = _run_padded(model, [inputs[i] for i in rows], given, answers)
        for place, i in enumerate(rows):
            outputs[i], states[i] = found[place], take_state(after, [place])
        first = stop
    return outputs, join_states(states)


def _run_padded(
    model: Sequential, inputs: list[Array], state: State | None, answers: bool
) -> tuple[list[Array], State]:
    x, lengths = pad_sequences(inputs)
    pieces: list[Array] = []
    size = max(1, _AT_ONCE // max(1, x[0].size)) if len(x) else 1
    for start in range(0, max(len(x), 1), size):
        piece = x[start : start + size]
        inside = np.clip(lengths - start, 0, len(piece))
        y, state = model(piece, state, lengths=None if (inside == len(piece)).all() else inside)
        if answers:
            pieces.append(y)
    if not answers:
        return [np.empty((0, 0), x.dtype)] * len(inputs), state
    y = np.concatenate(pieces) if len(pieces) != 1 else pieces[0]
    return [y[:length, i] for i, length in enumerate(lengths)], state


def step_states(model: Sequential, inputs: Array, state: State | None, wanted: NDArray[np.bool_]) -> State:
    """States of one series before each of the wanted steps of its inputs ``[T, F]``, as rows."""
    found = []
    for t, x in enumerate(inputs):
        if state is None:
            _, zero = model(x[None, None] * 0, None, lengths=[0])
            state = zero
        if wanted[t]:
            found.append(state)
        _, state = model(x[None, None], state)
    return join_states(found)


def state_to_json(state: State) -> Any:
    """Nested lists; float32 survives them exactly."""
    if isinstance(state, tuple):
        return {"parts": [state_to_json(part) for part in state]}
    return state.tolist()


def state_from_json(content: Any) -> State:
    """What `state_to_json` gave."""
    if isinstance(content, dict):
        return tuple(state_from_json(part) for part in content["parts"])
    return np.asarray(content, np.float32)
