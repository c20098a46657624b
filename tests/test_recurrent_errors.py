"""What recurrent layers refuse, and how they say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS

from fastrnn.backend import use_backend
from fastrnn.layers.minimal import MinGRU
from fastrnn.layers.recurrent import GRU, LSTM, RNN

T, N, INPUT, H = 6, 3, 4, 5


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 3), {}, ValueError, "input_size must be at least 1, got 0"),
        ((2, 3.0), {}, TypeError, "hidden_size must be an integer"),
        ((2, 3, 0), {}, ValueError, "num_layers must be at least 1"),
        ((2, 3), {"proj_size": 3}, ValueError, "proj_size must be at most 2, got 3"),
        ((2, 3), {"dropout": 1.5, "num_layers": 2}, ValueError, "dropout must be"),
        ((2, 3), {"zoneout": 1.0}, ValueError, "zoneout must be"),
        ((2, 3), {"zoneout": (0.1, 0.2, 0.3)}, ValueError, "zoneout must be a number or a pair"),
        ((2, 3), {"weight_dropout": "x"}, TypeError, "weight_dropout must be"),
        ((2, 3), {"dtype": "float16"}, TypeError, "dtype must be float32 or float64, got float16"),
        ((2, 3), {"init": "zeros"}, ValueError, "init must be one of 'default', 'torch', got 'zeros'"),
        ((2, 3), {"bias": 1}, TypeError, "bias must be True or False"),
    ],
)
def test_bad_settings_name_the_argument(
    arguments: tuple, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LSTM(*arguments, **options)


def test_settings_of_one_cell_alone() -> None:
    with pytest.raises(ValueError, match="nonlinearity must be one of 'tanh', 'relu', got 'sigmoid'"):
        RNN(2, 3, nonlinearity="sigmoid")
    with pytest.raises(TypeError, match="zoneout must be one number"):
        GRU(2, 3, zoneout=(0.1, 0.1))
    with pytest.raises(ValueError, match="layer_norm must be False with reset_after=False, got True"):
        GRU(2, 3, reset_after=False, layer_norm=True)
    with pytest.raises(TypeError, match="layer_norm must be True or False"):
        LSTM(2, 3, layer_norm=1)
    with pytest.raises(TypeError, match="recurrent_dropout"):
        MinGRU(2, 3, recurrent_dropout=0.5)
    with pytest.warns(UserWarning, match="dropout acts between layers"):
        GRU(2, 3, dropout=0.5)


X = np.zeros((T, N, INPUT))


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.zeros((T, N, INPUT + 1)), {}, ValueError, r"x must have input_size 4 .*got shape \(6, 3, 5\)"),
        (np.zeros(INPUT), {}, ValueError, r"x must be \[T, N, I\].*got shape \(4,\)"),
        (X.astype(complex), {}, TypeError, "x must be an array of real numbers, got dtype complex128"),
        ([np.zeros((2, INPUT)), np.zeros(INPUT)], {}, ValueError, r"x\[1\] must be \[t, input_size\]"),
        ([np.zeros((2, INPUT))], {"lengths": [2]}, ValueError, "lengths must be None for a list"),
        ([np.zeros((2, INPUT))], {"resets": np.zeros((2, 1), bool)}, TypeError, "resets must be a list"),
        ([np.zeros((2, INPUT))], {"resets": []}, ValueError, "resets must hold 1 arrays"),
        (X[:, 0], {"lengths": [2]}, ValueError, "lengths must be None for an unbatched x"),
        (X, {"lengths": [1, 2]}, ValueError, r"lengths must have shape \(3,\), got \(2,\)"),
        (X, {"lengths": [1, 2, 7]}, ValueError, r"lengths must lie in 0\.\.6, got 7"),
        (X, {"lengths": [1, 2, -1]}, ValueError, r"lengths must lie in 0\.\.6, got -1"),
        (X, {"lengths": [1.0, 2.0, 3.0]}, TypeError, "lengths must be an integer array"),
        (X, {"resets": np.zeros((N, T), bool)}, ValueError, r"resets must have shape \(6, 3\)"),
        (X, {"resets": np.zeros((T, N))}, TypeError, "resets must be a boolean array"),
        (X, {"state": np.zeros((1, N, H))}, TypeError, r"state of an LSTM must be a pair \(h, c\)"),
        (X, {"state": (np.zeros((1, N, H)), X[0])}, ValueError, r"state\[1\] \(c\) must have shape"),
        (X[:, 0], {"state": (np.zeros((1, 1, H)),) * 2}, ValueError, r"must have shape \(1, 5\), got"),
    ],
)  # fmt: skip
def test_bad_calls_name_the_argument(x: Any, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LSTM(INPUT, H)(x, **options)


def test_bad_gradients_name_the_argument() -> None:
    layer = GRU(INPUT, H, seed=0).train()
    layer(X)
    with pytest.raises(ValueError, match=r"dy must have shape \(6, 3, 5\), got \(3, 6, 5\)"):
        layer.backward(np.zeros((N, T, H)))
    layer(X)
    with pytest.raises(ValueError, match=r"dstate must have shape \(1, 3, 5\)"):
        layer.backward(None, np.zeros((N, H)))
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(TypeError, match="dy must be a list"):
        layer.backward(np.zeros((2, T, H)))
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(ValueError, match="dy must hold 2 arrays"):
        layer.backward([np.zeros((T, H))])
    layer([X[:, 0], X[:2, 0]])
    with pytest.raises(ValueError, match=r"dy\[1\] must have shape \(2, 5\)"):
        layer.backward([np.zeros((T, H)), np.zeros((T, H))])
