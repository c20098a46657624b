"""CTC against PyTorch: values, and gradients with respect to the logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pytorch_cases import torch
from recurrent_layers import BACKENDS
from tolerances import TORCH_FLOAT32_BACKWARD, TORCH_FLOAT64, within

from fastrnn.backend import use_backend
from fastrnn.losses import ctc

LENGTHS = ([20, 20, 20, 20], [20, 13, 9, 20])


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


def in_torch(
    logits: np.ndarray, targets: list[list[int]], lengths: list[int], **options: Any
) -> tuple[float, np.ndarray]:
    x = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.ctc_loss(
        x.log_softmax(2),
        torch.tensor([label for target in targets for label in target]),
        torch.tensor(lengths),
        torch.tensor([len(target) for target in targets]),
        **options,
    )
    loss.backward()
    return float(loss.detach()), x.grad.numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lengths", LENGTHS, ids=["equal", "ragged"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("blank", [0, 6])
def test_values_and_gradients(dtype: Any, lengths: list[int], reduction: str, blank: int) -> None:
    rng = np.random.default_rng(2)
    logits = (3 * rng.standard_normal((20, 4, 7))).astype(dtype)
    targets = [[1, 1, 2, 3], [5, 4, 4], [2], [3, 1, 2, 5, 4]]
    expected, gradient = in_torch(logits, targets, lengths, blank=blank, reduction=reduction)
    value, dx = ctc(logits, targets, lengths, blank=blank, reduction=reduction)
    tolerance = TORCH_FLOAT64 if dtype == np.float64 else TORCH_FLOAT32_BACKWARD
    within(np.array(value), np.array(expected), tolerance)
    within(dx, gradient, tolerance)
    for n, length in enumerate(lengths):
        assert not dx[length:, n].any()


def test_what_does_not_fit_counts_nothing() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 2, 4))
    targets = [[1, 1, 2], [3]]  # the first needs four steps
    expected, gradient = in_torch(logits, targets, [3, 3], zero_infinity=True)
    value, dx = ctc(logits, targets, [3, 3], zero_infinity=True)
    within(np.array(value), np.array(expected), TORCH_FLOAT64)
    within(dx, gradient, TORCH_FLOAT64)
