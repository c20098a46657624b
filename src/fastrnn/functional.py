"""Recurrent layers as plain functions on NumPy arrays, for whoever keeps weights in arrays of their own.

Each function returns its output, its final state and `saved`, which its ``_backward`` turns into gradients of
every argument. Arrays are time-major, weights are in PyTorch's layout. The active backend computes;
:mod:`fastrnn.reference` has the same names and signatures in pure NumPy.

Examples
--------
>>> import numpy as np
>>> from fastrnn.functional import gru, gru_backward
>>> rng = np.random.default_rng(0)
>>> x = rng.standard_normal((20, 4, 3))                                   # T, N, I
>>> weight_ih, weight_hh = rng.standard_normal((24, 3)), rng.standard_normal((24, 8))
>>> y, h_n, saved = gru(x, weight_ih, weight_hh)
>>> dx, dweight_ih, dweight_hh, *_ = gru_backward(saved, dy=np.ones_like(y))
>>> weight_ih -= 0.01 * dweight_ih
"""

from __future__ import annotations

from fastrnn._functional_calls import Saved
from fastrnn._functional_impl import Functional, GruGradients, LstmGradients, RnnGradients
from fastrnn.backend import active

__all__ = [
    "GruGradients",
    "LstmGradients",
    "RnnGradients",
    "Saved",
    "gru",
    "gru_backward",
    "lstm",
    "lstm_backward",
    "rnn",
    "rnn_backward",
]

_functions = Functional(active)
rnn = _functions.rnn
rnn_backward = _functions.rnn_backward
lstm = _functions.lstm
lstm_backward = _functions.lstm_backward
gru = _functions.gru
gru_backward = _functions.gru_backward
