"""Layers, losses, optimizers, schedules and clipping against PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pytorch_cases import torch
from recurrent_layers import BACKENDS
from tolerances import TORCH_FLOAT32_BACKWARD, TORCH_FLOAT32_FORWARD, TORCH_FLOAT64, within

from fastrnn import clipping, losses, optim, schedules
from fastrnn.backend import use_backend
from fastrnn.layers import GRU, LSTM, Embedding, Layer, LayerNorm, Linear, Parameter, Sequential

F = torch.nn.functional


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(31)


def tensor(array: Any, grad: bool = False) -> Any:
    return torch.from_numpy(np.array(array)).requires_grad_(grad)


# Layers

PAIRS: dict[str, tuple[Callable[[str], Layer], Callable[[Any], Any], tuple[int, ...]]] = {
    "linear": (
        lambda d: Linear(7, 5, dtype=d),
        lambda d: torch.nn.Linear(7, 5, dtype=d),
        (4, 3, 7),
    ),
    "linear_without_bias": (
        lambda d: Linear(7, 5, bias=False, dtype=d),
        lambda d: torch.nn.Linear(7, 5, bias=False, dtype=d),
        (7,),
    ),
    "layer_norm": (
        lambda d: LayerNorm((3, 7), dtype=d),
        lambda d: torch.nn.LayerNorm((3, 7), dtype=d),
        (4, 3, 7),
    ),
    "layer_norm_plain": (
        lambda d: LayerNorm(7, 0.1, elementwise_affine=False, dtype=d),
        lambda d: torch.nn.LayerNorm(7, 0.1, elementwise_affine=False, dtype=d),
        (4, 3, 7),
    ),
    "layer_norm_without_bias": (
        lambda d: LayerNorm(7, bias=False, dtype=d),
        lambda d: torch.nn.LayerNorm(7, bias=False, dtype=d),
        (4, 7),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PAIRS)
def test_layer(name: str, dtype: str, rng: np.random.Generator) -> None:
    make, make_torch, shape = PAIRS[name]
    layer, module = make(dtype).train(), make_torch(getattr(torch, dtype))
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(tensor(rng.standard_normal(p.shape)))
    layer.load_state_dict(module.state_dict())
    x = rng.standard_normal(shape).astype(dtype)
    given = tensor(x, True)
    expected = module(given)
    y = layer(x)
    dy = rng.standard_normal(y.shape).astype(dtype)
    expected.backward(tensor(dy))
    forward, backward = (
        (TORCH_FLOAT64, TORCH_FLOAT64)
        if dtype == "float64"
        else (TORCH_FLOAT32_FORWARD, TORCH_FLOAT32_BACKWARD)
    )
    within(y, expected.detach().numpy(), forward, "y")
    within(layer.backward(dy), given.grad.numpy(), backward, "dx")
    theirs = dict(module.named_parameters())
    assert [n for n, _ in layer.named_parameters()] == list(theirs)
    for n, p in layer.named_parameters():
        within(p.grad, theirs[n].grad.numpy(), backward, n)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding(padding_idx: int | None, rng: np.random.Generator) -> None:
    layer = Embedding(6, 3, padding_idx, dtype="float64").train()
    module = torch.nn.Embedding(6, 3, padding_idx, dtype=torch.float64)
    assert layer.padding_idx == module.padding_idx
    layer.load_state_dict(module.state_dict())
    ids, dy = rng.integers(0, 6, (4, 5)), rng.standard_normal((4, 5, 3))
    y = layer(ids)
    layer.backward(dy)
    expected = module(tensor(ids))
    expected.backward(tensor(dy))
    assert np.array_equal(y, expected.detach().numpy())
    within(layer.weight.grad, module.weight.grad.numpy(), TORCH_FLOAT64)


def test_a_whole_model_from_its_state_dict(rng: np.random.Generator) -> None:
    class Model(torch.nn.Sequential):  # type: ignore[misc,name-defined]
        """PyTorch's Sequential does not pass states on."""

        def forward(self, ids: Any) -> Any:
            y, _ = self[1](self[0](ids))
            y, _ = self[2](y)
            return self[3](y)

    theirs = Model(
        torch.nn.Embedding(9, 4),
        torch.nn.LSTM(4, 5, num_layers=2, bidirectional=True),
        torch.nn.GRU(10, 6),
        torch.nn.Linear(6, 9),
    )
    ours = Sequential(
        Embedding(9, 4), LSTM(4, 5, num_layers=2, bidirectional=True), GRU(10, 6), Linear(6, 9)
    ).train()
    ours.load_state_dict(theirs.state_dict())
    ids, targets = rng.integers(0, 9, (7, 3)), rng.integers(0, 9, (7, 3))
    logits, _ = ours(ids)
    expected = theirs(tensor(ids))
    within(logits, expected.detach().numpy(), TORCH_FLOAT32_FORWARD)
    _, gradient = losses.cross_entropy(logits, targets)
    ours.backward(gradient)
    F.cross_entropy(expected.reshape(-1, 9), tensor(targets).reshape(-1)).backward()
    for name, p in theirs.named_parameters():
        within(dict(ours.named_parameters())[name].grad, p.grad.numpy(), TORCH_FLOAT32_BACKWARD, name)
    back = {name: torch.from_numpy(array) for name, array in ours.state_dict().items()}
    theirs.load_state_dict(back)


