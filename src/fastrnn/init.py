"""First values of weights: functions of a NumPy generator and a shape.

All draw in float64 and return float64 (a :class:`~fastrnn.layers.Parameter` casts), so that the same seed
gives the same weights, up to rounding, in every dtype.
"""

from __future__ import annotations

import math

import numpy as np

from fastrnn._types import Array

__all__ = ["glorot_normal", "glorot_uniform", "normal", "orthogonal", "uniform"]


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    """Uniform on ``[-bound, bound)``; PyTorch's recurrent layers take ``bound = 1 / sqrt(hidden_size)``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import init
    >>> w = init.uniform(np.random.default_rng(0), (4, 3), bound=0.5)
    >>> w.shape, bool(abs(w).max() <= 0.5)
    ((4, 3), True)
    """
    if not bound >= 0:
        raise ValueError(f"bound must be at least 0, got {bound}")
    return rng.uniform(-bound, bound, shape)


def normal(rng: np.random.Generator, shape: tuple[int, ...], std: float = 1.0) -> Array:
    """Normal with mean 0 and standard deviation `std`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import init
    >>> init.normal(np.random.default_rng(0), (2, 3), std=0.01).shape
    (2, 3)
    """
    if not std >= 0:
        raise ValueError(f"std must be at least 0, got {std}")
    return rng.standard_normal(shape) * std


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int], gain: float = 1.0) -> Array:
    """Uniform with variance ``gain**2 * 2 / (fan_in + fan_out)``, also called Xavier.

    For ``weight [fan_out, fan_in]``; a stack of gates is to be drawn gate by gate.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks.
    AISTATS 2010, eq. 16.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import init
    >>> w = init.glorot_uniform(np.random.default_rng(0), (4, 2))
    >>> bool(abs(w).max() <= 1.0)
    True
    """
    fan_out, fan_in = _matrix(shape)
    return uniform(rng, shape, gain * math.sqrt(6.0 / max(1, fan_in + fan_out)))


def glorot_normal(rng: np.random.Generator, shape: tuple[int, int], gain: float = 1.0) -> Array:
    """Normal with variance ``gain**2 * 2 / (fan_in + fan_out)``; see `glorot_uniform`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import init
    >>> init.glorot_normal(np.random.default_rng(0), (4, 2)).shape
    (4, 2)
    """
    fan_out, fan_in = _matrix(shape)
    return normal(rng, shape, gain * math.sqrt(2.0 / max(1, fan_in + fan_out)))


def orthogonal(rng: np.random.Generator, shape: tuple[int, int], gain: float = 1.0) -> Array:
    """A random matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    Drawn from the uniform (Haar) distribution by a QR decomposition with the signs fixed.

    References
    ----------
    A. Saxe, J. McClelland, S. Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks. ICLR 2014. F. Mezzadri: How to generate random matrices from the classical compact
    groups. Notices of the AMS 54, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import init
    >>> w = init.orthogonal(np.random.default_rng(0), (5, 3))
    >>> np.allclose(w.T @ w, np.eye(3))
    True
    """
    rows, columns = _matrix(shape)
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -gain, gain)  # without this, Q is not uniformly distributed
    return np.ascontiguousarray(q if rows >= columns else q.T)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise ValueError(f"shape must be that of a matrix (rows, columns), got {shape}")
    return shape[0], shape[1]
