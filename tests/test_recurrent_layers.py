"""Recurrent layers: forms of input, state, borders between documents, train mode and eval mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, leaves
from tolerances import forward_tolerance, magnification, within

from fastrnn import layers
from fastrnn.backend import current_backend, use_backend
from fastrnn.layers.recurrent import GRU, LSTM

T, N, INPUT, H = 6, 3, 4, 5
TOLERANCE = forward_tolerance(np.float64, INPUT + H, T)

each_cell = pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def make(name: str, cell: dict[str, Any], **options: Any) -> Any:
    settings = {"dtype": "float64", "seed": 0, "init": "torch", **cell, **options}
    return getattr(layers, name)(INPUT, H, **settings)


def same(actual: Any, desired: Any) -> None:
    for i, (a, b) in enumerate(zip(leaves(actual), leaves(desired), strict=True)):
        within(a, b, TOLERANCE, str(i))


def same_rows(actual: Any, desired: Any, cell: str) -> None:
    """To the last bit in the engine; NumPy multiplies other shapes otherwise, and a norm magnifies that."""
    tolerance = TOLERANCE * magnification(cell) if current_backend() == "reference" else 0.0
    for i, (a, b) in enumerate(zip(leaves(actual), leaves(desired), strict=True)):
        within(a, b, tolerance, str(i))


# Forms of the input


@each_cell
def test_shapes_are_those_of_pytorch(name: str, cell: dict, rng: np.random.Generator) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=True, dtype="float32")
    P = cell.get("proj_size", H)
    y, state = layer(rng.standard_normal((T, N, INPUT)))
    assert y.shape == (T, N, 2 * P) and y.dtype == np.float32
    assert [a.shape for a in leaves(state)] == [(4, N, P), (4, N, H)][: len(leaves(state))]
    assert layer.output_size == 2 * P


@each_cell
def test_every_form_gives_the_same(name: str, cell: dict, rng: np.random.Generator) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    layer, first = make(name, cell, **options), make(name, cell, batch_first=True, **options)
    lengths = [4, 0, 6]
    x = rng.standard_normal((T, N, INPUT))
    y, state = layer(x, lengths=lengths)
    y_first, state_first = first(x.transpose(1, 0, 2), lengths=np.array(lengths, np.int32))
    same_rows((y_first.transpose(1, 0, 2), state_first), (y, state), layer.cell)
    ys, state_list = layer([x[:t, i] for i, t in enumerate(lengths)])
    assert isinstance(ys, list)
    same_rows((ys, state_list), ([y[:t, i] for i, t in enumerate(lengths)], state), layer.cell)
    for i, t in enumerate(lengths):
        y_one, state_one = layer(x[:t, i])
        same_rows((y_one, state_one), (y[:t, i], [a[:, i] for a in leaves(state)]), layer.cell)
        assert not y[t:, i].any()


def test_batch_first_output_is_contiguous(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, batch_first=True, bidirectional=True)
    y, _ = layer(rng.standard_normal((N, T, INPUT), dtype=np.float32))
    assert y.flags.c_contiguous


def test_direction_reverse_is_a_forward_pass_over_the_flipped_sequence(rng: np.random.Generator) -> None:
    both, one = GRU(INPUT, H, bidirectional=True, dtype="float64"), GRU(INPUT, H, dtype="float64")
    one.load_state_dict(
        {n.removesuffix("_reverse"): a for n, a in both.state_dict().items() if n.endswith("_reverse")}
    )
    x = rng.standard_normal((T, N, INPUT))
    y, h = both(x)
    y_one, h_one = one(x[::-1])
    same((y[..., H:], h[1:]), (y_one[::-1], h_one))


@each_cell
def test_state_carries_a_sequence_cut_in_two(name: str, cell: dict, rng: np.random.Generator) -> None:
    layer = make(name, cell, num_layers=2)
    x = rng.standard_normal((T, N, INPUT))
    whole, end = layer(x)
    left, middle = layer(x[:2])
    right, end_of_parts = layer(x[2:], middle)
    same_rows((np.concatenate([left, right]), end_of_parts), (whole, end), layer.cell)


@pytest.mark.parametrize("bidirectional", [False, True])
@each_cell
def test_resets_part_a_row_into_documents(
    name: str, cell: dict, bidirectional: bool, rng: np.random.Generator
) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=bidirectional)
    documents = [rng.standard_normal((t, INPUT)) for t in (1, 3, 2)]
    resets = np.zeros((9, 1), bool)
    # One mark stands at the first padding step: it is no border.
    resets[[0, 1, 4, 6], 0] = True
    row = np.concatenate([*documents, np.full((3, INPUT), np.nan)])[:, None]
    expected = [layer(document)[0] for document in documents]
    y, _ = layer(row, lengths=[6], resets=resets)
    same_rows(y[:6, 0], np.concatenate(expected), layer.cell)


@pytest.mark.parametrize("shape", [(0, 3, INPUT), (4, 0, INPUT), (0, 0, INPUT)])
@each_cell
def test_empty_work_is_legal(name: str, cell: dict, shape: tuple[int, ...]) -> None:
    layer = make(name, cell, num_layers=2, bidirectional=True).train()
    _, state = layer(np.zeros((1, shape[1], INPUT)))
    layer.clear()
    y, end = layer(np.zeros(shape), state)
    assert y.shape[:2] == shape[:2]
    if shape[0] == 0:
        same(end, state)
    dx, dstate = layer.backward(np.zeros_like(y), state)
    assert dx.shape == shape
    if shape[0] == 0:
        same(dstate, state)


def test_an_empty_list_and_lists_of_nothing() -> None:
    layer = GRU(INPUT, H)
    assert layer([])[0] == []
    assert [y.shape for y in layer([np.zeros((0, INPUT)), np.zeros((2, INPUT))])[0]] == [(0, H), (2, H)]


def test_padding_may_hold_anything(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, bidirectional=True, dropout=0.3, seed=0).train()
    x = rng.standard_normal((T, 2, INPUT), dtype=np.float32)
    x[4:, 1] = np.nan
    y, _ = layer(x, lengths=[6, 4])
    dy = np.ones_like(y)
    dy[4:, 1] = np.inf
    dx, _ = layer.backward(dy)
    assert np.isfinite(y).all() and np.isfinite(dx).all() and not dx[4:, 1].any()
    assert all(np.isfinite(p.grad).all() for p in layer.parameters())


# Train mode and eval mode


def test_output_is_read_only_in_train_mode_alone(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    layer(x)[0][...] = 0
    with pytest.raises(ValueError, match="read-only"):
        layer.train()(x)[0][...] = 0
    with pytest.raises(ValueError, match="read-only"):
        layer([x[:, 0]])[0][0][...] = 0


def test_later_writes_to_inputs_reach_no_gradient(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, dtype="float64", seed=0).train()
    x, state = (
        rng.standard_normal((T, N, INPUT)),
        (rng.standard_normal((1, N, H)), rng.standard_normal((1, N, H))),
    )
    lengths, resets = np.array([6, 2, 3]), np.zeros((T, N), bool)
    y, _ = layer(x, state, lengths, resets)
    expected = layer.backward(np.ones_like(y))
    layer(x, state, lengths, resets)
    for array in (x, *state):
        array[...] = np.nan
    lengths[...] = 0
    resets[...] = True
    same(layer.backward(np.ones_like(y)), expected)


def test_contexts_are_a_stack(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, 2, bidirectional=True, dtype="float64", seed=0).train()
    xs = [rng.standard_normal((t, N, INPUT)) for t in (3, 5)]
    alone = []
    for x in xs:
        y, _ = layer(x)
        alone.append(layer.backward(np.ones_like(y)))
    ys = [layer(x)[0] for x in xs]
    for y, expected in zip(reversed(ys), reversed(alone), strict=True):
        same(layer.backward(np.ones_like(y)), expected)
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer.backward(ys[0])
    with pytest.raises(RuntimeError, match=r"call \.train\(\)"):
        layer.eval().backward(ys[0])


def test_missing_gradients_are_zeros(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, dtype="float64", seed=0).train()
    x = rng.standard_normal((T, N, INPUT))
    y, (h, c) = layer(x)
    with_zeros = layer.backward(np.zeros_like(y), (np.ones_like(h), np.zeros_like(c)))
    layer(x)
    same(layer.backward(None, (np.ones_like(h), None)), with_zeros)
    layer(x)
    dx, dstate = layer.backward(None, (np.ones_like(h), None), need_dx=False)
    assert dx is None
    same(dstate, with_zeros[1])


def test_backward_uses_the_backend_of_its_forward(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0).train()
    y, _ = layer(rng.standard_normal((T, N, INPUT)))
    with use_backend("reference"):
        dx, _ = layer.backward(np.ones_like(y))
    assert np.isfinite(dx).all() and dx.any()
