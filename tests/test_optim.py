"""Optimizers and gradient clipping."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recurrent_layers import BACKENDS
from tolerances import elementwise_tolerance, sum_tolerance, within

from fastrnn.backend import use_backend
from fastrnn.clipping import clip_grad_norm, clip_grad_value
from fastrnn.layers import Linear, Parameter
from fastrnn.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

MAKERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.05),
    "momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: RMSprop(p, lr=0.05),
    "rmsprop_all": lambda p: RMSprop(p, lr=0.02, momentum=0.5, centered=True, weight_decay=0.01),
    "adagrad": lambda p: Adagrad(p, lr=2.0, lr_decay=0.01, initial_accumulator_value=0.1),
    "adam": lambda p: Adam(p, lr=0.1, weight_decay=0.001),
    "adamw": lambda p: AdamW(p, lr=0.1),
}


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    with use_backend(request.param):
        yield


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Optimizer]:
    return MAKERS[request.param]


def new_parameters(dtype: str = "float64") -> list[Parameter]:
    rng = np.random.default_rng(1)
    return [Parameter(rng.standard_normal(shape), dtype) for shape in ((3, 2), (5,), ())]


def walk(optimizer: Optimizer, steps: int, seed: int = 2) -> list[np.ndarray]:
    """Go along random gradients and return the parameters."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in optimizer.parameters:
            p.grad = rng.standard_normal(p.shape)
        optimizer.step()
    return [p.value.copy() for p in optimizer.parameters]


def test_it_finds_the_minimum(make: Callable[..., Optimizer]) -> None:
    target = np.array([1.0, -2.0])
    p = Parameter([5.0, 5.0])
    optimizer = make([p])
    for _ in range(400):
        p.grad = p.value - target
        optimizer.step()
    # Weight decay and the noise of sign-like steps keep some of them at a distance.
    assert np.abs(p.value - target).max() < 0.1


def test_no_gradient_no_step() -> None:
    for name in ("sgd", "nesterov", "rmsprop", "adagrad"):
        optimizer = MAKERS[name](new_parameters())
        before = [p.value.copy() for p in optimizer.parameters]
        optimizer.step()
        for p, desired in zip(optimizer.parameters, before, strict=True):
            assert np.array_equal(p.value, desired)


def test_a_step_is_noticed_and_nothing_is_held(make: Callable[..., Optimizer]) -> None:
    optimizer = make(new_parameters())
    versions = [p.version for p in optimizer.parameters]
    walk(optimizer, 1)
    for p, before in zip(optimizer.parameters, versions, strict=True):
        after = p.version
        assert after > before
        assert p.version == after


def test_layers_see_the_step(make: Callable[..., Optimizer]) -> None:
    layer = Linear(2, 1, seed=0)
    x = np.ones((1, 2))
    before = layer(x)
    layer.weight.grad += 1
    make(layer.parameters()).step()
    assert layer(x) < before


def test_parameters_keep_their_memory_and_dtype(make: Callable[..., Optimizer]) -> None:
    parameters = new_parameters("float32")
    held = [p.data for p in parameters]
    walk(make(parameters), 2)
    for p, array in zip(parameters, held, strict=True):
        assert p.data is array
        assert p.data.dtype == np.float32


def test_a_loaded_state_continues_to_the_same_bits(make: Callable[..., Optimizer]) -> None:
    first = make(new_parameters("float32"))
    walk(first, 3, seed=2)
    second = make([Parameter(p.value) for p in first.parameters])
    second.load_state_dict(first.state_dict())
    assert second.steps == 3
    for a, b in zip(walk(first, 4, seed=5), walk(second, 4, seed=5), strict=True):
        assert np.array_equal(a, b)


