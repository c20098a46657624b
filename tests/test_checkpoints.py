"""``checkpoint_every``: backward computes windows of steps again, and not a bit of any result changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_cases import assert_same_bits, by_dtype, by_isa, native
from recurrent_cases import CELL_FEATURE_IDS, CELL_FEATURES, FEATURES, Problem, forward, make_problem, run
from recurrent_layers import BACKENDS, CELL_LAYER_IDS, CELL_LAYERS, accepted, leaves, like

import fastrnn
from fastrnn._types import CELL_COUNTS, CELLS
from fastrnn.backend import num_threads, use_backend, use_isa

T, N, INPUT, H = 7, 5, 3, 19
WINDOWS = [1, 2, 3, 5, T, T + 3]
"""One step a window, windows that divide no T, one window, and one that T does not fill."""

each_cell = pytest.mark.parametrize("cell", CELLS)
each_layer = pytest.mark.parametrize(("name", "cell"), CELL_LAYERS, ids=CELL_LAYER_IDS)


def assert_windows_change_nothing(p: Problem, every: int) -> None:
    whole = run(native, p)
    for name, a, b in zip(whole._fields, run(native, p, checkpoint_every=every), whole, strict=True):
        assert_same_bits(a, b, f"{name} with checkpoint_every={every}")


@by_isa
@by_dtype
@pytest.mark.parametrize(("cell", "name", "options"), CELL_FEATURES, ids=CELL_FEATURE_IDS)
def test_features(cell: str, name: str, options: dict, dtype: type, isa: str) -> None:
    with use_isa(isa):
        for rows in (1, N):
            p = make_problem(cell, T, rows, INPUT, H, dtype=dtype, **options)
            for every in WINDOWS:
                assert_windows_change_nothing(p, every)
            p.dhn, p.dcn = None, None
            assert_windows_change_nothing(p, 3)


@by_dtype
@pytest.mark.parametrize("features", ["plain", "everything"])
@pytest.mark.parametrize(("sizes", "project"), [((23, 37, 31, 67), 31), ((70, 1, 31, 256), 0)])
@each_cell
def test_threads(cell: str, sizes: tuple[int, ...], project: int, features: str, dtype: type) -> None:
    """Enough work for the engine to give every thread a share of the rows, or of the units of one row."""
    p = make_problem(cell, *sizes, dtype=dtype, project=project, **FEATURES[features])
    with num_threads(1):
        whole = run(native, p)
    for threads in (1, 2, 4):
        with num_threads(threads):
            got = run(native, p, checkpoint_every=9)
        for name, a, b in zip(whole._fields, got, whole, strict=True):
            assert_same_bits(a, b, f"{name} with {threads} threads")


@by_isa
@by_dtype
@each_cell
def test_zeros_keep_their_signs(cell: str, dtype: type, isa: str) -> None:
    """Gradients that underflow, and a loss that most steps do not enter: zeros of either sign everywhere."""
    p = make_problem(cell, 40, 3, INPUT, H, dtype=dtype, hidden_mask=True)
    p.weights.weight_hh[...] *= 1e-3
    p.dy[...] = np.where(p.dy > 0, 0.0, -0.0)
    with use_isa(isa):
        for every in (1, 4, 7):
            assert_windows_change_nothing(p, every)


@pytest.mark.parametrize("reverse", [False, True])
@each_cell
def test_memory_of_any_layout(cell: str, reverse: bool) -> None:
    """Batch-major x and dy, and y as a slice of a wider array."""
    p = make_problem(cell, T, N, INPUT, H, dtype=np.float32, reverse=reverse, lengths=True)
    whole = run(native, p)
    P = p.dy.shape[2]
    out = np.empty((N, T, 2 * P), np.float32).transpose(1, 0, 2)[:, :, P:]
    p.x, p.dy = (np.array(a.transpose(1, 0, 2), order="C").transpose(1, 0, 2) for a in (p.x, p.dy))
    for name, a, b in zip(whole._fields, run(native, p, checkpoint_every=3, out=out), whole, strict=True):
        assert_same_bits(a, b, name)


@pytest.mark.parametrize(("steps", "rows"), [(0, 3), (4, 0), (0, 0)])
@each_cell
def test_empty_work(cell: str, steps: int, rows: int) -> None:
    assert_windows_change_nothing(make_problem(cell, steps, rows, 2, 3, dtype=np.float32), 2)


@each_cell
def test_gradients_add_up_over_calls(cell: str) -> None:
    p = make_problem(cell, T, N, INPUT, H, dtype=np.float32)
    rng = np.random.default_rng(0)
    start = [None if w is None else rng.standard_normal(w.shape).astype(w.dtype) for w in p.weights]
    results = []
    for every in (None, 3):
        grads = type(p.weights)._make(None if a is None else a.copy() for a in start)
        *_, saved = forward(native, p, training=True, checkpoint_every=every)
        dx, _, _ = native.rnn_backward(saved, p.dy, grads=grads, need_dx=every is None)
        assert (dx is None) == (every is not None)
        results.append(grads)
    for a, b in zip(*results, strict=True):
        assert_same_bits(a, b)


@each_cell
def test_what_is_kept(cell: str) -> None:
    """c at the borders inside; h at a border is a row of y."""
    p = make_problem(cell, T, N, INPUT, H, dtype=np.float32)
    whole, windows = (forward(native, p, training=True, checkpoint_every=k)[3] for k in (None, 3))
    assert whole.nbytes >= T * N * H * p.x.itemsize
    assert windows.nbytes == (2 * N * H * p.x.itemsize if CELL_COUNTS[cell].has_c else 0)


@each_cell
def test_saved_is_used_up(cell: str) -> None:
    p = make_problem(cell, T, N, INPUT, H, dtype=np.float32)
    *_, saved = forward(native, p, training=True, checkpoint_every=2)
    native.rnn_backward(saved, grads=p.weights)
    with pytest.raises(RuntimeError, match="saved"):
        native.rnn_backward(saved, grads=p.weights)


# ---- layers ----


def train(name: str, cell: dict[str, Any], every: int | None, x: Any, call: dict, **options: Any) -> list:
    """Everything that two training passes compute, the second from the state of the first."""
    rng = np.random.default_rng(4)
    layer = getattr(fastrnn, name)(INPUT, 8, seed=1, checkpoint_every=every, **cell, **options).train()
    first, state = layer(x, **call)
    second, end = layer(x, state, **call)
    results = [first, second, end]
    for y, s in ((second, end), (first, state)):
        results += layer.backward(like(y, rng), like(s, rng))
    return leaves(tuple(results)) + [p.grad for p in layer.parameters()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["time_major", "batch_first", "unbatched", "ragged"])
@each_layer
def test_layers(name: str, cell: dict, form: str, backend: str) -> None:
    rng = np.random.default_rng(3)
    x: Any = rng.standard_normal((T, N, INPUT))
    call: dict[str, Any] = {"lengths": [7, 0, 3, 6, 1], "resets": rng.random((T, N)) < 0.2}
    noise = {"dropout": 0.3, "input_dropout": 0.2, "recurrent_dropout": 0.3, "zoneout": 0.2}
    options = {"num_layers": 2, "bidirectional": True, "weight_dropout": 0.2, **noise}
    if form == "batch_first":
        x, call["resets"], options["batch_first"] = x.transpose(1, 0, 2), call["resets"].T, True
    elif form == "unbatched":
        x, call = x[:, 0], {"resets": call["resets"][:, 0]}
    elif form == "ragged":
        x, call = [x[:t, n] for n, t in enumerate(call["lengths"])], {}
    options = accepted(name, options)
    with use_backend(backend):
        whole = train(name, cell, None, x, call, **options)
        for every in (1, 3, 50):
            for a, b in zip(train(name, cell, every, x, call, **options), whole, strict=True):
                assert_same_bits(a, b, f"checkpoint_every={every}")


@each_layer
def test_config(name: str, cell: dict) -> None:
    layer = getattr(fastrnn, name)(INPUT, 8, checkpoint_every=4, **cell)
    again = type(layer).from_config(layer.config())
    assert layer.checkpoint_every == again.checkpoint_every == 4
    assert type(layer)(INPUT, 8, **cell).config()["checkpoint_every"] is None


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), ("3", TypeError)],
)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_errors(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="checkpoint_every"):
        getattr(fastrnn, name)(INPUT, H, checkpoint_every=value)
    if error is ValueError:
        p = make_problem("lstm", T, N, INPUT, H, dtype=np.float32)
        with pytest.raises(error, match="checkpoint_every"):
            forward(native, p, training=True, checkpoint_every=value)
