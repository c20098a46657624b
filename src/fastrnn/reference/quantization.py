"""Weights in fewer bits, for inference in float32: what the formats ``"bfloat16"`` and ``"int8"`` mean.

    bfloat16   W rounded to 8 significant bits, ties to even; all arithmetic on it stays float32
    int8       W[o, k] = s[o] w[o, k]     |w| <= 127,     s[o] = max_k |W[o, k]| / 127
               x[k]    = t q[k]           |q| <= 8191,    t    = max_k |x[k]| / 8191
               W x     = sum over blocks of 2048 k of (s t) * (sum_k w q), the inner sum in exact integers

w and q are rounded to nearest, ties to even. A row of either whose largest magnitude is below 2^-100 counts
as zero; one that holds NaN or infinity makes NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._checks import check_choice
from fastrnn._types import WEIGHT_FORMATS, Array

__all__ = ["Int8Matrix", "bfloat16", "check_format", "quantized"]

_BLOCK = 2048
_SMALLEST = np.float32(2.0**-100)


def check_format(format: str | None, dtype: np.dtype[Any], training: bool) -> None:
    """Refuse what no backend packs."""
    if format is None:
        return
    check_choice("format", format, WEIGHT_FORMATS)
    if dtype != np.float32:
        raise TypeError(f"format={format!r} needs float32 weights, got {dtype}")
    if training:
        raise ValueError(f"format={format!r} must be None for training=True: such weights are for inference")


def quantized(weight: Array, format: str | None) -> Any:
    """Return what products are made with: an array, or an `Int8Matrix`."""
    if format == "bfloat16":
        return bfloat16(weight)
    return Int8Matrix.of(weight) if format == "int8" else weight


def bfloat16(a: Array) -> Array:
    """Round float32 numbers to the nearest bfloat16; they stay float32 numbers."""
    bits = a.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    y: Array = np.where(np.isnan(a), a, rounded)
    return y


def _integers(rows: Array, levels: int, divide: bool) -> tuple[Array, Array]:
    """Integers up to `levels` in magnitude and the scale of each row [..., K] -> [..., K], [..., 1].

    All in float32: the rounding of a quotient decides which integer a tie becomes.
    """
    one, top = np.float32(1), np.float32(levels)
    with np.errstate(all="ignore"):
        largest = np.abs(rows).max(axis=-1, keepdims=True)
        zero, usable = largest < _SMALLEST, np.isfinite(largest) & (largest >= _SMALLEST)
        scale = np.where(zero, np.float32(0), np.where(usable, largest / top, np.float32(np.nan)))
        if divide:
            ratio = rows / np.where(usable, scale, one)
        else:
            ratio = rows * (top / np.where(usable, largest, one))
        return np.rint(np.where(usable, ratio, np.float32(0))).astype(np.int64), scale


@dataclass(frozen=True)
class Int8Matrix:
    """A weight matrix [O, K] as integers and a scale for each row."""

    integers: Array
    scale: Array

    @classmethod
    def of(cls, weight: Array) -> Int8Matrix:
        """Round a float32 matrix."""
        integers, scale = _integers(weight, 127, divide=True)
        return cls(integers, scale[:, 0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of what is computed with it, float32."""
        return self.scale.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """``(O, K)``."""
        return tuple(self.integers.shape)

    def __getitem__(self, rows: slice) -> Int8Matrix:
        """Some of the rows."""
        return Int8Matrix(self.integers[rows], self.scale[rows])

    def product(self, x: Array) -> Array:
        """Multiply x [..., K] -> [..., O] with each row of x rounded to 14 bits."""
        q, t = _integers(x, 8191, divide=False)
        y = np.zeros((*x.shape[:-1], self.shape[0]), np.float32)
        for k in range(0, x.shape[-1], _BLOCK):
            sums = q[..., k : k + _BLOCK] @ self.integers[:, k : k + _BLOCK].T
            y += (self.scale * t) * sums.astype(np.float32)
        return y
