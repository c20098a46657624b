"""Recurrent layers as plain functions, once for every backend.

``fastrnn.functional`` exposes these methods bound to the active backend, ``fastrnn.reference`` bound to the
NumPy one, so that both have the same names, signatures and checks. Design notes:

(a) A forward's `saved` remembers the backend it came from; backward uses that one, whatever is active then.
(b) A snapshot of the weights is packed per call. Layers keep theirs between calls and are the faster way.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrnn._checks import check_bool, check_choice
from fastrnn._functional_calls import CheckedSequences, Saved
from fastrnn._types import Array, CellWeights

__all__ = ["Functional", "GruGradients", "LstmGradients", "RnnGradients"]


class RnnGradients(NamedTuple):
    """Gradients of :func:`rnn`, in the order of its arguments; None where the argument was None."""

    dx: Array
    """``[T, N, I]``, zero past a length"""
    dweight_ih: Array
    """``[G*H, I]``"""
    dweight_hh: Array
    """``[G*H, H]``"""
    dbias_ih: Array | None
    """``[G*H]``"""
    dbias_hh: Array | None
    """``[G*H]``"""
    dh0: Array
    """``[N, H]``, also when `h0` was None"""


class GruGradients(RnnGradients):
    """Gradients of :func:`gru`, in the order of its arguments; None where the argument was None."""


class LstmGradients(NamedTuple):
    """Gradients of :func:`lstm`, in the order of its arguments; None where the argument was None."""

    dx: Array
    """``[T, N, I]``, zero past a length"""
    dweight_ih: Array
    """``[4*H, I]``"""
    dweight_hh: Array
    """``[4*H, P]``"""
    dbias_ih: Array | None
    """``[4*H]``"""
    dbias_hh: Array | None
    """``[4*H]``"""
    dh0: Array
    """``[N, P]``, also when `h0` was None"""
    dc0: Array
    """``[N, H]``, also when `c0` was None"""
    dweight_hr: Array | None
    """``[P, H]``"""


class Functional(CheckedSequences):
    """The functions of ``fastrnn.functional``, computing with the backend that `backend()` returns."""

    def rnn(
        self,
        x: Array,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
        h0: Array | None = None,
        *,
        nonlinearity: str = "tanh",
        lengths: Array | None = None,
        resets: Array | None = None,
        reverse: bool = False,
        input_mask: Array | None = None,
        hidden_mask: Array | None = None,
        zoneout_h: Array | float | None = None,
        training: bool = True,
    ) -> tuple[Array, Array, Saved | None]:
        """Run an Elman network over whole sequences.

        ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, or ``max(0, .)`` in place of tanh [1]_.

        Parameters
        ----------
        x : array [T, N, I]
            T time steps of N sequences. Float32 or float64 (any float with ``fastrnn.reference``); every
            other array has the same dtype.
        weight_ih, weight_hh : array [H, I], array [H, H]
            Weights in PyTorch's layout.
        bias_ih, bias_hh : array [H], optional
            Each may be None by itself.
        h0 : array [N, H], optional
            State before the first step, zeros by default.
        nonlinearity : {"tanh", "relu"}, default "tanh"
            The activation.
        lengths : int array [N], optional
            Number of steps of each row, 0 to T, in any order; all T by default. Outputs past a length are
            zero, and `h_n` is the state at the length.
        resets : bool array [T, N], optional
            True where the state of a row becomes zero before that step, as at the start of an episode.
        reverse : bool, default False
            Start at each row's own last step and go back to step 0.
        input_mask, hidden_mask : array [N, I], array [N, H], optional
            Variational dropout [2]_: factors of the input and of the state that the recurrent product reads,
            the same at every step, already divided by the probability of keeping.
        zoneout_h : float or array that broadcasts to [T, N, H], optional
            Zoneout [3]_: the part k of the previous state in ``h_t = k h_{t-1} + (1 - k) h~_t``.
        training : bool, default True
            False skips what only :func:`rnn_backward` needs.

        Returns
        -------
        y : array [T, N, H]
            The state after every step. Read-only with `training`.
        h_n : array [N, H]
            The state after each row's last step.
        saved : Saved or None
            For one call of :func:`rnn_backward`, until which the arrays given here must not change (the
            weights may); None without `training`.

        Raises
        ------
        TypeError
            If an array is not floating-point, the dtypes differ, or lengths or resets have another kind.
        ValueError
            If shapes do not fit together, a length is outside 0 to T, or zoneout is outside [0, 1].

        References
        ----------
        .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.
        .. [2] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural
           networks", NeurIPS 2016.
        .. [3] D. Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR
           2017.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import rnn, rnn_backward
        >>> rng = np.random.default_rng(0)
        >>> x, w_ih, w_hh = (rng.standard_normal(shape) for shape in [(5, 2, 3), (4, 3), (4, 4)])
        >>> y, h_n, saved = rnn(x, w_ih, w_hh, lengths=np.array([5, 3]))
        >>> y.shape, bool((y[3:, 1] == 0).all()), bool((h_n[1] == y[2, 1]).all())
        ((5, 2, 4), True, True)
        >>> rnn_backward(saved, np.ones_like(y)).dweight_ih.shape
        (4, 3)
        """
        check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        weights = CellWeights(weight_ih, weight_hh, bias_ih, bias_hh)
        y, h_n, _, saved = self._forward(
            "rnn",
            f"rnn_{nonlinearity}",
            x,
            weights,
            h0,
            None,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            input_mask=input_mask,
            hidden_mask=hidden_mask,
            zoneout_h=zoneout_h,
            training=training,
        )
        return y, h_n, saved

    def rnn_backward(
        self, saved: Saved | None, dy: Array | None = None, dh_n: Array | None = None
    ) -> RnnGradients:
        """Backpropagate through :func:`rnn`.

        Parameters
        ----------
        saved : Saved
            From :func:`rnn`. It is used up: a second call needs another forward.
        dy : array [T, N, H], optional
            Gradient of `y`, zeros by default. Entries past a length are ignored.
        dh_n : array [N, H], optional
            Gradient of `h_n`, zeros by default.

        Returns
        -------
        RnnGradients
            Named tuple ``(dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dh0)``, shapes as the arguments; a
            bias that was None has None.

        Raises
        ------
        RuntimeError
            If `saved` was used before.
        TypeError
            If `saved` is not from :func:`rnn` in training mode, or a gradient has another dtype.
        ValueError
            If a gradient has another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import rnn, rnn_backward
        >>> y, h_n, saved = rnn(np.ones((2, 1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
        >>> rnn_backward(saved, dh_n=np.ones((1, 1))).dweight_ih
        array([[1.]])
        """
        dx, dh0, _, grads = self._backward("rnn", saved, dy, {"h_n": dh_n})
        return RnnGradients(dx, grads.weight_ih, grads.weight_hh, grads.bias_ih, grads.bias_hh, dh0)

    def lstm(
        self,
        x: Array,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
        h0: Array | None = None,
        c0: Array | None = None,
        weight_hr: Array | None = None,
        *,
        lengths: Array | None = None,
        resets: Array | None = None,
        reverse: bool = False,
        input_mask: Array | None = None,
        hidden_mask: Array | None = None,
        zoneout_h: Array | float | None = None,
        zoneout_c: Array | float | None = None,
        training: bool = True,
    ) -> tuple[Array, tuple[Array, Array], Saved | None]:
        """Run an LSTM with forget gate over whole sequences.

        With ``i, f, g, o`` the rows of ``W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``,
        ``c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)`` and ``h_t = sigmoid(o) tanh(c_t)`` [1]_ [2]_,
        projected by `weight_hr` if that is given [3]_.

        Parameters
        ----------
        x : array [T, N, I]
            T time steps of N sequences. Float32 or float64 (any float with ``fastrnn.reference``); every
            other array has the same dtype.
        weight_ih, weight_hh : array [4*H, I], array [4*H, P]
            Weights in PyTorch's layout, gates in the order i, f, g, o. P is H without projection.
        bias_ih, bias_hh : array [4*H], optional
            Each may be None by itself.
        h0, c0 : array [N, P], array [N, H], optional
            States before the first step, zeros by default.
        weight_hr : array [P, H], optional
            Projection of the output.
        lengths : int array [N], optional
            Number of steps of each row, 0 to T, in any order; all T by default. Outputs past a length are
            zero, and `h_n`, `c_n` are the states at the length.
        resets : bool array [T, N], optional
            True where the states of a row become zero before that step, as at the start of an episode.
        reverse : bool, default False
            Start at each row's own last step and go back to step 0.
        input_mask, hidden_mask : array [N, I], array [N, P], optional
            Variational dropout: factors of the input and of the state that the recurrent product reads,
            the same at every step, already divided by the probability of keeping.
        zoneout_h, zoneout_c : float or array that broadcasts to [T, N, P] or [T, N, H], optional
            Zoneout: the part k of the previous state in ``h_t = k h_{t-1} + (1 - k) h~_t``, likewise of c.
        training : bool, default True
            False skips what only :func:`lstm_backward` needs.

        Returns
        -------
        y : array [T, N, P]
            The state h after every step. Read-only with `training`.
        (h_n, c_n) : tuple of array [N, P] and array [N, H]
            The states after each row's last step.
        saved : Saved or None
            For one call of :func:`lstm_backward`, until which the arrays given here must not change (the
            weights may); None without `training`.

        Raises
        ------
        TypeError
            If an array is not floating-point, the dtypes differ, or lengths or resets have another kind.
        ValueError
            If shapes do not fit together, a length is outside 0 to T, or zoneout is outside [0, 1].

        References
        ----------
        .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997.
        .. [2] F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", Neural Computation 12, 2000.
        .. [3] H. Sak, A. Senior and F. Beaufays, "Long short-term memory recurrent neural network
           architectures for large scale acoustic modeling", Interspeech 2014.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import lstm, lstm_backward
        >>> rng = np.random.default_rng(0)
        >>> x, w_ih, w_hh = (rng.standard_normal(shape) for shape in [(5, 2, 3), (16, 3), (16, 4)])
        >>> y, (h_n, c_n), saved = lstm(x, w_ih, w_hh, lengths=np.array([3, 5]))
        >>> y.shape, h_n.shape, c_n.shape
        ((5, 2, 4), (2, 4), (2, 4))
        >>> lstm_backward(saved, np.ones_like(y)).dc0.shape
        (2, 4)
        """
        weights = CellWeights(weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
        y, h_n, c_n, saved = self._forward(
            "lstm",
            "lstm",
            x,
            weights,
            h0,
            c0,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            input_mask=input_mask,
            hidden_mask=hidden_mask,
            zoneout_h=zoneout_h,
            zoneout_c=zoneout_c,
            training=training,
        )
        assert c_n is not None
        return y, (h_n, c_n), saved

    def lstm_backward(
        self,
        saved: Saved | None,
        dy: Array | None = None,
        dh_n: Array | None = None,
        dc_n: Array | None = None,
    ) -> LstmGradients:
        """Backpropagate through :func:`lstm`.

        Parameters
        ----------
        saved : Saved
            From :func:`lstm`. It is used up: a second call needs another forward.
        dy : array [T, N, P], optional
            Gradient of `y`, zeros by default. Entries past a length are ignored.
        dh_n, dc_n : array [N, P], array [N, H], optional
            Gradients of `h_n` and `c_n`, zeros by default.

        Returns
        -------
        LstmGradients
            Named tuple ``(dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dh0, dc0, dweight_hr)``, shapes as
            the arguments; a bias or projection that was None has None.

        Raises
        ------
        RuntimeError
            If `saved` was used before.
        TypeError
            If `saved` is not from :func:`lstm` in training mode, or a gradient has another dtype.
        ValueError
            If a gradient has another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import lstm, lstm_backward
        >>> y, state, saved = lstm(np.ones((2, 1, 1)), np.zeros((4, 1)), np.zeros((4, 1)))
        >>> lstm_backward(saved, dc_n=np.ones((1, 1))).dc0
        array([[0.25]])
        """
        dx, dh0, dc0, grads = self._backward("lstm", saved, dy, {"h_n": dh_n, "c_n": dc_n})
        assert dc0 is not None
        return LstmGradients(
            dx, grads.weight_ih, grads.weight_hh, grads.bias_ih, grads.bias_hh, dh0, dc0, grads.weight_hr
        )

    def gru(
        self,
        x: Array,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array | None = None,
        bias_hh: Array | None = None,
        h0: Array | None = None,
        *,
        reset_after: bool = True,
        lengths: Array | None = None,
        resets: Array | None = None,
        reverse: bool = False,
        input_mask: Array | None = None,
        hidden_mask: Array | None = None,
        zoneout_h: Array | float | None = None,
        training: bool = True,
    ) -> tuple[Array, Array, Saved | None]:
        """Run a network of gated recurrent units over whole sequences.

        ``h_t = (1 - z) n + z h_{t-1}`` with reset gate r and update gate z, sigmoids of
        ``W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, and the candidate
        ``n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))`` as in PyTorch, or
        ``n = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn)`` as in the paper [1]_.

        Parameters
        ----------
        x : array [T, N, I]
            T time steps of N sequences. Float32 or float64 (any float with ``fastrnn.reference``); every
            other array has the same dtype.
        weight_ih, weight_hh : array [3*H, I], array [3*H, H]
            Weights in PyTorch's layout, gates in the order r, z, n.
        bias_ih, bias_hh : array [3*H], optional
            Each may be None by itself.
        h0 : array [N, H], optional
            State before the first step, zeros by default.
        reset_after : bool, default True
            Apply the reset gate after the recurrent product (PyTorch, cuDNN, Keras) or before it (the paper,
            ONNX by default).
        lengths : int array [N], optional
            Number of steps of each row, 0 to T, in any order; all T by default. Outputs past a length are
            zero, and `h_n` is the state at the length.
        resets : bool array [T, N], optional
            True where the state of a row becomes zero before that step, as at the start of an episode.
        reverse : bool, default False
            Start at each row's own last step and go back to step 0.
        input_mask, hidden_mask : array [N, I], array [N, H], optional
            Variational dropout: factors of the input and of the state that the recurrent product reads (not
            of the one that z carries over), the same at every step, already divided by the probability of
            keeping.
        zoneout_h : float or array that broadcasts to [T, N, H], optional
            Zoneout: the part k of the previous state in ``h_t = k h_{t-1} + (1 - k) h~_t``.
        training : bool, default True
            False skips what only :func:`gru_backward` needs.

        Returns
        -------
        y : array [T, N, H]
            The state after every step. Read-only with `training`.
        h_n : array [N, H]
            The state after each row's last step.
        saved : Saved or None
            For one call of :func:`gru_backward`, until which the arrays given here must not change (the
            weights may); None without `training`.

        Raises
        ------
        TypeError
            If an array is not floating-point, the dtypes differ, or lengths or resets have another kind.
        ValueError
            If shapes do not fit together, a length is outside 0 to T, or zoneout is outside [0, 1].

        References
        ----------
        .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
           machine translation", EMNLP 2014.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import gru, gru_backward
        >>> rng = np.random.default_rng(0)
        >>> x, w_ih, w_hh = (rng.standard_normal(shape) for shape in [(5, 2, 3), (12, 3), (12, 4)])
        >>> y, h_n, saved = gru(x, w_ih, w_hh, reset_after=False)
        >>> y.shape, bool((h_n == y[-1]).all())
        ((5, 2, 4), True)
        >>> gru_backward(saved, np.ones_like(y)).dx.shape
        (5, 2, 3)
        """
        weights = CellWeights(weight_ih, weight_hh, bias_ih, bias_hh)
        y, h_n, _, saved = self._forward(
            "gru",
            "gru" if check_bool("reset_after", reset_after) else "gru_reset_before",
            x,
            weights,
            h0,
            None,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            input_mask=input_mask,
            hidden_mask=hidden_mask,
            zoneout_h=zoneout_h,
            training=training,
        )
        return y, h_n, saved

    def gru_backward(
        self, saved: Saved | None, dy: Array | None = None, dh_n: Array | None = None
    ) -> GruGradients:
        """Backpropagate through :func:`gru`.

        Parameters
        ----------
        saved : Saved
            From :func:`gru`. It is used up: a second call needs another forward.
        dy : array [T, N, H], optional
            Gradient of `y`, zeros by default. Entries past a length are ignored.
        dh_n : array [N, H], optional
            Gradient of `h_n`, zeros by default.

        Returns
        -------
        GruGradients
            Named tuple ``(dx, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dh0)``, shapes as the arguments; a
            bias that was None has None.

        Raises
        ------
        RuntimeError
            If `saved` was used before.
        TypeError
            If `saved` is not from :func:`gru` in training mode, or a gradient has another dtype.
        ValueError
            If a gradient has another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from fastrnn.functional import gru, gru_backward
        >>> y, h_n, saved = gru(np.ones((2, 1, 1)), np.zeros((3, 1)), np.zeros((3, 1)))
        >>> gru_backward(saved, dh_n=np.ones((1, 1))).dh0
        array([[0.25]])
        """
        dx, dh0, _, grads = self._backward("gru", saved, dy, {"h_n": dh_n})
        return GruGradients(dx, grads.weight_ih, grads.weight_hh, grads.bias_ih, grads.bias_hh, dh0)
