"""Dropout of single elements, between layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._checks import check_float_array, check_probability
from fastrnn._types import Array
from fastrnn.layers._regularisation import dropout_mask
from fastrnn.layers.base import Layer, as_gradient

__all__ = ["Dropout"]


class Dropout(Layer):
    """Set each element to zero with probability `p` in train mode, and scale the others by 1 / (1 - p).

    In eval mode the input itself is returned. Dropout that uses one mask for all time steps is an option of
    the recurrent layers.

    Parameters
    ----------
    p : float, default 0.5
        Probability of dropping an element, 0 to 1.
    seed : int or numpy.random.Generator, optional
        Source of the masks. Default: a fresh one.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    References
    ----------
    N. Srivastava et al.: Dropout: a simple way to prevent neural networks from overfitting. JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Dropout
    >>> layer = Dropout(0.5, seed=0).train()
    >>> y = layer(np.ones(1000))
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    >>> bool((layer.backward(np.ones(1000)) == y).all())
    True
    """

    def __init__(self, p: float = 0.5, seed: int | np.random.Generator | None = None) -> None:
        super().__init__()
        self.p = check_probability("p", p)
        self.seed = None if isinstance(seed, np.random.Generator) else seed
        self._rng = np.random.default_rng(seed)

    def __call__(self, x: Any) -> Array:
        """Drop elements of ``x [...]``, of any floating-point dtype.

        Raises
        ------
        TypeError
            If `x` is not a floating-point array.
        """
        array = check_float_array("x", x)
        if not self.training:
            return array
        if self.p == 1.0:
            mask = np.zeros_like(array)
        else:
            mask = dropout_mask(self._rng, array.shape, self.p, array.dtype)
        self._push(mask)
        return array * mask

    def backward(self, dy: Any) -> Array:
        """Return the gradient of the input from that of the output, both of the input's shape.

        Raises
        ------
        ValueError
            If `dy` has another shape than the output.
        RuntimeError
            In eval mode, or if there is no forward pass left to go back through.
        """
        mask: Array = self._pop()
        return as_gradient(dy, mask.shape, mask.dtype) * mask

    def config(self) -> dict[str, Any]:
        """Constructor arguments that make the same layer; a seed given as a generator is left out."""
        return {"p": self.p, "seed": self.seed}
