"""Weights that are read where they lie: the results of packed ones, and of the moment of the forward pass."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from native_cases import assert_same_bits, by_dtype, by_isa, native
from recurrent_cases import FEATURES, make_problem, zeros_like

import fastrnn
from fastrnn import GRU, LSTM, RNN, Adam, GRUCell, LSTMCell, RNNCell
from fastrnn._types import CELL_COUNTS, CELLS
from fastrnn.backend import use_isa
from fastrnn.layers import _stack, cells

SIZES = [(48, 80), (33, 79), (7, 3)]
"""Input size and units: whole vectors of every instruction set, and none."""


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_bits_of_packed_weights(sizes: tuple[int, int], cell: str, dtype: type, isa: str) -> None:
    projected = {"project": sizes[1] // 3} if CELL_COUNTS[cell].has_c and not CELL_COUNTS[cell].norm else {}
    for N, options in [
        (1, {}),
        (2, projected),
        (5, FEATURES["everything"]),
        (9, {**FEATURES["zoneout"], **projected}),
    ]:
        p = make_problem(cell, 2, N, *sizes, dtype=dtype, **options)
        results = []
        for borrow, settle in [(False, False), (True, False), (True, True)]:
            with use_isa(isa):
                packed = native.pack_weights(cell, p.weights, True, borrow=borrow)
                assert packed.borrowed is borrow
                *out, saved = native.rnn_forward(packed, p.x, p.h0, p.c0, training=True, **p.options)
                if settle:
                    packed.settle()
                    assert not packed.borrowed
                grads = zeros_like(p.weights)
                results.append([*out, *native.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads), *grads])
        for name in (1, 2):
            for a, b in zip(results[0], results[name], strict=True):
                assert_same_bits(a, b)


def test_weights_in_another_format_are_packed() -> None:
    weights = make_problem("lstm", 1, 1, 16, 16, dtype=np.float32).weights
    packed = native.pack_weights("lstm", weights, format="int8", borrow=True)
    assert packed.format == "int8"
    assert not packed.borrowed


# Layers

MODELS: dict[str, Callable[[], Any]] = {
    "lstm": lambda: LSTM(64, 128, seed=0),
    "two gru layers": lambda: GRU(128, 128, 2, seed=0),
    "rnn, both directions": lambda: RNN(256, 256, bidirectional=True, seed=0),
    "gru, reset before": lambda: GRU(64, 128, reset_after=False, seed=0),
    "lstm, projected": lambda: LSTM(64, 128, proj_size=64, seed=0),
}


def never(*_: int) -> bool:
    return False


def no_borrowing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_stack, cells):
        monkeypatch.setattr(module, "worth_borrowing", never)


@pytest.fixture
def borrowings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was borrowed."""
    seen = []
    pack_weights = native.pack_weights

    def spy(*args: Any) -> Any:
        packed = pack_weights(*args)
        if packed.borrowed:
            seen.append(packed)
        return packed

    monkeypatch.setattr(native, "pack_weights", spy)
    return seen


