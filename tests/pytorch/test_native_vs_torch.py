"""The native backend against PyTorch in both precisions."""

from __future__ import annotations

import numpy as np
import pytest
from native_cases import native
from pytorch_cases import assert_equals_torch_layer
from recurrent_cases import make_problem
from tolerances import TORCH_FLOAT32_BACKWARD, TORCH_FLOAT32_FORWARD, TORCH_FLOAT64

FEATURES = {
    "plain": {},
    "no_state": {"state": False},
    "no_bias": {"biases": ()},
    "ragged": {"lengths": True},
    "reverse_ragged": {"reverse": True, "lengths": True},
}


def check(cell: str, dtype: type, *sizes: int, **options) -> None:
    p = make_problem(cell, *sizes, dtype=dtype, **options)
    if dtype == np.float64:
        assert_equals_torch_layer(native, p, TORCH_FLOAT64, TORCH_FLOAT64)
    else:
        assert_equals_torch_layer(native, p, TORCH_FLOAT32_FORWARD, TORCH_FLOAT32_BACKWARD)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("sizes", [(7, 5, 4, 6), (20, 16, 31, 64)], ids=["small", "larger"])
def test_layer(cell: str, feature: str, sizes: tuple[int, ...], dtype: type) -> None:
    check(cell, dtype, *sizes, **FEATURES[feature])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("feature", FEATURES)
def test_projected_lstm(feature: str, dtype: type) -> None:
    check("lstm", dtype, 9, 5, 7, 20, project=6, **FEATURES[feature])
