"""Other processes on the same cores and with the same limits, started from one that is pinned already."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

T = TypeVar("T")

# A fork would inherit the memory and the pools of its parent.
SPAWN = multiprocessing.get_context("spawn")


def in_fresh_process(function: Callable[..., T], *args: Any) -> T:
    """Call a function of a module in a process that has done nothing before."""
    with SPAWN.Pool(1) as pool:
        return pool.apply(function, args)


class Server:
    """A process that builds something once, and then does it as often as it is told.

    Parameters
    ----------
    make : function of a module
        ``make(*args)`` returns what is to be done, a function of whatever `begin` is given.

    Raises
    ------
    RuntimeError
        With the message of what `make` raised.
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *args: Any) -> None:
        self._connection, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.wait()
        except BaseException:
            self.close()
            raise

    def begin(self, *args: Any) -> None:
        self._connection.send(args)

    def wait(self) -> None:
        """Return when it is ready or has done what it was told last."""
        try:
            failure = self._connection.recv()
        except EOFError:
            failure = "the process ended"
        if failure:
            raise RuntimeError(failure)

    def close(self) -> None:
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Callable[..., Any]], args: tuple[Any, ...]) -> None:
    try:
        act = make(*args)
        while True:
            connection.send(None)
            act(*connection.recv())
    except EOFError:
        return
    except Exception as failure:
        connection.send(f"{type(failure).__name__}: {failure}")
