"""What must be the same in two ways: ragged, split, reversed and reset sequences of the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from recurrent_cases import Problem, forward, make_problem, run, zeros_like
from tolerances import backward_tolerance, forward_tolerance, within

from fastrnn._types import CELL_COUNTS, CELLS
from fastrnn.reference import _core as reference

DTYPE = np.float64
cells = st.sampled_from(CELLS)
sizes = st.integers(1, 5)
steps = st.integers(0, 6)
seeds = st.integers(0, 2**16)
fast = settings(max_examples=40, deadline=None)


def close(p: Problem, actual: object, desired: object, name: str) -> None:
    T, N = p.x.shape[:2]
    if actual is None:
        assert desired is None
    else:
        within(actual, desired, backward_tolerance(DTYPE, p.K, T, T * N), name)


def row(p: Problem, n: int, T: int) -> Problem:
    """The first T steps of one row as a problem of its own."""

    def of_batch(a: np.ndarray | None) -> np.ndarray | None:
        return None if a is None else a[n : n + 1]

    options = {}
    for key, value in p.options.items():
        if key in ("input_mask", "hidden_mask"):
            options[key] = of_batch(value)
        elif key in ("resets", "zoneout_h", "zoneout_c"):
            options[key] = value[:T, n : n + 1]
        elif key == "reverse":
            options[key] = value
    return Problem(
        p.cell,
        p.weights,
        p.x[:T, n : n + 1],
        of_batch(p.h0),
        of_batch(p.c0),
        p.dy[:T, n : n + 1],
        p.dhn[n : n + 1],
        of_batch(p.dcn),
        options,
    )


@fast
@given(cells, steps, sizes, sizes, sizes, seeds, st.booleans())
def test_ragged_batch_is_each_row_alone(cell, T, N, K, H, seed, reverse):
    p = make_problem(
        cell, T, N, K, H, seed=seed, lengths=True, resets=True, input_mask=True, hidden_mask=True,
        zoneout="sample", reverse=reverse, project=CELL_COUNTS[cell].has_c and seed % 2 == 0,
    )  # fmt: skip
    # What lies past a length is never read.
    past = np.arange(T)[:, None] >= p.options["lengths"]
    p.x[past] = np.nan
    p.dy[past] = np.nan
    batch = run(reference, p)
    total = zeros_like(p.weights)
    for n, T_n in enumerate(p.options["lengths"]):
        one = run(reference, row(p, n, T_n))
        for name in ("y", "dx"):
            whole = getattr(batch, name)[:, n]
            close(p, whole[:T_n], getattr(one, name)[:, 0], name)
            assert not whole[T_n:].any()
        for name in ("hn", "cn", "dh0", "dc0"):
            if getattr(batch, name) is not None:
                close(p, getattr(batch, name)[n], getattr(one, name)[0], name)
        for name, g in zip(total._fields, total, strict=True):
            if g is not None:
                g += getattr(one, name)
    for name, g in zip(total._fields, total, strict=True):
        close(p, getattr(batch, name), g, name)


@fast
@given(cells, steps, steps, sizes, sizes, seeds)
def test_two_halves_with_carried_state_are_one_sequence(cell, T1, T2, N, H, seed):
    p = make_problem(cell, T1 + T2, N, 2, H, seed=seed)
    whole = run(reference, p)
    y1, h1, c1, saved1 = forward(reference, p, x=p.x[:T1], training=True)
    y2, hn, cn, saved2 = forward(reference, p, x=p.x[T1:], h0=h1, c0=c1, training=True)
    grads = zeros_like(p.weights)
    dx2, dh1, dc1 = reference.rnn_backward(saved2, p.dy[T1:], p.dhn, p.dcn, grads=grads)
    dx1, dh0, dc0 = reference.rnn_backward(saved1, p.dy[:T1], dh1, dc1, grads=grads)
    halves = (np.concatenate([y1, y2]), hn, cn, np.concatenate([dx1, dx2]), dh0, dc0, *grads)
    for name, a, b in zip(whole._fields, halves, whole, strict=True):
        close(p, a, b, name)


@fast
@given(cells, steps, sizes, sizes, seeds)
def test_reverse_is_forward_on_flipped_input(cell, T, N, H, seed):
    p = make_problem(cell, T, N, 2, H, seed=seed, resets=True, reverse=True)
    flipped = make_problem(cell, T, N, 2, H, seed=seed, resets=True)
    flipped.x, flipped.dy = flipped.x[::-1], flipped.dy[::-1]
    flipped.options["resets"] = flipped.options["resets"][::-1]
    a, b = run(reference, p), run(reference, flipped)
    for name in a._fields:
        desired = getattr(b, name)
        close(p, getattr(a, name), desired[::-1] if name in ("y", "dx") else desired, name)


@fast
@given(cells, steps, steps, sizes, seeds)
def test_a_reset_starts_a_new_sequence(cell, T1, T2, H, seed):
    T2 += 1
    p = make_problem(cell, T1 + T2, 2, 2, H, seed=seed)
    p.options["resets"] = np.zeros((T1 + T2, 2), bool)
    p.options["resets"][T1] = True
    joined = run(reference, p)
    y1, _, _, saved1 = forward(reference, p, x=p.x[:T1], resets=None, training=True)
    y2, hn, cn, saved2 = forward(reference, p, x=p.x[T1:], h0=None, c0=None, resets=None, training=True)
    grads = zeros_like(p.weights)
    dx2, _, _ = reference.rnn_backward(saved2, p.dy[T1:], p.dhn, p.dcn, grads=grads)
    dx1, dh0, dc0 = reference.rnn_backward(saved1, p.dy[:T1], grads=grads)
    parts = (np.concatenate([y1, y2]), hn, cn, np.concatenate([dx1, dx2]), dh0, dc0, *grads)
    for name, a, b in zip(joined._fields, parts, joined, strict=True):
        close(p, a, b, name)


@pytest.mark.parametrize("cell", CELLS)
def test_a_reset_forgets_even_a_state_of_nans(cell: str) -> None:
    p = make_problem(cell, 3, 2, 2, 3)
    resets = np.zeros((3, 2), bool)
    resets[0] = True
    p.h0[...] = np.nan
    if p.c0 is not None:
        p.c0[...] = np.nan
    y, *_ = forward(reference, p, resets=resets)
    expected, *_ = forward(reference, p, h0=None, c0=None)
    within(y, expected, forward_tolerance(DTYPE, p.K, 3))


@pytest.mark.parametrize("cell", CELLS)
def test_zoneout_of_one_keeps_the_state_and_of_zero_changes_nothing(cell: str) -> None:
    p = make_problem(cell, 4, 2, 2, 3)
    y, hn, cn, _ = forward(reference, p, zoneout_h=1.0, zoneout_c=1.0)
    assert np.array_equal(y, np.broadcast_to(p.h0, y.shape)) and np.array_equal(hn, p.h0)
    assert cn is None or np.array_equal(cn, p.c0)
    assert np.array_equal(forward(reference, p, zoneout_h=0.0, zoneout_c=0.0)[0], forward(reference, p)[0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("T", "N"), [(0, 3), (4, 0), (0, 0)])
def test_empty_work_is_legal(cell: str, T: int, N: int) -> None:
    p = make_problem(cell, T, N, 2, 3)
    got = run(reference, p)
    assert got.y.shape == (T, N, 3) and got.dx.shape == (T, N, 2)
    assert np.array_equal(got.hn, p.h0) and np.array_equal(got.dh0, p.dhn)
    assert not got.weight_hh.any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
@pytest.mark.parametrize("cell", CELLS)
def test_every_float_dtype(cell: str, dtype: type) -> None:
    options = {"lengths": True, "hidden_mask": True, "zoneout": "probability"}
    p, wide = (make_problem(cell, 4, 3, 2, 3, dtype=d, **options) for d in (dtype, np.float64))
    got, expected = run(reference, p), run(reference, wide)
    coarser = max(dtype, np.float64, key=lambda d: np.finfo(d).eps)
    for name, a, b in zip(got._fields, got, expected, strict=True):
        if a is not None:
            assert a.dtype == dtype
            within(a.astype(np.float64), b, backward_tolerance(coarser, p.K, 4, 12), name)


def test_output_goes_into_a_given_slice_of_a_wider_array() -> None:
    p = make_problem("lstm", 4, 3, 2, 3, lengths=True)
    wide = np.full((4, 3, 8), np.nan)
    y, *_ = forward(reference, p, out=wide[..., 2:5])
    assert np.array_equal(wide[..., 2:5], forward(reference, p)[0]) and np.shares_memory(y, wide)
    assert np.isnan(wide[..., :2]).all() and np.isnan(wide[..., 5:]).all()


def test_output_may_replace_the_input() -> None:
    p = make_problem("gru", 4, 3, 5, 5)
    expected, *_ = forward(reference, p)
    forward(reference, p, out=p.x)
    assert np.array_equal(p.x, expected)


@pytest.mark.parametrize("cell", CELLS)
def test_extreme_inputs_saturate_without_warnings(cell: str) -> None:
    p = make_problem(cell, 3, 2, 2, 3, dtype=np.float32)
    p.x[...] = np.where(p.x > 0, 1e30, -1e30)
    y, *_ = forward(reference, p)
    assert np.isfinite(y).all()
    p.x[0, 0, 0] = np.nan
    y, *_ = forward(reference, p)
    assert np.isnan(y[:, 0]).all() and np.isfinite(y[:, 1]).all()
