"""RNN, LSTM and GRU over sequences, with PyTorch's names, shapes, parameter names and state layout.

Calling them and ``backward`` are described once, at :class:`fastrnn.layers._stack.RecurrentStack`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._checks import check_bool, check_choice, check_float
from fastrnn.layers._regularisation import Regularisation
from fastrnn.layers._stack import RecurrentStack

__all__ = ["GRU", "LSTM", "RNN"]


class RNN(RecurrentStack):
    r"""Elman network: ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, or relu in place of tanh.

    Parameters
    ----------
    input_size : int
        Width I of ``x_t``.
    hidden_size : int
        Width H of ``h_t``.
    num_layers : int, default 1
        Layers on top of each other.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Keyword, like all that follow.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether `x` and `y` are ``[N, T, .]`` instead of ``[T, N, .]``. It costs nothing. States are not
        affected.
    dropout : float, default 0.0
        Probability in [0, 1) of zeroing each element of the input of every layer but the first, at each
        step anew; in train mode only.
    bidirectional : bool, default False
        Whether a second set of weights runs from the end to the start; `y` holds both side by side.
    dtype : {"float32", "float64"}, default "float32"
        Of weights, outputs and states.
    seed : int or numpy.random.Generator, optional
        For the initial weights and all dropout. Default: fresh randomness.
    init : {"default", "torch"}, default "default"
        ``"default"``: Glorot uniform from the input [3]_ and orthogonal in the recurrence [4]_, gate by gate;
        zero biases. ``"torch"``: PyTorch's, uniform on +-1/sqrt(H) throughout.
    input_dropout : float, default 0.0
        Variational dropout [1]_ of the input of every layer: one mask per row, layer and direction for all
        steps of a call.
    recurrent_dropout : float, default 0.0
        Variational dropout [1]_ of ``h_{t-1}`` where it enters the recurrent product.
    zoneout : float, default 0.0
        Probability of a unit keeping its previous state at a step [2]_; eval mode takes the expectation.
    weight_dropout : float, default 0.0
        Probability of zeroing each recurrent weight, for all steps of a call (DropConnect as in AWD-LSTM
        [5]_).
    checkpoint_every : int, optional
        In train mode keep only the state before every so many steps, and let `backward` compute the steps
        between again, one such window at a time [6]_: the same results to the last bit, about 1.3 times the
        time of forward and backward, and memory for T / `checkpoint_every` states and one window instead of
        T steps. Near the square root of T both are small. Default: keep every step.

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
    Parameters are ``weight_ih_l{k}`` ``[H, I or D*H]``, ``weight_hh_l{k}`` ``[H, H]``, ``bias_ih_l{k}`` and
    ``bias_hh_l{k}`` ``[H]``, those of the reverse direction with the suffix ``_reverse``; a ``state_dict`` of
    ``torch.nn.RNN`` loads as it is. Masks are scaled by 1 / (1 - p) in training, so that evaluation needs no
    change.

    References
    ----------
    J. Elman: Finding structure in time. Cognitive Science 14, 1990.

    .. [1] Y. Gal, Z. Ghahramani: A theoretically grounded application of dropout in recurrent neural
    networks.
       NeurIPS 2016.
    .. [2] D. Krueger et al.: Zoneout: regularizing RNNs by randomly preserving hidden activations. ICLR 2017.
    .. [3] X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks.
       AISTATS 2010.
    .. [4] A. Saxe, J. McClelland, S. Ganguli: Exact solutions to the nonlinear dynamics of learning in deep
       linear neural networks. ICLR 2014.
    .. [5] S. Merity, N. Keskar, R. Socher: Regularizing and optimizing LSTM language models. ICLR 2018.
    .. [6] T. Chen, B. Xu, C. Zhang, C. Guestrin: Training deep nets with sublinear memory cost.
       arXiv:1604.06174, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import RNN
    >>> layer = RNN(3, 5, bidirectional=True, seed=0)
    >>> x = np.zeros((7, 2, 3), np.float32)              # 7 steps, 2 rows
    >>> y, h = layer(x, lengths=[7, 4])
    >>> y.shape, h.shape
    ((7, 2, 10), (2, 2, 5))
    >>> y, h = layer.train()(x)
    >>> dx, dh = layer.backward(np.ones_like(y))
    >>> dx.shape, layer.weight_hh_l0.grad.shape
    ((7, 2, 3), (5, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_dropout: float = 0.0,
        checkpoint_every: int | None = None,
    ) -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            f"rnn_{nonlinearity}",
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
            regularisation=Regularisation.read(
                input_dropout, recurrent_dropout, zoneout, weight_dropout, False
            ),
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {**super().config(), "nonlinearity": self.nonlinearity}


class LSTM(RecurrentStack):
    """Long short-term memory with forget gate, gates in the order i, f, g, o.

    ::

        i, f, o = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      g the same with tanh
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)                                           with a projection W_hr (o * tanh(c_t))

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, init
        As for :class:`RNN`.
    proj_size : int, default 0
        Width P of a projected ``h``, less than `hidden_size` [3]_; 0 for none.
    forget_bias : float, default 1.0
        First value of the forget gate's bias with ``init="default"`` [4]_. No effect with ``init="torch"``.
    layer_norm : bool, default False
        Whether to normalise, at every step and row, the 4H numbers of either product, each with gains of its
        own, and c on its way into h [5]_::

            i, f, o = sigmoid(ln_ih LN(W_ih x_t) + ln_hh LN(W_hh h_{t-1}) + b_ih + b_hh)    g likewise
            h_t = o * tanh(ln_c_weight LN(c_t) + ln_c_bias)
            LN(a) = (a - mean(a)) / sqrt(variance(a) + 1e-5)
    input_dropout, recurrent_dropout, weight_dropout, checkpoint_every
        As for :class:`RNN`.
    zoneout : float or (float, float), default 0.0
        Probability of keeping the previous state, of h and c alike or ``(h, c)``; 0.05 and 0.5 are the
        paper's for language models.

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
    The state is a pair ``(h [L*D, N, P], c [L*D, N, H])``. Parameters are ``weight_ih_l{k} [4H, I or D*P]``,
    ``weight_hh_l{k} [4H, P]``, ``bias_ih_l{k}`` and ``bias_hh_l{k} [4H]``, with a projection
    ``weight_hr_l{k} [P, H]``, those of the reverse direction with the suffix ``_reverse``; a ``state_dict``
    of ``torch.nn.LSTM`` loads as it is. With `layer_norm` there are also ``ln_ih_l{k}`` and
    ``ln_hh_l{k} [4H]``, ones at first, ``ln_c_weight_l{k}`` (ones) and ``ln_c_bias_l{k} [H]`` (zeros).

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber: Long short-term memory. Neural Computation 9, 1997.
    .. [2] F. Gers, J. Schmidhuber, F. Cummins: Learning to forget. Neural Computation 12, 2000.
    .. [3] H. Sak, A. Senior, F. Beaufays: Long short-term memory recurrent neural network architectures for
       large scale acoustic modeling. Interspeech 2014.
    .. [4] R. Jozefowicz, W. Zaremba, I. Sutskever: An empirical exploration of recurrent network
    architectures.
       ICML 2015.
    .. [5] J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization. arXiv 1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import LSTM
    >>> layer = LSTM(3, 8, num_layers=2, proj_size=5, batch_first=True, seed=0)
    >>> y, (h, c) = layer(np.zeros((2, 7, 3), np.float32))
    >>> y.shape, h.shape, c.shape
    ((2, 7, 5), (2, 2, 5), (2, 2, 8))
    >>> ys, _ = layer([np.ones((4, 3)), np.ones((6, 3))])      # a ragged batch
    >>> [y.shape for y in ys]
    [(4, 5), (6, 5)]
    """

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
        proj_size: int = 0,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
        forget_bias: float = 1.0,
        layer_norm: bool = False,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        weight_dropout: float = 0.0,
        checkpoint_every: int | None = None,
    ) -> None:
        self.forget_bias = check_float("forget_bias", forget_bias)
        self.layer_norm = check_bool("layer_norm", layer_norm)
        super().__init__(
            "lstm_norm" if layer_norm else "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            dtype=dtype,
            seed=seed,
            init=init,
            forget_bias=self.forget_bias,
            checkpoint_every=checkpoint_every,
            regularisation=Regularisation.read(
                input_dropout, recurrent_dropout, zoneout, weight_dropout, True
            ),
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        noise = self.regularisation
        return {
            **super().config(),
            "proj_size": self.proj_size,
            "forget_bias": self.forget_bias,
            "layer_norm": self.layer_norm,
            "zoneout": [noise.zoneout_h, noise.zoneout_c],
        }


class GRU(RecurrentStack):
    """Gated recurrent unit, gates in the order r, z, n.

    ::

        r, z = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
        n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))         reset_after=True
        n = tanh(W_in x_t + b_in + W_hn (r * h_{t-1}) + b_hn)         reset_after=False
        h_t = (1 - z) * n + z * h_{t-1}

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed, init
        As for :class:`RNN`.
    reset_after : bool, default True
        Whether the reset gate acts after the recurrent product, as in PyTorch, cuDNN and Keras, or before it,
        as in the paper [1]_.
    layer_norm : bool, default False
        Whether to normalise, at every step and row, the 3H numbers of either product, each with gains of its
        own, as for :class:`LSTM`: ``ln_ih LN(W_ih x_t)`` and ``ln_hh LN(W_hh h_{t-1})``, then biases [2]_.
        (The paper's GRU takes n apart from r and z.) With `reset_after` only.
    input_dropout, recurrent_dropout, zoneout, weight_dropout, checkpoint_every
        As for :class:`RNN`. Recurrent dropout does not touch the direct path ``z * h_{t-1}``.

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
    Parameters are ``weight_ih_l{k} [3H, I or D*H]``, ``weight_hh_l{k} [3H, H]``, ``bias_ih_l{k}`` and
    ``bias_hh_l{k} [3H]``, those of the reverse direction with the suffix ``_reverse``; a ``state_dict`` of
    ``torch.nn.GRU`` loads as it is. With `layer_norm` there are also ``ln_ih_l{k}`` and ``ln_hh_l{k} [3H]``,
    ones at first.

    References
    ----------
    .. [1] K. Cho et al.: Learning phrase representations using RNN encoder-decoder for statistical machine
       translation. EMNLP 2014.
    .. [2] J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization. arXiv 1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import GRU
    >>> layer = GRU(3, 4, seed=0)
    >>> y, h = layer(np.zeros((7, 3), np.float32))       # unbatched
    >>> y.shape, h.shape
    ((7, 4), (1, 4))
    """

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
        reset_after: bool = True,
        dtype: Any = np.float32,
        seed: int | np.random.Generator | None = None,
        init: str = "default",
        layer_norm: bool = False,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        weight_dropout: float = 0.0,
        checkpoint_every: int | None = None,
    ) -> None:
        self.reset_after = check_bool("reset_after", reset_after)
        self.layer_norm = check_bool("layer_norm", layer_norm)
        if layer_norm and not reset_after:
            raise ValueError("layer_norm must be False with reset_after=False, got True")
        super().__init__(
            "gru_norm" if layer_norm else "gru" if reset_after else "gru_reset_before",
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
            regularisation=Regularisation.read(
                input_dropout, recurrent_dropout, zoneout, weight_dropout, False
            ),
        )

    def config(self) -> dict[str, Any]:
        """Return constructor arguments, in types that JSON has."""
        return {**super().config(), "reset_after": self.reset_after, "layer_norm": self.layer_norm}
