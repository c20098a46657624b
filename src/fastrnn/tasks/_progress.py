"""Training progress of a task on standard error, in the unit of the task."""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import Any

from fastrnn.tasks._budget import Budget
from fastrnn.training import TrainingEvent

__all__ = ["Progress"]

_LINE_SECONDS = 10.0
_EPOCH_SECONDS = 1.0  # at least between two epochs that are shown, after the first ones
_FIRST_EPOCHS = 10
_SMOOTHING = 0.98


class Progress:
    """A callback that shows a bar on a terminal that has rich, else a line now and then.

    Parameters
    ----------
    budget : Budget
        Knows how much of the training is over.
    unit : str
        Of the loss, for example ``"bits/char"``.
    scale : float
        What the loss is multiplied with to be in that unit.
    items : str
        What `per_step` counts, for example ``"char"``.
    per_step : int
        Items that a step trains on.
    """

    def __init__(self, budget: Budget, unit: str, scale: float, items: str, per_step: int) -> None:
        self._budget = budget
        self._unit = unit
        self._scale = scale
        self._items = items
        self._per_step = per_step
        self._mean: float | None = None
        self._first: TrainingEvent | None = None
        self._last = self._last_epoch = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() and importlib.util.find_spec("rich") else None
        self._task: Any = None
        if self._bar is not None:
            self._task = self._bar.add_task("starting", total=1.0)
            self._bar.start()

    def __call__(self, event: TrainingEvent) -> None:
        """Show this event."""
        first = self._first is None
        if self._first is None:
            self._first = event
        if event.kind == "step":
            mean = self._mean
            self._mean = event.loss if mean is None else _SMOOTHING * mean + (1 - _SMOOTHING) * event.loss
        now = time.monotonic()
        ended = event.kind == "epoch"
        text = self._epoch(event) if ended else self._step(event)
        told = ended and (
            event.epoch <= _FIRST_EPOCHS
            or event.epoch == event.epochs
            or now - self._last_epoch >= _EPOCH_SECONDS
        )
        if told:
            self._last_epoch = now
        if self._bar is not None:
            if told:
                self._bar.console.print(text, highlight=False)
            elif not ended:
                self._bar.update(self._task, completed=self._budget.done(), description=text)
        elif told or first or now - self._last >= _LINE_SECONDS:
            self._last = now
            percent = "" if ended else f"{100 * self._budget.done():3.0f} %  "
            print(percent + text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def _step(self, event: TrainingEvent) -> str:
        assert self._first is not None
        steps = event.total_steps - self._first.total_steps
        seconds = event.seconds - self._first.seconds
        rate = f"  {steps * self._per_step / seconds:,.0f} {self._items}/s" if steps and seconds else ""
        assert self._mean is not None
        return f"epoch {event.epoch}  {self._scale * self._mean:.3f} {self._unit}{rate}"

    def _epoch(self, event: TrainingEvent) -> str:
        parts = [f"epoch {event.epoch}", f"{self._scale * event.loss:.3f} {self._unit}"]
        if event.val_loss is not None:
            parts.append(f"held out {self._scale * event.val_loss:.3f}")
        return "  ".join([*parts, f"{event.seconds:.0f} s"])


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        BarColumn(bar_width=16),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
