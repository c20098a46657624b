"""The argument checks say what was given and what is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn._checks import (
    check_bool,
    check_choice,
    check_float,
    check_float_array,
    check_int,
    check_int_array,
    check_lengths,
    check_positive_int,
    check_probability,
    check_resets,
    check_same_dtype,
    check_shape,
)


def test_arrays_pass_through_unchanged() -> None:
    a = np.ones((2, 3), np.float32)
    assert check_float_array("a", a, ("N", 3), ndim=(1, 2), dtype="float32") is a
    ids = np.array([[1, 2]], np.int64)
    assert check_int_array("ids", ids, low=0, high=2) is ids


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64])
def test_any_integer_dtype_becomes_int64(dtype: type) -> None:
    got = check_int_array("ids", np.array([0, 100], dtype), high=100)
    assert got.dtype == np.int64 and got.tolist() == [0, 100]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_float_array("x", np.ones(3), ndim=(2, 3)), ValueError, r"2 or 3 dim.*shape \(3,\)"),
        (lambda: check_int_array("x", np.array([2**63], np.uint64)), ValueError, "got 9223372036854775808"),
        (lambda: check_int_array("x", np.zeros(0)), TypeError, "integer array, got dtype float64"),
        (lambda: check_int("n", 2.0), TypeError, r"n must be an integer, got 2\.0 \(float\)"),
        (lambda: check_int("n", True), TypeError, r"n must be an integer, got True \(bool\)"),
        (lambda: check_int("n", np.zeros(2)), TypeError, "n must be an integer, got an array of float64"),
        (lambda: check_int("n", 9, high=8), ValueError, "n must be at most 8, got 9"),
        (lambda: check_positive_int("n", 0), ValueError, "n must be at least 1, got 0"),
        (lambda: check_float("lr", "1"), TypeError, r"lr must be a number, got '1' \(str\)"),
        (lambda: check_float("lr", float("nan")), ValueError, r"a number in \(-inf, inf\), got nan"),
        (lambda: check_float("lr", 0, low=0, open_low=True), ValueError, r"in \(0, inf\), got 0"),
        (lambda: check_float("lr", float("inf"), low=0), ValueError, r"in \[0, inf\), got inf"),
        (lambda: check_probability("p", 1.5), ValueError, r"p must be a number in \[0, 1\], got 1\.5"),
        (lambda: check_probability("p", 1, allow_one=False), ValueError, r"in \[0, 1\), got 1"),
        (lambda: check_bool("flag", 1), TypeError, r"flag must be True or False, got 1 \(int\)"),
        (lambda: check_choice("mode", "c", ("a", "b")), ValueError, "mode must be one of 'a', 'b', got 'c'"),
        (lambda: check_choice("mode", ["a"], ("a", "b")), ValueError, r"got \['a'\]"),
        (lambda: check_shape("x", np.ones(2), ("N", 3)), ValueError, r"shape \(N, 3\), got \(2,\)"),
    ],
)
def test_messages(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_good_scalars() -> None:
    assert check_int("n", np.int32(3), low=3, high=3) == 3
    assert check_float("x", np.float32(0.5)) == 0.5
    assert check_probability("p", 0) == 0.0
    assert check_bool("b", np.True_) is True
    assert check_choice("c", "a", ("a",)) == "a"


def test_empty_lists_are_integer_arrays() -> None:
    assert check_lengths([], 5, 0).shape == (0,)
    assert check_resets(np.zeros((5, 0), bool), 5, 0).shape == (5, 0)


def test_same_dtype_leaves_out_none() -> None:
    assert check_same_dtype({"a": np.ones(1), "b": None}) == np.float64
