"""The engine's promises: equal bits at any batch size, place and thread count, whatever surrounds a call."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from native_cases import assert_agrees, assert_same_bits, by_dtype, by_isa, native, reference, widened
from recurrent_cases import FEATURES, Problem, forward, make_problem, make_weights, run, zeros_like
from tolerances import forward_tolerance, within

from fastrnn._types import CELLS
from fastrnn.backend import available_isas, num_threads, use_isa

EVERYTHING = FEATURES["everything"]
ROW_RESULTS = ("y", "hn", "cn", "dx", "dh0", "dc0")


def rows_of(p: Problem, rows: list[int]) -> Problem:
    """A problem of these rows, in this order."""

    def pick(a: np.ndarray | None, axis: int) -> np.ndarray | None:
        return None if a is None else np.take(a, rows, axis=axis)

    axes = {"lengths": 0, "input_mask": 0, "hidden_mask": 0, "resets": 1, "zoneout_h": 1, "zoneout_c": 1}
    options = {key: pick(value, axes[key]) if key in axes else value for key, value in p.options.items()}
    return Problem(
        p.cell, p.weights, pick(p.x, 1), pick(p.h0, 0), pick(p.c0, 0),
        pick(p.dy, 1), pick(p.dhn, 0), pick(p.dcn, 0), options,
    )  # fmt: skip


def take_row(result, name: str, n: int) -> np.ndarray | None:
    array = getattr(result, name)
    return array if array is None else array[:, n] if name in ("y", "dx") else array[n]


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("features", ["plain", "everything"])
def test_a_row_has_the_same_bits_in_any_batch(cell: str, features: str, dtype: type, isa: str) -> None:
    N = 14
    p = make_problem(cell, 5, N, 5, 19, dtype=dtype, project=7, **FEATURES[features])
    rng = np.random.default_rng(0)
    with use_isa(isa):
        whole = run(native, p)
        batches = [[n] for n in range(N)] + [list(rng.permutation(N)[:size]) for size in range(2, N + 1)]
        for rows in batches:
            part = run(native, rows_of(p, rows))
            for place, n in enumerate(rows):
                for name in ROW_RESULTS:
                    assert_same_bits(
                        take_row(part, name, place), take_row(whole, name, n), f"{name} of {rows}"
                    )


@by_isa
@by_dtype
@pytest.mark.parametrize(("cell", "H"), [("rnn_tanh", 733), ("gru", 421), ("lstm", 367)])
def test_weights_larger_than_a_cache(cell: str, H: int, dtype: type, isa: str) -> None:
    """2 MiB and more: tiles fetch the weights of those that follow."""
    p = make_problem(cell, 3, 13, 7, H, dtype=dtype)
    with use_isa(isa):
        whole = run(native, p)
        alone = run(native, rows_of(p, [5]))
    assert_agrees(p, whole, run(reference, widened(p)))
    for name in ROW_RESULTS:
        assert_same_bits(take_row(alone, name, 0), take_row(whole, name, 5), name)


def assert_threads_agree(p: Problem, isa: str, *counts: int) -> None:
    """Results of one thread and of so many."""
    with use_isa(isa):
        with num_threads(1):
            expected, inference = run(native, p), forward(native, p)
        for threads in counts:
            with num_threads(threads):
                for name, a, b in zip(expected._fields, run(native, p), expected, strict=True):
                    assert_same_bits(a, b, f"{name} with {threads} threads")
                for a, b in zip(forward(native, p)[:3], inference[:3], strict=True):
                    assert_same_bits(a, b, f"inference with {threads} threads")


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("N", [1, 29])
def test_thread_counts_give_the_same_bits(cell: str, N: int, dtype: type, isa: str) -> None:
    p = make_problem(cell, 12 if N > 1 else 90, N, 33, 67, dtype=dtype, lengths=N > 1, project=31)
    assert_threads_agree(p, isa, 2, 3, 5)


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_threads_pack_the_same_bits(cell: str, dtype: type, isa: str) -> None:
    """100,000 weights and more are packed by several threads; sizes that are no multiple of anything."""
    p = make_problem(cell, 2, 3, 181, 307, dtype=dtype, project=101)
    assert_threads_agree(p, isa, 2, 3, 7)


@by_isa
@by_dtype
def test_pieces_have_the_same_bits_with_any_threads_and_rows(dtype: type, isa: str) -> None:
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(dtype)

    M, K, C = 301, 65, 97
    x, weight, bias, dy = normal(M, K), normal(C, K), normal(C), normal(M, C)
    targets, ids, big = rng.integers(0, C, M), rng.integers(0, C, M), normal(300_001)

    def everything(rows: slice = slice(None)) -> dict:
        packed = native.pack_linear(weight, bias, True)
        dweight, dbias, dtable = np.zeros_like(weight), np.zeros_like(bias), np.zeros_like(weight)
        y = native.linear_forward(packed, x[rows])
        dx = native.linear_backward(packed, x[rows], dy[rows], dweight, dbias)
        loss, _, dlogits = native.cross_entropy(dy[rows], targets[rows], label_smoothing=0.1)
        native.embedding_backward(x[rows], ids[rows], dtable)
        gathered, norm = native.embedding_forward(weight, ids[rows]), native.global_norm([big, x])
        by_row = {"y": y, "dx": dx, "dlogits": dlogits, "gathered": gathered}
        sums = {"dweight": dweight, "dbias": dbias, "dtable": dtable, "loss": loss, "norm": norm}
        return {"rows": by_row, "sums": sums}

    with use_isa(isa):
        with num_threads(1):
            expected = everything()
        for threads in (2, 3):
            with num_threads(threads):
                got = everything()
            for kind in got:
                for name, value in got[kind].items():
                    assert_same_bits(value, expected[kind][name], f"{name} with {threads} threads")
        for rows in (slice(0, 1), slice(3, 10), slice(290, 301)):
            for name, value in everything(rows)["rows"].items():
                assert_same_bits(value, expected["rows"][name][rows], f"{name} of {rows}")


@by_isa
@pytest.mark.parametrize("cell", CELLS)
def test_a_previous_call_leaves_no_trace(cell: str, isa: str) -> None:
    p = make_problem(cell, 5, 4, 3, 9, dtype=np.float32, **EVERYTHING)
    poison = make_problem(cell, 9, 11, 13, 21, dtype=np.float32)
    for array in (poison.x, poison.h0, poison.dy, *poison.weights[:4]):
        array[...] = np.nan
    with use_isa(isa):
        expected = run(native, p)
        run(native, poison)
        for name, a, b in zip(expected._fields, run(native, p), expected, strict=True):
            assert_same_bits(a, b, name)


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_a_nan_stays_in_its_row(cell: str, dtype: type, isa: str) -> None:
    p = make_problem(cell, 4, 7, 3, 9, dtype=dtype)
    with use_isa(isa):
        expected = run(native, p)
        p.x[1, 3, 0] = np.nan
        got = run(native, p)
    assert np.isnan(got.y[1:, 3]).all() and np.isfinite(got.y[0]).all()
    others = [n for n in range(7) if n != 3]
    for name in ROW_RESULTS:
        for n in others:
            assert_same_bits(take_row(got, name, n), take_row(expected, name, n), name)


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm", "gru", "gru_reset_before"])
def test_extreme_inputs_saturate(cell: str, dtype: type, isa: str) -> None:
    p = make_problem(cell, 3, 5, 2, 9, dtype=dtype)
    p.x[...] = np.where(p.x > 0, 1e30, -1e30)
    with use_isa(isa):
        y, hn, cn, _ = forward(native, p)
    for name, a, b in zip(("y", "hn", "cn"), (y, hn, cn), forward(reference, widened(p))[:3], strict=True):
        if a is not None:
            within(a, b.astype(dtype), forward_tolerance(dtype, p.K, 3), name)


# ---- denormals ----


def arithmetic_keeps_denormals() -> bool:
    return all(np.finfo(d).tiny / np.array([4], d) > 0 for d in (np.float32, np.float64))


@by_isa
@by_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_denormals_count_as_zeros_and_the_mode_is_restored(cell: str, dtype: type, isa: str) -> None:
    p = make_problem(cell, 6, 5, 4, 17, dtype=dtype)
    denormal = np.finfo(dtype).smallest_subnormal * 3
    p.x[:, ::2] = denormal
    p.h0[:, 1::2] = denormal
    p.dy[:, 1:3] = denormal
    expected = run(reference, widened(p))
    with use_isa(isa), num_threads(2):
        got = run(native, p)
        assert arithmetic_keeps_denormals()
    assert_agrees(p, got, expected)


# ---- many threads and processes ----


@pytest.mark.parametrize("threads", [1, 2])
def test_inference_from_many_python_threads(threads: int) -> None:
    problems = [make_problem("lstm", 8, 1 + n, 16, 33, dtype=np.float32) for n in range(8)]
    weights = problems[0].weights
    packed = native.pack_weights("lstm", weights)

    def infer(p: Problem) -> tuple:
        return native.rnn_forward(packed, p.x, p.h0, p.c0)[:3]

    with num_threads(threads), ThreadPoolExecutor(8) as pool:
        expected = [infer(p) for p in problems]
        for _ in range(10):
            for got, want in zip(pool.map(infer, problems), expected, strict=True):
                for a, b in zip(got, want, strict=True):
                    assert_same_bits(a, b)
        assert all(pool.map(lambda _: arithmetic_keeps_denormals(), range(8)))


def test_training_from_many_python_threads() -> None:
    problems = [make_problem(cell, 6, 5, 16, 33, dtype=np.float32, **EVERYTHING) for cell in CELLS]
    expected = [run(native, p) for p in problems]
    with num_threads(2), ThreadPoolExecutor(len(problems)) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(lambda p: run(native, p), problems), expected, strict=True):
                for name, a, b in zip(want._fields, got, want, strict=True):
                    assert_same_bits(a, b, name)


def test_streams_from_many_python_threads() -> None:
    rng = np.random.default_rng(2)
    packed = [native.pack_weights("gru", make_weights(rng, "gru", 8, 8, dtype=np.float32)) for _ in range(2)]
    x = rng.standard_normal((50, 1, 8)).astype(np.float32)

    def walk(_: int) -> np.ndarray:
        stream = native.StepStream(packed, 1)
        return np.stack([stream.step(x[t]).copy() for t in range(50)])

    expected = walk(0)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(walk, range(16)):
            assert_same_bits(got, expected)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "FASTRNN_BACKEND": "native", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


FORK = """
import os, sys
import numpy as np
from fastrnn import _core
from fastrnn._types import CellWeights
_core.set_num_threads(3)
rng = np.random.default_rng(0)
w = CellWeights(*(rng.standard_normal(s).astype(np.float32) for s in [(256, 64), (256, 64), 256, 256]))
x = rng.standard_normal((20, 40, 64)).astype(np.float32)
packed = _core.pack_weights("lstm", w, True)
def work():
    y, _, _, saved = _core.rnn_forward(packed, x, training=True)
    grads = CellWeights(*(np.zeros_like(a) for a in w[:4]))
    dx, _, _ = _core.rnn_backward(saved, y, grads=grads)
    return y.tobytes() + dx.tobytes() + grads.weight_hh.tobytes()