def test_the_state_is_flat_numbers_and_copies(make: Callable[..., Optimizer]) -> None:
    optimizer = make(new_parameters())
    walk(optimizer, 1)
    state = optimizer.state_dict()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    assert len(arrays) in (0, 3, 6, 9)
    numbers = {name: value for name, value in state.items() if name not in arrays}
    assert json.loads(json.dumps(numbers)) == {"lr": optimizer.lr, "steps": 1}
    for array in arrays.values():
        array[...] = np.nan
    assert np.isfinite(walk(optimizer, 1)[0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("exp_avg.1"), r"missing \['exp_avg.1'\]"),
        (lambda s: s.update(other=1), r"unexpected \['other'\]"),
        (lambda s: s.update({"exp_avg.2": np.zeros(4)}), r"state\['exp_avg.2'\] must have shape \(\)"),
        (lambda s: s.update(steps=-1), r"state\['steps'\] must be at least 0"),
        (lambda s: s.update(lr=-1.0), "lr must be"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    optimizer = Adam(new_parameters())
    before = optimizer.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def test_learning_rate_can_be_set() -> None:
    p = Parameter([0.0])
    optimizer = SGD([p], lr=1.0)
    optimizer.lr = 0.25
    p.grad = [1.0]
    optimizer.step()
    assert p.data == -0.25
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="lr must be a number"):
            optimizer.lr = wrong
    assert optimizer.lr == 0.25
    assert repr(optimizer) == "SGD(1 parameters, lr=0.25, steps=1)"


def test_zero_grad() -> None:
    optimizer = SGD(new_parameters())
    walk(optimizer, 1)
    optimizer.zero_grad()
    assert not any(p.grad.any() for p in optimizer.parameters)


def test_adamw_decays_apart_from_the_gradient() -> None:
    plain, decayed = Adam(new_parameters(), lr=0.1), AdamW(new_parameters(), lr=0.1, weight_decay=0.5)
    starts = [p.value.copy() for p in plain.parameters]
    for a, b, start in zip(walk(plain, 1), walk(decayed, 1), starts, strict=True):
        within(b, a - 0.05 * start, elementwise_tolerance(np.float64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: SGD([]), ValueError, "at least one Parameter"),
        (lambda p: SGD([np.zeros(2)]), TypeError, "parameters must be Parameter objects, got ndarray"),
        (lambda p: SGD([p, p]), ValueError, "same Parameter twice"),
        (lambda p: SGD([p], lr=-1), ValueError, "lr must be"),
        (lambda p: SGD([p], lr="1"), TypeError, "lr must be a number"),
        (lambda p: SGD([p], momentum=-1), ValueError, "momentum must be"),
        (lambda p: SGD([p], nesterov=True), ValueError, "nesterov needs momentum"),
        (lambda p: SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov needs"),
        (lambda p: SGD([p], weight_decay=-1), ValueError, "weight_decay must be"),
        (lambda p: RMSprop([p], alpha=1.5), ValueError, "alpha must be"),
        (lambda p: RMSprop([p], eps=-1), ValueError, "eps must be"),
        (lambda p: Adagrad([p], lr_decay=-1), ValueError, "lr_decay must be"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be"),
        (lambda p: Adam([p], betas=(0.9,)), ValueError, "betas must be two numbers"),
    ],
)
def test_wrong_arguments(call: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(Parameter([0.0]))


# Clipping


def with_gradients(*gradients: Any) -> list[Parameter]:
    parameters = [Parameter(np.zeros(np.shape(g))) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
    return parameters


def test_norm_of_all_gradients_together() -> None:
    parameters = with_gradients([3.0, 0.0], [[0.0], [4.0]], 12.0)
    assert clip_grad_norm(iter(parameters), math.inf) == 13
    assert parameters[2].grad == 12
    assert clip_grad_norm(parameters, 6.5) == 13
    within(parameters[1].grad, np.array([[0.0], [2.0]]), elementwise_tolerance(np.float64))
    within(np.array(clip_grad_norm(parameters, 100)), np.array(6.5), sum_tolerance(np.float64, 5))


def test_small_norms_stay_as_they_are() -> None:
    parameters = with_gradients([3.0, 4.0])
    assert clip_grad_norm(parameters, 5.0) == 5
    assert parameters[0].grad.tolist() == [3, 4]
    assert clip_grad_norm(with_gradients([0.0]), 1.0) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_are_reported_and_left(bad: float) -> None:
    parameters = with_gradients([3.0, bad])
    assert not math.isfinite(clip_grad_norm(parameters, 1.0))
    assert parameters[0].grad[0] == 3


def test_clip_by_value() -> None:
    parameters = with_gradients([-3.0, 0.5, 2.0, math.nan, math.inf], 7.0)
    grad = parameters[0].grad
    clip_grad_value(parameters, 1.0)
    assert np.array_equal(grad, [-1, 0.5, 1, math.nan, 1], equal_nan=True)
    assert parameters[1].grad == 1


@pytest.mark.parametrize("limit", [0, -1.0, math.nan])
def test_limits_are_positive(limit: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be"):
        clip_grad_norm([], limit)
    with pytest.raises(ValueError, match="max_value must be"):
        clip_grad_value([], limit)
