"""Learning rate schedules: each sets ``optimizer.lr`` when made and after every ``step``.

All but ReduceOnPlateau are functions of the number of steps alone, so that a resumed run continues exactly.
A step is whatever the caller takes it for: an optimizer step or an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from fastrnn._checks import check_choice, check_float, check_int, check_positive_int
from fastrnn.optim import Optimizer

__all__ = [
    "CosineSchedule",
    "OneCycleSchedule",
    "ReduceOnPlateau",
    "Schedule",
    "StepSchedule",
    "WarmupSchedule",
]


class Schedule:
    """What all schedules share; a subclass defines `lr_at`.

    Attributes
    ----------
    base_lr : float
        The optimizer's learning rate when the schedule was made.
    steps : int
        Number of steps taken.
    """

    _saved: ClassVar[tuple[str, ...]] = ("base_lr", "steps")

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.steps = 0
        optimizer.lr = self.lr_at(0)

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps."""
        raise NotImplementedError

    def step(self, metric: float | None = None) -> None:
        """Go on by one step and set the optimizer's learning rate.

        Parameters
        ----------
        metric : float, optional
            What ReduceOnPlateau watches; of no effect on the others.
        """
        self.steps += 1
        self.optimizer.lr = self.lr_at(self.steps)

    def state_dict(self) -> dict[str, Any]:
        """Numbers from which `load_state_dict` continues, in a flat dict."""
        return {name: getattr(self, name) for name in self._saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave, and set the optimizer's learning rate accordingly.

        Raises
        ------
        ValueError
            If `state` is not that of a schedule of this kind.
        """
        if set(state) != set(self._saved):
            raise ValueError(
                f"state does not fit a {type(self).__name__}: "
                f"it must hold {sorted(self._saved)}, got {sorted(state)}"
            )
        for name in self._saved:
            setattr(self, name, state[name])
        self.optimizer.lr = self.lr_at(self.steps)


class StepSchedule(Schedule):
    """Multiply the learning rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is the first one.
    step_size : int
        Steps between two changes.
    gamma : float, default 0.1
        Factor, more than 0.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import StepSchedule
    >>> schedule = StepSchedule(SGD([Parameter([0.0])], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.lr_at(t) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = check_positive_int("step_size", step_size)
        self.gamma = check_float("gamma", gamma, low=0.0, open_low=True)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps."""
        return self.base_lr * self.gamma ** (step // self.step_size)


class CosineSchedule(Schedule):
    """Half a cosine from the optimizer's learning rate down to `min_lr`, which then stays.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is the first one.
    total_steps : int
        Steps to the end of the descent.
    min_lr : float, default 0
        Last learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017, eq. 5.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import CosineSchedule
    >>> schedule = CosineSchedule(SGD([Parameter([0.0])], lr=1.0), total_steps=4)
    >>> [round(schedule.lr_at(t), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, min_lr: float = 0.0) -> None:
        self.total_steps = check_positive_int("total_steps", total_steps)
        self.min_lr = check_float("min_lr", min_lr, low=0.0)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps."""
        return _cosine(self.base_lr, self.min_lr, min(step / self.total_steps, 1.0))


class OneCycleSchedule(Schedule):
    """Half a cosine up to `max_lr` and half a cosine down to almost nothing, in one run.

    Follows PyTorch's ``OneCycleLR`` with ``cycle_momentum=False``.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is replaced.
    max_lr : float
        Highest learning rate, more than 0.
    total_steps : int
        Steps of the whole run, at least 2; the last learning rate then stays.
    pct_start : float, default 0.3
        Part of the steps spent going up, between 0 and 1.
    div_factor : float, default 25
        ``max_lr / div_factor`` is the first learning rate.
    final_div_factor : float, default 1e4
        The first learning rate divided by this is the last one.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    L. Smith, N. Topin: Super-convergence: very fast training of neural networks using large learning rates.
    arXiv:1708.07120.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import OneCycleSchedule
    >>> schedule = OneCycleSchedule(SGD([Parameter([0.0])]), max_lr=1.0, total_steps=11, pct_start=0.5)
    >>> [round(schedule.lr_at(t), 2) for t in (0, 2, 4, 7, 10)]
    [0.04, 0.44, 0.97, 0.57, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.max_lr = check_float("max_lr", max_lr, low=0.0, open_low=True)
        self.total_steps = check_int("total_steps", total_steps, low=2)
        self.pct_start = check_float("pct_start", pct_start, low=0.0, high=1.0)
        self.div_factor = check_float("div_factor", div_factor, low=0.0, open_low=True)
        self.final_div_factor = check_float("final_div_factor", final_div_factor, low=0.0, open_low=True)
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps."""
        first = self.max_lr / self.div_factor
        top, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= top:
            return _cosine(first, self.max_lr, step / top if top else 1.0)
        done = min((step - top) / (end - top), 1.0) if end > top else 1.0
        return _cosine(self.max_lr, first / self.final_div_factor, done)


class WarmupSchedule(Schedule):
    """A linear rise to the optimizer's learning rate, then that rate or another schedule.

    The n-th of the first `warmup_steps` steps is taken with n / warmup_steps of the learning rate.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is the one to rise to.
    warmup_steps : int
        Steps until the full rate; 0 is no warm-up.
    after : Schedule, optional
        Schedule of the same optimizer that begins when the warm-up is over. Default: the rate stays.

    Raises
    ------
    ValueError
        If `warmup_steps` is negative or `after` belongs to another optimizer.

    References
    ----------
    P. Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour. arXiv:1706.02677.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import StepSchedule, WarmupSchedule
    >>> optimizer = SGD([Parameter([0.0])], lr=1.0)
    >>> schedule = WarmupSchedule(optimizer, 4, after=StepSchedule(optimizer, step_size=1, gamma=0.5))
    >>> rates = []
    >>> for _ in range(7):
    ...     rates.append(optimizer.lr)
    ...     schedule.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, optimizer: Optimizer, warmup_steps: int, after: Schedule | None = None) -> None:
        if after is not None and after.optimizer is not optimizer:
            raise ValueError("after must be a schedule of the same optimizer")
        self.warmup_steps = check_int("warmup_steps", warmup_steps, low=0)
        self.after = after
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps; of `after` only if it is a function of steps alone."""
        if step < self.warmup_steps:
            return self.base_lr * (step + 1) / self.warmup_steps
        return self.base_lr if self.after is None else self.after.lr_at(step - self.warmup_steps)

    def step(self, metric: float | None = None) -> None:
        """Go on by one step; `metric` goes to the other schedule once it has begun."""
        if self.after is None or self.steps < self.warmup_steps:
            super().step(metric)
        else:
            self.steps += 1
            self.after.step(metric)

    def state_dict(self) -> dict[str, Any]:
        """Numbers from which `load_state_dict` continues; those of `after` begin with ``after.``."""
        after = {} if self.after is None else self.after.state_dict()
        return {**super().state_dict(), **{f"after.{name}": value for name, value in after.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises
        ------
        ValueError
            If `state` is not that of such a schedule.
        """
        inner = {name.removeprefix("after."): v for name, v in state.items() if name.startswith("after.")}
        own = {name: value for name, value in state.items() if not name.startswith("after.")}
        if bool(inner) != (self.after is not None):
            raise ValueError("state and this WarmupSchedule differ on whether another schedule comes after")
        if self.after is not None:
            self.after.load_state_dict(inner)
        super().load_state_dict(own)


class ReduceOnPlateau(Schedule):
    """Multiply the learning rate by `factor` when a metric has not improved for `patience` steps.

    Parameters
    ----------
    optimizer : Optimizer
        Its learning rate is the first one.
    mode : {"min", "max"}, default "min"
        Whether a lower or a higher metric is better.
    factor : float, default 0.1
        Between 0 and 1.
    patience : int, default 10
        Steps without improvement that are tolerated; the next one brings the change.
    threshold : float, default 1e-4
        Improvement that counts, relative to the best so far.
    cooldown : int, default 0
        Steps after a change during which nothing is counted.
    min_lr : float, default 0
        Lowest learning rate.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from fastrnn.layers import Parameter
    >>> from fastrnn.optim import SGD
    >>> from fastrnn.schedules import ReduceOnPlateau
    >>> optimizer = SGD([Parameter([0.0])], lr=1.0)
    >>> schedule = ReduceOnPlateau(optimizer, factor=0.5, patience=1)
    >>> rates = []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    ...     rates.append(optimizer.lr)
    >>> rates
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """

    _saved: ClassVar[tuple[str, ...]] = ("base_lr", "steps", "lr", "best", "bad_steps", "resting")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.mode = check_choice("mode", mode, ("min", "max"))
        self.factor = check_float("factor", factor, low=0.0, high=1.0, open_low=True, open_high=True)
        self.patience = check_int("patience", patience, low=0)
        self.threshold = check_float("threshold", threshold, low=0.0)
        self.cooldown = check_int("cooldown", cooldown, low=0)
        self.min_lr = check_float("min_lr", min_lr, low=0.0)
        self.lr = optimizer.lr
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = 0
        self.resting = 0
        super().__init__(optimizer)

    def lr_at(self, step: int) -> float:
        """Learning rate now: it depends on the metrics, so other steps cannot be told."""
        return self.lr

    def step(self, metric: float | None = None) -> None:
        """Judge `metric` (NaN is no improvement) and set the optimizer's learning rate.

        Raises
        ------
        ValueError
            If there is no metric.
        """
        if metric is None:
            raise ValueError("metric must be given to ReduceOnPlateau.step, got None")
        value = float(metric)
        if self._improves(value):
            self.best = value
            self.bad_steps = 0
        else:
            self.bad_steps += 1
        if self.resting:
            self.resting -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            self.lr = min(self.lr, max(self.lr * self.factor, self.min_lr))
            self.resting = self.cooldown
            self.bad_steps = 0
        super().step()

    def _improves(self, value: float) -> bool:
        if math.isinf(self.best):
            return value < self.best if self.mode == "min" else value > self.best
        margin = self.threshold * abs(self.best)
        return value < self.best - margin if self.mode == "min" else value > self.best + margin


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
