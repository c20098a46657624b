"""Ctrl-C that never falls into the middle of an update."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["InterruptShield"]


class InterruptShield:
    """Holds SIGINT back while something is in progress that has to be finished.

    ``with shield:`` around the update of the weights delays a Ctrl-C until the block has ended; anywhere else
    it acts at once. Once it has acted, further ones are held back until the next block ends, so that pressing
    it twice does not interrupt the saving that follows the first. Outside the main thread, where Python never
    delivers signals, and where SIGINT is ignored or not handled by Python, nothing changes.

    The handler is in place between `install` and `remove`.
    """

    def __init__(self) -> None:
        self._held = False
        self._pending = False
        self._previous: Any = None

    def install(self) -> None:
        """Take the place of the present handler, which still does what is to be done."""
        if threading.current_thread() is not threading.main_thread():
            return
        previous = signal.getsignal(signal.SIGINT)
        if callable(previous):
            self._previous = previous
            signal.signal(signal.SIGINT, self._handle)

    def remove(self) -> None:
        """Put the former handler back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._held:
            self._pending = True
            return
        try:
            self._previous(number, frame)
        except BaseException:
            self._held = True
            raise

    def drop(self) -> None:
        """Forget what is held back: it has been answered."""
        self._pending = False

    def __enter__(self) -> Self:
        self._held = True
        return self

    def __exit__(self, *error: object) -> None:
        self._held = False
        if self._pending:
            self._pending = False
            self._handle(signal.SIGINT, None)
