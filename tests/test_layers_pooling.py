"""Pooling over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from recurrent_layers import assert_derivatives
from tolerances import elementwise_tolerance, forward_tolerance, within

from fastrnn.layers import AttentionPool, LastPool, Layer, MaxPool, MeanPool

H = 4
POOLS: dict[str, Callable[..., Layer]] = {
    "last": LastPool,
    "last_bidirectional": lambda **options: LastPool(True, **options),
    "mean": MeanPool,
    "max": MaxPool,
    "attention": lambda **options: AttentionPool(H, dtype="float64", seed=0, **options),
}
LENGTHS = [None, [5, 1, 3], [2, 0, 5], [0, 0, 0]]


@pytest.fixture(params=POOLS)
def make(request: pytest.FixtureRequest) -> Callable[..., Layer]:
    return POOLS[request.param]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(2).standard_normal((5, 3, H))


def expected(pool: Layer, row: np.ndarray) -> np.ndarray:
    """Definition of each pool for one row [t, H]."""
    if not len(row):
        return np.zeros(row.shape[1])
    if isinstance(pool, LastPool):
        half = row.shape[1] // 2
        return np.concatenate([row[-1, :half], row[0, half:]]) if pool.bidirectional else row[-1]
    if isinstance(pool, MeanPool):
        return row.mean(axis=0)
    if isinstance(pool, MaxPool):
        return row.max(axis=0)
    assert isinstance(pool, AttentionPool)
    scores = row @ pool.query.value
    a = np.exp(scores - scores.max())
    return a @ row / a.sum()


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_definition(make: Callable[..., Layer], lengths: Any, x: np.ndarray) -> None:
    pool = make()
    y = pool(x, lengths)
    for n, t in enumerate(lengths or [5, 5, 5]):
        within(y[n], expected(pool, x[:t, n]), forward_tolerance(np.float64, 5), f"row {n}")


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_gradients(make: Callable[..., Layer], lengths: Any, x: np.ndarray) -> None:
    pool = make().train()
    dy = np.random.default_rng(3).standard_normal((3, H))
    pool(x, lengths)
    dx = pool.backward(dy)
    for n, t in enumerate(lengths or [5, 5, 5]):
        assert not dx[t:, n].any()
    checked = {name: (p.data, p.grad) for name, p in pool.named_parameters()}
    pool.eval()
    assert_derivatives(lambda: [pool(x, lengths)], [dy], {"x": (x, dx), **checked})


@pytest.mark.parametrize("lengths", [None, [5, 0, 3]], ids=str)
def test_what_lies_past_a_length_does_not_matter(
    make: Callable[..., Layer], lengths: Any, x: np.ndarray
) -> None:
    pool = make().train()
    dy = np.random.default_rng(3).standard_normal((3, H))
    results = []
    for filling in (0.0, 1e6, np.nan):
        padded = x.copy()
        for n, t in enumerate(lengths or [5, 5, 5]):
            padded[t:, n] = filling
        pool.zero_grad()
        results.append(
            (pool(padded, lengths), pool.backward(dy), *(p.grad.copy() for p in pool.parameters()))
        )
    for result in results[1:]:
        for actual, desired in zip(result, results[0], strict=True):
            assert np.array_equal(actual, desired)


def test_forms(make: Callable[..., Layer], x: np.ndarray) -> None:
    pool, batch_first = make().train(), make(batch_first=True).train()
    lengths, dy = [5, 2, 4], np.ones((3, H))
    y, dx = pool(x, lengths), pool.backward(dy)
    turned = np.ascontiguousarray(x.transpose(1, 0, 2))
    assert np.array_equal(batch_first(turned, lengths), y)
    assert np.array_equal(batch_first.backward(dy).transpose(1, 0, 2), dx)
    assert np.array_equal(pool(x[:, 0]), y[0])
    assert np.array_equal(pool.backward(dy[0]), dx[:, 0])


@pytest.mark.parametrize("features", [1, 2, 4, 16])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_have_the_same_bits_in_every_batch(features: int, batch_first: bool, dtype: str) -> None:
    x = np.random.default_rng(4).standard_normal((50, 33, features)).astype(dtype)
    lengths = np.random.default_rng(5).integers(0, 51, 33)
    for pool in (
        MeanPool(batch_first=batch_first),
        AttentionPool(features, batch_first=batch_first, dtype=dtype),
    ):
        given = np.ascontiguousarray(x.transpose(1, 0, 2)) if batch_first else x
        y = pool(given, lengths)
        for rows in (slice(0, 1), slice(7, 8), slice(5, 33), slice(0, 33, 4)):
            part = given[rows] if batch_first else given[:, rows]
            assert np.array_equal(pool(part, lengths[rows]), y[rows])


def test_empty_input(make: Callable[..., Layer]) -> None:
    pool = make().train()
    for T, N in ((0, 3), (5, 0), (0, 0)):
        y = pool(np.zeros((T, N, H)))
        assert y.shape == (N, H)
        assert not y.any()
        assert pool.backward(y).shape == (T, N, H)


def test_dtype_is_kept() -> None:
    x = np.ones((2, 3, H), np.float32)
    for pool in (LastPool(), MeanPool(), MaxPool(), AttentionPool(H)):
        pool.train()
        assert pool(x, [2, 1, 0]).dtype == np.float32
        assert pool.backward(np.ones((3, H))).dtype == np.float32


def test_of_equal_maxima_the_first_gets_the_gradient() -> None:
    pool = MaxPool().train()
    pool(np.ones((3, 1, 1)))
    assert pool.backward(np.ones((1, 1))).ravel().tolist() == [1, 0, 0]


def test_the_caller_may_overwrite_its_arrays(make: Callable[..., Layer], x: np.ndarray) -> None:
    pool, dy = make().train(), np.ones((3, H))
    pool(x)
    desired = pool.backward(dy)
    buffer = x.copy()
    y = pool(buffer)
    buffer[:] = 0
    y[:] = 0
    for p in pool.parameters():
        p.data[...] = 0
    within(pool.backward(dy), desired, elementwise_tolerance(np.float64))


def test_attention_of_large_scores(x: np.ndarray) -> None:
    pool = AttentionPool(H, dtype="float64")
    pool.query.data = np.full(H, 1e6)
    y = pool(x)
    best = x.sum(axis=2).argmax(axis=0)
    assert np.array_equal(y, x[best, np.arange(3)])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: MeanPool()(np.zeros(3)), ValueError, "x must have 2 or 3 dimensions"),
        (lambda: MeanPool()(np.zeros((2, 2, 2), int)), TypeError, "x must be a floating-point array"),
        (lambda: MeanPool()(np.zeros((2, 3, 2)), [1, 2]), ValueError, "lengths must have shape"),
        (lambda: MeanPool()(np.zeros((2, 3, 2)), [1, 2, 3]), ValueError, r"lengths must lie in 0\.\.2"),
        (lambda: MeanPool()(np.zeros((2, 3, 2)), [1.0, 2, 2]), TypeError, "lengths must be an integer"),
        (lambda: LastPool(True)(np.zeros((2, 3, 3))), ValueError, "even number of features"),
        (lambda: AttentionPool(3)(np.zeros((2, 3, 2))), ValueError, "x must have 3 features"),
        (lambda: AttentionPool(0), ValueError, "input_size must be at least 1"),
        (lambda: MeanPool(batch_first=1), TypeError, "batch_first must be True or False"),  # type: ignore[arg-type]
        (lambda: MeanPool().backward(np.zeros((3, 2))), RuntimeError, "MeanPool.backward needs train mode"),
    ],
)
def test_wrong_use(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_gradient_of_wrong_shape(x: np.ndarray) -> None:
    pool = MeanPool().train()
    pool(x)
    with pytest.raises(ValueError, match=r"dy must have shape \(3, 4\)"):
        pool.backward(np.zeros((5, 3, 4)))


def test_configurations_make_the_same_pool(make: Callable[..., Layer]) -> None:
    pool = make(batch_first=True)
    assert type(pool).from_config(pool.config()).config() == pool.config()
