"""What rounding the weights of a layer does to its outputs on your data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._types import Array
from fastrnn.layers.base import Layer

__all__ = ["QuantizationError", "quantization_error"]


@dataclass(frozen=True, slots=True)
class QuantizationError:
    """Differences between the outputs of two layers, as `quantization_error` found them."""

    max: float
    """Largest absolute difference."""
    mean: float
    """Mean absolute difference."""
    relative: float
    """Root of the mean square difference over that of the first layer's outputs."""

    def __str__(self) -> str:
        return f"max {self.max:.3g}, mean {self.mean:.3g}, relative {self.relative:.3g}"


def quantization_error(layer: Layer, quantized: Layer, x: Any, **arguments: Any) -> QuantizationError:
    """Run a layer and its quantized copy on the same data, and compare all outputs.

    Parameters
    ----------
    layer : Layer
        The original. Any layer or model, in eval mode.
    quantized : Layer
        What its ``quantize`` returned (or any layer that takes the same data).
    x : array_like or list of array_like
        What both take. Use data like those of the application, and sequences as long: errors of a recurrent
        layer feed back into it.
    **arguments
        Passed to both, such as ``lengths``. Of recurrent layers the outputs `y` are compared, not the state.

    Returns
    -------
    QuantizationError
        All zero if there are no outputs.

    Raises
    ------
    RuntimeError
        If a layer is in train mode.
    ValueError
        If the outputs have different shapes, or the layers refuse the data.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import GRU, quantization_error
    >>> layer = GRU(8, 64, seed=0)
    >>> x = np.random.default_rng(0).standard_normal((200, 4, 8), dtype=np.float32)
    >>> int8 = quantization_error(layer, layer.quantize("int8"), x)
    >>> bfloat16 = quantization_error(layer, layer.quantize("bfloat16"), x)
    >>> bfloat16.relative < int8.relative < 0.02
    True
    """
    outputs = []
    for name, model in (("layer", layer), ("quantized", quantized)):
        if model.training:
            raise RuntimeError(f"{name} is in train mode: call .eval() first")
        y = model(x, **arguments)
        outputs.append(_flat(y[0] if model.recurrent else y))
    expected, got = outputs
    if expected.shape != got.shape:
        raise ValueError(f"quantized must give as many outputs as layer, {expected.size}, got {got.size}")
    if not expected.size:
        return QuantizationError(0.0, 0.0, 0.0)
    difference = np.abs(got - expected)
    scale = float(np.sqrt(np.mean(expected * expected)))
    rms = float(np.sqrt(np.mean(difference * difference)))
    return QuantizationError(
        float(difference.max()), float(difference.mean()), rms / scale if scale else (np.inf if rms else 0.0)
    )


def _flat(y: Any) -> Array:
    parts = y if isinstance(y, list) else [y]
    flat: Array = np.concatenate([np.ravel(part).astype(np.float64) for part in parts] or [np.zeros(0)])
    return flat