def test_tensors_of_other_kinds_load() -> None:
    layer = Linear(2, 1)
    weight = torch.tensor([[1.0, 2.0]], requires_grad=True)
    layer.load_state_dict({"weight": weight.bfloat16(), "bias": torch.nn.Parameter(torch.ones(1).half())})
    assert layer.weight.value.tolist() == [[1, 2]]
    assert layer.bias is not None
    assert layer.bias.value.tolist() == [1]


# Losses


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], x: np.ndarray) -> None:
    given = tensor(x, True)
    expected = theirs(given)
    expected.backward()
    value, gradient = ours(x)
    within(np.array(value), np.array(expected.item()), TORCH_FLOAT64, "value")
    within(gradient, given.grad.numpy(), TORCH_FLOAT64, "gradient")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_regression_losses(reduction: str, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((4, 3)) * 3, rng.standard_normal((4, 3))
    r = {"reduction": reduction}
    compare(lambda a: losses.mse(a, y, **r), lambda a: F.mse_loss(a, tensor(y), **r), x)
    compare(lambda a: losses.mae(a, y, **r), lambda a: F.l1_loss(a, tensor(y), **r), x)
    for delta in (0.3, 1.0, 5.0):
        compare(
            lambda a, d=delta: losses.huber(a, y, delta=d, **r),
            lambda a, d=delta: F.huber_loss(a, tensor(y), delta=d, **r),
            x,
        )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("pos_weight", [None, [0.5, 2.0, 3.0]])
def test_binary_cross_entropy(pos_weight: Any, reduction: str, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((4, 3)) * 10, rng.random((4, 3))
    theirs = None if pos_weight is None else tensor(pos_weight)
    compare(
        lambda a: losses.binary_cross_entropy(a, y, pos_weight=pos_weight, reduction=reduction),
        lambda a: F.binary_cross_entropy_with_logits(a, tensor(y), pos_weight=theirs, reduction=reduction),
        x,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("class_weight", [None, [0.5, 2.0, 3.0, 1.0, 0.1]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(
    class_weight: Any, smoothing: float, reduction: str, weighted: bool, rng: np.random.Generator
) -> None:
    x, y = rng.standard_normal((4, 6, 5)) * 3, rng.integers(0, 5, (4, 6))
    y[0, 0] = y[3, 2] = -100
    theirs = None if class_weight is None else tensor(class_weight)
    weight = np.ones((4, 6)) if weighted else None  # takes the other way through the code
    compare(
        lambda a: losses.cross_entropy(
            a, y, class_weight=class_weight, label_smoothing=smoothing, reduction=reduction, weight=weight
        ),
        lambda a: F.cross_entropy(
            a.reshape(-1, 5), tensor(y).reshape(-1), theirs, label_smoothing=smoothing, reduction=reduction
        ),
        x,
    )


# Optimizers

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1, "alpha": 0.8}),
    "rmsprop_centered": ("RMSprop", {"centered": True, "momentum": 0.5, "eps": 1e-3}),
    "adagrad": ("Adagrad", {}),
    "adagrad_decay": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3},
    ),
    "adam": ("Adam", {}),
    "adam_decay": ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    "adamw": ("AdamW", {}),
    "adamw_decay": ("AdamW", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.3}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name: str, dtype: str, rng: np.random.Generator) -> None:
    cls, options = OPTIMIZERS[name]
    starts = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 5), (17,))]
    ours = [Parameter(a) for a in starts]
    theirs = [torch.nn.Parameter(tensor(a)) for a in starts]
    optimizer = getattr(optim, cls)(ours, **options)
    reference = getattr(torch.optim, cls)(theirs, **options)
    for step in range(12):
        for p, q in zip(ours, theirs, strict=True):
            gradient = rng.standard_normal(p.shape).astype(dtype)
            p.grad = gradient
            q.grad = tensor(gradient)
        if step == 6:
            optimizer.lr = reference.param_groups[0]["lr"] = 0.02
        optimizer.step()
        reference.step()
    tolerance = TORCH_FLOAT64 if dtype == "float64" else TORCH_FLOAT32_FORWARD
    for p, q in zip(ours, theirs, strict=True):
        within(p.value, q.detach().numpy(), tolerance)


