"""The reference against PyTorch in float64: recurrent layers, cross-entropy, optimizers."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_cases import assert_equals_torch_layer, torch
from recurrent_cases import make_problem
from tolerances import TORCH_FLOAT64, within

from fastrnn.reference import _core as reference

FEATURES = {
    "plain": {},
    "no_state": {"state": False},
    "no_bias": {"biases": ()},
    "ragged": {"lengths": True},
    "reverse": {"reverse": True},
    "reverse_ragged": {"reverse": True, "lengths": True},
}


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("feature", FEATURES)
def test_layer(cell: str, feature: str) -> None:
    p = make_problem(cell, 7, 5, 4, 6, **FEATURES[feature])
    assert_equals_torch_layer(reference, p, TORCH_FLOAT64, TORCH_FLOAT64)


@pytest.mark.parametrize("feature", FEATURES)
def test_projected_lstm(feature: str) -> None:
    p = make_problem("lstm", 7, 5, 4, 6, project=3, **FEATURES[feature])
    assert_equals_torch_layer(reference, p, TORCH_FLOAT64, TORCH_FLOAT64)


@pytest.mark.parametrize("class_weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_cross_entropy(class_weighted: bool, label_smoothing: float, ignore_index: int) -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.standard_normal((9, 5)) * 3, rng.integers(0, 5, 9)
    targets[4] = ignore_index
    weight = rng.random(5) + 0.2 if class_weighted else None
    options = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
    loss, weight_sum, dlogits = reference.cross_entropy(logits, targets, weight, **options)
    a = torch.from_numpy(logits.copy()).requires_grad_()
    w = None if weight is None else torch.from_numpy(weight)
    mean = torch.nn.functional.cross_entropy(a, torch.from_numpy(targets), w, **options)
    mean.backward()
    within(loss / weight_sum, mean.item(), TORCH_FLOAT64, "mean loss")
    within(dlogits / weight_sum, a.grad.numpy(), TORCH_FLOAT64, "dlogits")


def run_torch(make, start: np.ndarray, gradients: np.ndarray) -> list[np.ndarray]:
    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = make([parameter])
    path = []
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return path


def assert_same_path(make, step) -> None:
    """`step(param, grad, n, buffers)` updates in place; n counts from 1, buffers holds the running state."""
    rng = np.random.default_rng(2)
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((6, 3, 4))
    expected = run_torch(make, start, gradients)
    param, buffers = start.copy(), [np.zeros_like(start) for _ in range(3)]
    for n, (gradient, desired) in enumerate(zip(gradients, expected, strict=True), 1):
        step(param, gradient.copy(), n, buffers)
        within(param, desired, TORCH_FLOAT64, f"after step {n}")


@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"), [(0, 0, False), (0.9, 0, False), (0.9, 0.3, False), (0.9, 0, True)]
)
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_sgd(momentum: float, dampening: float, nesterov: bool, weight_decay: float) -> None:
    def step(param, grad, n, buffers):
        buffer = buffers[0] if momentum else None
        reference.sgd_step(param, grad, buffer, 0.1, momentum, dampening, nesterov, weight_decay, n == 1)

    options = {
        "momentum": momentum,
        "dampening": dampening,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
    }
    assert_same_path(lambda p: torch.optim.SGD(p, lr=0.1, **options), step)


@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_rmsprop(momentum: float, centered: bool, weight_decay: float) -> None:
    def step(param, grad, n, buffers):
        square_avg, momentum_buffer, grad_avg = buffers
        reference.rmsprop_step(
            param,
            grad,
            square_avg,
            momentum_buffer if momentum else None,
            grad_avg if centered else None,
            0.01,
            0.95,
            1e-8,
            momentum,
            weight_decay,
        )

    options = {"alpha": 0.95, "momentum": momentum, "centered": centered, "weight_decay": weight_decay}
    assert_same_path(lambda p: torch.optim.RMSprop(p, lr=0.01, **options), step)


@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adagrad(weight_decay: float) -> None:
    def step(param, grad, n, buffers):
        reference.adagrad_step(param, grad, buffers[0], 0.1, 1e-10, weight_decay)

    assert_same_path(lambda p: torch.optim.Adagrad(p, lr=0.1, weight_decay=weight_decay), step)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adam(decoupled: bool, weight_decay: float) -> None:
    def step(param, grad, n, buffers):
        reference.adam_step(
            param, grad, buffers[0], buffers[1], 0.01, 0.9, 0.99, 1e-8, weight_decay, decoupled, n
        )

    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    assert_same_path(lambda p: kind(p, lr=0.01, betas=(0.9, 0.99), weight_decay=weight_decay), step)


def test_global_norm_and_scale() -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(shape) for shape in [(3, 4), (5,), ()]]
    tensors = [torch.nn.Parameter(torch.zeros(a.shape, dtype=torch.float64)) for a in arrays]
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor.grad = torch.from_numpy(array.copy())
    before = reference.global_norm(arrays)
    within(before, torch.nn.utils.clip_grad_norm_(tensors, 1.0).item(), TORCH_FLOAT64)
    reference.scale_(arrays, 0.5)
    within(reference.global_norm(arrays), before / 2, TORCH_FLOAT64)
