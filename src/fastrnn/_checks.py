"""Checks of what users pass in: one message style for the whole library.

Every function takes the argument's name first, returns the value in the form the caller goes on with,
and raises ``TypeError`` (wrong kind of thing) or ``ValueError`` (right kind, wrong value) with the name,
what was given and what is accepted. Shapes are described by a tuple whose items are sizes, or letters
for an axis of any size: ``("T", "N", 10)``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

import numpy as np

from fastrnn._types import Array

__all__ = [
    "check_bool",
    "check_choice",
    "check_float",
    "check_float_array",
    "check_int",
    "check_int_array",
    "check_lengths",
    "check_positive_int",
    "check_probability",
    "check_resets",
    "check_same_dtype",
    "check_shape",
]

Shape = tuple[int | str, ...]


def _described(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"{value!r} ({type(value).__name__})"


def check_shape(name: str, array: Array, shape: Shape) -> Array:
    """Return `array` if it has this shape; letters in `shape` stand for any size."""
    if array.shape == shape:
        return array
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {_described(shape)}, got {_described(array.shape)}")
    return array


def _as_array(name: str, value: object, accepted: str) -> Array:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise TypeError(f"{name} must be {accepted}, got {type(value).__name__}: {error}") from error


def check_float_array(
    name: str,
    value: object,
    shape: Shape | None = None,
    *,
    ndim: int | Collection[int] | None = None,
    dtype: np.dtype[Any] | type | str | None = None,
) -> Array:
    """Return `value` as a floating-point array of this shape, number of axes and dtype.

    Nothing is converted silently: integers are refused, and so is another precision when `dtype` is given.
    """
    array = _as_array(name, value, "a floating-point array")
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must be a floating-point array, got dtype {array.dtype}")
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}")
    if shape is not None:
        check_shape(name, array, shape)
    if ndim is not None:
        accepted = (ndim,) if isinstance(ndim, int) else tuple(ndim)
        if array.ndim not in accepted:
            axes = " or ".join(map(str, accepted))
            raise ValueError(f"{name} must have {axes} dimensions, got shape {_described(array.shape)}")
    return array


def check_int_array(
    name: str,
    value: object,
    shape: Shape | None = None,
    *,
    low: int | None = None,
    high: int | None = None,
) -> Array:
    """Return `value` as int64 of this shape with entries in ``low..high``; any integer dtype is taken."""
    array = _as_array(name, value, "an integer array")
    if array.dtype.kind not in "iu" and not (array.size == 0 and not isinstance(value, np.ndarray)):
        raise TypeError(f"{name} must be an integer array, got dtype {array.dtype}")
    if shape is not None:
        check_shape(name, array, shape)
    integers: Array = array.astype(np.int64, copy=False)
    if low is None and high is None and array.dtype != np.uint64:
        return integers
    # One look settles the usual case: as unsigned, what is negative or did not fit is larger than any limit.
    if low == 0 and high is not None and array.size and integers.view(np.uint64).max() <= high:
        return integers
    if array.size:
        # Python integers compare exactly, also for uint64 entries beyond the int64 range.
        smallest, largest = int(array.min()), int(array.max())
        floor = np.iinfo(np.int64).min if low is None else low
        ceiling = np.iinfo(np.int64).max if high is None else high
        if smallest < floor or largest > ceiling:
            bad = smallest if smallest < floor else largest
            raise ValueError(f"{name} must lie in {floor}..{ceiling}, got {bad}")
    return integers


def check_lengths(lengths: object, T: int, N: int, name: str = "lengths") -> Array:
    """Return `lengths` as int64 ``[N]`` with every entry in ``0..T``."""
    return check_int_array(name, lengths, (N,), low=0, high=T)


def check_resets(resets: object, T: int, N: int, name: str = "resets") -> Array:
    """Return `resets` as bool ``[T, N]``; 0/1 integers are not taken for booleans."""
    array = _as_array(name, resets, "a boolean array")
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be a boolean array, got dtype {array.dtype}")
    return check_shape(name, array, (T, N))


def check_same_dtype(arrays: Mapping[str, Array | None]) -> np.dtype[Any]:
    """Return the one dtype that all these arrays have; None entries are left out."""
    given = {name: array.dtype for name, array in arrays.items() if array is not None}
    if len(set(given.values())) != 1:
        listed = ", ".join(f"{name} {dtype}" for name, dtype in given.items())
        raise TypeError(f"all arrays must have the same dtype, got {listed}")
    return next(iter(given.values()))


def check_int(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int in ``low..high``; booleans and floats are refused."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {_kind(value)}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {_kind(value)}") from None
    if low is not None and number < low:
        raise ValueError(f"{name} must be at least {low}, got {number}")
    if high is not None and number > high:
        raise ValueError(f"{name} must be at most {high}, got {number}")
    return number


def check_positive_int(name: str, value: object) -> int:
    """Return `value` as an int of at least 1."""
    return check_int(name, value, low=1)


def check_float(
    name: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a finite float between `low` and `high`; an open end is itself refused."""
    if type(value) is not float and (isinstance(value, (bool, np.bool_)) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be a number, got {_kind(value)}")
    number = float(value)
    below = number <= low if open_low else number < low
    above = number >= high if open_high else number > high
    if below or above or not math.isfinite(number):
        left = "(" if open_low or math.isinf(low) else "["
        right = ")" if open_high or math.isinf(high) else "]"
        raise ValueError(f"{name} must be a number in {left}{low:g}, {high:g}{right}, got {value!r}")
    return number


def check_probability(name: str, value: object, *, allow_one: bool = True) -> float:
    """Return `value` as a float in ``[0, 1]``, or in ``[0, 1)``."""
    return check_float(name, value, low=0.0, high=1.0, open_high=not allow_one)


def check_bool(name: str, value: object) -> bool:
    """Return `value` as a bool; truthy things of other types are refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {_kind(value)}")
    return bool(value)


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    """Return `value` if it is one of the strings in `choices`."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}")
    return value
