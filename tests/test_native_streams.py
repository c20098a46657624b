"""Stateful inference of the native backend against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from native_cases import EDGE_SIZES, by_dtype, by_isa, native, reference
from recurrent_cases import make_weights
from tolerances import forward_tolerance, within

from fastrnn._types import CELL_COUNTS, CELLS, CellWeights
from fastrnn.backend import use_isa
from fastrnn.reference.streams import _draw

STEPS = 12


def layers(
    cells: list[str], input_size: int, H: int, dtype: type, P: int = 0
) -> list[tuple[str, CellWeights]]:
    rng, result, size = np.random.default_rng(3), [], input_size
    for cell in cells:
        project = P if CELL_COUNTS[cell].has_c else 0
        result.append((cell, make_weights(rng, cell, size, H, P=project, dtype=dtype)))
        size = project or H
    return result


def packed(backend, stack: list[tuple[str, CellWeights]], dtype: type) -> list:
    def cast(w: CellWeights) -> CellWeights:
        return CellWeights._make(None if a is None else a.astype(dtype) for a in w)

    return [backend.pack_weights(cell, cast(weights)) for cell, weights in stack]


@by_isa
@by_dtype
@pytest.mark.parametrize("batch_size", [1, 3, 7])
@pytest.mark.parametrize("zoneout", [False, True])
@pytest.mark.parametrize("cells", [[c, c] for c in CELLS] + [["lstm", "gru", "rnn_tanh"]], ids="-".join)
def test_steps(cells: list[str], batch_size: int, zoneout: bool, dtype: type, isa: str) -> None:
    stack = layers(cells, 5, 9, dtype, P=4)
    k = [(0.2, 0.1 if CELL_COUNTS[cell].has_c else 0.0) for cell in cells] if zoneout else None
    x = np.random.default_rng(4).standard_normal((STEPS, batch_size, 5)).astype(dtype)
    expected = reference.StepStream(packed(reference, stack, np.float64), batch_size, k)
    with use_isa(isa):
        stream = native.StepStream(packed(native, stack, dtype), batch_size, k)
        tolerance = forward_tolerance(dtype, 20, STEPS * len(cells))
        for t in range(STEPS):
            desired = expected.step(x[t].astype(np.float64)).astype(dtype)
            within(stream.step(x[t]), desired, tolerance, f"step {t}")
        for (h, c), (h64, c64) in zip(stream.get_state(), expected.get_state(), strict=True):
            within(h, h64.astype(dtype), tolerance, "h")
            assert (c is None) == (c64 is None)
            if c is not None:
                within(c, c64.astype(dtype), tolerance, "c")


@by_isa
@pytest.mark.parametrize("cell", CELLS)
def test_sizes(cell: str, isa: str) -> None:
    for i, H in enumerate(EDGE_SIZES):
        K = EDGE_SIZES[(i + 5) % len(EDGE_SIZES)]
        stack = layers([cell], K, H, np.float32)
        x = np.random.default_rng(4).standard_normal((3, 1, K)).astype(np.float32)
        expected = reference.StepStream(packed(reference, stack, np.float64), 1)
        with use_isa(isa):
            stream = native.StepStream(packed(native, stack, np.float32), 1)
            for t in range(3):
                desired = expected.step(x[t].astype(np.float64)).astype(np.float32)
                within(stream.step(x[t]), desired, forward_tolerance(np.float32, K + H, 3), f"H {H}")


@pytest.fixture
def stream():
    return native.StepStream(packed(native, layers(["lstm", "gru"], 3, 8, np.float32), np.float32), 3)


ONES = np.ones((3, 3), np.float32)


def test_the_output_buffer_is_reused(stream) -> None:
    assert np.shares_memory(stream.step(ONES), stream.step(2 * ONES))


def test_strided_input(stream) -> None:
    wide = np.full((3, 6), np.nan, np.float32)
    wide[:, ::2] = ONES
    twin = stream.fork()
    assert np.array_equal(stream.step(wide[:, ::2]), twin.step(ONES))


def test_state_is_copied_out_and_in(stream) -> None:
    stream.step(ONES)
    state = stream.get_state()
    assert state[1][1] is None and state[0][1].shape == (3, 8)
    after = stream.step(ONES).copy()
    stream.set_state(state)
    for array in (state[0][0], state[0][1], state[1][0]):
        array[...] = np.nan
    assert np.array_equal(stream.step(ONES), after)


def test_reset_forgets_the_rows_it_names(stream) -> None:
    first = stream.step(ONES).copy()
    second = stream.step(ONES).copy()
    stream.reset(None)
    assert np.array_equal(stream.step(ONES), first)
    stream.reset(np.array([1]))
    third = stream.step(ONES)
    assert np.array_equal(third[1], first[1]) and np.array_equal(third[[0, 2]], second[[0, 2]])


def test_forks_go_their_own_way(stream) -> None:
    stream.step(ONES)
    twin = stream.fork()
    mine = stream.step(ONES).copy()
    twin.step(0 * ONES)
    assert np.array_equal(stream.get_state()[1][0], mine)
    assert not np.array_equal(twin.get_state()[1][0], mine)


def test_streams_outlive_what_they_were_built_from() -> None:
    def build():
        return native.StepStream(packed(native, layers(["gru"], 3, 8, np.float32), np.float32), 1).fork()

    stream = build()
    noise = [np.full((8, 24), np.nan, np.float32) for _ in range(100)]
    assert np.isfinite(stream.step(ONES[:1])).all() and len(noise) == 100


# ---- tokens ----

V, E = 31, 7


def token_streams(dtype: type, cells: list[str], scale: float = 3.0):
    rng = np.random.default_rng(5)
    stack = layers(cells, E, 9, dtype, P=4)
    size = stack[-1][1].weight_hh.shape[1]
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((V, E), (V, size), (V,))]

    def build(backend, kind: type):
        embedding, weight, bias = (a.astype(kind) for a in arrays)
        linear = backend.pack_linear(weight * kind(scale), bias)
        return backend.TokenStream(embedding, packed(backend, stack, kind), linear)

    return build(native, dtype), build(reference, np.float64)


@by_isa
@by_dtype
@pytest.mark.parametrize("cells", [[c] for c in CELLS] + [["lstm", "gru"]], ids="-".join)
def test_feed(cells: list[str], dtype: type, isa: str) -> None:
    with use_isa(isa):
        ours, theirs = token_streams(dtype, cells)
        for tokens in ([], [3], [0, V - 1, 3, 3, 17]):
            ours.feed(np.array(tokens, np.int64))
            theirs.feed(np.array(tokens, np.int64))
            within(ours.logits, theirs.logits.astype(dtype), forward_tolerance(dtype, 20, 6 * len(cells)))


SETTINGS = [(1.0, 0, 1.0), (0.0, 0, 1.0), (0.7, 5, 1.0), (1.3, 0, 0.8), (1.0, 7, 0.6), (2.0, 100, 0.999)]


@by_isa
@by_dtype
@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
def test_sampling_draws_by_the_definition(temperature, top_k, top_p, dtype: type, isa: str) -> None:
    """Each token is the one that the reference draws from the native stream's own logits."""
    with use_isa(isa):
        ours, _ = token_streams(dtype, ["lstm", "gru"])
        for u in np.random.default_rng(6).random(60):
            expected = _draw(ours.logits, float(u), temperature, top_k, top_p)
            assert ours.sample(np.array([u]), temperature, top_k, top_p).tolist() == [expected]


