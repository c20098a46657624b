"""Showing how training gets on: a bar where there is a terminal and rich, else a line now and then."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

from fastrnn._history import TrainingEvent

__all__ = ["progress_callback"]

_LINE_SECONDS = 10.0


def progress_callback(
    progress: bool | Callable[[TrainingEvent], object],
) -> tuple[Callable[[TrainingEvent], object] | None, Callable[[], None]]:
    """Turn the `progress` argument into a function to tell events to, and one to call at the end."""
    if callable(progress):
        return progress, lambda: None
    if not progress:
        return None, lambda: None
    if sys.stderr.isatty() and importlib.util.find_spec("rich"):
        bar = _Bar()
        return bar, bar.close
    return _Lines(), lambda: None


def _summary(event: TrainingEvent, loss: float) -> str:
    parts = [f"loss {loss:.4f}"]
    if event.val_loss is not None:
        parts.append(f"val_loss {event.val_loss:.4f}")
    return "  ".join([*parts, f"lr {event.lr:.3g}", f"{event.seconds:.0f} s"])


class _Smoothed:
    """Running mean of the step losses, or a single noisy batch would be all there is to see."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def __call__(self, event: TrainingEvent) -> float:
        if event.kind == "epoch":
            return event.loss
        self._mean = event.loss if self._mean is None else 0.98 * self._mean + 0.02 * event.loss
        return self._mean


class _Lines:
    def __init__(self) -> None:
        self._smoothed = _Smoothed()
        self._last = time.monotonic()

    def __call__(self, event: TrainingEvent) -> None:
        loss = self._smoothed(event)
        now = time.monotonic()
        if event.kind == "step" and now - self._last < _LINE_SECONDS:
            return
        self._last = now
        where = f"epoch {event.epoch}/{event.epochs}"
        if event.kind == "step":
            where += f"  step {event.step}/{event.steps or '?'}"
        print(f"{where}  {_summary(event, loss)}", file=sys.stderr, flush=True)


class _Bar:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._smoothed = _Smoothed()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[summary]}"),
            console=Console(stderr=True),
        )
        self._task: Any = None

    def __call__(self, event: TrainingEvent) -> None:
        total = None if event.steps is None else event.epochs * event.steps
        if self._task is None:
            self._task = self._progress.add_task("", total=total, summary="")
            self._progress.start()
        summary = _summary(event, self._smoothed(event))
        name = f"epoch {event.epoch}/{event.epochs}"
        self._progress.update(
            self._task, completed=event.total_steps, total=total, description=name, summary=summary
        )
        if event.kind == "epoch":
            self._progress.console.print(f"{name}  {summary}", highlight=False)

    def close(self) -> None:
        self._progress.stop()
