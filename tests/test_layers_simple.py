"""Linear, Embedding, Dropout, LayerNorm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, assert_derivatives
from tolerances import forward_tolerance, sum_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.layers import Dropout, Embedding, Layer, LayerNorm, Linear


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with use_backend(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def check_gradients(layer: Layer, x: np.ndarray, rng: np.random.Generator) -> None:
    """Compare backward with central differences, twice, so that gradients are seen to add up."""
    layer.train()
    dy = rng.standard_normal(layer(x).shape)
    dx = layer.backward(dy)
    layer(x)
    layer.backward(dy)
    layer.eval()
    checked = {name: (p.data, p.grad / 2) for name, p in layer.named_parameters()}
    if x.dtype.kind == "f":
        checked["x"] = (x, dx)
    assert_derivatives(lambda: [layer(x)], [dy], checked)


# Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3), (2, 1, 3)])
def test_linear_gradients(lead: tuple[int, ...], bias: bool, rng: np.random.Generator) -> None:
    layer = Linear(4, 3, bias, dtype="float64", seed=0)
    check_gradients(layer, rng.standard_normal((*lead, 4)), rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linear_is_the_affine_map(dtype: str, rng: np.random.Generator) -> None:
    layer = Linear(17, 5, dtype=dtype, seed=1)
    x = rng.standard_normal((2, 9, 17)).astype(dtype)
    desired = (x.astype(np.float64) @ layer.weight.data.T.astype(np.float64) + layer.bias.data).astype(dtype)
    within(layer(x), desired, forward_tolerance(dtype, 17))


@pytest.mark.parametrize("lead", [(0,), (3, 0), (0, 2)])
def test_linear_of_nothing(lead: tuple[int, ...]) -> None:
    layer = Linear(4, 3).train()
    assert layer(np.zeros((*lead, 4))).shape == (*lead, 3)
    assert layer.backward(np.zeros((*lead, 3))).shape == (*lead, 4)
    assert not layer.weight.grad.any()


def test_linear_takes_any_strides_and_casts(rng: np.random.Generator) -> None:
    layer = Linear(4, 3, seed=0)
    x = rng.standard_normal((6, 5, 4)).astype(np.float32)
    y = layer(x)
    assert np.array_equal(layer(np.asfortranarray(x)), y)
    assert np.array_equal(layer(x.transpose(1, 0, 2)), y.transpose(1, 0, 2))
    assert np.array_equal(layer(np.repeat(x, 2, axis=2)[..., ::2]), y)
    assert np.array_equal(layer(x.astype(np.float64)), y)
    assert layer([1, 0, 0, 0]).dtype == np.float32


def test_linear_rows_in_every_batch(backend: str, rng: np.random.Generator) -> None:
    layer = Linear(33, 17, seed=0)
    x = rng.standard_normal((70, 33)).astype(np.float32)
    y = layer(x)
    for rows in (slice(0, 1), slice(34, 35), slice(3, 70), slice(0, 70, 9)):
        if backend == "native":
            assert np.array_equal(layer(x[rows]), y[rows])
        else:  # BLAS sums in another order for another number of rows
            within(layer(x[rows]), y[rows], forward_tolerance(np.float32, 33))


def test_linear_keeps_what_the_caller_overwrites(rng: np.random.Generator) -> None:
    layer = Linear(4, 3, seed=0).train()
    buffer = rng.standard_normal((2, 4)).astype(np.float32)
    desired = np.ones((3, 2), np.float32) @ buffer
    layer(buffer)
    buffer[:] = 0
    layer.backward(np.ones((2, 3)))
    within(layer.weight.grad, desired, sum_tolerance(np.float32, 2))


def test_linear_goes_back_with_the_weights_of_its_forward(rng: np.random.Generator) -> None:
    layer = Linear(4, 3, seed=0).train()
    dy = rng.standard_normal((2, 3)).astype(np.float32)
    layer(np.ones((2, 4)))
    layer(np.ones((2, 4)))
    before = layer.backward(dy)
    layer.weight.data[...] = 0
    assert np.array_equal(layer.backward(dy), before)
    assert not layer(np.ones((2, 4))).any() or layer.bias.data.any()


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs two backends")
def test_linear_goes_back_with_the_backend_of_its_forward(backend: str) -> None:
    layer = Linear(4, 3).train()
    layer(np.ones((2, 4)))
    with use_backend(next(name for name in BACKENDS if name != backend)):
        assert layer.backward(np.ones((2, 3))).shape == (2, 4)


def test_linear_sees_every_change_of_its_weights() -> None:
    layer = Linear(2, 2, bias=False)
    x = np.ones((1, 2))
    layer.weight.data = np.ones((2, 2))
    assert layer(x).tolist() == [[2, 2]]
    layer.weight.data *= 2
    assert layer(x).tolist() == [[4, 4]]
    view = layer.weight.data[0]
    layer(x)
    view[:] = 0
    assert layer(x).tolist() == [[0, 4]]


def test_linear_first_weights() -> None:
    big = Linear(400, 300, seed=0)
    bound = 1 / 20
    for p in big.parameters():
        assert 0.9 * bound < p.data.max() <= bound
        assert -bound <= p.data.min() < -0.9 * bound
    assert np.array_equal(Linear(4, 3, seed=7).weight.data, Linear(4, 3, seed=7).weight.data)
    assert not np.array_equal(Linear(4, 3).weight.data, Linear(4, 3).weight.data)
    square = Linear(6, 6, init="orthogonal", dtype="float64", seed=0)
    within(square.weight.data @ square.weight.data.T, np.eye(6), forward_tolerance(np.float64, 6))
    assert not square.bias.data.any()
    assert abs(Linear(4, 3, init="glorot").weight.data).max() <= np.sqrt(6 / 7)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_features": 0, "out_features": 1}, ValueError, "in_features must be at least 1"),
        ({"in_features": 1, "out_features": 1.5}, TypeError, "out_features must be an integer"),
        ({"in_features": 1, "out_features": 1, "init": "he"}, ValueError, "init must be one of"),
        ({"in_features": 1, "out_features": 1, "dtype": "float16"}, TypeError, "dtype must be float32"),
    ],
)
def test_linear_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Linear(**arguments)


def test_linear_input() -> None:
    layer = Linear(3, 2).train()
    for x in (np.zeros((2, 4)), np.zeros(2), 1.0):
        with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 3\]"):
            layer(x)
    with pytest.raises(TypeError, match="x must be an array of real numbers"):
        layer(["a", "b", "c"])
    layer(np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"dy must have shape \(5, 2\), got \(2,\)"):
        layer.backward(np.zeros(2))


# Embedding


@pytest.mark.parametrize("padding_idx", [None, 1])
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (0,)])
def test_embedding_gradients(
    shape: tuple[int, ...], padding_idx: int | None, rng: np.random.Generator
) -> None:
    layer = Embedding(6, 3, padding_idx, dtype="float64", seed=0)
    ids = rng.integers(0, 6, shape)
    ids[ids == 1] = 2  # the gradient of the padding row is not its derivative, see below
    check_gradients(layer, ids, rng)


def test_embedding_looks_up_and_repeats_add() -> None:
    layer = Embedding(4, 2, dtype="float64", seed=0).train()
    ids = np.array([[3, 0], [3, 3]], np.uint8)
    assert np.array_equal(layer(ids), layer.weight.value[ids])
    layer.backward(np.ones((2, 2, 2)))
    assert layer.weight.grad.tolist() == [[1, 1], [0, 0], [0, 0], [3, 3]]


@pytest.mark.parametrize("padding_idx", [2, -1])
def test_embedding_padding(padding_idx: int) -> None:
    layer = Embedding(3, 2, padding_idx, seed=0).train()
    assert layer.padding_idx == 2
    assert not layer([2, 2]).any()
    assert layer([0, 1]).all()
    layer.backward(np.ones((2, 2)))
    layer.backward(np.ones((2, 2)))
    assert layer.weight.grad.tolist() == [[1, 1], [1, 1], [0, 0]]


def test_embedding_keeps_what_the_caller_overwrites() -> None:
    layer = Embedding(3, 1, seed=0).train()
    ids = np.array([1, 1])
    layer(ids)
    ids[:] = 0
    layer.backward(np.ones((2, 1)))
    assert layer.weight.grad.tolist() == [[0], [2], [0]]


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint16", "uint64"])
def test_embedding_takes_any_integers(dtype: str) -> None:
    layer = Embedding(5, 2, seed=0)
    assert np.array_equal(layer(np.array([4, 0], dtype)), layer([4, 0]))


def test_embedding_input() -> None:
    layer = Embedding(5, 2).train()
    for ids in ([5], [-1], [2**40]):
        with pytest.raises(ValueError, match=r"ids must lie in 0\.\.4"):
            layer(ids)
    with pytest.raises(TypeError, match="ids must be an integer array"):
        layer(np.zeros(2))
    with pytest.raises(ValueError, match="padding_idx must be at most 4"):
        Embedding(5, 2, 5)
    layer([1, 2])
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 2\)"):
        layer.backward(np.zeros(2))


# Dropout


def test_dropout_in_eval_mode_is_nothing(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4))
    assert Dropout(0.9)(x) is x


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_gradient_is_its_mask(p: float, rng: np.random.Generator) -> None:
    layer = Dropout(p, seed=0).train()
    x = rng.standard_normal((40, 50)).astype(np.float32) + 10
    y = layer(x)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    dx = layer.backward(dy)
    assert y.dtype == dx.dtype == np.float32
    kept = y != 0
    # Four standard deviations of a binomial of 2000.
    assert abs(kept.mean() - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / 2000)
    scale = np.float32(1 / (1 - p)) if p < 1 else np.float32(0)
    assert np.array_equal(y, np.where(kept, x * scale, 0))
    assert np.array_equal(dx, np.where(kept, dy * scale, 0))


def test_dropout_masks_differ_and_follow_the_seed() -> None:
    x = np.ones(100)
    one, two = Dropout(seed=3).train(), Dropout(seed=np.random.default_rng(3)).train()
    first = one(x)
    assert np.array_equal(first, two(x))
    assert not np.array_equal(first, one(x))
    assert one.config() == {"p": 0.5, "seed": 3}
    assert two.config() == {"p": 0.5, "seed": None}


def test_dropout_input() -> None:
    for p in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="p must be a number in"):
            Dropout(p)
    with pytest.raises(TypeError, match="x must be a floating-point array"):
        Dropout().train()(np.arange(3))


# LayerNorm


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}, {"eps": 0.5}])
@pytest.mark.parametrize(("shape", "sizes"), [((5, 4), 4), ((4,), 4), ((2, 3, 4), (3, 4)), ((2, 1), 1)])
def test_layer_norm_gradients(
    shape: tuple[int, ...], sizes: Any, options: dict[str, Any], rng: np.random.Generator
) -> None:
    layer = LayerNorm(sizes, dtype="float64", **options)
    for p in layer.parameters():
        p.data = rng.standard_normal(p.shape)
    check_gradients(layer, rng.standard_normal(shape), rng)


def test_layer_norm_normalises(rng: np.random.Generator) -> None:
    x = rng.standard_normal((7, 3, 200)) * 5 + 3
    y = LayerNorm(200, dtype="float64")(x)
    within(y.mean(axis=2), np.zeros((7, 3)), sum_tolerance(np.float64, 200))
    within(y.var(axis=2), x.var(axis=2) / (x.var(axis=2) + 1e-5), 10 * sum_tolerance(np.float64, 200))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("K", [1, 2, 7, 8, 31, 300])
def test_layer_norm_rows_have_the_same_bits_in_every_batch(
    K: int, dtype: str, rng: np.random.Generator
) -> None:
    layer = LayerNorm(K, dtype=dtype)
    x = rng.standard_normal((65, K)).astype(dtype)
    y = layer(x)
    for rows in (slice(0, 1), slice(3, 4), slice(60, 65), slice(1, 65), slice(0, 65, 7)):
        assert np.array_equal(layer(x[rows]), y[rows])
    assert np.array_equal(layer(np.asfortranarray(x)), y)


def test_layer_norm_goes_back_with_the_weights_of_its_forward(rng: np.random.Generator) -> None:
    layer = LayerNorm(4).train()
    x, dy = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    layer(x)
    layer(x)
    before = layer.backward(dy)
    layer.weight.data[...] = 0
    assert np.array_equal(layer.backward(dy), before)


def test_layer_norm_input() -> None:
    with pytest.raises(ValueError, match=r"x must have shape \[\.\.\., 3, 4\], got \(4, 3\)"):
        LayerNorm((3, 4))(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="at least one axis"):
        LayerNorm(())
    with pytest.raises(ValueError, match="eps must be"):
        LayerNorm(3, eps=0)
    assert LayerNorm(3)(np.zeros((0, 3))).shape == (0, 3)


# All


@pytest.mark.parametrize(
    "layer",
    [
        Linear(3, 2, bias=False, dtype="float64"),
        Embedding(5, 2, padding_idx=1),
        Dropout(0.25, seed=4),
        LayerNorm((2, 3), eps=0.1, bias=False),
    ],
)
def test_configurations_make_the_same_layer(layer: Layer) -> None:
    made = type(layer).from_config(layer.config())
    assert made.config() == layer.config()
    assert [(n, p.shape, p.dtype) for n, p in made.named_parameters()] == [
        (n, p.shape, p.dtype) for n, p in layer.named_parameters()
    ]
