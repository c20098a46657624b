"""The functions of :mod:`fastrnn.functional` in pure NumPy: readable, any float dtype, what right means.

Names and signatures are the same, so an import is all that changes. The backend protocol that layers compute
with is in ``fastrnn.reference._core``, the counterpart of ``fastrnn._core``;
``fastrnn.use_backend("reference")`` switches everything to it.

Examples
--------
>>> import numpy as np
>>> from fastrnn.reference import lstm, lstm_backward
>>> x, w_ih, w_hh = (np.ones(shape, np.longdouble) for shape in [(5, 2, 3), (16, 3), (16, 4)])
>>> y, (h_n, c_n), saved = lstm(x, w_ih, w_hh)
>>> y.dtype == np.longdouble
True
"""

from __future__ import annotations

from fastrnn._functional_calls import Saved
from fastrnn._functional_impl import Functional, GruGradients, LstmGradients, RnnGradients
from fastrnn.reference import _core

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

_functions = Functional(lambda: _core)
rnn = _functions.rnn
rnn_backward = _functions.rnn_backward
lstm = _functions.lstm
lstm_backward = _functions.lstm_backward
gru = _functions.gru
gru_backward = _functions.gru_backward
