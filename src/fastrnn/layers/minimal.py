"""MinGRU and MinLSTM over sequences: gates that see the input alone.

Calling them and ``backward`` are described once, at :class:`fastrnn.layers._stack.RecurrentStack`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastrnn.layers._regularisation import Regularisation
from fastrnn.layers._stack import RecurrentStack

__all__ = ["MinGRU", "MinLSTM"]


class _Minimal(RecurrentStack):
    """What both have in common: no recurrent weights, and so nothing that acts on them."""

    _cell: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
        input_dropout: float = 0.0,
        zoneout: float = 0.0,
        checkpoint_every: int | None = None,
    ) -> None:
        super().__init__(
            self._cell,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
            seed=seed,
            init=init,
            checkpoint_every=checkpoint_every,
            regularisation=Regularisation.read(input_dropout, 0.0, zoneout, 0.0, False),
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        config = super().config()
        del config["recurrent_dropout"], config["weight_dropout"]
        return config


class MinGRU(_Minimal):
    """Minimal gated recurrent unit, gates in the order z, h.

    ::

        z = sigmoid(W_iz x_t + b_iz)
        h_t = (1 - z) * h_{t-1} + z * (W_ih x_t + b_ih)

    No gate reads the state, so that all products are taken over many steps at once, and threads share even
    a single sequence. Stack layers, or put them between others, for what a gate cannot see of the past.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, init, \
    input_dropout, zoneout, checkpoint_every
        As for :class:`RNN`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, or `dtype` is neither float32 nor float64.
    ValueError
        If an argument is out of range.

    Warns
    -----
    UserWarning
        If there is `dropout` but one layer only, so that it has no effect.

    Notes
    -----
    Parameters are ``weight_ih_l{k} [2H, I or D*H]`` and ``bias_ih_l{k} [2H]``, those of the reverse direction
    with the suffix ``_reverse``. ``weight_hh_l{k} [0, H]`` and ``bias_hh_l{k} [0]`` are empty: all recurrent
    layers have one layout.

    The candidate is linear, as in the paper's main text. Its log-space form passes it through
    ``g(x) = x + 0.5 if x >= 0 else sigmoid(x)``, so that a scan in logarithms is possible; nothing here takes
    logarithms, and states may have either sign.

    References
    ----------
    L. Feng et al.: Were RNNs all we needed? arXiv 2410.01201, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import MinGRU
    >>> layer = MinGRU(3, 4, num_layers=2, seed=0)
    >>> y, h = layer(np.zeros((7, 5, 3), np.float32))
    >>> y.shape, h.shape
    ((7, 5, 4), (2, 5, 4))
    """

    _cell = "mingru"


class MinLSTM(_Minimal):
    """Minimal long short-term memory, gates in the order f, i, h; its one state is h.

    ::

        f, i = sigmoid(W_if x_t + b_if), sigmoid(W_ii x_t + b_ii)
        h_t = f / (f + i) * h_{t-1} + i / (f + i) * (W_ih x_t + b_ih)

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, init, \
    input_dropout, zoneout, checkpoint_every
        As for :class:`RNN`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind, or `dtype` is neither float32 nor float64.
    ValueError
        If an argument is out of range.

    Warns
    -----
    UserWarning
        If there is `dropout` but one layer only, so that it has no effect.

    Notes
    -----
    Parameters as for :class:`MinGRU`, with 3H rows in place of 2H; the candidate is linear for the same
    reason.
    The two quotients add up to 1, and keep their accuracy where both gates close.

    References
    ----------
    L. Feng et al.: Were RNNs all we needed? arXiv 2410.01201, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import MinLSTM
    >>> layer = MinLSTM(3, 4, bidirectional=True, seed=0)
    >>> y, h = layer(np.zeros((7, 5, 3), np.float32), lengths=[7, 3, 0, 1, 7])
    >>> y.shape, h.shape
    ((7, 5, 8), (2, 5, 4))
    """

    _cell = "minlstm"
