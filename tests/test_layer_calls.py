"""Calls of a lone layer that need no conversion, against the same calls that do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_cases import native
from recurrent_layers import CELL_LAYER_IDS, CELL_LAYERS, leaves, like

import fastrnn
from fastrnn._types import CELL_COUNTS

T, N, INPUT, HIDDEN = 4, 3, 5, 6


def make(name: str, options: dict[str, Any], seed: int = 0) -> Any:
    return getattr(fastrnn, name)(INPUT, HIDDEN, seed=seed, **options)


def converted(value: Any) -> Any:
    """The same numbers in another form: a list for a pair, arrays of another dtype."""
    if isinstance(value, tuple):
        return [converted(part) for part in value]
    return None if value is None else value.astype(np.float64)


def problem(layer: Any) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, N, INPUT), np.float32)
    y, state = layer(x)
    return x, like(state, rng), like(y, rng), like(state, rng)


def called(layer: Any, x: Any, state: Any, dy: Any, dstate: Any) -> list[np.ndarray]:
    layer.zero_grad()
    results = [layer.eval()(x, state), layer.train()(x, state), layer.backward(dy, dstate)]
    return leaves([*results, *(p.grad.copy() for p in layer.parameters())])


def same_bits(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert [array.shape for array in a] == [array.shape for array in b]
    assert all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "options"), CELL_LAYERS, ids=CELL_LAYER_IDS)
@pytest.mark.parametrize("given", ["x", "state", "dy", "dstate"])
def test_converting_one_argument_changes_nothing(name: str, options: dict[str, Any], given: str) -> None:
    layer = make(name, options)
    arguments = dict(zip(("x", "state", "dy", "dstate"), problem(layer), strict=True))
    plain = called(layer, **arguments)
    same_bits(called(layer, **{**arguments, given: converted(arguments[given])}), plain)


@pytest.mark.parametrize(("name", "options"), CELL_LAYERS, ids=CELL_LAYER_IDS)
@pytest.mark.parametrize("lengths", [[4, 0, 2], [0, 0, 0], [1, 4, 4]], ids=str)
@pytest.mark.parametrize("read_only", [False, True], ids=["x to be copied", "x as it is"])
def test_lengths(name: str, options: dict[str, Any], lengths: list[int], read_only: bool) -> None:
    layer = make(name, options)
    x, state, dy, dstate = problem(layer)
    x[np.arange(T)[:, None] >= lengths] = np.nan
    given = x.copy()
    x.flags.writeable = not read_only
    rows = np.array(lengths)

    def called_with(value: Any) -> list[np.ndarray]:
        layer.zero_grad()
        results = [layer.eval()(x, state, value), layer.train()(x, state, value)]
        rows.fill(T)
        results.append(layer.backward(dy, dstate))
        rows[...] = lengths
        return leaves([*results, *(p.grad.copy() for p in layer.parameters())])

    same_bits(called_with(rows), called_with(list(lengths)))
    same_bits([x], [given])


@pytest.mark.parametrize("lengths", [[4, 5, 1], [-1, 0, 0], [4, 4], [[4, 4, 4]], 4])
def test_lengths_that_do_not_fit(lengths: Any) -> None:
    layer = make("GRU", {})
    with pytest.raises(ValueError, match="lengths must"):
        layer(np.zeros((T, N, INPUT), np.float32), lengths=np.array(lengths))


@pytest.mark.parametrize("noise", ["input_dropout", "recurrent_dropout", "zoneout", "weight_dropout"])
def test_noise_is_not_forgotten(noise: str) -> None:
    options = {noise: 0.5}
    x, state, dy, dstate = problem(make("LSTM", {}))
    noisy = called(make("LSTM", options), x, state, dy, dstate)
    same_bits(called(make("LSTM", options), converted(x), state, dy, dstate), noisy)
    quiet = called(make("LSTM", {}), x, state, dy, dstate)
    in_training = 3  # after y, h and c of the call in eval mode
    assert not np.array_equal(noisy[in_training], quiet[in_training])


@pytest.mark.parametrize(("name", "options"), CELL_LAYERS, ids=CELL_LAYER_IDS)
def test_without_a_state(name: str, options: dict[str, Any]) -> None:
    layer = make(name, options)
    x, state, dy, _ = problem(layer)
    zeros = tuple(map(np.zeros_like, state)) if isinstance(state, tuple) else np.zeros_like(state)
    same_bits(called(layer, x, None, dy, None), called(layer, x, zeros, dy, zeros))


@pytest.mark.parametrize("name", ["RNN", "LSTM"])
def test_arrays_of_any_strides(name: str) -> None:
    layer = make(name, {})
    plain = problem(layer)

    def apart(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(apart, value))
        wide = np.full((value.shape[0], 2 * value.shape[1], 2 * value.shape[2]), np.nan, np.float32)
        wide[:, ::2, ::2] = value
        return wide[:, ::2, ::2]

    same_bits(called(layer, *map(apart, plain)), called(layer, *plain))


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_later_changes_of_the_arguments_do_not_reach_backward(name: str) -> None:
    layer = make(name, {}).train()
    x, state, dy, dstate = problem(layer)
    layer.clear()
    y, _ = layer(x, state)
    assert not y.flags.writeable
    expected = leaves(layer.backward(dy, dstate))
    layer(x, state)
    for array in leaves([x, state]):
        array.fill(np.nan)
    same_bits(leaves(layer.backward(dy, dstate)), expected)


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm"])
def test_the_backend_leaves_what_it_would_have_to_convert(cell: str) -> None:
    has_c = CELL_COUNTS[cell].has_c
    layer = make("LSTM" if has_c else "RNN", {})
    packed = layer._packed(0, True)[0]
    x, state, dy, _ = problem(layer)
    h = state[0] if has_c else state
    assert native.layer_forward(packed, x, state) is not None
    swapped = x.astype(x.dtype.newbyteorder())
    for other in [x.astype(np.float64), x[0], x[:, :, :-1], x.tolist(), swapped, np.ma.array(x), None]:
        assert native.layer_forward(packed, other, state) is None
    states = [h.astype(np.float64), h[0], h[:, :-1], np.concatenate([h, h]), [h], "h"]
    if has_c:
        c = state[1]
        states += [h, (h,), [h, c], (h, None), (None, c), (h, c[:, :-1]), (h, c, c)]
        states += [(part, c) for part in states[:4]]
    for other in states:
        assert native.layer_forward(packed, x, other) is None
        saved = native.layer_forward(packed, x, state, training=True)[2]
        grads = [None if p is None else p.grad for p in layer._packs[0].parameters(layer)]
        assert native.layer_backward(saved, dy, other, grads, True, False) is None
        assert native.layer_backward(saved, dy[0], state, grads, True, False) is None
        assert native.layer_backward(saved, None, state, grads, True, False) is None
        assert native.layer_backward(saved, dy, state, grads, False, False)[0] is None
        with pytest.raises(RuntimeError, match="used by a backward before"):
            native.layer_backward(saved, dy, state, grads, True, False)