expected = work()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if all(work() == expected for _ in range(3)) else 1)
    children.append(child)
    assert work() == expected
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_after_use_is_safe() -> None:
    result = python(FORK)
    assert result.returncode == 0, result.stderr


# ---- choice of the instruction set ----


def test_the_best_isa_is_the_first_and_a_forced_one_runs() -> None:
    show = "from fastrnn import backend; print(backend.current_isa())"
    assert python(show, FASTRNN_ISA="").stdout.strip() == available_isas()[0]
    for isa in available_isas():
        assert python(show, FASTRNN_ISA=isa).stdout.strip() == isa


def test_an_unknown_isa_is_an_error() -> None:
    result = python("from fastrnn import backend; backend.current_isa()", FASTRNN_ISA="abacus")
    assert result.returncode != 0 and "abacus" in result.stderr
    with pytest.raises(ValueError, match="abacus"), use_isa("abacus"):
        pass


@pytest.mark.parametrize("cell", CELLS)
def test_what_was_packed_keeps_its_isa(cell: str) -> None:
    p = make_problem(cell, 5, 4, 3, 9, dtype=np.float32, **EVERYTHING)
    for first in available_isas():
        with use_isa(first):
            expected = run(native, p)
            packed = native.pack_weights(cell, p.weights, True)
            *_, saved = forward(native, p, training=True)
        for second in available_isas():
            with use_isa(second):
                y, *_ = native.rnn_forward(packed, p.x, p.h0, p.c0, training=True, **p.options)
                assert_same_bits(y, expected.y, f"{first} under {second}")
        with use_isa(available_isas()[-1]):
            grads = zeros_like(p.weights)
            dx, *_ = native.rnn_backward(saved, p.dy, p.dhn, p.dcn, grads=grads)
        assert_same_bits(dx, expected.dx, f"dx of {first}")
        assert_same_bits(grads.weight_hh, expected.weight_hh, f"dweight_hh of {first}")


def test_use_isa_is_undone() -> None:
    before = native.current_isa()
    for isa in available_isas():
        with use_isa(isa):
            assert native.current_isa() == isa
    assert native.current_isa() == before


@pytest.mark.parametrize("n", [0, -1])
def test_a_thread_count_below_one_is_an_error(n: int) -> None:
    before = native.get_num_threads()
    with pytest.raises(ValueError):
        native.set_num_threads(n)
    assert native.get_num_threads() == before
