"""What the estimators of sequences take, in which forms, what is learned of it, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from fastrnn.tasks import _sequence_input
from fastrnn.tasks._sequence_input import SequenceCoder, Sequences, read_sequences

RNG = np.random.default_rng(0)
RAGGED = [RNG.normal(size=(length, 3)) for length in (2, 5, 3)]


def read(X: Any) -> Sequences:
    return read_sequences(BaseEstimator(), X, reset=True)


def learned(sequences: Sequences, rows: Any = None, *, scale: bool = True) -> SequenceCoder:
    return SequenceCoder.fit(
        sequences, np.arange(len(sequences)) if rows is None else np.asarray(rows), scale=scale
    )


# Numbers


@pytest.mark.parametrize(
    "X",
    [
        RAGGED,
        tuple(RAGGED),
        [item.tolist() for item in RAGGED],
        [item.astype(object) for item in RAGGED],
        iter(RAGGED),
        pd.Series(RAGGED),
        pd.DataFrame({"recording": RAGGED}),
        pd.Series(RAGGED).to_numpy(),
    ],
    ids=["list", "tuple", "lists", "objects", "iterator", "Series", "DataFrame", "object array"],
)
def test_ragged_sequences(X: Any) -> None:
    sequences = read(X)
    assert sequences.step_shape == (3,) and sequences.symbols is None
    for item, expected in zip(sequences.items, RAGGED, strict=True):
        np.testing.assert_array_equal(item, expected)


@pytest.mark.parametrize(
    ("shape", "step_shape"),
    [((4, 6), (1,)), ((4, 6, 2), (2,)), ((4, 6, 5, 7), (5, 7)), ((4, 6, 5, 7, 3), (5, 7, 3))],
)
def test_arrays(shape: tuple[int, ...], step_shape: tuple[int, ...]) -> None:
    X = RNG.normal(size=shape)
    sequences = read(X)
    assert (len(sequences), sequences.step_shape) == (4, step_shape)
    listed = read([item[: 3 + i] for i, item in enumerate(X)])
    assert listed.step_shape == step_shape
    for i, item in enumerate(sequences.items):
        np.testing.assert_array_equal(item, X[i].reshape(6, *step_shape))
        np.testing.assert_array_equal(listed.items[i], item[: 3 + i])


def fitted_on_table(columns: int) -> BaseEstimator:
    estimator = BaseEstimator()
    read_sequences(estimator, np.ones((2, columns)), reset=True)
    return estimator


def test_tables_have_scikit_learns_rules() -> None:
    X = pd.DataFrame(RNG.normal(size=(4, 3)), columns=["a", "b", "c"])
    estimator = BaseEstimator()
    sequences = read_sequences(estimator, X, reset=True)
    assert estimator.n_features_in_ == 3 and estimator.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(np.stack(sequences.items)[..., 0], X)
    with pytest.raises(ValueError, match="X has 2 features, but BaseEstimator is expecting 3 features"):
        read_sequences(fitted_on_table(3), X.to_numpy()[:, :2], reset=False)
    with pytest.raises(ValueError, match="feature names should match"):
        read_sequences(estimator, X.rename(columns={"a": "z"}), reset=False)
    read_sequences(estimator, RAGGED, reset=True)
    assert not hasattr(estimator, "n_features_in_") and not hasattr(estimator, "feature_names_in_")
    # Of any length, then.
    assert len(read_sequences(estimator, X.to_numpy()[:, :2], reset=False)) == 4


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (None, ValueError, "NoneType|None"),
        ([], ValueError, r"none \(0 samples\)"),
        (pd.DataFrame(), ValueError, "at least one sequence"),
        (np.empty((0, 4, 2)), ValueError, r"none \(0 samples\)"),
        (np.empty((3, 0, 2)), ValueError, r"X\[0\] is empty: a sequence has at least one step"),
        ([np.ones(3), np.ones(0)], ValueError, r"X\[1\] is empty"),
        ([np.ones((3, 0)), np.ones((2, 0))], ValueError, r"X\[0\] has no features"),
        ([1.0, 2.0], ValueError, "Expected 2D array"),
        (
            [np.ones((3, 2)), np.ones((4, 3))],
            ValueError,
            r"one shape: those of X\[0\] have \(2,\), those of X\[1\] \(3,\)",
        ),
        ([np.ones((3, 2)), np.ones(4)], ValueError, r"those of X\[1\] \(1,\)"),
        ([np.ones(3), np.float64(1.0)], ValueError, r"X\[1\] is a single number"),
        (np.ones((2, 3, 4, 5, 6, 7)), ValueError, r"X\[0\] has shape \(3, 4, 5, 6, 7\)"),
        ([np.ones(3), None], TypeError, r"X\[1\] must be a sequence of numbers or a str, got NoneType"),
        ([np.ones(3), {"a": 1}], TypeError, r"X\[1\].*got dict"),
        ([b"ACGT", b"AC"], TypeError, r"X\[0\].*got bytes"),
        ([np.ones(3), np.array([1.0, "x"], object)], ValueError, r"X\[1\] cannot be read"),
        ([[[1.0, 2.0], [3.0]], [[1.0, 2.0]]], ValueError, r"X\[0\] cannot be read"),
        ([np.ones(3) * 1j, np.ones(2)], ValueError, r"Complex data not supported: X\[0\]"),
        ([np.ones(3), np.zeros(2, "M8[D]")], TypeError, r"X\[1\] must hold numbers, got dtype datetime64"),
        ("ACGT", TypeError, "X must be an array .*; got str"),
        ({"a": [1, 2]}, TypeError, "got dict"),
        (7, TypeError, "got int"),
        (sparse.eye(3), TypeError, "[Ss]parse"),
    ],
)
def test_no_sequences_of_numbers(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(X)


@pytest.mark.parametrize(
    ("shapes", "at", "value", "place"),
    [
        ([(2, 3), (4, 3), (3, 3)], (1, 3, 2), np.nan, r"X\[1\] has NaN at step 3, feature 2"),
        ([(2, 3), (4, 3), (3, 3)], (2, 0, 1), -np.inf, r"X\[2\] has inf at step 0, feature 1"),
        ([(2,), (4,)], (1, 3), np.inf, r"X\[1\] has inf at step 3$"),
        ([(2, 3, 4), (2, 3, 4)], (0, 1, 2, 3), np.nan, r"X\[0\] has NaN at step 1, feature \(2, 3\)"),
        ([(4,), (4,)], (0, 2), np.nan, r"X\[0\] has NaN at step 2$"),
    ],
)
def test_nan_and_infinity_are_named_by_place(
    shapes: list[tuple[int, ...]], at: tuple[int, ...], value: float, place: str
) -> None:
    X = [np.ones(shape, np.float32) for shape in shapes]
    X[at[0]][at[1:]] = value
    with pytest.raises(ValueError, match=place):
        read(X)
    if len({item.shape for item in X}) == 1:
        with pytest.raises(ValueError, match=place):
            read(np.stack(X))


def test_nan_is_found_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sequence_input, "_CHUNK", 8)
    X = [np.ones(3) for _ in range(20)]
    X[17][1] = np.nan
    with pytest.raises(ValueError, match=r"X\[17\] has NaN at step 1"):
        read(X)


def test_too_much_at_once() -> None:
    with pytest.raises(ValueError, match=r"X\[1\] has 100,001 steps, and up to 100,000 are taken"):
        read([np.ones(3), np.ones(100_001)])
    with pytest.raises(ValueError, match=r"X\[0\] has 100,001 numbers a step"):
        read(np.ones((2, 1, 100_001), np.uint8))
    with pytest.raises(ValueError, match=r"X\[0\] has 100,001 steps"):
        read(["A" * 100_001, "C"])
    with pytest.raises(ValueError, match="each row of X has 100,001 steps"):
        read(np.ones((2, 100_001), np.uint8))


# Symbols


@pytest.mark.parametrize(
    "X",
    [
        ["GAT", "TA"],
        ("GAT", "TA"),
        np.array(["GAT", "TA"]),
        np.array([["GAT"], ["TA"]]),
        np.array(["GAT", "TA"], object),
        pd.Series(["GAT", "TA"]),
        pd.DataFrame({"dna": ["GAT", "TA"]}),
        [["G", "A", "T"], ["T", "A"]],
        [np.array(["G", "A", "T"]), np.array(["T", "A"], object)],
        pd.Series([["G", "A", "T"], ["T", "A"]]),
    ],
    ids=[
        "list",
        "tuple",
        "array",
        "column",
        "objects",
        "Series",
        "DataFrame",
        "tokens",
        "token arrays",
        "Series of tokens",
    ],
)
def test_text(X: Any) -> None:
    sequences = read(X)
    assert sequences.symbols == ["A", "G", "T"] and sequences.step_shape == ()
    assert [item.tolist() for item in sequences.items] == [[1, 0, 2], [2, 0]]


def test_any_character_is_a_symbol() -> None:
    assert read(["é\U0001f600\ud800", "a"]).symbols == ["a", "é", "\ud800", "\U0001f600"]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (["ACGT", ""], ValueError, r"X\[1\] is empty"),
        ([["a"], []], TypeError, r"X\[0\] is text, X\[1\] is not"),
        (["ACGT", None], ValueError, r"missing values: X\[1\] is None"),
        (["ACGT", float("nan")], ValueError, r"missing values: X\[1\] is nan"),
        (["ACGT", pd.NA], ValueError, r"missing values: X\[1\] is <NA>"),
        (["ACGT", np.ones(3)], TypeError, r"either text or numbers: X\[0\] is text, X\[1\] is not"),
        (["ACGT", ["a", "b"]], TypeError, "either str or lists of str, got both"),
        ([["a", "b"], "ACGT"], TypeError, r"X\[1\] must be a list of str like the others, got a str itself"),
        ([["a", "b"], ["a", 3]], TypeError, r"X\[1\] must be a list of str like the others, got 3"),
    ],
)
def test_no_text(X: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(X)


# What is learned


def test_numbers_are_standardised_by_the_rows_that_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sequence_input, "_CHUNK", 4)  # in pieces
    X = [RNG.normal([5.0, -3.0], [2.0, 0.1], size=(length, 2)) for length in (4, 9, 6, 7)]
    X[3][:] = 1e6
    coder = learned(read(X), [0, 1, 2])
    steps = np.concatenate(X[:3])
    np.testing.assert_allclose(coder.mean, steps.mean(axis=0))
    np.testing.assert_allclose(coder.deviation, steps.std(axis=0))
    encoded = coder.encode(read(X))
    assert all(item.dtype == np.float32 for item in encoded)
    for item, given in zip(encoded, X, strict=True):
        np.testing.assert_allclose(
            item, (given - steps.mean(axis=0)) / steps.std(axis=0), rtol=1e-5, atol=1e-5
        )


def test_pixels_of_a_channel_are_alike() -> None:
    frames = RNG.integers(0, 256, size=(3, 4, 5, 6, 2)).astype(np.uint8)
    coder = learned(read(frames))
    np.testing.assert_allclose(coder.mean, frames.reshape(-1, 2).mean(axis=0))
    assert coder.encode(read(frames))[0].shape == (4, 60)
    grey = learned(read(frames[..., 0]))
    np.testing.assert_allclose(grey.mean, [frames[..., 0].mean()])


def test_without_scaling_only_bytes_of_frames_are_divided() -> None:
    frames = RNG.integers(0, 256, size=(2, 3, 4, 5)).astype(np.uint8)
    encoded = learned(read(frames), scale=False).encode(read(frames))
    np.testing.assert_array_equal(np.stack(encoded), (frames / 255).astype(np.float32).reshape(2, 3, 20))
    series = frames[..., 0, 0]
    encoded = learned(read(series), scale=False).encode(read(series))
    np.testing.assert_array_equal(np.stack(encoded)[..., 0], series)


def test_a_constant_feature_is_zero() -> None:
    X = [np.full((3, 1), 7.0), np.full((2, 1), 7.0)]
    assert not np.concatenate(learned(read(X)).encode(read(X))).any()


def test_numbers_beyond_float() -> None:
    X = [np.full(3, 1e300), np.full(3, -1e300)]
    with pytest.raises(ValueError, match="too large to be standardised"):
        learned(read(X))
    with pytest.raises(ValueError, match="too large for float32"):
        learned(read(X), scale=False).encode(read(X))


def test_rare_and_unknown_symbols() -> None:
    coder = learned(read(["AACCZ", "AC"]))
    assert coder.symbols == ["A", "C"] and coder.learns_unknown
    assert [item.tolist() for item in coder.encode(read(["CAZ", "?A"]))] == [[2, 1, 0], [0, 1]]
    only_once = learned(read(["AC", "GT"]))
    assert only_once.symbols == ["A", "C", "G", "T"] and not only_once.learns_unknown


def test_other_sequences_than_those_learned_from() -> None:
    text, numbers = learned(read(["ACA", "CAC"])), learned(read(RAGGED))
    with pytest.raises(
        ValueError, match="X holds text, but the estimator was fitted on sequences of numbers"
    ):
        numbers.encode(read(["AC"]))
    with pytest.raises(
        ValueError, match="X holds sequences of numbers, but the estimator was fitted on text"
    ):
        text.encode(read(RAGGED))
    with pytest.raises(ValueError, match=r"steps of X have shape \(1,\), but .* of shape \(3,\)"):
        numbers.encode(read([[1.0, 2.0], [3.0]]))


@pytest.mark.parametrize("X", [RAGGED, ["ACAZ", "CAC"], RNG.normal(size=(3, 2, 4, 5, 3))])
@pytest.mark.parametrize("scale", [True, False])
def test_coders_survive_files(X: Any, scale: bool) -> None:
    coder = learned(read(X), scale=scale)
    again = SequenceCoder.from_dict(coder.to_dict())
    assert again.to_dict() == coder.to_dict()
    for a, b in zip(coder.encode(read(X)), again.encode(read(X)), strict=True):
        np.testing.assert_array_equal(a, b)
