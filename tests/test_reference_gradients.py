"""Every gradient of the reference against central differences in float64, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from recurrent_cases import (
    CELL_FEATURE_IDS,
    CELL_FEATURES,
    Problem,
    derivative,
    forward,
    make_problem,
    run,
    zeros_like,
)
from tolerances import (
    central_difference_step,
    central_difference_tolerance,
    magnification,
    sum_tolerance,
    within,
)

from fastrnn.reference import _core as reference


def objective(p: Problem) -> float:
    y, hn, cn, _ = forward(reference, p)
    value = (y * p.dy).sum() + (hn * p.dhn).sum()
    return float(value if cn is None else value + (cn * p.dcn).sum())


def numeric_gradient(p: Problem, array: np.ndarray) -> np.ndarray:
    """Central differences of the objective with respect to an array that the problem holds."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]

        def moved(h: float, index: tuple[int, ...] = index, kept: float = kept) -> float:
            array[index] = kept + h
            return objective(p)

        gradient[index] = derivative(moved)
        array[index] = kept
    return gradient


@pytest.mark.parametrize(("cell", "name", "options"), CELL_FEATURES, ids=CELL_FEATURE_IDS)
def test_gradients_are_the_derivatives(cell: str, name: str, options: dict) -> None:
    p = make_problem(cell, 3, 3, 2, 2, **options)
    got = run(reference, p)._asdict()
    inputs = {"dx": p.x, "dh0": p.h0, "dc0": p.c0, **p.weights._asdict()}
    for key, array in inputs.items():
        if array is not None:
            tolerance = central_difference_tolerance() * magnification(cell)
            within(got[key], numeric_gradient(p, array), tolerance, key)


@pytest.mark.parametrize("cell", ["rnn_relu", "lstm", "gru_reset_before"])
def test_backward_adds_to_gradients_and_skips_dx(cell: str) -> None:
    p = make_problem(cell, 3, 2, 2, 3)
    expected = run(reference, p)
    *_, saved = forward(reference, p, training=True)
    grads = zeros_like(p.weights)
    for g in grads:
        if g is not None:
            g += 7
    dx, *_ = reference.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads, need_dx=False)
    assert dx is None
    tolerance = sum_tolerance(np.float64, 2)
    within(grads.weight_ih, expected.weight_ih + 7, tolerance)
    within(grads.weight_hh, expected.weight_hh + 7, tolerance)


@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
def test_missing_gradients_are_zeros(cell: str) -> None:
    p = make_problem(cell, 3, 2, 2, 3)
    *_, saved = forward(reference, p, training=True)
    dx, dh0, _ = reference.rnn_backward(saved, grads=zeros_like(p.weights))
    assert not dx.any() and not dh0.any()


def test_saved_is_consumed() -> None:
    p = make_problem("gru", 3, 2, 2, 3)
    *_, saved = forward(reference, p, training=True)
    reference.rnn_backward(saved, p.dy, grads=zeros_like(p.weights))
    with pytest.raises(RuntimeError, match="already consumed"):
        reference.rnn_backward(saved, p.dy, grads=zeros_like(p.weights))


def test_changing_arrays_after_forward_changes_no_gradient() -> None:
    p = make_problem("lstm", 4, 3, 2, 3, input_mask=True)
    expected = run(reference, p)
    x = p.x.copy()
    y, *_, saved = forward(reference, p, x=x, training=True)
    x[...] = np.nan
    y[...] = np.nan
    grads = zeros_like(p.weights)
    reference.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads)
    assert np.array_equal(grads.weight_ih, expected.weight_ih)
    assert np.array_equal(grads.weight_hh, expected.weight_hh)


def test_training_needs_weights_packed_for_training() -> None:
    p = make_problem("gru", 2, 1, 1, 1)
    packed = reference.pack_weights("gru", p.weights)
    with pytest.raises(ValueError, match="training=True"):
        reference.rnn_forward(packed, p.x, training=True)
    linear = reference.pack_linear(np.ones((2, 3)), None)
    with pytest.raises(ValueError, match="training=True"):
        reference.linear_backward(linear, np.ones((1, 3)), np.ones((1, 2)), np.zeros((2, 3)))


@pytest.mark.parametrize("class_weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_gradient(class_weighted: bool, smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((5, 4)), np.array([0, 3, -100, 1, 1])
    weight = rng.random(4) + 0.5 if class_weighted else None

    def loss(a: np.ndarray) -> float:
        return reference.cross_entropy(a, targets, weight, label_smoothing=smoothing)[0]

    _, weight_sum, dlogits = reference.cross_entropy(logits, targets, weight, label_smoothing=smoothing)
    step, numeric = central_difference_step(), np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        shift = np.zeros_like(logits)
        shift[index] = step
        numeric[index] = (loss(logits + shift) - loss(logits - shift)) / (2 * step)
    within(dlogits, numeric, central_difference_tolerance())
    within(weight_sum, 4.0 if weight is None else weight[[0, 3, 1, 1]].sum(), sum_tolerance(np.float64, 4))


def test_linear_and_embedding_gradients_are_adjoint() -> None:
    """<dy, f(v)> = <f'(dy), v> for the linear maps x -> Wx, W -> Wx and W -> W[ids]."""
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in [(5, 3), (4, 3), (4,), (5, 4)])
    packed = reference.pack_linear(weight, bias, training=True)
    dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
    dx = reference.linear_backward(packed, x, dy, dweight, dbias)
    product = (dy * (reference.linear_forward(packed, x) - bias)).sum()
    tolerance = sum_tolerance(np.float64, 20)
    within((dx * x).sum(), product, tolerance)
    within((dweight * weight).sum(), product, tolerance)
    within(dbias, dy.sum(axis=0), tolerance)
    ids = np.array([2, 0, 2, 3, 3])
    table, dtable = rng.standard_normal((4, 4)), np.zeros((4, 4))
    reference.embedding_backward(dy, ids, dtable)
    within((dtable * table).sum(), (dy * reference.embedding_forward(table, ids)).sum(), tolerance)
    assert not dtable[1].any()
