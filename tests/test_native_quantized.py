"""Weights in fewer bits on the native backend: against float32 and the reference; promises, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_cases import EDGE_SIZES, assert_same_bits, by_isa, native, reference
from recurrent_cases import (
    CELL_FEATURE_IDS,
    CELL_FEATURES,
    FEATURES,
    Problem,
    forward,
    make_problem,
    make_weights,
)
from tolerances import elementwise_tolerance, forward_tolerance, int8_forward_tolerance, within

from fastrnn._types import CELLS, WEIGHT_FORMATS, CellWeights
from fastrnn.backend import available_isas, num_threads, use_isa
from fastrnn.reference.quantization import bfloat16

F32 = np.float32
EVERYTHING = FEATURES["everything"]
by_cell = pytest.mark.parametrize("cell", CELLS)
by_format = pytest.mark.parametrize("format", WEIGHT_FORMATS)
by_features = pytest.mark.parametrize(("cell", "name", "options"), CELL_FEATURES, ids=CELL_FEATURE_IDS)


def problem(cell: str, *sizes: int, **options: Any) -> Problem:
    return make_problem(cell, *sizes, dtype=F32, **options)


def rounded(p: Problem) -> Problem:
    """The same problem with its weights, not its biases, rounded to bfloat16."""
    w = p.weights
    fields = {
        name: None if a is None else bfloat16(a) if name.startswith("weight") else a
        for name, a in w._asdict().items()
    }
    return Problem(p.cell, CellWeights(**fields), p.x, p.h0, p.c0, p.dy, p.dhn, p.dcn, p.options)


def rows_of(p: Problem, first: int, last: int) -> Problem:
    """The plain problem of these batch rows."""
    c0 = None if p.c0 is None else p.c0[first:last]
    return Problem(p.cell, p.weights, p.x[:, first:last], p.h0[first:last], c0, p.dy, p.dhn, p.dcn)


def matrices(M: int, K: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([M, K, out])
    shapes = ((M, K), (out, K), (out,))
    x, weight, bias = (rng.standard_normal(shape).astype(F32) for shape in shapes)
    return x, weight, bias


# ---- bfloat16 is float32 arithmetic on rounded weights ----


def check_bfloat16(p: Problem) -> None:
    got, expected = forward(native, p, format="bfloat16"), forward(native, rounded(p))
    for name, a, b in zip(("y", "hn", "cn"), got, expected, strict=False):
        assert_same_bits(a, b, name)


@by_isa
@by_features
def test_bfloat16_features(cell: str, name: str, options: dict, isa: str) -> None:
    with use_isa(isa):
        check_bfloat16(problem(cell, 5, 7, 5, 9, **options))


@by_isa
@by_cell
def test_bfloat16_sizes(cell: str, isa: str) -> None:
    with use_isa(isa):
        for i, H in enumerate([*EDGE_SIZES, 129]):
            check_bfloat16(problem(cell, 2, 1 + i % 6, EDGE_SIZES[(i + 9) % len(EDGE_SIZES)], H))


@by_isa
@pytest.mark.parametrize("M", [0, 1, 2, 3, 4, 5, 7, 9, 40])
def test_bfloat16_linear(M: int, isa: str) -> None:
    with use_isa(isa):
        for K, out in ((1, 1), (2, 17), (3, 64), (16, 65), (67, 150), (530, 33)):
            x, weight, bias = matrices(M, K, out)
            got = native.linear_forward(native.pack_linear(weight, bias, False, "bfloat16"), x)
            assert_same_bits(got, native.linear_forward(native.pack_linear(bfloat16(weight), bias), x))


# ---- int8 ----


@by_isa
@pytest.mark.parametrize("M", [0, 1, 2, 3, 4, 5, 7, 33, 70])
def test_int8_linear(M: int, isa: str) -> None:
    """Whole blocks of 2048 terms and parts of them; exact integers leave only a few roundings."""
    sizes = [
        (1, 5),
        (2, 17),
        (3, 64),
        (4, 65),
        (16, 31),
        (67, 150),
        (2047, 5),
        (2048, 3),
        (2049, 7),
        (5000, 33),
    ]
    with use_isa(isa):
        for K, out in sizes:
            x, weight, bias = matrices(M, K, out)
            got = native.linear_forward(native.pack_linear(weight, bias, False, "int8"), x)
            desired = reference.linear_forward(reference.pack_linear(weight, bias, False, "int8"), x)
            within(got, desired, elementwise_tolerance(F32), f"K {K}, O {out}")


@by_isa
@by_features
def test_int8_features(cell: str, name: str, options: dict, isa: str) -> None:
    """One step begins from equal activations, so that no integer differs; r h and a projection excepted."""
    exact = cell != "gru_reset_before" and not options.get("project")
    for T in (1, 5):
        p = problem(cell, T, 7, 5, 9, **options)
        with use_isa(isa):
            got = forward(native, p, format="int8")
        tolerance = forward_tolerance(F32, p.K) if T == 1 and exact else int8_forward_tolerance(p.K, T)
        for what, a, b in zip(("y", "hn", "cn"), got, forward(reference, p, format="int8"), strict=False):
            assert (a is None) == (b is None)
            if a is not None:
                within(a, b, tolerance, what)


@by_isa
@by_cell
def test_int8_sizes(cell: str, isa: str) -> None:
    for i, H in enumerate([*EDGE_SIZES, 129]):
        p = problem(cell, 1, 1 + i % 5, EDGE_SIZES[(i + 9) % len(EDGE_SIZES)], H)
        exact = cell != "gru_reset_before"
        with use_isa(isa):
            y, *_ = forward(native, p, format="int8")
        tolerance = forward_tolerance(F32, p.K) if exact else int8_forward_tolerance(p.K)
        within(y, forward(reference, p, format="int8")[0], tolerance, f"H {H}")


@pytest.mark.parametrize("cell", CELLS)
def test_both_avx512_add_the_same_integers(cell: str) -> None:
    if "avx512vnni" not in available_isas():
        pytest.skip("needs a machine with AVX-512 VNNI")
    p = problem(cell, 6, 5, 19, 67, **EVERYTHING)
    results = []
    for isa in ("avx512vnni", "avx512"):
        with use_isa(isa):
            results.append(forward(native, p, format="int8"))
    for a, b in zip(*results, strict=True):
        if isinstance(a, np.ndarray):
            assert_same_bits(a, b)


# ---- promises ----


@by_isa
@by_cell
@by_format
@pytest.mark.parametrize("H", [19, 67])
def test_a_row_has_the_same_bits_in_any_batch(H: int, format: str, cell: str, isa: str) -> None:
    N = 64
    p = problem(cell, 4, N, 33, H)
    with use_isa(isa), num_threads(1):
        y, hn, cn, _ = forward(native, p, format=format)
        for n in (0, 1, 31, 32, 63):
            part = rows_of(p, n, n + 1)
            alone = forward(native, part, format=format)
            assert_same_bits(alone[0][:, 0], y[:, n], "y")
            assert_same_bits(alone[1][0], hn[n], "hn")
            if cn is not None:
                assert_same_bits(alone[2][0], cn[n], "cn")
        for size in range(2, 9):
            part = rows_of(p, 0, size)
            assert_same_bits(forward(native, part, format=format)[0], y[:, :size], f"{size} rows")


@by_isa
@by_format
@by_cell
@pytest.mark.parametrize(("T", "N", "H"), [(10, 37, 67), (300, 1, 67), (2, 3, 450)])
def test_any_number_of_threads(T: int, N: int, H: int, cell: str, format: str, isa: str) -> None:
    """Also where there are fewer rows than threads, which may then share units, and where they pack."""
    p = problem(cell, T, N, 31, H, lengths=N > 1, resets=True)
    results = []
    for threads in (1, 2, 3):
        with use_isa(isa), num_threads(threads):
            results.append(forward(native, p, format=format)[0])
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@by_isa
@by_format
@by_cell
def test_steps_are_the_sequence(cell: str, format: str, isa: str) -> None:
    p = problem(cell, 6, 2, 5, 33, state=False)
    with use_isa(isa):
        packed = native.pack_weights(cell, p.weights, False, format)
        y, *_ = native.rnn_forward(packed, p.x)
        stream = native.StepStream([packed], 2)
        for t in range(6):
            assert_same_bits(stream.step(p.x[t]), y[t], f"step {t}")


@by_isa
@by_format
@by_cell
def test_tokens_are_the_layers(cell: str, format: str, isa: str) -> None:
    """The table of a token stream, its steps and its logits have the bits of the layers one by one."""
    rng, V, E, H = np.random.default_rng(1), 31, 7, 33
    embedding = rng.standard_normal((V, E)).astype(F32)
    weights = make_weights(rng, cell, E, H, dtype=F32)
    out = rng.standard_normal((V, H)).astype(F32)
    tokens = rng.integers(0, V, 9)
    with use_isa(isa):
        packed, linear = (
            native.pack_weights(cell, weights, False, format),
            native.pack_linear(out, None, False, format),
        )
        stream = native.TokenStream(embedding, [packed], linear)
        stream.feed(tokens)
        y, *_ = native.rnn_forward(packed, embedding[tokens][:, None])
        assert_same_bits(stream.logits, native.linear_forward(linear, y[-1])[0])
        drawn = stream.fork().sample(rng.random(20), 1.0, 0, 1.0)
    theirs = reference.TokenStream(
        embedding,
        [reference.pack_weights(cell, weights, False, format)],
        reference.pack_linear(out, None, False, format),
    )
    theirs.feed(tokens)
    within(stream.logits, theirs.logits, int8_forward_tolerance(E + H, 9) * H**0.5)
    assert ((drawn >= 0) & (drawn < V)).all()


# ---- numbers that are not ordinary ----


@by_isa
def test_int8_of_strange_rows(isa: str) -> None:
    K = 37
    x, weight, bias = matrices(6, K, 9)
    x[0] = 0
    x[1] *= F32(1e30)
    x[2] *= F32(1e-36)  # below 2^-100: zero
    x[3, 5] = np.nan
    x[4, 36] = -np.inf
    weight[1] = 0
    weight[2] *= F32(1e-36)
    weight[3, 1] = np.nan
    weight[4, 2] = np.inf
    weight[5] *= F32(1e5)
    with use_isa(isa):
        y = native.linear_forward(native.pack_linear(weight, bias, False, "int8"), x)
    desired = reference.linear_forward(reference.pack_linear(weight, bias, False, "int8"), x)
    assert np.isnan(y[3:5]).all() and np.isnan(y[:, 3:5]).all()
    assert_same_bits(np.isnan(y), np.isnan(desired))
    usual = [0, 1, 2, 5, 6, 7, 8]
    assert_same_bits(y[[0, 2]][:, usual], np.tile(bias[usual], (2, 1)))
    assert_same_bits(y[[1, 5]][:, [1, 2]], np.tile(bias[[1, 2]], (2, 1)))
    for row in (1, 5):
        for column in ([5], [0, 6, 7, 8]):
            scale = np.abs(desired[row, column]).max()
            within(y[row, column] / scale, desired[row, column] / scale, elementwise_tolerance(F32))


@by_isa
@by_cell
def test_nan_in_makes_nan_out(cell: str, isa: str) -> None:
    p = problem(cell, 3, 4, 5, 17)
    with use_isa(isa):
        for format in WEIGHT_FORMATS:
            clean, *_ = forward(native, p, format=format)
            x = p.x.copy()
            x[1, 2, 3] = np.nan
            y, *_ = forward(native, p, format=format, x=x)
            assert np.isnan(y[1, 2]).all()
            others = [0, 1, 3]
            assert_same_bits(y[:, others], clean[:, others])
            assert_same_bits(y[0], clean[0])


# ---- what a pack says, and what is refused ----


def test_packs_say_their_format_and_are_smaller() -> None:
    w = problem("lstm", 1, 1, 64, 64).weights
    sizes = {}
    for backend in (native, reference):
        for format in (None, *WEIGHT_FORMATS):
            packed = backend.pack_weights("lstm", w, format=format)
            assert packed.format == format and packed.dtype == F32
            assert (packed.input_size, packed.hidden_size, packed.proj_size) == (64, 64, 0)
            assert backend.pack_linear(w.weight_ih, format=format).format == format
            if backend is native:
                sizes[format] = packed.nbytes
    assert sizes["int8"] < 0.3 * sizes[None] and sizes["bfloat16"] < 0.55 * sizes[None]


@pytest.mark.parametrize("backend", [native, reference], ids=["native", "reference"])
@by_format
def test_refusals(format: str, backend: Any) -> None:
    w = problem("lstm", 1, 1, 3, 4).weights
    wide = CellWeights._make(None if a is None else a.astype(np.float64) for a in w)
    for pack, narrow, broad in (
        (lambda a, *rest: backend.pack_weights("lstm", a, *rest), w, wide),
        (lambda a, *rest: backend.pack_linear(a, None, *rest), w.weight_ih, wide.weight_ih),
    ):
        with pytest.raises(ValueError, match="format"):
            pack(narrow, False, "int4")
        with pytest.raises(TypeError, match="float32"):
            pack(broad, False, format)
        with pytest.raises(ValueError, match="inference"):
            pack(narrow, True, format)
    with pytest.raises(ValueError, match="training"):
        backend.rnn_forward(
            backend.pack_weights("lstm", w, False, format), np.zeros((1, 1, 3), F32), training=True
        )
    with pytest.raises(ValueError, match="inference"):
        linear = backend.pack_linear(w.weight_ih, None, False, format)
        dweight = np.zeros_like(w.weight_ih)
        backend.linear_backward(linear, np.zeros((2, 3), F32), np.zeros((2, 16), F32), dweight, None, False)
