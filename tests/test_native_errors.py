"""The native backend refuses what would make it read or write foreign memory, whoever calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_cases import native
from recurrent_cases import Problem, forward, make_problem, make_weights, zeros_like

from fastrnn._types import CellWeights

REFUSED = (ValueError, TypeError, IndexError)
T, N, K, H = 4, 3, 2, 5


def problem(cell: str = "lstm") -> Problem:
    return make_problem(cell, T, N, K, H, dtype=np.float32)


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def read_only(*shape: int) -> np.ndarray:
    array = zeros(*shape)
    array.setflags(write=False)
    return array


BAD_FORWARD = [
    ("x", zeros(T, N, K + 1)),
    ("x", zeros(T, N)),
    ("x", zeros(T, N, K, dtype=np.float64)),
    ("x", zeros(T, N, K, dtype=np.float16)),
    ("x", [[1.0]]),
    ("h0", zeros(N, H + 1)),
    ("h0", zeros(N + 1, H)),
    ("h0", zeros(1, N, H)),
    ("h0", zeros(N, H, dtype=np.float64)),
    ("c0", zeros(N, H - 1)),
    ("lengths", np.array([1, 2])),
    ("lengths", np.array([1, 2, T + 1])),
    ("lengths", np.array([1, -2, 0])),
    ("resets", np.zeros((N, T), bool)),
    ("input_mask", zeros(N, K + 1)),
    ("hidden_mask", zeros(N + 1, H)),
    ("zoneout_h", zeros(N, H + 1)),
    ("zoneout_c", zeros(T + 1, N, H)),
    ("out", zeros(T, N, H + 1)),
    ("out", zeros(T - 1, N, H)),
    ("out", zeros(T, N, H, dtype=np.float64)),
    ("out", read_only(T, N, H)),
    ("out", zeros(T, N, 2 * H)[..., ::2]),
]


@pytest.mark.parametrize(("name", "value"), BAD_FORWARD)
def test_forward(name: str, value: Any) -> None:
    with pytest.raises(REFUSED, match=name):
        forward(native, problem(), **{name: value})


def test_training_needs_weights_packed_for_training() -> None:
    p = problem()
    with pytest.raises(ValueError, match="training"):
        native.rnn_forward(native.pack_weights("lstm", p.weights), p.x, training=True)


@pytest.mark.parametrize(
    "change",
    [
        {"weight_ih": zeros(4 * H + 1, K)},
        {"weight_hh": zeros(4 * H, H - 1)},
        {"weight_hh": zeros(4 * H - 4, H)},
        {"bias_ih": zeros(H)},
        {"bias_hh": zeros(4 * H, dtype=np.float64)},
        {"weight_hr": zeros(3, H)},
        {"weight_ih": zeros(4 * H, K, dtype=np.int32)},
        {"weight_ih": zeros(4 * H, K, dtype=np.float16)},
    ],
    ids=lambda c: next(iter(c)),
)
def test_pack(change: dict[str, Any]) -> None:
    with pytest.raises(REFUSED):
        native.pack_weights("lstm", problem().weights._replace(**change))


def test_pack_names_the_cells_it_knows() -> None:
    with pytest.raises(ValueError, match="cell"):
        native.pack_weights("minimal", problem().weights)
    with pytest.raises(ValueError, match="weight_hr"):
        weights = make_weights(np.random.default_rng(0), "gru", K, H, dtype=np.float32)
        native.pack_weights("gru", weights._replace(weight_hr=zeros(2, H)))


@pytest.mark.parametrize(
    ("dy", "dhn", "dcn"),
    [
        (zeros(T, N, H + 1), None, None),
        (zeros(T - 1, N, H), None, None),
        (zeros(T, N, H, dtype=np.float64), None, None),
        (None, zeros(N, H - 1), None),
        (None, None, zeros(N + 1, H)),
    ],
)
def test_backward(dy: Any, dhn: Any, dcn: Any) -> None:
    p = problem()
    *_, saved = forward(native, p, training=True)
    with pytest.raises(REFUSED):
        native.rnn_backward(saved, dy, dhn, dcn, grads=zeros_like(p.weights))


@pytest.mark.parametrize("field", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_gradient_arrays(field: str) -> None:
    p = problem()
    right = zeros_like(p.weights)
    shape = getattr(right, field).shape
    for wrong in (zeros(*shape[:-1], shape[-1] - 1), zeros(*shape, dtype=np.float64), read_only(*shape)):
        *_, saved = forward(native, p, training=True)
        with pytest.raises(REFUSED):
            native.rnn_backward(saved, p.dy, grads=right._replace(**{field: wrong}))


def test_changing_lengths_between_forward_and_backward_reads_no_foreign_memory() -> None:
    p = problem()
    lengths = np.array([4, 1, 2])
    gradients = []
    for later in (lengths, np.zeros(3, np.int64)):
        given = lengths.copy()
        *_, saved = forward(native, p, lengths=given, training=True)
        given[...] = later
        dx, *_ = native.rnn_backward(saved, p.dy, grads=zeros_like(p.weights))
        gradients.append(dx)
    assert np.array_equal(*gradients)


def test_embedding_ids() -> None:
    weight = zeros(5, 3)
    for bad in (5, -1, 2**40):
        with pytest.raises(IndexError):
            native.embedding_forward(weight, np.array([0, bad]))
    with pytest.raises(IndexError):
        native.embedding_backward(zeros(2, 3), np.array([0, 5]), weight)
    with pytest.raises(REFUSED):
        native.embedding_backward(zeros(2, 4), np.array([0, 1]), weight)
    with pytest.raises(REFUSED):
        native.embedding_backward(zeros(3, 3), np.array([0, 1]), weight)


def test_linear_shapes() -> None:
    packed = native.pack_linear(zeros(4, 3), zeros(4), True)
    with pytest.raises(REFUSED):
        native.pack_linear(zeros(4, 3), zeros(3))
    with pytest.raises(REFUSED):
        native.linear_forward(packed, zeros(2, 4))
    good = {"x": zeros(2, 3), "dy": zeros(2, 4), "dweight": zeros(4, 3), "dbias": zeros(4)}
    bad = {"x": zeros(3, 3), "dy": zeros(2, 3), "dweight": zeros(3, 3), "dbias": zeros(3)}
    for name, value in bad.items():
        with pytest.raises(REFUSED):
            native.linear_backward(packed, **{**good, name: value})


def test_cross_entropy_arguments() -> None:
    logits, targets = zeros(2, 3), np.array([0, 1])
    for bad in (3, -1, 2**40):
        with pytest.raises(IndexError):
            native.cross_entropy(logits, np.array([0, bad]))
    with pytest.raises(REFUSED):
        native.cross_entropy(logits, targets[:1])
    with pytest.raises(REFUSED):
        native.cross_entropy(logits, targets, zeros(2))


def test_optimizer_arrays() -> None:
    options = (0.1, 0.0, 0.0, False, 0.0, True)
    for grad in (zeros(4), zeros(5, dtype=np.float64), zeros(10)[::2][:4]):
        with pytest.raises(REFUSED):
            native.sgd_step(zeros(5), grad, None, *options)
    with pytest.raises(REFUSED):
        native.sgd_step(zeros(5), zeros(5), zeros(4), *options)
    with pytest.raises(REFUSED):
        native.sgd_step(read_only(5), zeros(5), None, *options)
    with pytest.raises(REFUSED):
        native.scale_([read_only(5)], 2.0)


def test_streams() -> None:
    packed = native.pack_weights("lstm", problem().weights)
    stream = native.StepStream([packed], 2)
    for x in (zeros(1, K), zeros(2, K + 1), zeros(2, 1, K), zeros(K)):
        with pytest.raises(REFUSED):
            stream.step(x)
    with pytest.raises(REFUSED):
        stream.reset(np.array([2]))
    with pytest.raises(REFUSED):
        stream.set_state([(zeros(3, H), zeros(2, H))])
    with pytest.raises(REFUSED):
        native.StepStream([packed, packed], 2)
    with pytest.raises(REFUSED):
        native.StepStream([], 2)


def test_token_streams() -> None:
    packed = native.pack_weights("gru", problem("gru").weights)
    out = native.pack_linear(zeros(6, H), None)
    stream = native.TokenStream(zeros(6, K), [packed], out)
    for bad in (6, -1):
        with pytest.raises(IndexError):
            stream.feed(np.array([0, bad]))
    with pytest.raises(REFUSED):
        native.TokenStream(zeros(6, K + 1), [packed], out)
    with pytest.raises(REFUSED):
        native.TokenStream(zeros(6, K), [packed], native.pack_linear(zeros(6, H + 1), None))
    with pytest.raises(REFUSED):
        native.TokenStream(zeros(5, K), [packed], out)


def test_a_failed_call_changes_nothing() -> None:
    p = problem()
    grads = zeros_like(p.weights)
    *_, saved = forward(native, p, training=True)
    with pytest.raises(REFUSED):
        native.rnn_backward(saved, zeros(T, N, H + 1), grads=grads)
    assert all(g is None or not g.any() for g in grads)
    assert isinstance(p.weights, CellWeights)
