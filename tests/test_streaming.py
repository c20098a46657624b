"""Streams: the same numbers as a whole sequence, independent of each other, on a snapshot of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, leaves
from tolerances import forward_tolerance, within

from fastrnn import layers
from fastrnn.backend import use_backend
from fastrnn.layers.recurrent import GRU, LSTM

T, N, INPUT, H = 7, 3, 4, 5


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with use_backend(request.param):
        yield request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
@pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)
def test_steps_equal_the_sequence(
    name: str, cell: dict[str, Any], zoneout: float, dtype: str, rng: np.random.Generator
) -> None:
    layer = getattr(layers, name)(INPUT, H, 3, dtype=dtype, seed=0, zoneout=zoneout, **cell)
    x = rng.standard_normal((T, N, INPUT)).astype(dtype)
    y, end = layer(x)
    stream = layer.stream(N)
    assert stream.batch_size == N
    steps = np.stack([stream.step(x_t).copy() for x_t in x])
    tolerance = forward_tolerance(dtype, INPUT + H, T)
    within(steps, y, tolerance)
    for a, b in zip(leaves(stream.state), leaves(end), strict=True):
        within(a, b, tolerance)


def test_different_zoneout_of_h_and_c(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, zoneout=(0.1, 0.5), dtype="float64", seed=0)
    x = rng.standard_normal((T, 1, INPUT))
    stream = layer.stream()
    within(
        np.stack([stream.step(x_t).copy() for x_t in x]),
        layer(x)[0],
        forward_tolerance(np.float64, INPUT + H, T),
    )


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_state_can_be_taken_set_and_reset(name: str, rng: np.random.Generator) -> None:
    layer = getattr(layers, name)(INPUT, H, 2, seed=0)
    x = rng.standard_normal((T, N, INPUT), dtype=np.float32)
    stream = layer.stream(N)
    stream.step(x[0])
    state = stream.state
    first = stream.step(x[1]).copy()
    stream.step(x[2])
    stream.state = state
    assert np.array_equal(stream.step(x[1]), first)
    for part in leaves(state):  # the copy is the caller's
        part[...] = 7
    assert all(abs(part).max() < 7 for part in leaves(stream.state))

    stream.reset([1])
    for part in leaves(stream.state):
        assert not part[:, 1].any() and part[:, [0, 2]].any()
    stream.reset(0)
    assert not any(part[:, :2].any() for part in leaves(stream.state))
    stream.reset()
    assert not any(part.any() for part in leaves(stream.state))
    stream.step(x[0])
    stream.state = None
    assert not any(part.any() for part in leaves(stream.state))


def test_state_of_a_layer_continues_in_a_stream(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, dtype="float64", proj_size=3, seed=0)
    x = rng.standard_normal((T, N, INPUT))
    y, _ = layer(x)
    stream = layer.stream(N)
    stream.state = layer(x[:4])[1]
    within(stream.step(x[4]), y[4], forward_tolerance(np.float64, INPUT + H, T))


def test_forks_go_their_own_way(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0)
    x = rng.standard_normal((T, 1, INPUT), dtype=np.float32)
    stream = layer.stream()
    stream.step(x[0])
    fork = stream.fork()
    expected = stream.step(x[1]).copy()
    for x_t in x[2:]:
        stream.step(x_t)
    assert np.array_equal(fork.step(x[1]), expected)
    assert fork.batch_size == 1


def test_streams_share_nothing_but_weights(rng: np.random.Generator) -> None:
    layer = LSTM(INPUT, H, 2, seed=0)
    xs = rng.standard_normal((8, 50, 1, INPUT), dtype=np.float32)

    def run(x: np.ndarray) -> np.ndarray:
        stream = layer.stream()
        return np.stack([stream.step(x_t).copy() for x_t in x])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, xs))
    assert np.array_equal(found, [run(x) for x in xs])


def test_a_stream_keeps_the_weights_it_was_made_with(rng: np.random.Generator) -> None:
    layer = GRU(INPUT, H, seed=0)
    x = rng.standard_normal((1, INPUT), dtype=np.float32)
    stream, twin = layer.stream(), layer.stream()
    expected = stream.step(x).copy()
    layer.weight_ih_l0.data[...] = 0
    assert np.array_equal(twin.step(x), expected)
    assert not np.array_equal(layer.stream().step(x), expected)


def test_the_answer_is_one_buffer(rng: np.random.Generator) -> None:
    stream = GRU(INPUT, H, seed=0).stream()
    x = rng.standard_normal((2, 1, INPUT), dtype=np.float32)
    assert np.shares_memory(stream.step(x[0]), stream.step(x[1]))


@pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)
def test_the_answer_may_be_fed_back(name: str, cell: dict[str, Any], rng: np.random.Generator) -> None:
    """As large as several blocks of units, so that an input lost too early would show."""
    width = getattr(layers, name)(1, 150, **cell).output_size
    layer = getattr(layers, name)(width, 150, seed=0, **cell)
    own, copied = layer.stream(), layer.stream()
    y = z = rng.standard_normal((1, width)).astype(np.float32)
    for _ in range(4):
        y = own.step(y)
        z = copied.step(z).copy()
    assert np.array_equal(y, z)


def test_a_step_takes_what_converts() -> None:
    layer = GRU(INPUT, H, seed=0)
    x = [[0.5, 1.0, -1.0, 2.0]]
    expected = layer.stream().step(np.array(x, np.float32)).copy()
    assert np.array_equal(layer.stream().step(x), expected)
    assert np.array_equal(layer.stream().step(np.array(x, order="F")), expected)


def test_a_native_step_is_the_compiled_method(backend: str) -> None:
    compiled = type(GRU(INPUT, H).stream().step.__self__).__module__ == "fastrnn._core"  # type: ignore[attr-defined]
    assert compiled == (backend == "native")


def test_bad_calls_name_the_argument() -> None:
    with pytest.raises(ValueError, match="bidirectional layer cannot stream"):
        GRU(INPUT, H, bidirectional=True).stream()
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        GRU(INPUT, H).stream(0)
    stream = LSTM(INPUT, H).stream(2)
    with pytest.raises(ValueError, match=r"x must have shape \(2, 4\), got \(2, 3\)"):
        stream.step(np.zeros((2, 3), np.float32))
    with pytest.raises(TypeError, match=r"state of an LSTM must be a pair"):
        stream.state = np.zeros((1, 2, H))
    with pytest.raises(ValueError, match=r"state\[0\] \(h\) must have shape \(1, 2, 5\), got \(2, 5\)"):
        stream.state = (np.zeros((2, H)), np.zeros((2, H)))
    with pytest.raises(ValueError, match=r"rows must lie in 0\.\.1, got 2"):
        stream.reset([2])
    with pytest.raises(TypeError, match="rows must be an integer array"):
        stream.reset([0.5])
