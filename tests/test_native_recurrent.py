"""Recurrent layers of the native backend against the reference: cells, features, sizes, memory layouts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from native_cases import (
    EDGE_SIZES,
    assert_agrees,
    assert_same_bits,
    by_dtype,
    by_isa,
    expectation,
    native,
    reference,
    widened,
)
from recurrent_cases import (
    CELL_FEATURE_IDS,
    CELL_FEATURES,
    FEATURES,
    forward,
    make_problem,
    run,
    zeros_like,
)
from tolerances import forward_tolerance, within

from fastrnn._types import CELLS
from fastrnn.backend import available_isas, num_threads, use_isa

EVERYTHING = FEATURES["everything"]


def check(cell: str, sizes: tuple[int, ...], dtype: type, isa: str, options: dict) -> None:
    p = make_problem(cell, *sizes, dtype=dtype, **options)
    with use_isa(isa):
        got = run(native, p)
    assert_agrees(p, got, expectation(cell, sizes, dtype, tuple(options.items())))


@by_isa
@by_dtype
@pytest.mark.parametrize(("cell", "name", "options"), CELL_FEATURES, ids=CELL_FEATURE_IDS)
def test_features(cell: str, name: str, options: dict, dtype: type, isa: str) -> None:
    check(cell, (5, 7, 5, 9), dtype, isa, options)


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_edge_sizes(cell: str, dtype: type, isa: str) -> None:
    for i, H in enumerate(EDGE_SIZES):
        N, K = EDGE_SIZES[(i + 5) % len(EDGE_SIZES)], EDGE_SIZES[(i + 9) % len(EDGE_SIZES)]
        check(cell, (3, N, K, H), dtype, isa, EVERYTHING if i % 2 else {})


@by_isa
@by_dtype
@pytest.mark.parametrize("project", [1, 4, 17])
def test_projection_sizes(project: int, dtype: type, isa: str) -> None:
    for H in (project, project + 1, 31):
        check("lstm", (4, 5, 3, H), dtype, isa, {"project": project})
        check("lstm", (4, 5, 3, H), dtype, isa, {**EVERYTHING, "project": project})


@by_isa
@pytest.mark.parametrize("N", range(1, 20))
def test_every_number_of_rows(N: int, isa: str) -> None:
    for cell in CELLS:
        check(cell, (2, N, 3, 9), np.float32, isa, {"lengths": True})


@settings(max_examples=150)
@given(
    st.sampled_from(CELLS),
    st.tuples(st.integers(0, 7), st.integers(0, 14), st.integers(1, 20), st.integers(1, 40)),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(available_isas()),
    st.integers(1, 3),
    st.fixed_dictionaries(
        {
            **dict.fromkeys(
                ("state", "lengths", "resets", "reverse", "input_mask", "hidden_mask", "project"),
                st.booleans(),
            ),
            "zoneout": st.sampled_from([None, "sample", "probability"]),
            "biases": st.sampled_from([(), ("ih",), ("hh",), ("ih", "hh")]),
            "seed": st.integers(0, 1000),
        }
    ),
)
def test_any_problem(cell, sizes, dtype, isa, threads, options) -> None:
    with num_threads(threads):
        check(cell, sizes, dtype, isa, options)


@by_isa
@by_dtype
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_threads(cell: str, threads: int, dtype: type, isa: str) -> None:
    """The largest problem here: enough work for the engine to give every thread a share."""
    with num_threads(threads):
        check(cell, (10, 37, 31, 67), dtype, isa, {"lengths": True, "resets": True})


@by_isa
@pytest.mark.parametrize("cell", CELLS)
def test_a_long_sequence_of_one_row(cell: str, isa: str) -> None:
    for reverse in (False, True):
        check(cell, (150, 1, 5, 16), np.float64, isa, {"reverse": reverse})


@by_isa
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("T", "N"), [(0, 3), (4, 0), (0, 0)])
def test_empty_work(cell: str, T: int, N: int, isa: str) -> None:
    check(cell, (T, N, 2, 3), np.float32, isa, EVERYTHING)


@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_empty_rows_returns_its_state(cell: str) -> None:
    p = make_problem(cell, 4, 3, 2, 5, dtype=np.float32)
    got = run(native, p, lengths=np.zeros(3, np.int64))
    assert_same_bits(got.hn, p.h0)
    assert_same_bits(got.dh0, p.dhn)
    for name in ("y", "dx", "weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        assert not getattr(got, name).any(), name


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_past_a_length_is_read(cell: str, reverse: bool) -> None:
    p = make_problem(cell, 6, 5, 3, 8, dtype=np.float32, lengths=True, reverse=reverse)
    expected = run(native, p)
    past = np.arange(6)[:, None] >= p.options["lengths"]
    p.x[past] = np.nan
    p.dy[past] = np.nan
    for name, a, b in zip(expected._fields, run(native, p), expected, strict=True):
        assert_same_bits(a, b, name)


@pytest.mark.parametrize("cell", CELLS)
def test_a_reset_forgets_even_a_state_of_nans(cell: str) -> None:
    p = make_problem(cell, 3, 2, 2, 9, dtype=np.float32)
    expected, *_ = forward(native, p, h0=None, c0=None)
    p.h0[...] = np.nan
    if p.c0 is not None:
        p.c0[...] = np.nan
    resets = np.zeros((3, 2), bool)
    resets[0] = True
    assert_same_bits(forward(native, p, resets=resets)[0], expected)


# ---- memory layouts ----

T, N, K, H = 6, 5, 4, 9


def batch_major(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1)


def inside_nans(a: np.ndarray) -> np.ndarray:
    wide = np.full((*a.shape[:-1], a.shape[-1] + 5), np.nan, a.dtype)
    wide[..., 2:-3] = a
    return wide[..., 2:-3]


def every_other(a: np.ndarray) -> np.ndarray:
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def backwards_in_time(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a[::-1])[::-1]


def unaligned(a: np.ndarray) -> np.ndarray:
    """Contiguous, at an address that is no multiple of a vector."""
    memory = np.full(a.size + 1, np.nan, a.dtype)
    memory[1:] = a.ravel()
    return memory[1:].reshape(a.shape)


LAYOUTS = [batch_major, inside_nans, every_other, backwards_in_time, unaligned]


@by_dtype
@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_input_and_gradient(cell: str, layout, dtype: type) -> None:
    p = make_problem(cell, T, N, K, H, dtype=dtype, lengths=True)
    expected = run(native, p)
    p.x, p.dy = layout(p.x), layout(p.dy)
    for name, a, b in zip(expected._fields, run(native, p), expected, strict=True):
        assert_same_bits(a, b, name)


@pytest.mark.parametrize("layout", [inside_nans, every_other, unaligned, np.asfortranarray])
def test_layouts_of_states_masks_and_weights(layout) -> None:
    p = make_problem("lstm_norm", T, N, K, H, dtype=np.float32, project=True, **EVERYTHING)
    expected = run(native, p)
    p.h0, p.c0, p.dhn, p.dcn = map(layout, (p.h0, p.c0, p.dhn, p.dcn))
    for key in ("input_mask", "hidden_mask", "zoneout_h", "zoneout_c"):
        p.options[key] = layout(p.options[key])
    plain, p.weights = p.weights, type(p.weights)._make(map(layout, p.weights))
    got = forward(native, p, training=True)
    grads = zeros_like(plain)
    dx, dh0, dc0 = native.rnn_backward(got[3], p.dy, p.dhn, p.dcn, grads=grads)
    for name, a, b in zip(expected._fields, (*got[:3], dx, dh0, dc0, *grads), expected, strict=True):
        assert_same_bits(a, b, name)


def test_an_input_that_is_the_same_memory_at_every_step() -> None:
    p = make_problem("gru", T, N, K, H, dtype=np.float32)
    p.x = np.broadcast_to(p.x[:1], p.x.shape)
    assert_agrees(p, run(native, p), run(reference, widened(p)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cell", ["rnn_relu", "lstm", "gru"])
def test_output_into_a_slice_touches_nothing_else(cell: str, training: bool) -> None:
    p = make_problem(cell, T, N, K, H, dtype=np.float32, lengths=True)
    expected, *_ = forward(native, p, training=training)
    wide = np.full((N, T, H + 7), np.nan, np.float32).swapaxes(0, 1)
    y, *_ = forward(native, p, out=wide[..., 3 : 3 + H], training=training)
    assert np.shares_memory(y, wide)
    assert_same_bits(wide[..., 3 : 3 + H], expected)
    assert np.isnan(wide[..., :3]).all() and np.isnan(wide[..., 3 + H :]).all()


def test_output_may_replace_the_input() -> None:
    p = make_problem("gru", T, N, H, H, dtype=np.float32)
    expected, *_ = forward(native, p)
    forward(native, p, out=p.x)
    assert_same_bits(p.x, expected)


@pytest.mark.parametrize(
    "shape", [(), (1,), (H,), (1, 1, H), (N, 1), (T, 1, 1), (1, N, H), (T, N, 1), (T, N, H)], ids=str
)
def test_zoneout_broadcasts(shape: tuple[int, ...]) -> None:
    p = make_problem("lstm", T, N, K, H, dtype=np.float32)
    k = np.random.default_rng(0).random(shape).astype(np.float32)
    p.options = {"zoneout_h": k, "zoneout_c": k / 2}
    got = run(native, p)
    expected = run(reference, widened(p))
    assert_agrees(p, got, expected)


# ---- calls ----


@pytest.mark.parametrize("cell", CELLS)
def test_inference_and_training_give_the_same_outputs(cell: str) -> None:
    p = make_problem(cell, T, N, K, H, dtype=np.float32, **EVERYTHING)
    for a, b in zip(forward(native, p)[:3], forward(native, p, training=True)[:3], strict=True):
        if a is not None:
            within(a, b, forward_tolerance(np.float32, p.K, T))


@pytest.mark.parametrize("cell", CELLS)
def test_backward_adds_skips_dx_and_takes_missing_gradients_for_zeros(cell: str) -> None:
    p = make_problem(cell, T, N, K, H, dtype=np.float64)
    p.dhn[...] = 0
    if p.dcn is not None:
        p.dcn[...] = 0
    expected = run(reference, p)
    *_, saved = forward(native, p, training=True)
    grads = zeros_like(p.weights)
    for g in grads:
        if g is not None:
            g += 7
    dx, dh0, dc0 = native.rnn_backward(saved, p.dy, grads=grads, need_dx=False)
    assert dx is None
    less = type(grads)._make(None if g is None else g - 7 for g in grads)
    assert_agrees(p, expected._replace(dh0=dh0, dc0=dc0, **less._asdict()), expected)


@pytest.mark.parametrize("module", [native, reference], ids=["native", "reference"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, np.zeros(N, np.int64)], ids=["full", "no steps at all"])
def test_gradients_are_written_over_anything(cell: str, lengths, module) -> None:
    p = make_problem(cell, T, N, K, H, dtype=np.float32)
    p.options["lengths"] = lengths
    added, written = zeros_like(p.weights), zeros_like(p.weights)
    for g in written:
        if g is not None:
            g.fill(np.nan)
    for grads, overwrite in ((added, False), (written, True)):
        *_, saved = forward(module, p, training=True)
        module.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads, overwrite=overwrite)
    for name, a, b in zip(added._fields, written, added, strict=True):
        assert_same_bits(a, b, name)


@pytest.mark.parametrize("module", [native, reference], ids=["native", "reference"])
@pytest.mark.parametrize("checkpoint_every", [None, 2])
@pytest.mark.parametrize("features", ["plain", "everything"])
@pytest.mark.parametrize("cell", CELLS)
def test_dx_may_take_the_place_of_x(cell: str, features: str, checkpoint_every, module) -> None:
    p = make_problem(cell, T, N, K, H, dtype=np.float32, **FEATURES[features])
    p.options["checkpoint_every"] = checkpoint_every
    expected = run(module, p)
    *_, saved = forward(module, p, training=True)
    grads = zeros_like(p.weights)
    dx, dh0, dc0 = module.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads, out=p.x)
    assert dx is p.x
    for name, a in zip(expected._fields[3:], (dx, dh0, dc0, *grads), strict=True):
        assert_same_bits(a, getattr(expected, name), name)


@pytest.mark.parametrize("module", [native, reference], ids=["native", "reference"])
def test_dx_into_a_slice(module) -> None:
    p = make_problem("lstm", T, N, K, H, dtype=np.float32, lengths=True)
    expected = run(module, p).dx
    wide = np.full((N, T, K + 3), np.nan, np.float32).swapaxes(0, 1)
    *_, saved = forward(module, p, training=True)
    module.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=zeros_like(p.weights), out=wide[..., 1 : 1 + K])
    assert_same_bits(wide[..., 1 : 1 + K], expected)
    assert np.isnan(wide[..., 0]).all() and np.isnan(wide[..., 1 + K :]).all()


def test_saved_is_consumed() -> None:
    p = make_problem("gru", T, N, K, H, dtype=np.float32)
    *_, saved = forward(native, p, training=True)
    native.rnn_backward(saved, p.dy, grads=zeros_like(p.weights))
    with pytest.raises(RuntimeError):
        native.rnn_backward(saved, p.dy, grads=zeros_like(p.weights))
    assert forward(native, p)[3] is None


@pytest.mark.parametrize("cell", CELLS)
def test_two_forwards_then_two_backwards(cell: str) -> None:
    """What is saved belongs to its forward, not to the weights or the backend."""
    p = make_problem(cell, T, N, K, H, dtype=np.float32)
    other = make_problem(cell, T, N, K, H, dtype=np.float32, seed=1)
    expected = run(native, p)
    *_, first = forward(native, p, training=True)
    *_, second = forward(native, other, training=True)
    native.rnn_backward(second, other.dy, grads=zeros_like(other.weights))
    grads = zeros_like(p.weights)
    dx, dh0, dc0 = native.rnn_backward(first, p.dy, p.dhn, p.dcn, grads=grads)
    for name, a in zip(expected._fields[3:], (dx, dh0, dc0, *grads), strict=True):
        assert_same_bits(a, getattr(expected, name), name)


def test_packed_weights_are_a_snapshot_and_say_what_they_are() -> None:
    p = make_problem("lstm", T, N, K, H, dtype=np.float32, project=3)
    packed = native.pack_weights("lstm", p.weights)
    assert (packed.cell, packed.input_size, packed.hidden_size, packed.proj_size) == ("lstm", K, H, 3)
    assert packed.dtype == np.float32 and packed.training is False
    assert native.pack_weights("gru", make_problem("gru", 1, 1, K, H).weights, True).training is True
    before, *_ = native.rnn_forward(packed, p.x)
    for w in p.weights[:5]:
        w[...] = 0
    assert_same_bits(native.rnn_forward(packed, p.x)[0], before)
