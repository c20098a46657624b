"""How long to train, in epochs or seconds, and the learning rate on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from fastrnn._steps import iterate
from fastrnn.optim import Optimizer
from fastrnn.schedules import Schedule
from fastrnn.training import TrainingEvent

__all__ = ["SCHEDULES", "UNLIMITED", "Budget"]

SCHEDULES = ("cosine", "constant")
UNLIMITED = 1_000_000
"""Epochs, where only the time is limited."""

_LAST_RATE = 0.01  # share of the learning rate that cosine annealing ends with


class Budget(Schedule):
    """A learning rate schedule that knows about time, and ends the training when it is used up.

    The rate follows the part of the training that is over: steps done of all steps, or seconds spent of
    `max_seconds`, whichever is further. Without `max_seconds` it depends on the steps alone, and training
    with the same seed gives the same bits.

    Parameters
    ----------
    optimizer : Optimizer
        Its ``lr`` is the largest.
    schedule : {"cosine", "constant"}
        Cosine annealing to a hundredth [1]_, or no change.
    total_steps : int
        Steps of all epochs.
    max_seconds : float or None
        Time for training, validation included.

    References
    ----------
    .. [1] Loshchilov, I. and Hutter, F. (2017). SGDR: Stochastic gradient descent with warm restarts. ICLR.
    """

    _saved: ClassVar[tuple[str, ...]] = ("base_lr", "steps", "seconds")

    def __init__(
        self, optimizer: Optimizer, schedule: str, total_steps: int, max_seconds: float | None
    ) -> None:
        self.schedule = schedule
        self.total_steps = total_steps
        self.max_seconds = max_seconds
        self.seconds = 0.0
        self.over = False
        super().__init__(optimizer)

    def done(self, steps: int | None = None) -> float:
        """Part of the training that is over, 0 to 1, after so many steps (default: those taken)."""
        by_time = 0.0 if self.max_seconds is None else self.seconds / self.max_seconds
        return min(1.0, max((self.steps if steps is None else steps) / self.total_steps, by_time))

    def lr_at(self, step: int) -> float:
        """Learning rate after `step` steps and the time spent so far."""
        if self.schedule == "constant":
            return self.base_lr
        return self.base_lr * (
            _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.done(step)))
        )

    def watch(self, event: TrainingEvent) -> bool:
        """Training callback: note the time; ask to stop after the epoch in which it ran out."""
        self.seconds = event.seconds
        if self.max_seconds is not None and event.seconds >= self.max_seconds:
            self.over = True
        return self.over and event.kind == "epoch"

    def limit(self, batches: Any) -> LimitedBatches:
        """Batches that end early when the time is over, so that the last epoch is validated too."""
        return LimitedBatches(batches, self)


class LimitedBatches:
    """Batches of one epoch as long as there is time."""

    def __init__(self, batches: Any, budget: Budget) -> None:
        self._batches = batches
        self._budget = budget

    def __len__(self) -> int:
        return len(self._batches)

    def __call__(self, epoch: int) -> Iterator[Any]:
        """Give the batches of an epoch, counted from 0."""
        for batch in iterate(self._batches, epoch):
            if self._budget.over:
                return
            yield batch
