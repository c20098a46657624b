"""Cells against the layers of one step at a time, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, leaves
from tolerances import backward_tolerance, forward_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.layers import cells, recurrent
from fastrnn.layers.cells import GRUCell, LSTMCell, RNNCell

T, N, INPUT, H = 4, 3, 2, 5
CELLS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
]
IDS = ["rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before"]


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("name", "options"), CELLS, ids=IDS)
def test_a_loop_over_a_cell_is_the_layer(name: str, options: dict[str, Any], bias: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    layer = getattr(recurrent, name)(
        INPUT, H, bias=bias, dtype=dtype, seed=2, init="torch", **options
    ).train()
    cell = getattr(cells, name + "Cell")(INPUT, H, bias, dtype=dtype, **options).train()
    assert [n for n, _ in cell.named_parameters()] == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"][
        : 2 + 2 * bias
    ]
    cell.load_state_dict({n.removesuffix("_l0"): a for n, a in layer.state_dict().items()})
    x, dy = (rng.standard_normal((T, N, size)).astype(dtype) for size in (INPUT, H))
    y, end = layer(x)
    dx, dstart = layer.backward(dy)

    state: Any = None
    for t in range(T):
        state = cell(x[t], state)
        within(leaves(state)[0], y[t], forward_tolerance(dtype, INPUT + H, T))
    for a, b in zip(leaves(state), leaves(end), strict=True):
        within(a, b[0], forward_tolerance(dtype, INPUT + H, T))
    tolerance = backward_tolerance(dtype, INPUT + H, T, T * N)
    gradient = [np.zeros_like(part) for part in leaves(state)]
    for t in reversed(range(T)):
        gradient[0] = gradient[0] + dy[t]
        dx_t, below = cell.backward(tuple(gradient) if name == "LSTM" else gradient[0])
        gradient = leaves(below)
        within(dx_t, dx[t], tolerance, f"dx[{t}]")
    for a, b in zip(gradient, leaves(dstart), strict=True):
        within(a, b[0], tolerance)
    for n, p in cell.named_parameters():
        within(p.grad, dict(layer.named_parameters())[n + "_l0"].grad, tolerance, n)


@pytest.mark.parametrize(("name", "options"), CELLS, ids=IDS)
def test_unbatched_is_a_batch_of_one(name: str, options: dict[str, Any]) -> None:
    cell = getattr(cells, name + "Cell")(INPUT, H, seed=0, **options)
    x = np.ones((1, INPUT), np.float32)
    batched = cell(x, cell(x))
    single = cell(x[0], cell(x[0]))
    for a, b in zip(leaves(single), leaves(batched), strict=True):
        assert a.shape == (H,)
        assert np.array_equal(a, b[0])


def test_missing_gradients_are_zeros() -> None:
    cell = LSTMCell(INPUT, H, dtype="float64", seed=0).train()
    x = np.ones((N, INPUT))
    h, c = cell(x)
    expected = cell.backward((np.zeros_like(h), np.ones_like(c)))
    cell(x)
    for a, b in zip(leaves(cell.backward((None, np.ones_like(c)))), leaves(expected), strict=True):
        assert np.array_equal(a, b)


def test_later_writes_to_inputs_reach_no_gradient() -> None:
    cell = GRUCell(INPUT, H, seed=0).train()
    x, h = np.ones((N, INPUT), np.float32), np.ones((N, H), np.float32)
    cell(x, h)
    expected = cell.backward(np.ones((N, H)))
    out = cell(x, h)
    x[...] = h[...] = 9
    with pytest.raises(ValueError, match="read-only"):
        out[...] = 9
    for a, b in zip(cell.backward(np.ones((N, H))), expected, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "cell",
    [
        RNNCell(2, 3, False, "relu"),
        LSTMCell(2, 3, forget_bias=0.5, dtype="float64"),
        GRUCell(2, 3, reset_after=False, seed=1, init="torch"),
    ],
)
def test_config_makes_the_same_cell(cell: Any) -> None:
    twin = type(cell).from_config(json.loads(json.dumps(cell.config())))
    assert twin.config() == cell.config()


def test_forget_bias() -> None:
    assert (LSTMCell(2, 3).bias_ih.data[3:6] == 1).all()


def test_bad_calls_name_the_argument() -> None:
    cell = LSTMCell(INPUT, H).train()
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\) or \(2,\), got \(3, 4\)"):
        cell(np.zeros((3, 4)))
    with pytest.raises(TypeError, match=r"state of an LSTM must be a pair \(h, c\), got ndarray"):
        cell(np.zeros((3, 2)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"state\[1\] \(c\) must have shape \(3, 5\), got \(5,\)"):
        cell(np.zeros((3, 2)), (np.zeros((3, 5)), np.zeros(5)))
    with pytest.raises(RuntimeError, match="no forward pass"):
        cell.backward((None, None))
    with pytest.raises(RuntimeError, match=r"call \.train\(\)"):
        cell.eval().backward((None, None))
    gru = GRUCell(INPUT, H).train()
    gru(np.zeros(2))
    with pytest.raises(ValueError, match=r"dh must have shape \(5,\), got \(1, 5\)"):
        gru.backward(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="nonlinearity must be one of"):
        RNNCell(2, 3, nonlinearity="swish")