def steps(layer: Any, change: Callable[[Any], None] | None = None) -> list[np.ndarray]:
    """Three training steps of two rows with an optimizer: all outputs and gradients."""
    layer.train()
    optimizer = Adam(layer.parameters())
    rng = np.random.default_rng(1)
    out = []
    for _ in range(3):
        layer.zero_grad()
        y, _ = layer(rng.standard_normal((1, 2, layer.input_size), np.float32))
        if change is not None:
            change(layer)
        dx, _ = layer.backward(rng.standard_normal(y.shape, np.float32))
        out += [y, dx, *(p.grad.copy() for p in layer.parameters())]
        optimizer.step()
    return out


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_training_is_the_same(
    make: Callable[[], Any], borrowings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    borrowed = steps(make())
    assert len(borrowings) >= 3
    del borrowings[:]
    no_borrowing(monkeypatch)
    packed = steps(make())
    assert not borrowings
    for a, b in zip(borrowed, packed, strict=True):
        assert_same_bits(a, b)


def write(layer: Any) -> None:
    layer.weight_hh_l0.data *= 2
    layer.weight_hh_l0.data /= 2


def write_for_good(layer: Any) -> None:
    for p in layer.parameters():
        p.data[...] = 0


def assign(layer: Any) -> None:
    layer.load_state_dict({name: value * 3 for name, value in layer.state_dict().items()})


@pytest.mark.parametrize("change", [write, write_for_good, assign])
def test_later_changes_do_not_reach_a_forward_pass(
    change: Callable[[Any], None], borrowings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    borrowed = steps(LSTM(64, 128, seed=0), change)
    assert borrowings
    assert not any(b.borrowed for b in borrowings)
    no_borrowing(monkeypatch)
    for a, b in zip(borrowed, steps(LSTM(64, 128, seed=0), change), strict=True):
        assert_same_bits(a, b)


def test_weights_that_somebody_holds_are_packed(borrowings: list[Any]) -> None:
    layer = LSTM(64, 128, seed=0).train()
    held = layer.weight_ih_l0.data
    x = np.ones((1, 1, 64), np.float32)
    layer(x)
    assert not borrowings
    del held
    layer(x)  # this look finds out
    layer(x)
    assert borrowings


def test_weights_that_come_again_are_packed(borrowings: list[Any]) -> None:
    layer = LSTM(64, 128, seed=0).train()
    x = np.ones((1, 1, 64), np.float32)
    y = [layer(x)[0] for _ in range(4)]
    assert len(set(map(id, borrowings))) == 1
    for other in y[1:]:
        assert_same_bits(y[0], other)
    layer.eval()
    assert_same_bits(layer(x)[0], y[0])


@pytest.mark.parametrize(
    ("T", "N", "borrowed"),
    [(1, 12, True), (1, 100, True), (2, 16, True), (3, 7, True), (8, 1, True), (2, 17, False), (9, 1, False)],
)
def test_few_steps_alone_borrow(T: int, N: int, borrowed: bool, borrowings: list[Any]) -> None:
    LSTM(64, 128, seed=0).train()(np.ones((T, N, 64), np.float32))
    assert bool(borrowings) is borrowed


@pytest.mark.parametrize(
    ("H", "T", "N", "borrowed"),
    [(64, 1, 4, True), (64, 2, 4, True), (64, 3, 1, False), (64, 1, 17, False), (16, 1, 1, False)],
)
def test_small_weights_are_packed_for_more(
    H: int, T: int, N: int, borrowed: bool, borrowings: list[Any]
) -> None:
    LSTM(H, H, seed=0).train()(np.ones((T, N, H), np.float32))
    assert bool(borrowings) is borrowed


def test_what_was_borrowed_is_given_back(borrowings: list[Any]) -> None:
    layer = LSTM(64, 128, seed=0).train()
    y, _ = layer(np.ones((1, 1, 64), np.float32))
    layer.backward(np.ones_like(y))
    assert borrowings[0].borrowed
    borrower = weakref.ref(borrowings.pop())
    assert borrower() is None


@pytest.mark.parametrize("cell", [RNNCell, GRUCell, LSTMCell])
def test_cells(cell: Any, borrowings: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[np.ndarray]:
        layer = cell(256, 256, seed=0).train()
        out = layer(np.ones((2, 256), np.float32))
        h = out[0] if isinstance(out, tuple) else out
        back = layer.backward((np.ones_like(h),) * 2 if cell is LSTMCell else np.ones_like(h))
        return [h, back[0], *(p.grad.copy() for p in layer.parameters())]

    borrowed = gradients()
    assert borrowings
    no_borrowing(monkeypatch)
    for a, b in zip(borrowed, gradients(), strict=True):
        assert_same_bits(a, b)


def test_the_reference_does_not_borrow() -> None:
    with fastrnn.use_backend("reference"):
        layer = LSTM(64, 128, seed=0).train()
        y, _ = layer(np.ones((1, 1, 64), np.float32))
        layer.weight_ih_l0.data[...] = 0
        dx, _ = layer.backward(np.ones_like(y))
        assert dx.any()
