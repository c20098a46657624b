"""The kernels beside the cells against the reference: embedding, linear, cross-entropy, norms, optimizers."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from native_cases import EDGE_SIZES, by_dtype, by_isa, native, reference
from tolerances import elementwise_tolerance, sum_tolerance, within

from fastrnn.backend import num_threads, use_isa

MANY = 40_003


def normal(seed: int, dtype: type, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("name", reference.__all__)
def test_both_backends_offer_the_protocol(name: str) -> None:
    ours, theirs = getattr(reference, name), getattr(native, name)
    if inspect.isclass(ours):
        assert {m for m in dir(ours) if not m.startswith("_")} <= set(dir(theirs))
    else:
        assert list(inspect.signature(theirs).parameters) == list(inspect.signature(ours).parameters)


@by_isa
@by_dtype
@pytest.mark.parametrize("E", EDGE_SIZES)
def test_embedding(E: int, dtype: type, isa: str) -> None:
    V, ids = 11, np.random.default_rng(0).integers(0, 11, (5, 7))
    weight, dy = normal(1, dtype, V, E), normal(2, dtype, 5, 7, E)
    expected = np.zeros((V, E))
    reference.embedding_backward(dy.astype(np.float64), np.where(ids == 3, -1, ids), expected)
    dweight = np.ones((V, E), dtype)
    with use_isa(isa):
        y = native.embedding_forward(weight, ids)
        native.embedding_backward(dy, np.where(ids == 3, -1, ids), dweight)
    assert np.array_equal(y, weight[ids]) and y.dtype == dtype
    within(dweight, (expected + 1).astype(dtype), sum_tolerance(dtype, 35))
    assert (dweight[3] == 1).all()


def test_embedding_of_no_ids() -> None:
    weight, none = normal(1, np.float32, 3, 4), np.zeros((0, 5), np.int64)
    assert native.embedding_forward(weight, none).shape == (0, 5, 4)
    dweight = np.zeros_like(weight)
    native.embedding_backward(np.zeros((0, 5, 4), np.float32), none, dweight)
    assert not dweight.any()


@by_isa
@by_dtype
@pytest.mark.parametrize("bias", [False, True])
def test_linear(bias: bool, dtype: type, isa: str) -> None:
    for i, O in enumerate(EDGE_SIZES):  # noqa: E741
        K, M = EDGE_SIZES[(i + 4) % len(EDGE_SIZES)], EDGE_SIZES[(i + 7) % len(EDGE_SIZES)]
        weight, b = normal(1, dtype, O, K), normal(2, dtype, O) if bias else None
        x, dy = normal(3, dtype, M, K), normal(4, dtype, M, O)
        wide = [a if a is None else a.astype(np.float64) for a in (weight, b, x, dy)]
        packed64 = reference.pack_linear(*wide[:2], True)
        dweight64, dbias64 = np.zeros((O, K)), np.zeros(O)
        dx64 = reference.linear_backward(packed64, *wide[2:], dweight64, dbias64 if bias else None)
        dweight, dbias = np.ones((O, K), dtype), np.ones(O, dtype)
        with use_isa(isa):
            packed = native.pack_linear(weight, b, True)
            y = native.linear_forward(packed, x)
            y_inference = native.linear_forward(native.pack_linear(weight, b), x)
            dx = native.linear_backward(packed, x, dy, dweight, dbias if bias else None)
            nothing = native.linear_backward(packed, x, dy, dweight.copy(), None, need_dx=False)
        assert nothing is None
        y64 = reference.linear_forward(packed64, wide[2]).astype(dtype)
        within(y, y64, sum_tolerance(dtype, K), f"y {(M, K, O)}")
        within(y_inference, y64, sum_tolerance(dtype, K), f"y for inference {(M, K, O)}")
        within(dx, dx64.astype(dtype), sum_tolerance(dtype, O), f"dx {(M, K, O)}")
        within(dweight, (dweight64 + 1).astype(dtype), sum_tolerance(dtype, M), f"dweight {(M, K, O)}")
        if bias:
            within(dbias, (dbias64 + 1).astype(dtype), sum_tolerance(dtype, M), f"dbias {(M, K, O)}")


def test_linear_of_no_rows() -> None:
    packed = native.pack_linear(normal(1, np.float32, 3, 4), None, True)
    none = np.zeros((0, 4), np.float32)
    assert native.linear_forward(packed, none).shape == (0, 3)
    dweight = np.zeros((3, 4), np.float32)
    dx = native.linear_backward(packed, none, np.zeros((0, 3), np.float32), dweight, None)
    assert dx.shape == (0, 4) and not dweight.any()


@by_isa
@by_dtype
@pytest.mark.parametrize("class_weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_cross_entropy(class_weighted: bool, label_smoothing: float, dtype: type, isa: str) -> None:
    for C in EDGE_SIZES:
        rng = np.random.default_rng(C)
        logits, targets = 5 * normal(C, dtype, 23, C), rng.integers(0, C, 23)
        targets[[4, 9]] = -100
        weight = (rng.random(C) + 0.1).astype(dtype) if class_weighted else None
        wide = (logits.astype(np.float64), targets, None if weight is None else weight.astype(np.float64))
        loss64, sum64, dlogits64 = reference.cross_entropy(*wide, label_smoothing=label_smoothing)
        with use_isa(isa):
            loss, weight_sum, dlogits = native.cross_entropy(
                logits, targets, weight, label_smoothing=label_smoothing
            )
        assert isinstance(loss, float) and isinstance(weight_sum, float)
        within(loss, loss64, sum_tolerance(dtype, 23 * C), f"loss of {C} classes")
        within(weight_sum, sum64, sum_tolerance(dtype, 23), f"weights of {C} classes")
        within(dlogits, dlogits64.astype(dtype), sum_tolerance(dtype, C), f"dlogits of {C} classes")
        assert not dlogits[[4, 9]].any()


@by_isa
@by_dtype
def test_cross_entropy_is_stable(dtype: type, isa: str) -> None:
    logits = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4], [0, 0, 200], [1, -np.inf, 1]], dtype)
    targets = np.array([0, 1, 0, 2])
    loss64, _, dlogits64 = reference.cross_entropy(logits.astype(np.float64), targets)
    with use_isa(isa):
        loss, _, dlogits = native.cross_entropy(logits, targets, ignore_index=7)
    within(loss, loss64, sum_tolerance(dtype, 4))
    within(dlogits, dlogits64.astype(dtype), sum_tolerance(dtype, 4))


def test_cross_entropy_of_nothing() -> None:
    empty = native.cross_entropy(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
    assert empty[:2] == (0.0, 0.0) and empty[2].shape == (0, 3)
    ignored = native.cross_entropy(np.ones((2, 3), np.float32), np.array([1, 1]), ignore_index=1)
    assert ignored[:2] == (0.0, 0.0) and not ignored[2].any()


@by_isa
@by_dtype
def test_global_norm_and_scale(dtype: type, isa: str) -> None:
    arrays = [normal(n, dtype, n) for n in EDGE_SIZES] + [normal(0, dtype, 3, 4), np.zeros(0, dtype)]
    wide = [a.astype(np.float64) for a in arrays]
    expected = reference.global_norm(wide)
    with use_isa(isa):
        within(native.global_norm(arrays), expected, sum_tolerance(np.float64, 1000))
        native.scale_(arrays, 0.3)
        assert native.global_norm([]) == 0.0
        # Accumulated in float64: neither overflows nor loses the small ones.
        big = np.full(100, 1e30, dtype)
        within(native.global_norm([big]), 10 * float(big[0]), sum_tolerance(np.float64, 100))
    for a, b in zip(arrays, wide, strict=True):
        within(a, (0.3 * b).astype(dtype), elementwise_tolerance(dtype))


# ---- optimizers ----

OPTIMIZERS = {
    "sgd": ("sgd_step", 0, lambda s, n: (None, 0.1, 0.0, 0.0, False, 0.01, n == 1)),
    "sgd_momentum": ("sgd_step", 1, lambda s, n: (*s, 0.1, 0.9, 0.2, False, 0.0, n == 1)),
    "sgd_nesterov": ("sgd_step", 1, lambda s, n: (*s, 0.1, 0.9, 0.0, True, 0.01, n == 1)),
    "rmsprop": ("rmsprop_step", 1, lambda s, n: (*s, None, None, 0.01, 0.95, 1e-8, 0.0, 0.01)),
    "rmsprop_momentum": ("rmsprop_step", 2, lambda s, n: (*s, None, 0.01, 0.95, 1e-8, 0.9, 0.0)),
    "rmsprop_centered": (
        "rmsprop_step",
        2,
        lambda s, n: (s[0], None, s[1], 0.01, 0.95, 1e-2, 0.0, 0.0),
    ),
    "adagrad": ("adagrad_step", 1, lambda s, n: (*s, 0.1, 1e-10, 0.01)),
    "adam": ("adam_step", 2, lambda s, n: (*s, 0.01, 0.9, 0.99, 1e-8, 0.01, False, n)),
    "adamw": ("adam_step", 2, lambda s, n: (*s, 0.01, 0.9, 0.99, 1e-8, 0.1, True, n)),
}


@by_isa
@by_dtype
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("threads", [1, 2])
def test_optimizer(name: str, threads: int, dtype: type, isa: str) -> None:
    function, states, arguments = OPTIMIZERS[name]
    for size in (*EDGE_SIZES, MANY):
        param = normal(size, dtype, size)
        param64, steps = param.astype(np.float64), 3
        state = [np.zeros(size, dtype) for _ in range(states)]
        state64 = [np.zeros(size) for _ in range(states)]
        for n in range(1, steps + 1):
            grad = normal(size + n, dtype, size)
            with use_isa(isa), num_threads(threads):
                getattr(native, function)(param, grad, *arguments(state, n))
            getattr(reference, function)(param64, grad.astype(np.float64), *arguments(state64, n))
        tolerance = elementwise_tolerance(dtype, 20 * steps)
        within(param, param64.astype(dtype), tolerance, f"param of {size}")
        for i in range(states):
            within(state[i], state64[i].astype(dtype), tolerance, f"state {i} of {size}")


@by_isa
@by_dtype
def test_centered_rmsprop_of_a_constant_gradient_stays_finite(dtype: type, isa: str) -> None:
    """The variance is then a rounding error, which must not become the root of a negative number."""
    param, square, mean = np.zeros(1000, dtype), np.zeros(1000, dtype), np.zeros(1000, dtype)
    grad = normal(0, dtype, 1000)
    with use_isa(isa):
        for _ in range(400):
            native.rmsprop_step(param, grad, square, None, mean, 1e-6, 0.9, 1e-3, 0.0, 0.0)
    assert np.isfinite(param).all()


@by_dtype
def test_optimizers_update_matrices_in_place(dtype: type) -> None:
    param, grad = normal(1, dtype, 5, 7), normal(2, dtype, 5, 7)
    flat, expected = param.ravel().copy(), param.copy()
    native.sgd_step(param, grad, None, 0.1, 0.0, 0.0, False, 0.0, True)
    native.sgd_step(flat, grad.ravel(), None, 0.1, 0.0, 0.0, False, 0.0, True)
    assert np.array_equal(param.ravel(), flat) and not np.array_equal(param, expected)
