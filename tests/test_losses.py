"""Losses: values by their definition, gradients by central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, assert_derivatives
from tolerances import elementwise_tolerance, sum_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.losses import binary_cross_entropy, cross_entropy, huber, mae, mse, quantile

F64 = np.float64


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(21)


def check(loss: Callable[..., Any], x: np.ndarray, y: Any, **options: Any) -> float:
    """Check the gradient and return the value."""
    value, gradient = loss(x, y, **options)
    assert isinstance(value, float)
    assert gradient.dtype == x.dtype
    assert_derivatives(
        lambda: [np.array(loss(x, y, **options)[0])], [np.array(1.0)], {"gradient": (x, gradient)}
    )
    return float(value)


def weighted_mean(losses: np.ndarray, weight: Any = None) -> np.ndarray:
    return np.asarray(np.average(losses, weights=None if weight is None else np.asarray(weight, float)))


WEIGHTS: dict[str, Any] = {
    "none": None,
    "numbers": [[1.0, 2.0, 0.5], [0.0, 3.0, 0.25]],
    "mask": [[True, False, True], [True, True, False]],
    "first_axis": [1.0, 3.0],
}


def expanded(weight: Any) -> np.ndarray | None:
    """`weight` in the shape [2, 3] of the targets."""
    if weight is None:
        return None
    w = np.asarray(weight, float)
    return np.broadcast_to(w.reshape(w.shape + (1,) * (2 - w.ndim)), (2, 3))


ELEMENTWISE: dict[str, tuple[Callable[..., Any], dict[str, Any], Callable[[Any, Any], Any]]] = {
    "mse": (mse, {}, lambda x, y: (x - y) ** 2),
    "mae": (mae, {}, lambda x, y: abs(x - y)),
    "huber": (huber, {}, lambda x, y: np.where(abs(x - y) < 1, (x - y) ** 2 / 2, abs(x - y) - 0.5)),
    "huber_wide": (
        huber,
        {"delta": 2.5},
        lambda x, y: np.where(abs(x - y) < 2.5, (x - y) ** 2 / 2, 2.5 * (abs(x - y) - 1.25)),
    ),
    "median": (quantile, {}, lambda x, y: abs(x - y) / 2),
    "quantile": (
        quantile,
        {"quantiles": 0.9},
        lambda x, y: np.where(y > x, 0.9 * (y - x), 0.1 * (x - y)),
    ),
    "binary": (
        binary_cross_entropy,
        {},
        lambda x, y: -y * np.log(1 / (1 + np.exp(-x))) - (1 - y) * np.log(1 / (1 + np.exp(x))),
    ),
    "binary_weighted": (
        binary_cross_entropy,
        {"pos_weight": [2.0, 0.5, 3.0]},
        lambda x, y: (
            -y * np.array([2.0, 0.5, 3.0]) * np.log(1 / (1 + np.exp(-x)))
            - (1 - y) * np.log(1 / (1 + np.exp(x)))
        ),
    ),
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name: str, weight: Any, reduction: str, rng: np.random.Generator) -> None:
    loss, options, definition = ELEMENTWISE[name]
    x = rng.standard_normal((2, 3)) * 3
    y = rng.random((2, 3)) if name.startswith("binary") else rng.standard_normal((2, 3))
    value = check(loss, x, y, weight=weight, reduction=reduction, **options)
    w = expanded(weight)
    desired = weighted_mean(definition(x, y), w)
    if reduction == "sum":
        desired = desired * (6 if w is None else w.sum())
    within(np.array(value), desired, elementwise_tolerance(F64, 20))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_what_has_no_weight_may_hold_anything(name: str, rng: np.random.Generator) -> None:
    loss, options, _ = ELEMENTWISE[name]
    x, y = rng.standard_normal((2, 3)), rng.random((2, 3))
    mask = np.array([[True, False, True], [True, True, False]])
    desired, slope = loss(x, y, weight=mask, **options)
    value, gradient = loss(np.where(mask, x, np.inf), np.where(mask, y, np.nan), weight=mask, **options)
    assert value == desired
    assert np.array_equal(gradient, slope)
    assert not gradient[~mask].any()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nothing_to_count_is_zero(name: str) -> None:
    loss, options, _ = ELEMENTWISE[name]
    x = np.ones((2, 3))
    value, gradient = loss(x, x, weight=np.zeros((2, 3)), **options)
    assert value == 0
    assert not gradient.any()
    value, gradient = loss(x[:0], x[:0], **options)
    assert value == 0
    assert gradient.shape == (0, 3)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_float32_stays_float32(name: str, rng: np.random.Generator) -> None:
    loss, options, definition = ELEMENTWISE[name]
    x, y = rng.standard_normal((2, 3)).astype(np.float32), rng.random((2, 3))
    value, gradient = loss(x, y, **options)
    assert gradient.dtype == np.float32
    within(
        np.array(value), weighted_mean(definition(x.astype(F64), y)), elementwise_tolerance(np.float32, 20)
    )


def test_integer_targets() -> None:
    assert mse(np.zeros(2), [1, 2])[0] == 2.5
    assert binary_cross_entropy(np.zeros(2), [True, False])[0] == pytest.approx(math.log(2), rel=1e-15)


def test_extreme_logits_neither_overflow_nor_lose_digits() -> None:
    x = np.array([1000.0, -1000.0, 1000.0, -1000.0])
    value, gradient = binary_cross_entropy(x, [1, 0, 0, 1], reduction="sum")
    assert value == 2000
    assert gradient.tolist() == [0, 0, 1, -1]
    value, gradient = binary_cross_entropy(np.array([40.0]), [1])
    assert value == pytest.approx(math.exp(-40), rel=1e-12)
    assert gradient[0] == pytest.approx(-math.exp(-40), rel=1e-12)


def test_gradient_at_the_kink() -> None:
    zero = np.zeros(2)
    for loss in (mae, huber, quantile):
        assert not loss(zero, zero)[1].any()


def test_quantiles(rng: np.random.Generator) -> None:
    x, y, levels = rng.standard_normal((2, 3, 2)), rng.standard_normal((2, 3)), [0.1, 0.7]
    weight = [[1.0, 2.0, 0.0], [1.0, 1.0, 3.0]]
    value = check(quantile, x, y, quantiles=levels, weight=weight)
    singles = [quantile(x[..., i], y, quantiles=q, weight=weight)[0] for i, q in enumerate(levels)]
    within(np.array(value), np.mean(singles), sum_tolerance(F64, 12))
    one, gradient = quantile(x[..., :1], y, quantiles=[0.1])
    assert gradient.shape == (2, 3, 1)
    assert one == quantile(x[..., 0], y, quantiles=0.1)[0]


def test_the_quantile_is_where_the_loss_is_least(rng: np.random.Generator) -> None:
    y = rng.standard_normal(1001)
    losses = [quantile(np.full(1001, level), y, quantiles=0.8)[0] for level in np.sort(y)]
    assert int(np.argmin(losses)) == 800


# cross_entropy


def log_softmax(x: np.ndarray) -> np.ndarray:
    return np.asarray(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))


CLASS_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "class_weight": {"class_weight": [1.0, 2.0, 0.5, 0.25]},
    "smoothing": {"label_smoothing": 0.2},
    "ignore": {"ignore_index": 1},
    "all": {"class_weight": [1.0, 2.0, 0.5, 0.25], "label_smoothing": 0.2, "ignore_index": 0},
}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weight", [None, "numbers", "mask"])
@pytest.mark.parametrize("name", CLASS_OPTIONS)
def test_cross_entropy(name: str, weight: Any, reduction: str, rng: np.random.Generator) -> None:
    options = CLASS_OPTIONS[name]
    x, y = rng.standard_normal((2, 3, 4)) * 2, np.array([[1, 3, -100], [2, 1, 0]])
    if name not in ("plain", "class_weight", "smoothing"):
        y[0, 2] = options["ignore_index"]
    value = check(cross_entropy, x, y, weight=WEIGHTS.get(weight), reduction=reduction, **options)
    total = count = 0.0
    log_p, w = log_softmax(x), expanded(WEIGHTS.get(weight))
    per_class = np.array(options.get("class_weight", np.ones(4)))
    e = options.get("label_smoothing", 0.0)
    for i in np.ndindex(2, 3):
        if y[i] != options.get("ignore_index", -100):
            here = 1.0 if w is None else float(w[i])
            smooth = -(per_class * log_p[i]).sum() * e / 4
            total += here * float(-(1 - e) * per_class[y[i]] * log_p[i][y[i]] + smooth)
            count += here * float(per_class[y[i]])
    within(np.array(value), np.array(total / count if reduction == "mean" else total), sum_tolerance(F64, 24))


def test_weighted_cross_entropy_equals_the_unweighted_one(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((50, 7)).astype(np.float32), rng.integers(0, 7, 50)
    value, gradient = cross_entropy(x, y)
    again, same = cross_entropy(x, y, weight=np.full(50, 2))
    within(np.array(again), np.array(value), sum_tolerance(np.float32, 50))
    within(same, gradient, elementwise_tolerance(np.float32))


def test_cross_entropy_rows_that_do_not_count() -> None:
    x = np.array([[0.0, 0.0], [np.nan, np.inf]])
    for options in ({"weight": [1, 0]}, {"weight": [True, False]}):
        value, gradient = cross_entropy(x, [1, 0], **options)
        assert value == pytest.approx(math.log(2), rel=1e-15)
        assert gradient.tolist() == [[0.5, -0.5], [0, 0]]
    for options in ({"ignore_index": 1}, {"weight": np.zeros(2)}):
        value, gradient = cross_entropy(np.zeros((2, 2)), [1, 1], **options)
        assert value == 0
        assert not gradient.any()
    assert cross_entropy(np.zeros((0, 3)), np.zeros(0, int))[1].shape == (0, 3)


def test_cross_entropy_of_large_logits() -> None:
    value, gradient = cross_entropy(np.array([[1e4, 0.0], [0.0, 1e4]]), [0, 0], reduction="sum")
    assert value == 1e4
    within(gradient, np.array([[0.0, 0.0], [-1.0, 1.0]]), elementwise_tolerance(F64))


def test_cross_entropy_of_one_row_and_of_any_strides(rng: np.random.Generator) -> None:
    x = rng.standard_normal((4, 3, 5))
    y = rng.integers(0, 5, (4, 3))
    value, gradient = cross_entropy(x, y)
    turned, back = cross_entropy(np.asfortranarray(x), np.asfortranarray(y.astype(np.int32)))
    assert turned == value
    assert np.array_equal(back, gradient)
    assert cross_entropy(x[0, 0], y[0, 0])[1].shape == (5,)


ROW, TWO = np.zeros((2, 3)), np.zeros(2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mse(ROW, np.zeros((2, 1))),
            ValueError,
            r"targets must have the shape \(2, 3\) of predictions",
        ),
        (lambda: mse(ROW, 0.0), ValueError, "targets must have the shape"),
        (lambda: mse([1, 2], [1, 2]), TypeError, "predictions must be a floating-point array"),
        (lambda: mse(TWO, ["a", "b"]), TypeError, "targets must be an array of real numbers"),
        (lambda: mse(ROW, ROW, weight=np.ones(3)), ValueError, "weight must have the shape"),
        (lambda: mse(TWO, TWO, weight=[1, -1]), ValueError, "weight must be finite and at least 0"),
        (lambda: mse(TWO, TWO, weight=[1, np.nan]), ValueError, "weight must be finite"),
        (lambda: mse(TWO, TWO, reduction="none"), ValueError, "reduction must be one of 'mean', 'sum'"),
        (lambda: huber(TWO, TWO, delta=0), ValueError, "delta must be a number in"),
        (lambda: quantile(TWO, TWO, quantiles=1.0), ValueError, "quantiles must be numbers between 0 and 1"),
        (lambda: quantile(TWO, TWO, quantiles=[]), ValueError, "quantiles must be"),
        (
            lambda: quantile(ROW, TWO, quantiles=[0.1, 0.9]),
            ValueError,
            r"predictions must have shape \(2, 2\)",
        ),
        (lambda: binary_cross_entropy(TWO, [0, 2]), ValueError, r"targets must lie in 0\.\.1"),
        (lambda: binary_cross_entropy(TWO, [0, np.nan]), ValueError, r"targets must lie in 0\.\.1"),
        (lambda: binary_cross_entropy(TWO, TWO, pos_weight=-1), ValueError, "pos_weight must be finite"),
        (
            lambda: binary_cross_entropy(TWO, TWO, pos_weight=[[1], [1]]),
            ValueError,
            "pos_weight must be broad",
        ),
        (
            lambda: cross_entropy(ROW, [0, 3]),
            ValueError,
            r"targets must lie in 0\.\.2 or be ignore_index -100",
        ),
        (lambda: cross_entropy(ROW, [0, -1]), ValueError, "got -1"),
        (lambda: cross_entropy(ROW, [0]), ValueError, r"targets must have shape \(2,\)"),
        (lambda: cross_entropy(ROW, [0.0, 1.0]), TypeError, "targets must be an integer array"),
        (lambda: cross_entropy([[1, 2]], [0]), TypeError, "logits must be a floating-point array"),
        (lambda: cross_entropy(np.zeros((2, 0)), [0, 0]), ValueError, "C at least 1"),
        (lambda: cross_entropy(ROW, [0, 1], class_weight=[1, 1]), ValueError, "class_weight must have shape"),
        (lambda: cross_entropy(ROW, [0, 1], label_smoothing=2), ValueError, "label_smoothing must be"),
        (lambda: cross_entropy(ROW, [0, 1], weight=[1, 1, 1]), ValueError, "weight must have shape"),
        (lambda: cross_entropy(ROW, [0, 1], reduction="max"), ValueError, "reduction must be one of"),
    ],
)
def test_wrong_input(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