@by_isa
@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SETTINGS)
def test_sampling_many_tokens_at_once(temperature, top_k, top_p, isa: str) -> None:
    uniforms = np.random.default_rng(7).random(80)
    with use_isa(isa):
        ours, theirs = token_streams(np.float64, ["gru"])
        one_by_one = ours.fork()
        tokens = ours.sample(uniforms, temperature, top_k, top_p)
        singles = [int(one_by_one.sample(np.array([u]), temperature, top_k, top_p)[0]) for u in uniforms]
    assert tokens.dtype == np.int64 and tokens.tolist() == singles
    assert tokens.tolist() == theirs.sample(uniforms, temperature, top_k, top_p).tolist()


def test_token_state_and_fork() -> None:
    stream, _ = token_streams(np.float32, ["lstm"])
    stream.feed(np.array([1, 2]))
    state, logits, twin = stream.get_state(), stream.logits.copy(), stream.fork()
    stream.feed(np.array([5]))
    assert not np.array_equal(stream.logits, logits) and np.array_equal(twin.logits, logits)
    stream.set_state(state)
    assert np.array_equal(stream.logits, logits)
    twin.feed(np.array([9]))
    assert np.array_equal(stream.logits, logits)


def test_ties_and_impossible_tokens() -> None:
    stack = packed(native, layers(["gru"], E, 9, np.float32), np.float32)
    embedding = np.zeros((4, E), np.float32)

    def stream(*bias: float):
        linear = native.pack_linear(np.zeros((4, 9), np.float32), np.array(bias, np.float32))
        return native.TokenStream(embedding, stack, linear)

    last = np.nextafter(1.0, 0)
    uniforms = np.array([0.0, 0.3, 0.6, 0.999])
    assert stream(0, 0, 0, 0).sample(uniforms, 1.0, 2, 1.0).tolist() == [0, 0, 1, 1]
    assert stream(0, 0, 0, 0).sample(uniforms, 1.0, 0, 0.75).tolist() == [0, 0, 1, 2]
    assert stream(0, 0, 0, 0).sample(uniforms, 1.0, 0, 1.0).tolist() == [0, 1, 2, 3]
    assert stream(0, 2, 2, 1).sample(uniforms, 0.0, 0, 1.0).tolist() == [1, 1, 1, 1]
    assert stream(0, 5, 1, -np.inf).sample(np.array([last]), 0.01, 0, 1.0).tolist() == [1]
    assert stream(0, 5, 1, -np.inf).sample(np.array([0.0, last]), 1e-300, 0, 1.0).tolist() == [1, 1]