def test_defaults_are_the_same() -> None:
    p, q = Parameter([1.0]), torch.nn.Parameter(torch.ones(1))
    for cls in ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW"):
        ours, theirs = getattr(optim, cls)([p]), getattr(torch.optim, cls)([q]).defaults
        known = {name for name in theirs if hasattr(ours, name)}
        assert {"lr", "weight_decay"} <= known
        for name in known:
            assert getattr(ours, name) == theirs[name], (cls, name)


# Schedules

METRICS = [3.0, 2.0, 2.5, 2.5, 2.5, 1.9, 1.9, 1.9, 1.9, 1.9, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
lr_scheduler = torch.optim.lr_scheduler
SCHEDULES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "step": (
        lambda o: schedules.StepSchedule(o, 3, 0.5),
        lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    ),
    "cosine": (
        lambda o: schedules.CosineSchedule(o, 15, 0.1),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 15, 0.1),
    ),
    "one_cycle": (
        lambda o: schedules.OneCycleSchedule(o, 0.5, 16),
        lambda o: lr_scheduler.OneCycleLR(o, 0.5, 16, cycle_momentum=False),
    ),
    "one_cycle_options": (
        lambda o: schedules.OneCycleSchedule(o, 0.5, 16, 0.6, 10.0, 7.0),
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.5, 16, pct_start=0.6, div_factor=10.0, final_div_factor=7.0, cycle_momentum=False
        ),
    ),
    "warmup": (
        lambda o: schedules.WarmupSchedule(o, 5),
        lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, total_iters=4),
    ),
    "plateau": (
        lambda o: schedules.ReduceOnPlateau(o, factor=0.5, patience=1),
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
    ),
    "plateau_options": (
        lambda o: schedules.ReduceOnPlateau(o, "max", 0.5, 0, 0.01, cooldown=2, min_lr=0.2),
        lambda o: lr_scheduler.ReduceLROnPlateau(
            o, "max", 0.5, patience=0, threshold=0.01, cooldown=2, min_lr=0.2
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name: str) -> None:
    make, make_torch = SCHEDULES[name]
    ours = optim.SGD([Parameter([1.0])], lr=0.8)
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.8)
    schedule, reference = make(ours), make_torch(theirs)
    for metric in METRICS[:15]:
        within(
            np.array(ours.lr), np.array(theirs.param_groups[0]["lr"]), TORCH_FLOAT64, f"step {schedule.steps}"
        )
        theirs.step()
        schedule.step(metric)
        if isinstance(reference, lr_scheduler.ReduceLROnPlateau):
            reference.step(metric)
        else:
            reference.step()


# Clipping


@pytest.mark.parametrize("max_norm", [0.5, 3.0, 100.0])
def test_clip_grad_norm(max_norm: float, rng: np.random.Generator) -> None:
    ours = [Parameter(np.zeros((3, 4))), Parameter(np.zeros(5))]
    theirs = [torch.nn.Parameter(torch.zeros(p.shape, dtype=torch.float64)) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        gradient = rng.standard_normal(p.shape)
        p.grad = gradient
        q.grad = tensor(gradient)
    norm = clipping.clip_grad_norm(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    within(np.array(norm), expected.numpy(), TORCH_FLOAT64)
    # PyTorch adds 1e-6 to the norm that it divides by.
    scale = (norm + 1e-6) / norm if norm > max_norm else 1.0
    for p, q in zip(ours, theirs, strict=True):
        within(p.grad, q.grad.numpy() * scale, TORCH_FLOAT64)


def test_clip_grad_value(rng: np.random.Generator) -> None:
    gradient = rng.standard_normal(50) * 3
    gradient[3] = math.inf
    p, q = Parameter(np.zeros(50)), torch.nn.Parameter(torch.zeros(50, dtype=torch.float64))
    p.grad = gradient
    q.grad = tensor(gradient)
    clipping.clip_grad_value([p], 1.5)
    torch.nn.utils.clip_grad_value_([q], 1.5)
    assert np.array_equal(p.grad, q.grad.numpy())
