"""Recurrent layers on rows of an embedding: a product for each of its vectors, however often it comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_cases import assert_same_bits, by_dtype, by_isa, native, reference
from recurrent_cases import FEATURES, Problem, Result, forward, make_problem, run
from tolerances import backward_tolerance, forward_tolerance, magnification, within

from fastrnn import GRU, LSTM, RNN, Embedding, Linear, Sequential
from fastrnn._types import CELLS
from fastrnn.backend import num_threads, use_backend, use_isa
from fastrnn.layers import _stack, embedding as embedding_module

T, N, V, I, H = 9, 6, 4, 7, 37  # noqa: E741
TOLERANCE = backward_tolerance(np.float32, 2 * H + H, T, T * N)
"""Of what a model computes, its widest layers taking both directions of the one before."""
OPTIONS = {
    "plain": {},
    "ragged": FEATURES["reverse_ragged"],
    "noise": {"hidden_mask": True, "zoneout": "sample", "lengths": True, "biases": ("hh",)},
}


def by_rows(cell: str, dtype: type, **options: Any) -> tuple[Problem, np.ndarray, np.ndarray]:
    """A problem whose x are rows of a table, which they are, and the table."""
    p = make_problem(cell, T, N, I, H, dtype=dtype, **options)
    rng = np.random.default_rng(7)
    ids, table = rng.integers(0, V, (T, N)), rng.standard_normal((V, I)).astype(dtype)
    p.x = table[ids]
    return p, ids, table


def summed(result: Result, ids: np.ndarray) -> Result:
    """With the gradient of the table in place of that of looked-up x."""
    dtable = np.zeros((V, I), result.dx.dtype)
    np.add.at(dtable, ids, result.dx)
    return result._replace(dx=dtable)


@by_isa
@by_dtype
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_it_computes_what_looking_up_would(cell: str, options: dict, dtype: type, isa: str) -> None:
    p, ids, table = by_rows(cell, dtype, **options)
    expected = run(reference, p, x=ids, embedding=table)
    for name, a, b in zip(expected._fields, expected, summed(run(reference, p), ids), strict=True):
        if name == "dx":
            within(a, b, backward_tolerance(dtype, p.K, T, T * N) * magnification(cell), name)
        else:
            assert_same_bits(a, b, name)
    with use_isa(isa):
        got, looked_up = run(native, p, x=ids, embedding=table), summed(run(native, p), ids)
    for name, a, b, same in zip(got._fields, got, expected, looked_up, strict=True):
        if a is None:
            assert b is None, name
            continue
        if name not in ("dx", "weight_ih"):
            assert_same_bits(a, same, name)
        forwards = name in ("y", "hn", "cn")
        tolerance = forward_tolerance(dtype, p.K, T) if forwards else backward_tolerance(dtype, p.K, T, T * N)
        assert a.dtype == dtype, name
        within(a, b, tolerance * magnification(cell), name)


@by_dtype
@pytest.mark.parametrize("cell", CELLS)
def test_the_same_bits_from_any_threads_and_in_windows(cell: str, dtype: type) -> None:
    p, ids, table = by_rows(cell, dtype, **OPTIONS["ragged"])
    with num_threads(1):
        expected = run(native, p, x=ids, embedding=table)
    for threads in (1, 2, 3):
        for window in (None, 1, 4, T):
            with num_threads(threads):
                got = run(native, p, x=ids, embedding=table, checkpoint_every=window)
            for name, a, b in zip(got._fields, got, expected, strict=True):
                assert_same_bits(a, b, f"{name} of {threads} threads, {window} steps")


@pytest.mark.parametrize("backend", [native, reference], ids=["native", "reference"])
def test_wrong_rows_and_tables(backend: Any) -> None:
    p, ids, table = by_rows("lstm", np.float32)
    for wrong in (-1, V):
        bad = ids.copy()
        bad[3, 2] = wrong
        with pytest.raises(IndexError, match=str(wrong)):
            forward(backend, p, x=bad, embedding=table)
    with pytest.raises(ValueError, match="input_mask must be None with an embedding"):
        forward(backend, p, x=ids, embedding=table, input_mask=np.ones((N, I), np.float32))


def test_the_engine_checks_types_and_shapes() -> None:
    p, ids, table = by_rows("gru", np.float32)
    with pytest.raises(TypeError, match="x must have dtype int64, got float32"):
        forward(native, p, x=ids.astype(np.float32), embedding=table)
    with pytest.raises(TypeError, match="embedding must have dtype float32, got float64"):
        forward(native, p, x=ids, embedding=table.astype(np.float64))
    with pytest.raises(ValueError, match=rf"embedding must have shape \(None, {I}\), got"):
        forward(native, p, x=ids, embedding=table[:, 1:])


@pytest.mark.parametrize("backend", [native, reference], ids=["native", "reference"])
def test_what_is_not_looked_up_does_not_matter(backend: Any) -> None:
    p, ids, table = by_rows("lstm", np.float32)
    ids[ids == 2] = 1
    table[2] = 0
    expected = run(backend, p, x=ids, embedding=table)
    for value in (np.nan, np.inf):
        table[2] = value
        got = run(backend, p, x=ids, embedding=table)
        for name, a, b in zip(got._fields, got, expected, strict=True):
            assert_same_bits(a, b, name)
    assert not expected.dx[2].any()


def test_no_steps_and_no_rows() -> None:
    p, ids, table = by_rows("lstm", np.float32)
    for x in (ids[:0], ids[:, :0]):
        rows = x.shape[1]
        states = {"h0": p.h0[:rows], "c0": p.c0[:rows]}
        y, h, _, saved = forward(native, p, x=x, embedding=table, training=True, **states)
        assert y.shape == (*x.shape, H)
        assert_same_bits(h, states["h0"])
        grads = type(p.weights)._make(None if w is None else np.full_like(w, np.nan) for w in p.weights)
        dtable, _, _ = native.rnn_backward(saved, grads=grads, overwrite=True)
        assert dtable.shape == (V, I)
        assert not dtable.any()
        assert not any(g.any() for g in grads if g is not None)


# Layers

MODELS = {
    "lstm": lambda: LSTM(I, H, seed=2),
    "two gru layers, both directions": lambda: GRU(I, H, 2, bidirectional=True, seed=2),
    "rnn, batch first": lambda: RNN(I, H, batch_first=True, seed=2),
    "weight dropout and checkpoints": lambda: LSTM(I, H, weight_dropout=0.3, checkpoint_every=2, seed=2),
    "zoneout": lambda: LSTM(I, H, zoneout=0.2, seed=2),
    "input dropout, which sees every step": lambda: LSTM(I, H, input_dropout=0.2, seed=2),
}


def make_model(recurrent: Any, padding_idx: int | None = 1) -> Sequential:
    return Sequential(
        Embedding(V, I, padding_idx=padding_idx, seed=1), recurrent, Linear(recurrent.output_size, 3, seed=3)
    )


def step(model: Sequential, ids: Any, **options: Any) -> list[np.ndarray]:
    """Output, gradients of the initial state and of all parameters."""
    y, state = model.train()(ids, **options)
    dy = np.random.default_rng(3).standard_normal(y.shape, np.float32)
    _, dstate = model.backward(dy, state)
    parts = dstate[0] if isinstance(dstate[0], tuple) else dstate
    return [y, *parts, *(p.grad.copy() for p in model.parameters())]


@pytest.mark.parametrize("unbatched", [False, True], ids=["batch", "one sequence"])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_learns_the_same_either_way(
    make: Any, unbatched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.random.default_rng(0).integers(0, V, T if unbatched else (T, N), np.int16)
    by_table = step(make_model(make()), ids)
    monkeypatch.setattr(embedding_module, "LEAST_REPEATS", ids.size)
    looked_up = step(make_model(make()), ids)
    assert_same_bits(by_table[0], looked_up[0])
    assert np.all(by_table[-1] != 0)
    for a, b in zip(by_table, looked_up, strict=True):
        within(a, b, TOLERANCE, "a gradient")


def test_both_backends_do_it() -> None:
    ids = np.random.default_rng(0).integers(0, V, (T, N))
    with use_backend("reference"):
        expected = step(make_model(LSTM(I, H, seed=2)), ids, lengths=[3, T, 0, 5, T, 1])
    for a, b in zip(
        step(make_model(LSTM(I, H, seed=2)), ids, lengths=[3, T, 0, 5, T, 1]), expected, strict=True
    ):
        within(a, b, TOLERANCE, "a gradient")


@pytest.mark.parametrize("format", ["int8", "bfloat16"])
def test_weights_of_fewer_bits(format: str) -> None:
    embedding, recurrent, linear = model = make_model(LSTM(I, H, 2, seed=2)).quantize(format)
    ids = np.random.default_rng(0).integers(0, V, (T, N))
    assert_same_bits(model(ids)[0], linear(recurrent(embedding(ids))[0]))


def test_inference_has_the_bits_of_training() -> None:
    model = make_model(LSTM(I, H, 2, seed=2)).train()
    ids = np.random.default_rng(0).integers(0, V, (T, N))
    y, _ = model(ids)
    z, _ = model.eval()(ids)
    assert_same_bits(y, z)
    embedding, recurrent, linear = model
    assert_same_bits(z, linear(recurrent(embedding(ids))[0]))


def test_padding_gets_no_gradient() -> None:
    model = make_model(LSTM(I, H, seed=2), padding_idx=2)
    step(model, np.random.default_rng(0).integers(0, V, (T, N)))
    touched = model[0].weight.grad.any(axis=1)
    assert list(touched) == [True, True, False, True]


def test_later_changes_do_not_reach_a_forward_pass() -> None:
    ids = np.random.default_rng(0).integers(0, V, (T, N))
    expected = step(make_model(LSTM(I, H, seed=2)), ids)[-7:-2]
    model = make_model(LSTM(I, H, seed=2)).train()
    y, state = model(ids)
    ids[...] = 0
    for p in model.parameters():
        if p is not model[2].weight:  # which dy goes through
            p.data *= 2
    model.backward(np.random.default_rng(3).standard_normal(y.shape, np.float32), state)
    for p, gradient in zip(model.parameters(), expected, strict=False):
        assert_same_bits(p.grad, gradient)


def test_gradients_add_up() -> None:
    first, second = np.random.default_rng(0).integers(0, V, (2, T, N))
    model = make_model(LSTM(I, H, seed=2))
    step(model, first)
    both = step(model, second)[3:]
    parts = [step(make_model(LSTM(I, H, seed=2)), ids)[3:] for ids in (first, second)]
    for a, b, c in zip(both, *parts, strict=True):
        within(a, b + c, TOLERANCE, "a gradient")


def test_layers_of_different_dtypes() -> None:
    model = Sequential(Embedding(V, I, seed=1), LSTM(I, H, dtype=np.float64, seed=2)).train()
    ids = np.random.default_rng(0).integers(0, V, (T, N))
    y, _ = model(ids)
    model.backward(np.ones_like(y))
    assert y.dtype == np.float64
    assert model[0].weight.grad.dtype == np.float32
    assert model[0].weight.grad.any(axis=1).all()


def test_a_step_of_few_rows_on_borrowed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[np.ndarray]:
        model = Sequential(Embedding(4, 64, seed=1), LSTM(64, 128, seed=2)).train()
        y, _ = model(np.array([[0, 1, 3, 3, 1, 0, 0, 2]]))
        model[1].weight_ih_l0.data[...] = 0
        model.backward(np.ones_like(y))
        return [y, *(p.grad for p in model.parameters())]

    borrowed = gradients()
    monkeypatch.setattr(_stack, "worth_borrowing", lambda *_: False)
    for a, b in zip(borrowed, gradients(), strict=True):
        assert_same_bits(a, b)


def test_vectors_that_come_once_are_looked_up() -> None:
    embedding = Embedding(50, I, seed=1)
    ids = np.arange(50).reshape(10, 5)
    assert type(embedding.defer(ids)) is np.ndarray
    assert type(embedding.defer(np.tile(ids, (2, 1)))) is embedding_module.Embedded


@pytest.mark.parametrize("wrong", [-1, V])
def test_ids_are_checked(wrong: int) -> None:
    ids = np.zeros((T, N), np.int64)
    ids[2, 3] = wrong
    with pytest.raises(ValueError, match=f"ids must .*{wrong}"):
        make_model(LSTM(I, H, seed=2))(ids)
    with pytest.raises(TypeError, match="ids must be an integer array"):
        make_model(LSTM(I, H, seed=2))(ids.astype(np.float32))
