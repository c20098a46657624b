"""Learning rate schedules."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from fastrnn.layers import Parameter
from fastrnn.optim import SGD, Optimizer
from fastrnn.schedules import (
    CosineSchedule,
    OneCycleSchedule,
    ReduceOnPlateau,
    Schedule,
    StepSchedule,
    WarmupSchedule,
)


@pytest.fixture
def optimizer() -> Optimizer:
    return SGD([Parameter([0.0])], lr=0.8)


def rates(schedule: Schedule, steps: int, metrics: list[float] | None = None) -> list[float]:
    """Learning rate of each of the next steps."""
    found = []
    for t in range(steps):
        found.append(schedule.optimizer.lr)
        schedule.step(None if metrics is None else metrics[t])
    return found


MAKERS: dict[str, Callable[[Optimizer], Schedule]] = {
    "step": lambda o: StepSchedule(o, 3, 0.5),
    "cosine": lambda o: CosineSchedule(o, 7, 0.1),
    "one_cycle": lambda o: OneCycleSchedule(o, 2.0, 9),
    "warmup": lambda o: WarmupSchedule(o, 4),
    "warmup_cosine": lambda o: WarmupSchedule(o, 4, CosineSchedule(o, 5)),
    "warmup_plateau": lambda o: WarmupSchedule(o, 2, ReduceOnPlateau(o, patience=1, cooldown=1)),
    "plateau": lambda o: ReduceOnPlateau(o, factor=0.5, patience=1),
}
METRICS = [3.0, 2.0, 2.5, 2.5, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0, math.nan, math.nan, math.nan]


def test_step(optimizer: Optimizer) -> None:
    assert rates(StepSchedule(optimizer, 2, gamma=0.5), 5) == [0.8, 0.8, 0.4, 0.4, 0.2]


def test_cosine(optimizer: Optimizer) -> None:
    found = rates(CosineSchedule(optimizer, 4, min_lr=0.2), 7)
    assert found == pytest.approx(
        [0.8, 0.5 + 0.3 * math.sqrt(0.5), 0.5, 0.5 - 0.3 * math.sqrt(0.5), *[0.2] * 3]
    )


def test_one_cycle(optimizer: Optimizer) -> None:
    schedule = OneCycleSchedule(optimizer, 1.0, 11, pct_start=0.5, div_factor=10, final_div_factor=100)
    found = rates(schedule, 15)
    assert found[0] == pytest.approx(0.1)
    assert max(found) <= 1
    assert found[:5] == sorted(found[:5])
    assert found[5:11] == sorted(found[5:11], reverse=True)
    assert found[10:] == pytest.approx([0.001] * 5)


@pytest.mark.parametrize("pct_start", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("total_steps", [2, 10])
def test_one_cycle_at_its_ends(optimizer: Optimizer, pct_start: float, total_steps: int) -> None:
    found = rates(OneCycleSchedule(optimizer, 1.0, total_steps, pct_start), total_steps + 2)
    assert all(0 < lr <= 1 for lr in found)
    if pct_start == 1:
        assert found[total_steps - 1] == 1


def test_warmup(optimizer: Optimizer) -> None:
    assert rates(WarmupSchedule(optimizer, 4), 6) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_no_warmup(optimizer: Optimizer) -> None:
    assert rates(WarmupSchedule(optimizer, 0), 2) == [0.8, 0.8]


def test_warmup_rises_to_where_the_next_begins(optimizer: Optimizer) -> None:
    alone = rates(CosineSchedule(SGD([Parameter([0.0])], lr=0.8), 3), 5)
    schedule = WarmupSchedule(optimizer, 2, CosineSchedule(optimizer, 3))
    assert rates(schedule, 7) == pytest.approx([0.4, 0.8, *alone])
    assert [schedule.lr_at(t) for t in range(7)] == pytest.approx([0.4, 0.8, *alone])


def test_warmup_before_a_plateau(optimizer: Optimizer) -> None:
    schedule = WarmupSchedule(optimizer, 2, ReduceOnPlateau(optimizer, factor=0.5, patience=0))
    # The metrics of the warm-up are not looked at.
    assert rates(schedule, 6, [0.0, 0.0, 2.0, 2.0, 1.0, 1.0]) == pytest.approx([0.4, 0.8, 0.8, 0.8, 0.4, 0.4])
    assert optimizer.lr == pytest.approx(0.2)


def test_plateau(optimizer: Optimizer) -> None:
    schedule = ReduceOnPlateau(optimizer, factor=0.5, patience=1, cooldown=2)
    losses = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.0]
    assert rates(schedule, 9, losses) == [0.8] * 4 + [0.4] * 4 + [0.2]


def test_plateau_of_a_score(optimizer: Optimizer) -> None:
    schedule = ReduceOnPlateau(optimizer, "max", factor=0.5, patience=0)
    assert rates(schedule, 4, [0.1, 0.2, 0.1, 0.3]) == [0.8, 0.8, 0.8, 0.4]


def test_plateau_needs_a_real_improvement_and_stops_at_the_lowest(optimizer: Optimizer) -> None:
    schedule = ReduceOnPlateau(optimizer, factor=0.1, patience=0, threshold=0.1, min_lr=0.05)
    assert rates(schedule, 5, [1.0, 0.95, 0.95, 0.8, 0.8]) == pytest.approx([0.8, 0.8, 0.08, 0.05, 0.05])


def test_plateau_does_not_raise_what_is_lower_already(optimizer: Optimizer) -> None:
    schedule = ReduceOnPlateau(optimizer, patience=0, min_lr=5.0)
    schedule.step(1.0)
    schedule.step(1.0)
    assert optimizer.lr == 0.8


def test_nan_is_no_improvement(optimizer: Optimizer) -> None:
    schedule = ReduceOnPlateau(optimizer, factor=0.5, patience=0)
    assert rates(schedule, 3, [math.nan, 1.0, math.nan]) == [0.8, 0.4, 0.4]
    assert optimizer.lr == 0.2


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("done", [0, 1, 3, 6])
def test_a_loaded_state_continues(name: str, done: int) -> None:
    first = MAKERS[name](SGD([Parameter([0.0])], lr=0.8))
    rates(first, done, METRICS)
    state = json.loads(json.dumps(first.state_dict()))
    second = MAKERS[name](SGD([Parameter([0.0])], lr=0.3))
    second.load_state_dict(state)
    assert second.optimizer.lr == first.optimizer.lr
    assert rates(second, 6, METRICS[done:]) == rates(first, 6, METRICS[done:])
    assert second.steps == done + 6


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_of_another_kind_is_refused(name: str) -> None:
    schedule = MAKERS[name](SGD([Parameter([0.0])]))
    with pytest.raises(ValueError, match="state"):
        schedule.load_state_dict({"steps": 1})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o: StepSchedule(o, 0), ValueError, "step_size must be at least 1"),
        (lambda o: StepSchedule(o, 1, gamma=0), ValueError, "gamma must be"),
        (lambda o: CosineSchedule(o, 0), ValueError, "total_steps must be at least 1"),
        (lambda o: CosineSchedule(o, 1.5), TypeError, "total_steps must be an integer"),
        (lambda o: OneCycleSchedule(o, 0.0, 5), ValueError, "max_lr must be"),
        (lambda o: OneCycleSchedule(o, 1.0, 1), ValueError, "total_steps must be at least 2"),
        (lambda o: OneCycleSchedule(o, 1.0, 5, pct_start=2), ValueError, "pct_start must be"),
        (lambda o: WarmupSchedule(o, -1), ValueError, "warmup_steps must be at least 0"),
        (
            lambda o: WarmupSchedule(o, 1, StepSchedule(SGD([Parameter([0.0])]), 1)),
            ValueError,
            "after must be a schedule of the same optimizer",
        ),
        (lambda o: ReduceOnPlateau(o, "best"), ValueError, "mode must be one of 'min', 'max'"),
        (lambda o: ReduceOnPlateau(o, factor=1.0), ValueError, "factor must be"),
        (lambda o: ReduceOnPlateau(o).step(), ValueError, "metric must be given"),
    ],
)
def test_wrong_arguments(
    call: Callable[..., Any], error: type[Exception], message: str, optimizer: Optimizer
) -> None:
    with pytest.raises(error, match=message):
        call(optimizer)
